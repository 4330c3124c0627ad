"""``python -m tests.bounds [WORD …]``: the bounds, each with its figures; with words only those that have one of them.

What takes more than it may, ends with another exit code or shows a traceback is marked, and the exit code is 1.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bounds.bounds import BOUNDS, Bound
from tests.bounds.commands import cases, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bounds.measuring import Took

MEMORY: Final = 500.0
SECONDS: Final = 60.0
"""What any command may take on any input."""


def tried() -> Iterator[Bound]:
    """All bounds: those of a run, and those of each command on each input."""
    yield from BOUNDS
    for name, kind, arguments in cases():
        yield Bound(
            f"{name}: {kind}",
            lambda folder, arguments=arguments: measure(folder, arguments),  # type: ignore[misc]
            MEMORY,
            SECONDS,
            (0, 1, 2, 3),
        )


def wrong(bound: Bound, took: Took) -> list[str]:
    """What is not as it has to be."""
    found = []
    if took.code not in bound.codes:
        found.append(f"exit code {took.code}: {took.errors[-300:]}")
    if took.memory > bound.memory:
        found.append(f"more than {bound.memory:.0f} MiB")
    if took.seconds > bound.seconds:
        found.append(f"more than {bound.seconds:.0f} s")
    if "Traceback" in took.errors:
        found.append(took.errors[-600:])
    if bound.says not in took.output + took.errors:
        found.append(f"it does not say {bound.says!r}: {(took.output + took.errors)[-300:]}")
    return found


def main(words: list[str]) -> int:
    """Try bounds; returns the exit code."""
    failed = 0
    print("| what | exit code | s | memory (MiB) | bound (MiB) | |\n| --- | --- | ---: | ---: | ---: | --- |")
    for bound in tried():
        if words and not any(word in bound.what for word in words):
            continue
        with tempfile.TemporaryDirectory(prefix="batchsend-bounds-") as folder:
            took = bound.measure(Path(folder))
        found = wrong(bound, took)
        failed += bool(found)
        said = "; ".join(found).replace("\n", " ")
        print(
            f"| {bound.what} | {took.code} | {took.seconds:.1f} | {took.memory:.0f} | {bound.memory:.0f} | {said} |",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
