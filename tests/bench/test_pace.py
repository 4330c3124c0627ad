"""The search for a server's limit: it ends at a pace that the server takes, near the one that it does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchsend.bench.pace import CLOSE_ENOUGH, MARGIN, PaceSearch


def search(limit: float, first: float, most: float = 1e9) -> tuple[PaceSearch, list[float]]:
    """Search at a server that takes so many messages a second, with a setting that sends no more than ``most``."""
    searching, tried = PaceSearch(first), []
    while not searching.is_over:
        tried.append(searching.wanted)
        if min(searching.wanted, most) > limit:
            searching.refuse(learned=0.9 * (limit or searching.wanted))
        else:
            searching.take(reached=min(searching.wanted, most))
    return searching, tried


@given(st.floats(1, 1000), st.floats(0.5, 10))
def test_what_is_advised_is_within_the_limit_and_near_it(limit: float, guess: float) -> None:
    """The first guess is what got through in a second, which may be all that a server takes of a burst."""
    found, tried = search(limit, limit * guess)
    assert limit / CLOSE_ENOUGH * MARGIN <= found.advised <= limit * MARGIN
    assert len(tried) <= 8


def test_a_setting_that_does_not_reach_the_limit_ends_the_search() -> None:
    found, tried = search(200, 180, most=150)
    assert (found.advised, tried) == (MARGIN * 150, [180])


def test_where_everything_is_refused_nothing_is_advised() -> None:
    found, tried = search(0.0, 100)
    assert found.advised == 0
    assert len(tried) == 8
    assert tried == sorted(tried, reverse=True)


def test_what_is_advised_is_lowered_until_it_holds_or_nothing_is() -> None:
    found, _ = search(100, 100)
    before = found.advised
    found.lower()
    assert found.advised == MARGIN * before
    for _ in range(20):
        found.lower()
    assert found.advised == 0
