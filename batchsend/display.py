"""How text and colours come onto a screen: the one place where text that others have written is made safe to show.

What a server says, what stands in a list and what a file is called may contain anything: characters that a terminal
obeys (ECMA-48), that turn the direction of writing round (UAX #9) or that end a line, and halves of characters. None of
these functions changes text that has nothing of the kind in it.

- `printable`: one line; everything that is not printed as itself is escaped.
- `one_line`: the same, of a text that may have several lines, which are joined by spaces.
- `visible`: text of several lines that stays as it looks; only what is dangerous is escaped.
- `json_shown`: JSON, which says the same with what is dangerous escaped as JSON has it.
- `called`: the name of a campaign.
- `html`: text as it stands in HTML, in an attribute's value too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from pathlib import PurePath

# Control characters but tab and line feed, line and paragraph separators, bidirectional overrides and isolates, halves
# of characters.
_DANGEROUS: Final = late_pattern("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# The terminal's own sixteen colours: whoever reads on a light background has chosen them so that they can be read.
# The keys are the outcomes' values: with the enumeration, every command would load what it is made with.
OUTCOME_COLOURS: Final[dict[str, str]] = {
    "accepted": "green",
    "rejected": "red",
    "deferred": "yellow",
    "in_doubt": "magenta",
    "invalid": "red",
    "suppressed": "blue",
}
"""Each outcome's colour on a terminal, by `rich`'s and click's names."""


def printable(text: str, *, keep: str = "") -> str:
    """Text with every character escaped that is not printed as itself: controls, line ends, direction marks.

    Args:
        text: The text.
        keep: Characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escape(character) for character in text
    )


def one_line(text: str) -> str:
    """As `printable`, but line feeds become spaces."""
    return printable(text.replace("\n", " "))


def visible(text: str) -> str:
    """Text of several lines, in which what a terminal or a spreadsheet would obey is escaped; CRLF becomes LF.

    Unlike `printable` it leaves tabs and every kind of space as they are.
    """
    return _DANGEROUS.sub(lambda found: _escape(found[0]), text.replace("\r\n", "\n"))


def json_shown(text: str) -> str:
    """A line of JSON in which what a terminal would obey is escaped as JSON has it: it says the same."""
    return _DANGEROUS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def called(path: PurePath) -> str:
    """What to call a campaign: its file, or the folder of a file that is called what they all are."""
    return path.parent.name if path.stem == "campaign" and path.parent.name else path.stem


def html(text: str) -> str:
    """Text as it stands in HTML, where it is neither markup nor the end of an attribute's value."""
    from html import escape  # noqa: PLC0415 - its table of entities is of no use to anybody else

    return escape(text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
