"""Markdown as the source of a message: HTML that every mail reader shows, and the text as it was written.

CommonMark with tables and strikethrough. Template marks pass through the conversion as they are; a line of nothing but
``{% … %}`` stands between blocks, so that what it repeats or leaves out is whole.
"""

from __future__ import annotations

import re
import secrets
from functools import cache
from typing import TYPE_CHECKING, Final

from batchsend.message.marks import marks

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

STYLE: Final = """\
body { margin: 0; padding: 0; }
.message { max-width: 38em; margin: 0 auto; padding: 1.5em 1em; font-family: -apple-system, "Segoe UI", Roboto,
  Helvetica, Arial, sans-serif; font-size: 16px; line-height: 1.5; color: #222222; }
.message h1 { margin: 0 0 0.6em; font-size: 1.6em; line-height: 1.25; }
.message h2 { margin: 1.4em 0 0.5em; font-size: 1.3em; line-height: 1.25; }
.message h3 { margin: 1.2em 0 0.4em; font-size: 1.1em; line-height: 1.25; }
.message p, .message ul, .message ol, .message table, .message pre { margin: 0 0 1em; }
.message li { margin: 0 0 0.25em; }
.message a { color: #0b57d0; }
.message img { max-width: 100%; height: auto; border: 0; }
.message blockquote { margin: 0 0 1em; padding: 0 0 0 1em; border-left: 3px solid #cccccc; color: #555555; }
.message code { font-family: Menlo, Consolas, monospace; font-size: 0.9em; }
.message pre { padding: 0.75em; background-color: #f4f4f4; white-space: pre-wrap; }
.message hr { margin: 1.5em 0; border: 0; border-top: 1px solid #cccccc; }
.message table { border-collapse: collapse; }
.message th { padding: 0.3em 0.75em; border-bottom: 2px solid #cccccc; text-align: left; }
.message td { padding: 0.3em 0.75em; border-bottom: 1px solid #dddddd; }
"""
"""The style where the campaign has none of its own."""

_SHORTEST_FRONT_MATTER: Final = 3  # lines
_LIKE_A_MARK: Final = re.compile(r"\{(?=[{%#])")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")

# A line of what site generators have above a page: a key and its value, what goes on with that, a comment, or nothing.
_KEY: Final = re.compile(r"[A-Za-z_][\w .-]*[:=]")
_MORE: Final = re.compile(r"[ \t].*|[-#\]}].*|")


def has_front_matter(source: str) -> bool:
    """Whether a template begins with keys and values between two lines of ``---`` or ``+++``, as pages of a site do."""
    lines = [line.rstrip() for line in source.splitlines()]
    if len(lines) < _SHORTEST_FRONT_MATTER or lines[0] not in ("---", "+++") or lines[0] not in lines[1:]:
        return False
    inner = lines[1 : lines.index(lines[0], 1)]
    return any(map(_KEY.match, inner)) and all(_KEY.match(line) or _MORE.fullmatch(line) for line in inner)


def html_from_markdown(source: str, style: str | None = None) -> str:
    """The HTML template that a Markdown template makes: a whole document, its body in one element of class ``message``.

    Args:
        source: The template.
        style: A style sheet instead of `STYLE`.
    """
    token = f"m{secrets.token_hex(6)}x"
    covered: list[str] = []
    pieces: list[str] = []
    at = 0
    for start, end in marks(source):
        pieces += [source[at:start], f"{token}{len(covered)}e"]
        covered.append(source[start:end])
        at = end
    pieces.append(source[at:])
    statements = {f"{token}{number}e" for number, mark in enumerate(covered) if not mark.startswith("{{")}
    body = _converter().render(_apart("".join(pieces), statements))
    body = re.sub(rf"<p>((?:{token}[0-9]+e\s*)+)</p>", lambda found: _bare(found, statements), body)
    # What looks like a mark by now was written as character references, and is text.
    body = _LIKE_A_MARK.sub("&#123;", body)
    # A mark in angle brackets looks like a tag, and is text.
    body = re.sub(f"<({token}[0-9]+e)>", r"&lt;\1&gt;", body)
    body = re.sub(f"{token}([0-9]+)e", lambda found: covered[int(found[1])], body)
    return (
        '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{STYLE if style is None else style}</style>\n</head>\n"
        f'<body>\n<div class="message">\n{body}</div>\n</body>\n</html>\n'
    )


def _apart(source: str, statements: set[str]) -> str:
    """The source with blank lines around each line of nothing but statements, those in fenced code excepted."""
    lines: list[str] = []
    fence = ""
    for line in source.split("\n"):
        if found := _FENCE.match(line):
            if not fence:
                fence = found[1]
            elif found[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
        words = line.split()
        alone = not fence and words and all(word in statements for word in words)
        lines += ["", line.strip(), ""] if alone else [line]
    return "\n".join(lines)


def _bare(paragraph: re.Match[str], statements: set[str]) -> str:
    """A paragraph of nothing but statements is none."""
    return paragraph[1] if all(word in statements for word in paragraph[1].split()) else paragraph[0]


@cache
def _converter() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - only for campaigns that are written in it

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])
