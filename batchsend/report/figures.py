"""Figures as people read them: durations, shares, rates, octets of text that is safe to show."""

from __future__ import annotations


def count(number: int, noun: str = "", plural: str | None = None) -> str:
    """A number of things: ``1 session``, ``12,000 sessions``."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def duration(seconds: float) -> str:
    """How long something took, to the precision that matters."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def latency(seconds: float) -> str:
    """How long a reply took: two significant digits below a minute."""
    if seconds >= 60:
        return duration(seconds)
    if seconds >= 9.95:
        return f"{seconds:.0f} s"
    if seconds >= 0.995:
        return f"{seconds:.1f} s"
    milliseconds = seconds * 1000
    return f"{milliseconds:.0f} ms" if milliseconds >= 9.95 else f"{milliseconds:.1f} ms"


def share(part: int, whole: int) -> str:
    """A percentage that is 0 % and 100 % only where it is."""
    if not whole:
        return "0 %"
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def rate(per_second: float) -> str:
    """Messages in a time: a second, or a minute where that is less than one a second."""
    if 0 < per_second < 0.95:
        return f"{per_second * 60:.1f}/min"
    return f"{per_second:,.0f}/s" if per_second >= 9.95 else f"{per_second:.1f}/s"


def shown(text: str) -> str:
    """A text from elsewhere, safe to show: what a terminal or a browser would act on instead of showing is escaped.

    Line feeds become spaces. Control characters, line separators and those that turn the direction of writing are
    written as escapes.
    """
    text = text.replace("\n", " ")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
