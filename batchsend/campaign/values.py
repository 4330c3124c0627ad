"""The small values a campaign file is written in: rates, durations, secrets."""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Final, Self

from batchsend.errors import ValueUsageError, require
from batchsend.figures import DURATION_UNITS, parse_duration
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROOFS: Final = ("password", "password_file", "password_command", "token", "token_command")
"""The keys of a server of which one says what to authenticate with."""

_RATE: Final = late_pattern(r"(?P<count>\d+(?:\.\d+)?) ?/ ?(?P<unit>s|min|h)", re.ASCII)
_RATE_UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}

_QUOTA: Final = late_pattern(r"(?P<messages>\d+) ?/ ?(?P<unit>min|h|day)", re.ASCII)
_QUOTA_UNITS: Final = {"min": 60.0, "h": 3600.0, "day": 86400.0}
_MOST_MESSAGES: Final = 10**9

_LONGEST: Final = 24 * 3600.0


_SHOWN: Final = 80


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

    Raises:
        UsageError: One of them is not above 0, or has no end.
        TypeError: One of them is no number.
    """

    __slots__ = ("count", "seconds")

    def __init__(self, count: float, seconds: float) -> None:
        self.count: float = require(count, "count", int, float)
        self.seconds: float = require(seconds, "seconds", int, float)
        for name, number in (("count", count), ("seconds", seconds)):
            if not 0 < number <= sys.float_info.max:
                raise ValueUsageError(f"{name} is {_brief(number)}", remedy="expected a number above 0")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"100/s"``, ``"600/min"`` or ``"5000/h"``.

        Raises:
            UsageError: The text is not a rate, or is a rate of nothing. It is a `ValueError` as well.
            TypeError: It is no text.
        """
        require(text, "text", str)
        match = _RATE.fullmatch(text.strip())
        count = 0.0 if match is None else float(match["count"])
        if match is None or not 0 < count < math.inf:
            raise ValueUsageError(f"text is {_brief(text)}", remedy='expected a rate, such as "5/s"')
        return cls(count, _RATE_UNITS[match["unit"]])

    def checked(self) -> Self:
        """This rate, which was looked into when it was made."""
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


class Quota:
    """How many messages in any stretch of time of a length: not a pace, but a number that is never exceeded.

    >>> Quota.parse("500/h") == Quota(500, 3600)
    True
    >>> str(Quota(50000, 86400))
    '50000/day'

    Attributes:
        messages: How many; above 0.
        seconds: In how many seconds: 60, 3600 or 86400.
    """

    __slots__ = ("messages", "seconds")

    def __init__(self, messages: int, seconds: float) -> None:
        self.messages = messages
        self.seconds = seconds

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"30/min"``, ``"500/h"`` or ``"50000/day"``.

        Raises:
            ValueError: The text is not a quota, or is a quota of nothing.
        """
        match = _QUOTA.fullmatch(text.strip())
        if match is None:
            raise ValueError(text)
        return cls(int(match["messages"]), _QUOTA_UNITS[match["unit"]]).checked()

    def checked(self) -> Self:
        """This quota, which may have been made in code.

        Raises:
            ValueError: It is a quota of nothing, or of no time that a quota has.
        """
        if not 0 < self.messages <= _MOST_MESSAGES or self.seconds not in _QUOTA_UNITS.values():
            raise ValueError(repr(self))
        return self

    def __str__(self) -> str:
        unit = next((unit for unit, seconds in _QUOTA_UNITS.items() if seconds == self.seconds), f"{self.seconds:g}s")
        return f"{self.messages}/{unit}"

    def __repr__(self) -> str:
        return f"Quota({self.messages!r}, {self.seconds!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Quota):
            return NotImplemented
        return (self.messages, self.seconds) == (other.messages, other.seconds)

    def __hash__(self) -> int:
        return hash((self.messages, self.seconds))


class Quotas:
    """Any number of quotas that all hold, written as one text or as an array.

    >>> [str(quota) for quota in Quotas.parse(["500/h", "50000/day"])]
    ['500/h', '50000/day']

    Args:
        quotas: Them; none for no limit.
    """

    __slots__ = ("_quotas",)

    def __init__(self, quotas: Iterable[Quota] = ()) -> None:
        self._quotas = tuple(quotas)

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read one text or a list of texts; a `Quota` stands for itself, and so do `Quotas`.

        Raises:
            ValueError: One of them is no quota, or there is none.
            TypeError: It is something else.
        """
        if isinstance(value, cls):
            return value
        texts = value if isinstance(value, list | tuple) else [value]
        quotas = []
        for text in texts:
            if not isinstance(text, str | Quota):
                raise TypeError(text)
            quotas.append(Quota.parse(text) if isinstance(text, str) else text.checked())
        if not quotas:
            raise ValueError(value)
        return cls(quotas)

    def __iter__(self) -> Iterator[Quota]:
        return iter(self._quotas)

    def __len__(self) -> int:
        return len(self._quotas)

    def __str__(self) -> str:
        return ", ".join(map(str, self._quotas))

    def __repr__(self) -> str:
        return f"Quotas({list(self._quotas)!r})"

    def __eq__(self, other: object) -> bool:
        return self._quotas == other._quotas if isinstance(other, Quotas) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._quotas)


class Duration(float):
    """A length of time in seconds: above 0 and at most a day.

    >>> Duration.parse("5m") == 300
    True
    >>> str(Duration(0.5))
    '500ms'

    Args:
        value: Seconds; as for `float`.

    Raises:
        UsageError: It is no number, or out of range. It is a `ValueError` as well.
        TypeError: It is neither a number nor a text.
    """

    __slots__ = ()

    def __new__(cls, value: float | str, /) -> Self:
        """Make one, and look into it."""
        require(value, "value", int, float, str)
        try:
            return super().__new__(cls, value).checked()
        except (ValueError, OverflowError) as error:
            raise ValueUsageError(
                f"value is {_brief(value)}", remedy="expected seconds, above 0, at most a day"
            ) from error

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"500ms"``, ``"30s"``, ``"5m"`` or ``"1h"``.

        Raises:
            UsageError: The text is not a duration, or is out of range. It is a `ValueError` as well.
            TypeError: It is no text.
        """
        require(text, "text", str)
        try:
            return cls(parse_duration(text.strip()))
        except ValueError as error:
            raise ValueUsageError(f"text is {_brief(text)}", remedy='expected a duration, such as "30s"') from error

    def checked(self) -> Self:
        """This duration, if it is one.

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
            UsageError: The text is neither.
            TypeError: It is no text.
        """
        require(text, "text", str)
        return cls(math.inf) if text.strip() == "forever" else super().parse(text)

    def checked(self) -> Self:
        """This wait, if it is one.

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

    Args:
        value: The text.

    Raises:
        TypeError: It is no text.
    """

    __slots__ = ()

    def __new__(cls, value: str, /) -> Self:
        """Make one: what `str` makes of None and of octets is nobody's password."""
        return super().__new__(cls, require(value, "value", str))

    def __repr__(self) -> str:
        return "'********'"


def _brief(value: object) -> str:
    """A value as an error shows it."""
    try:
        shown = repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of too many digits"
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"


def _plain(number: float) -> str:
    """The number without exponent and without the ``.0`` of a whole one."""
    return f"{number:.0f}" if number == int(number) else repr(float(number))
