"""Writes TOML as a person would: keys with comments beside them, some of them commented out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Value = str | int | bool | list[str]

_COMMENTS_BEGIN: Final = 44
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


class TomlEntry(NamedTuple):
    """One key of a table.

    Attributes:
        key: Its name.
        value: Its value.
        comment: What to say beside it, or ``""``.
        active: False for one that is commented out.
    """

    key: str
    value: Value
    comment: str = ""
    active: bool = True


def table(name: str, entries: Iterable[TomlEntry]) -> str:
    """A table with its header; without one for the name ``""``."""
    lines = [f"[{name}]"] if name else []
    for entry in entries:
        line = f"{'' if entry.active else '# '}{_key(entry.key)} = {literal(entry.value)}"
        lines.append(f"{line:<{_COMMENTS_BEGIN}} # {entry.comment}" if entry.comment else line)
    return "\n".join(lines) + "\n"


def literal(value: Value) -> str:
    """A value as TOML writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case list():
            return f"[{', '.join(literal(item) for item in value)}]"
        case _:
            # JSON's escapes are TOML's, which wants one more (TOML 1.0, String).
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else literal(name)
