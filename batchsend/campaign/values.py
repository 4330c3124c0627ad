"""The small values a campaign file is written in: rates, durations, secrets."""

from __future__ import annotations

import math
import re
from typing import Final, Self

from batchsend.figures import DURATION_UNITS, parse_duration

_RATE: Final = re.compile(r"(?P<count>\d+(?:\.\d+)?) ?/ ?(?P<unit>s|min|h)", re.ASCII)
_RATE_UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}

_LONGEST: Final = 24 * 3600.0


class Rate:
    """How many messages in how much time, all sessions together.

    An ordinary class, because msgspec would read a dataclass from a table instead of from a text.

    >>> Rate.parse("600/min") == Rate(600, 60)
    True
    >>> Rate.parse("600/min").per_second
    10.0

    Attributes:
        count: Messages; above 0.
        seconds: The time for them, in seconds: 1, 60 or 3600.
    """

    __slots__ = ("count", "seconds")

    def __init__(self, count: float, seconds: float) -> None:
        self.count = count
        self.seconds = seconds

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"100/s"``, ``"600/min"`` or ``"5000/h"``.

        Raises:
            ValueError: The text is not a rate, or is a rate of nothing.
        """
        match = _RATE.fullmatch(text.strip())
        if match is None:
            raise ValueError(text)
        return cls(float(match["count"]), _RATE_UNITS[match["unit"]]).checked()

    def checked(self) -> Self:
        """This rate, which may have been made in code.

        Raises:
            ValueError: It is a rate of nothing, or none at all.
        """
        if not 0 < self.count < math.inf or not 0 < self.seconds < math.inf:
            raise ValueError(repr(self))
        return self

    @property
    def per_second(self) -> float:
        """The same rate in messages a second."""
        return self.count / self.seconds

    def __str__(self) -> str:
        unit = next((unit for unit, seconds in _RATE_UNITS.items() if seconds == self.seconds), f"{self.seconds:g}s")
        return f"{_plain(self.count)}/{unit}"

    def __repr__(self) -> str:
        return f"Rate({self.count!r}, {self.seconds!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rate):
            return NotImplemented
        return (self.count, self.seconds) == (other.count, other.seconds)

    def __hash__(self) -> int:
        return hash((self.count, self.seconds))


class Duration(float):
    """A length of time in seconds: above 0 and at most a day.

    >>> Duration.parse("5m") == 300
    True
    >>> str(Duration(0.5))
    '500ms'
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"500ms"``, ``"30s"``, ``"5m"`` or ``"1h"``.

        Raises:
            ValueError: The text is not a duration, or is out of range.
        """
        return cls(parse_duration(text.strip())).checked()

    def checked(self) -> Self:
        """This duration, which may have been made in code.

        Raises:
            ValueError: It is out of range.
        """
        if not 0 < self <= _LONGEST:
            raise ValueError(repr(self))
        return self

    def __str__(self) -> str:
        for unit in ("h", "m", "s"):
            count = self / DURATION_UNITS[unit]
            if count >= 1 and count.is_integer():
                return f"{_plain(count)}{unit}"
        return f"{_plain(self * 1000)}ms" if self < 1 else f"{_plain(self)}s"


class Wait(Duration):
    """How long to wait for something that is sure to come: a duration, or infinity for ``"forever"``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `Duration` reads, or ``"forever"``.

        Raises:
            ValueError: The text is neither.
        """
        return cls(math.inf) if text.strip() == "forever" else super().parse(text)

    def checked(self) -> Self:
        """This wait, which may have been made in code.

        Raises:
            ValueError: It is neither a duration nor infinity.
        """
        return self if self == math.inf else super().checked()

    def __str__(self) -> str:
        return "forever" if math.isinf(self) else super().__str__()


class Secret(str):
    """A text that does not show itself in ``repr()``, and so in no traceback, log or dump of what holds it.

    >>> Secret("hunter2")
    '********'
    >>> Secret("hunter2") == "hunter2"
    True
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'"


def _plain(number: float) -> str:
    """The number without exponent and without the ``.0`` of a whole one."""
    return f"{number:.0f}" if number == int(number) else repr(float(number))
