"""Whom a campaign has written to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchsend.results.addressees import Addressees


@given(st.lists(st.integers(0, 60)))
def test_an_address_is_new_once(numbers: list[int]) -> None:
    addressees = Addressees()
    seen: set[int] = set()
    for number in numbers:
        assert addressees.add(f"r{number}@example.com") is (number not in seen)
        seen.add(number)
    assert len(addressees) == len(seen)


def test_nothing_new_is_taken_for_known_among_many() -> None:
    addressees = Addressees()
    assert all(addressees.add(f"r{number}@example.com") for number in range(200_000))
    assert not any(addressees.add(f"r{number}@example.com") for number in range(0, 200_000, 97))


def test_case_makes_no_other_address() -> None:
    addressees = Addressees()
    assert addressees.add("Bob@Example.com")
    assert not addressees.add("bob@example.COM")
    assert addressees.add("bob@example.org")
