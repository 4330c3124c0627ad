"""What one rendering of a template may use up, so that it ends, and soon, whatever template and record say."""

from __future__ import annotations

import time
from collections.abc import ItemsView, KeysView, ValuesView
from typing import Any

from markupsafe import Markup

MAX_STEPS = 200_000
"""Turns of loops, calls and filters of one rendering."""

MAX_CHARACTERS = 32 << 20
"""Characters that the operations of one rendering may make, all together, whether they are shown or not."""

MAX_ITEMS = 250_000
"""Values in one list, those in the lists within it included, wherever it is shown or handed on."""

MAX_BITS = 64_000
"""Bits of a whole number."""

MAX_WIDTH = 10_000
"""Characters that a text may be padded to."""

MAX_SECONDS = 5
"""The time for one rendering, where the other limits have not stopped it before."""

_CONTAINERS = (list, tuple, set, frozenset, KeysView, ValuesView, ItemsView)
_LIGHT = frozenset({str, Markup, int, float, bool, type(None)})


class Excess(Exception):  # noqa: N818 - it is told as what the template does
    """A rendering goes beyond a limit; the message says which."""


class Budget:
    """Steps, characters and time that are left for one rendering."""

    __slots__ = ("_characters", "_deadline", "_steps")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin another rendering."""
        self._steps = MAX_STEPS
        self._characters = MAX_CHARACTERS
        self._deadline = time.monotonic() + MAX_SECONDS

    def step(self) -> None:
        """Take one step.

        Raises:
            Excess: It was one too many, or the time is over.
        """
        self._steps = steps = self._steps - 1
        if steps < 0:
            raise Excess(f"takes more than {MAX_STEPS:,} steps")
        if not steps & 7 and time.monotonic() > self._deadline:  # asking for the time takes longer than all the rest
            raise Excess(f"takes longer than {MAX_SECONDS} s")

    def spend(self, characters: int) -> None:
        """Pay for a text before it is made, or for a list: a character for each item.

        Raises:
            Excess: There is not so much left.
        """
        self._characters -= characters
        if self._characters < 0:
            raise Excess(f"makes texts of more than {MAX_CHARACTERS >> 20} MiB")

    def made(self, value: Any) -> Any:
        """Pay for what a filter or a method has made, and give it back."""
        if isinstance(value, str | bytes | list | tuple):
            self.spend(len(value))
        return value

    def weigh(self, value: object) -> int:
        """The characters and items that a value is made of; lists that stand in it more than once count each time.

        Raises:
            Excess: It is made of too many.
        """
        if type(value) in _LIGHT:
            return len(value) if isinstance(value, str) else 1
        items = characters = 0
        left = [value]
        while left:
            item = left.pop()
            items += 1
            if isinstance(item, str | bytes):
                characters += len(item)
            elif isinstance(item, dict):
                left += item.keys()
                left += item.values()
            elif isinstance(item, _CONTAINERS):
                left += item
            if items > MAX_ITEMS or len(left) > 2 * MAX_ITEMS or characters > MAX_CHARACTERS:
                raise Excess(f"makes lists of more than {MAX_ITEMS:,} values")
        return items + characters


def require_number(bits: int) -> None:
    """Let a whole number of so many bits pass, or not.

    Raises:
        Excess: It is too large.
    """
    if bits > MAX_BITS:
        raise Excess(f"makes a number of more than {MAX_BITS:,} bits")


def require_width(*values: object, most: int = MAX_WIDTH) -> None:
    """Let the numbers among these pass as widths, or not.

    Raises:
        Excess: One of them is too large.
    """
    for value in values:
        if isinstance(value, int) and abs(value) > most:
            raise Excess(f"asks for a width or a precision of more than {most:,}")
