"""How many examples Hypothesis tries where its usual hundred are too few or too many."""

from __future__ import annotations

from hypothesis import settings


def examples(count: int) -> int:
    """So many where all is tested, and fewer in `make test`, in the proportion of all other tests there.

    Args:
        count: How many instead of the usual hundred.
    """
    return max(1, count * settings().max_examples // 100)
