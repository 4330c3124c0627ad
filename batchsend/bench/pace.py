"""Looks for the fastest pace at which a server, which has asked for less, asks for nothing.

A pool that is told "slower" slows down, feels for the limit and is told so again: what it sends meanwhile on average is
less than what the server takes of one who knows its limit. That is what a bench is to find out.
"""

from __future__ import annotations

import math
from typing import Final

CLOSE_ENOUGH: Final = 1.08
"""The pace that was too fast by the one that was not, from which the search is over."""

MARGIN: Final = 0.95
"""What is advised of the fastest pace that was not refused: a campaign is longer than a visit."""

_FASTER: Final = 1.15
_SLOWER: Final = 0.85
_REACHED: Final = 0.9
_MOST: Final = 8


class PaceSearch:
    """Narrows the limit down, visit by visit.

    Args:
        first: Messages a second to begin with, above 0.

    Attributes:
        wanted: The pace to try next.
        taken: The fastest that was tried and not refused; 0 for none yet.
    """

    def __init__(self, first: float) -> None:
        self.wanted = first
        self.taken = 0.0
        self._refused: float | None = None
        self._tried = 0

    @property
    def is_over(self) -> bool:
        """Whether the limit is known well enough, or cannot be found."""
        found = self.taken > 0 and self._refused is not None and self._refused <= CLOSE_ENOUGH * self.taken
        return found or self._tried >= _MOST

    @property
    def advised(self) -> float:
        """The pace to send at; 0 where every one was refused, or none has held."""
        return MARGIN * self.taken

    def take(self, *, reached: float) -> None:
        """The pace was not refused.

        Args:
            reached: Messages a second that there were: fewer where the setting does not get there.
        """
        self._tried += 1
        if reached < _REACHED * self.wanted:
            self.taken = max(self.taken, reached)
            self._refused = self.taken  # with this setting, there is nothing beyond
            return
        self.taken = max(self.taken, self.wanted)
        self.wanted = self._between() if self._refused is not None else _FASTER * self.taken

    def lower(self) -> None:
        """What is advised was refused after all, so it was by chance that the server took more."""
        self._tried += 1
        self.taken = self.advised if self._tried <= 2 * _MOST else 0.0

    def refuse(self, *, learned: float) -> None:
        """The pace was refused.

        Args:
            learned: The slower pace that a pool has cut it to: where none was taken yet, the limit is between the two.
        """
        self._tried += 1
        self._refused = min(self._refused or self.wanted, self.wanted)
        if self.taken:
            self.wanted = self._between()
        else:
            self.wanted = min(_SLOWER * self.wanted, math.sqrt(self.wanted * learned))

    def _between(self) -> float:
        return (self.taken + (self._refused or self.taken)) / 2
