"""Pauses that are spread, so that what was held back together does not come back together.

The numbers come from a generator of its own. A program that has seeded the one of `random` for itself gets from it what
it would get without us; and whoever seeds this one has the same pauses again.
"""

from __future__ import annotations

from random import Random
from typing import Final

JITTER: Final = Random()  # noqa: S311 - no secret


def spread(seconds: float, least: float = 0.75, most: float = 1.25) -> float:
    """A pause of about so many seconds.

    Args:
        seconds: What it is spread around.
        least: The part of it that the shortest pause has.
        most: The part of it that the longest one has.

    Returns:
        Seconds, every number between the two as likely as any other.
    """
    return seconds * JITTER.uniform(least, most)
