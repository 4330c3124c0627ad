"""What of a plain text is as long as something else: lines under headings, the columns of tables."""

from __future__ import annotations

import re
from typing import Final

from batchsend.patterns import late_pattern

# Control characters around a heading and around a table, and between the cells of a row: no text has any.
_HEADING, _TABLE, _END, _CELL = "\x1c", "\x1d", "\x1e", "\x1f"
_RULE: Final = _HEADING  # within a table: a cell of the line below its header
_BLOCK: Final = late_pattern(f"([{_HEADING}{_TABLE}])([^{_END}]*+){_END}")

# In what the library writes, a sign is its own and never a record's. Quotations and lists have something before it.
_HEADLINE: Final = late_pattern(
    r"(?P<margin>[> ]*+(?:(?:[-*+]|[0-9]++\.) ++)*+)(?P<before>[^#]*+)(?P<signs>##?+)(?: (?P<said>.*))?\Z"
)
_SIGNS: Final = late_pattern("#+ ?")  # of headings that the library has put on the line of another one
_NO_INDENT: Final = late_pattern("[^> ]")
_LINES: Final = {"#": "=", "##": "-"}
_ROWS: Final = late_pattern(rf"(?:^[^|\n{_HEADING}]*+\|.*\|\n)+", re.MULTILINE)
# What the library writes where one numbered list follows another, to tell them apart.
_OTHER_LIST: Final = late_pattern(r"^([> ]*+(?:[-*+] ++)*+[0-9]++)\) ", re.MULTILINE)
_DASHES: Final = late_pattern("-+")
_SHORTEST: Final = 3  # characters of a column, as Markdown has it


def outlined(text: str) -> str:
    """A text without blanks at the ends of its lines, in which marks stand around what has to be measured.

    Args:
        text: The text as the library writes it, its signs and no others being Markdown.

    Returns:
        The text; `laid_out` takes it to its end, perhaps with other words in the places of some.
    """
    lines = text.strip("\n").split("\n")
    lines = [line.rstrip() for line in (_without_fillers(lines) if "\xa0" in text else lines)]
    if "\n " in text or text.startswith(" "):
        # A blank that stood between two blocks; what is indented is so by two or more.
        lines = [line[1:] if line.startswith(" ") and not line.startswith("  ") else line for line in lines]
    if "#" in text:
        for place, line in enumerate(lines):
            if "#" in line and (heading := _HEADLINE.match(line)):
                lines[place] = _marked_heading(heading, lines[place - 1] if place else "")
    text = "\n".join([*lines, ""])
    if ") " in text:
        text = _OTHER_LIST.sub(r"\1. ", text)
    return _ROWS.sub(_marked_table, text) if "|" in text else text


def _without_fillers(lines: list[str]) -> list[str]:
    """The lines without blocks of nothing but blanks that do not break, which are there to leave space."""
    kept = [""]
    behind_filler = False
    for line in lines:
        is_filler = "\xa0" in line and not line.strip()
        behind_filler = is_filler or (behind_filler and not line)
        if not behind_filler:
            kept.append(line)
        elif kept[-1]:
            kept.append("")
    while len(kept) > 1 and not kept[-1]:
        kept.pop()
    return kept[1:] or [""]


def laid_out(text: str) -> str:
    """The text of an outline: its headings underlined, its columns as wide as what is in them.

    Args:
        text: What `outlined` made.
    """
    return _BLOCK.sub(_measured, text) if _END in text else text


def _marked_heading(line: re.Match[str], above: str) -> str:
    margin, said = line["margin"], f"{line['before']}{_SIGNS.sub('', line['said'] or '')}"
    if not said:
        return margin.rstrip()
    # The library leaves no line free above a heading that follows the words of the same item.
    free = "\n" if above and margin.isspace() else ""
    indent = _NO_INDENT.sub(" ", margin)
    return f"{free}{_HEADING}{margin}{said}\n{indent}{_LINES[line['signs']]}{_END}"


def _marked_table(rows: re.Match[str]) -> str:
    return f"{_TABLE}{_DASHES.sub(_RULE, rows[0].replace('|', _CELL))}{_END}"


def _measured(block: re.Match[str]) -> str:
    if block[1] == _TABLE:
        return _table(block[2])
    heading, _, line = block[2].rpartition("\n")
    sign = line[-1]
    indent = line.rstrip(sign)
    return f"{heading}\n{indent}{sign * max(len(heading) - len(indent), 1)}"


def _table(text: str) -> str:
    """A table with columns as wide as their widest cell."""
    rows = [row.split(_CELL) for row in text.removesuffix("\n").split("\n")]
    cells = [[cell.strip(" ") for cell in row[1:-1]] for row in rows]
    widths = [_SHORTEST] * max(map(len, cells))
    for row in cells:
        widths[: len(row)] = map(max, widths, map(len, row))
    lines: list[str] = []
    for row, line in zip(rows, cells, strict=True):
        shown = [
            ("-" * width if cell == _RULE else cell.ljust(width)) for cell, width in zip(line, widths, strict=False)
        ]
        lines.append(f"{row[0]}| {' | '.join(shown)} |\n")
    return "".join(lines)
