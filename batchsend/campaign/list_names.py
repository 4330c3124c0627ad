"""How lists are called: the ends of files' names that say what is in them.

What reads them is in ``recipients/``; here it is known as well, so that a list that is named in a campaign file's place
is told from one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FORMATS: Final = {".csv": "csv", ".tsv": "csv", ".tab": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""What a list of text is by the end of its name."""

WORKBOOKS: Final = (".xlsx", ".xlsm", ".ods")
"""The suffixes of workbooks that can be read."""

_REFUSED: Final = (".xls",)  # workbooks that cannot be


def is_called_a_list(path: Path) -> bool:
    """Whether a file is a list by its name, be it compressed or not."""
    named = {suffix.lower() for suffix in path.suffixes[-2:]}
    return not named.isdisjoint((*FORMATS, *WORKBOOKS, *_REFUSED))
