"""A guard of the program, how it is taken out, and the test that has to notice."""

from __future__ import annotations

from typing import NamedTuple


class Guard(NamedTuple):
    """One line of defence.

    Attributes:
        claim: What it prevents, in a few words.
        file: The file that it stands in, from the checkout, or from where libraries are installed.
        there: The text of the guard, which stands in the file once; or as often as it is written there, where all are
            to go.
        instead: What the file has in its place without the guard.
        tests: The test file, or one test in it.
        chosen: Which of its tests, as pytest's ``-k`` takes it; empty for all.
        more: Further changes to the same file, each a text and what takes its place.
    """

    claim: str
    file: str
    there: str
    instead: str
    tests: str
    chosen: str = ""
    more: tuple[tuple[str, str], ...] = ()


def without(guard: Guard, source: str) -> str:
    """The file without its guard.

    Raises:
        ValueError: The guard is not there as the table has it.
    """
    for there, instead in ((guard.there, guard.instead), *guard.more):
        if there not in source:
            raise ValueError(f"{guard.claim}: {guard.file} has no {there!r}")
        source = source.replace(there, instead)
    return source
