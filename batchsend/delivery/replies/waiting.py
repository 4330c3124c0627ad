"""What a reply says of time: until when to wait, and the period that a quota counts in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from batchsend.patterns import late_pattern

READ: Final = 1000
SHORTEST: Final = 1.0
LONGEST: Final = 32 * 24 * 3600.0
"""Seconds. No limit of a relay lasts longer than a month; what says so is taken for a mistake."""


class Period(StrEnum):
    """The period that a quota counts in."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


# A day, not a month: a quota of a month may be raised meanwhile, and asking once a day costs one refusal.
SECONDS: Final = {Period.HOUR: 3600.0, Period.DAY: 86400.0, Period.MONTH: 86400.0}
"""How long to wait until a period is over."""

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_UNIT: Final = r"(?:seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w)"
# Units of other languages, by how they begin; where they begin as an English one of the same length, they are above.
_OTHER_UNITS: Final = {"stund": 3600.0, "uur": 3600.0, "ore": 3600.0, "ora": 3600.0, "godzin": 3600.0, "tag": 86400.0}
_OTHER_UNITS.update({"jour": 86400.0, "giorn": 86400.0, "dni": 86400.0})
_OTHER_UNIT: Final = (
    r"(?:sekunden|secondes|segundos|secondi|minuten|minuti|minutos|minuut|stunden?|heures?|horas?|ore|ora|uur|godzin\w*"
    r"|tage?n?|jours?|d[ií]as?|giorn[io]|dagen|dni)"
)
# A number may be written in words where it is one: "in an hour".
_AMOUNT: Final = late_pattern(
    rf"(?<![\w.])(\d{{1,9}}(?:\.\d{{1,6}})?|(?:an?|one)(?=[ -]))[ -]?({_OTHER_UNIT}|{_UNIT})(?![\w/])", re.IGNORECASE
)
_CLOCK: Final = late_pattern(r"(?<![\d:.-])(\d{1,3}):([0-5]\d):([0-5]\d)(?![\d:])")
_ISO: Final = late_pattern(
    r"(?<!\d)(\d{4})-(\d\d)-(\d\d)[T ,]+(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)? ?(Z|UTC|GMT|[+-]\d\d:?\d\d)?", re.IGNORECASE
)
_RFC_5322: Final = late_pattern(
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?\d{1,2} (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov"
    r"|dec)[a-z]* \d{4}"
    r" \d\d:\d\d(?::\d\d)?(?: ?(?:[+-]\d{4}|gmt|utc|z))?",
    re.IGNORECASE,
)
# A time of day counts where its zone is named: where the server's clock is set, nobody knows.
_TIME_OF_DAY: Final = late_pattern(
    r"(?<![\d:.-])([01]?\d|2[0-3])[:.]([0-5]\d)(?::[0-5]\d)? ?(?:\(?(?:utc|gmt)\)?|z\b)(?![+-]?\d)"
    r"|\bmidnight,? \(?(?:utc|gmt)\b",
    re.IGNORECASE,
)
# As the header field of HTTP has it, RFC 9110 section 10.2.3: a number at the end of what is said, in seconds.
_BARE: Final = late_pattern(
    r"\b(?:retry|again|back|wait)[ -]?(?:after|in|for) ?[:=]? ?(\d{1,7})(?=[.;)\]]*(?:$| https?:))", re.IGNORECASE
)
# A time of waiting has one of these words before it, and an amount that stands alone has none of the second before it.
_WAITING: Final = late_pattern(
    r"again|retry|wait|in|after|for|until|till|reset|resume|later|delay|next|within|expires?|remaining|left|back",
    re.IGNORECASE,
)
_COUNTING: Final = late_pattern(
    r"(?:per|each|every|last|past|previous|this|limit|limits|of|within the|in the last|/|recipients?|messages?"
    r"|rcpts?|e-?mails?"
    r"|mails|allowed|ev|hourly|in any) ?(?:the )?(?:last |past )?$",
    re.IGNORECASE,
)
_TELLS_WHEN: Final = late_pattern(
    r"(?:again|retry|retrying|wait|waiting|versuchen|warten|r[ée]essaye[rz]|attendre|riprova\w*|intente\w*|tente\w*|reset|resets|resume|enabled|reactivated|restored|released|greylist\w*|gr[ea]y-?listed|deferred|delayed"
    r"|blocked|later|until"
    r"|available|resend|come back|expires?|lifted|remaining|unblocked|banned|suspended|rejected"
    r"|locked)(?:\W+\w+){0,6}?\W*$|[,;:.(-] ?in $",
    re.IGNORECASE,
)
_LEFT: Final = late_pattern(r"^\W*(?:remaining|left|to go|before|and try|later|until)", re.IGNORECASE)


def wait_named(text: str, now: float) -> float | None:
    """How long a reply says to wait.

    Args:
        text: The reply's text.
        now: The present, in seconds since the epoch.

    Returns:
        Seconds until the time that it names, of `SHORTEST` to `LONGEST`; None where it names none. The period that a
        quota counts in ("500 per hour", "24-hour sending limit") is not a time to wait.
    """
    text = " ".join(text[:READ].split())
    for found in (_date(text), _time_of_day(text, now), _clock(text), _amount(text), _bare(text)):
        if found is None:
            continue
        seconds = found - now if found > 1e8 else found
        if seconds <= LONGEST:
            # A date that is just over is the server's clock against ours: it can be tried at once.
            return max(seconds, SHORTEST)
    return None


def _date(text: str) -> float | None:
    """The time of a date, in seconds since the epoch."""
    if (match := _ISO.search(text)) is not None and _told(text, match.start()):
        year, month, day, hour, minute = (int(match[group]) for group in range(1, 6))
        zone = (match[7] or "Z").upper()
        try:
            time = datetime(year, month, day, hour, minute, int(match[6] or 0), tzinfo=UTC)
        except ValueError:
            return None
        if zone[0] in "+-":
            offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
            time -= offset if zone[0] == "+" else -offset
        return time.timestamp()
    if (match := _RFC_5322.search(text)) is not None and _told(text, match.start()):
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - few replies name a date, and it is slow to load

        try:
            time = parsedate_to_datetime(match[0])
        except ValueError:
            return None
        return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()
    return None


def _told(text: str, place: int) -> bool:
    return _WAITING.search(text[max(0, place - 60) : place]) is not None


def _time_of_day(text: str, now: float) -> float | None:
    """The next time that it is as late as a reply says, in seconds since the epoch."""
    if (match := _TIME_OF_DAY.search(text)) is None or not _told(text, match.start()):
        return None
    present = datetime.fromtimestamp(now, UTC)
    hour, minute = (0, 0) if match[1] is None else (int(match[1]), int(match[2]))
    time = present.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (time if time > present else time + timedelta(days=1)).timestamp()


def _bare(text: str) -> float | None:
    """A number without a unit, which is of seconds."""
    return None if (match := _BARE.search(text)) is None else float(match[1])


def _clock(text: str) -> float | None:
    """``00:04:32`` as a time to wait."""
    for match in _CLOCK.finditer(text):
        if _told(text, match.start()):
            return int(match[1]) * 3600.0 + int(match[2]) * 60.0 + int(match[3])
    return None


def _amount(text: str) -> float | None:
    """The first number of seconds, minutes, hours or days that is to be waited; "1 hour 30 minutes" is one."""
    end, total = -1, None
    for match in _AMOUNT.finditer(text):
        if total is not None:
            if not re.fullmatch(r",? ?(?:and )?", text[end : match.start()]):
                break
            total += _seconds(match)
        elif _is_wait(text, match):
            total = _seconds(match)
        end = match.end()
    return total


def _is_wait(text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start() - 80) : match.start()]
    if _COUNTING.search(before):
        return False
    return bool(_TELLS_WHEN.search(before) or _LEFT.search(text[match.end() : match.end() + 40]) or not before.strip())


def _seconds(match: re.Match[str]) -> float:
    amount = float(match[1]) if match[1][0].isdigit() else 1.0
    unit = match[2].lower()
    return amount * (
        next((seconds for begin, seconds in _OTHER_UNITS.items() if unit.startswith(begin)), None) or _UNITS[unit[0]]
    )


_HOUR: Final = late_pattern(
    r"hourly|per[- ]?(?:1 )?h(?:ou)?rs?\b|(?:this|an|each|every|1|one|last|past|same|in the) hour"
    r"|/ ?1? ?h(?:ou)?r?\b|stunden|por hora|orari"
    r"|par heure|pro stunde|st(?:ü|ue)ndlich|per uur|в час|за час|每小时|per hour|\bhour (?:limit|quota)",
    re.IGNORECASE,
)
_DAY: Final = late_pattern(
    r"daily|per[- ]?(?:1 )?day|\b24[- ]?h(?:(?:ou)?rs?)?\b|\b86400\b"
    r"|(?:this|a|each|every|1|one|last|past|today's|for the) day\b|today|tomorrow|/ ?1? ?d(?:ay)?\b|tages|diari"
    r"|giornalier|pro tag|täglich|taeglich|di[áa]ri|journali|dagelijks|per dag"
    r"|сутки|за день|今日|当日|每日|本日|par jour|dzienn|denn|\bday (?:limit|quota)",
    re.IGNORECASE,
)
_MONTH: Final = late_pattern(
    r"monthly|per[- ]?month|(?:this|a|each|every|billing) (?:month|cycle|period)|/ ?month|plan limit", re.IGNORECASE
)


def period_named(text: str) -> Period | None:
    """The period that the limit in a reply counts in, or None where it names none."""
    text = text[:READ]
    for period, pattern in ((Period.HOUR, _HOUR), (Period.DAY, _DAY), (Period.MONTH, _MONTH)):
        if pattern.search(text):
            return period
    return None
