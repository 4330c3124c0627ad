"""Style sheets in files beside the HTML, which no mail reader would fetch: put into the document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from batchsend.errors import UsageError
from batchsend.message.html_tokens import Token, tokens
from batchsend.message.marks import covered
from batchsend.message.templates import read_source

if TYPE_CHECKING:
    from pathlib import Path

_ELSEWHERE: Final = ("/", "#", "?", "\\")


def with_linked_sheets(source: str, folder: Path) -> str:
    """An HTML template with each ``<link rel="stylesheet">`` to a file of the folder replaced by what is in that.

    A link to anywhere else stays as it is: nothing is fetched. Whatever the sheet holds is no template mark.

    Args:
        source: The template.
        folder: The folder of the HTML, to which links are relative, and outside which no file is taken.

    Raises:
        UsageError: A sheet cannot be read, or holds what would end it in HTML.
    """
    hidden = covered(source)
    pieces: list[str] = []
    at = 0
    for token in tokens(hidden):
        if token.kind == "start" and token.name == "link" and (path := _linked(token, folder)) is not None:
            sheet = read_source(path, f"style sheet {path.name}")
            if "</style" in sheet.lower():
                raise UsageError(
                    f"style sheet {path.name} holds </style", remedy="Take it out: it would end the sheet."
                )
            for mark in ("{{", "{%", "{#"):
                sheet = sheet.replace(mark, f"{mark[0]} {mark[1]}")
            media = (token.value("media") or "").replace('"', "").replace("{", "")
            attribute = f' media="{media}"' if media else ""
            pieces += [source[at : token.start], f"<style{attribute}>\n{sheet}\n</style>"]
            at = token.end
    pieces.append(source[at:])
    return "".join(pieces)


def _linked(tag: Token, folder: Path) -> Path | None:
    """The file that a link means, or None if it is to no sheet in the folder."""
    target = unquote((tag.value("href") or "").strip())
    if "stylesheet" not in (tag.value("rel") or "").lower().split() or not target or target.startswith(_ELSEWHERE):
        return None
    try:
        path = (folder / target).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
