"""A bound on what is kept for many clients at the same time, whatever each of them may send."""

from __future__ import annotations


class Room:
    """So many octets may be kept at once. Who keeps some takes room for them first, and gives it back.

    Args:
        most: Octets in all.

    Attributes:
        free: Octets for which there is room.
    """

    __slots__ = ("free",)

    def __init__(self, most: int) -> None:
        self.free = most

    def take(self, octets: int) -> bool:
        """Take room for so many octets; False where there is not as much, and then none is taken."""
        if octets > self.free:
            return False
        self.free -= octets
        return True

    def give_back(self, octets: int) -> None:
        """Octets for which room was taken are not kept any more."""
        self.free += octets
