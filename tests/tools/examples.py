"""How many examples are tried: fewer in `make test` than where all is tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
USUAL = 100
"""How many Hypothesis tries by itself, and where all is tested."""


def examples(count: int) -> int:
    """So many where all is tested, and fewer in `make test`, in the proportion of all other tests there.

    Args:
        count: How many instead of the usual hundred.
    """
    return max(1, count * settings().max_examples // USUAL)


def some_of(cases: Sequence[T]) -> Sequence[T]:
    """All cases where all is tested; in `make test` some in equal steps, in the proportion of all other tests there.

    Args:
        cases: What there is to try, in an order in which neighbours are alike.
    """
    return cases[:: max(1, USUAL // settings().max_examples)]
