"""Whom a campaign has written to."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.errors import RunError
from batchsend.recipients.addressees import Addressees

ROOT = Path(__file__).parents[2]

# So small that a few thousand addresses need all kinds of tables, and buckets overflow.
SMALL = partial(Addressees, places=64, buckets=16)


@given(st.lists(st.integers(0, 400), max_size=500))
def test_an_address_is_new_once(numbers: list[int]) -> None:
    with SMALL(Path()) as addressees:
        seen: set[int] = set()
        for number in numbers:
            assert addressees.add(f"r{number}@example.com") is (number not in seen)
            seen.add(number)


@pytest.mark.slow
def test_nothing_is_forgotten_as_tables_are_added(tmp_path: Path) -> None:
    with SMALL(tmp_path) as addressees:
        assert all(addressees.add(f"r{number}@example.com") for number in range(20_000))
        assert not any(addressees.add(f"r{number}@example.com") for number in range(20_000))


# In a process of its own: what other threads of the tests' process ask for would be counted as well.
MANY = """
import sys, tracemalloc
from pathlib import Path
from batchsend.recipients.addressees import Addressees
folder = Path(sys.argv[1])
with Addressees(folder) as addressees:
    assert all(addressees.add(f"r{number}@example.com") for number in range(1_050_000))
    tracemalloc.start()
    assert all(addressees.add(f"r{number}@example.com") for number in range(1_050_000, 1_080_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not any(addressees.add(f"r{number}@example.com") for number in range(0, 1_080_000, 97))
    # The one that the listing itself was read from is gone by then.
    open_files = [str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
    tables = [file for file in open_files if file.startswith(f"{folder}/")]
    print(peak, len(tables), len(list(folder.iterdir())))
"""


@pytest.mark.slow
def test_many_addresses_need_no_more_memory_and_leave_nothing_on_the_disk(tmp_path: Path) -> None:
    printed = subprocess.check_output([sys.executable, "-c", MANY, tmp_path], cwd=ROOT, text=True)
    peak, tables, files = map(int, printed.split())
    assert peak < 30_000, "an octet an address would be more"
    assert (tables, files) == (1, 0)


def test_where_there_is_no_room_for_a_table_the_run_stops(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with Addressees(missing, places=4) as addressees:
        assert addressees.add("a@example.com")
        with pytest.raises(RunError, match=f"cannot grow: {os.strerror(errno.ENOENT)}") as caught:
            addressees.add("b@example.com")
    assert 'duplicates = "send"' in str(caught.value)


def test_case_makes_no_other_address(tmp_path: Path) -> None:
    with Addressees(tmp_path) as addressees:
        assert addressees.add("Bob@Example.com")
        assert not addressees.add("bob@example.COM")
        assert addressees.add("bob@example.org")


def test_the_forms_of_one_letter_are_one_address(tmp_path: Path) -> None:
    with SMALL(tmp_path) as addressees:
        assert addressees.add("zo\u00eb@example.com")
        assert not addressees.add("ZOE\u0308@example.com")
        assert "zoe\u0308@example.com" in addressees
        assert addressees.add("zoe@example.com")
