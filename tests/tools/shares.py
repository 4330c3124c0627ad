"""In which order tests are run by several processes, so that none of them has something long to do when all others end.

pytest-xdist with ``--dist worksteal`` gives each process as many tests as the others, in their order, and to one that
has nothing left half of what the one with the most has left, from its end. By number, not by time: long ones that stand
together are one process's until nothing else is left, and the last of them are waited for with nothing beside them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def in_shares(tests: Sequence[T], seconds: Callable[[T], float], processes: int) -> list[T]:
    """Put what takes long at the beginning of what each process gets.

    Neighbours stay neighbours, as far as that goes: they use the same things, such as a browser.

    Args:
        tests: All of them, in their order.
        seconds: About how long one takes; 0.0 for no time at all.
        processes: How many there are.
    """
    long = [test for test in tests if seconds(test)]
    short = iter([test for test in tests if not seconds(test)])
    in_all = sum(map(seconds, long))
    shares: list[list[T]] = [[] for _ in range(processes)]
    before = 0.0
    for test in long:
        shares[min(int(before / in_all * processes), processes - 1)].append(test)
        before += seconds(test)
    ordered: list[T] = []
    for number, share in enumerate(shares):
        size = (len(tests) - len(ordered)) // (processes - number)
        ordered += share
        ordered += islice(short, max(0, size - len(share)))
    return [*ordered, *short]
