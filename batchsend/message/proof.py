"""A message as somebody tests it: to the tester instead of the recipient, and without what would do something."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.message.html_tokens import Attribute, Token, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.message.headers import Head

PREFIX: Final = "[Test] "

DISARMED: Final = "#unsubscribe"
"""Where a link by which one would unsubscribe leads in a test: nowhere."""

# What a link's target or text says that unsubscribes, in the languages that most newsletters are written in.
UNSUBSCRIBES: Final = re.compile(
    r"unsubscri|opt[ -]?out|abmeld|abbestell|austragen|d[ée]sabonn|d[ée]sinscri|darse de baja|cancelar (?:la )?suscri"
    r"|disiscri|annulla l.iscri|afmeld|uitschrijv|avregistr|avmeld|wypisz",
    re.IGNORECASE,
)
_NEAR: Final = 400
"""Characters: a sentence or two."""

_BLOCKS: Final = frozenset({*("p", "div", "td", "th", "tr", "table", "li", "ul", "ol", "h1", "h2", "h3", "body", "hr")})
_LINKS: Final = frozenset({"a", "area"})
_SENTENCE_END: Final = re.compile(r"[.!?](?:\s|\Z)|[|·•]")
_URL: Final = re.compile(r"https?://[^\s<>\"']++|mailto:[^\s<>\"']++", re.IGNORECASE)
# A message that is opened by the tester's reader unsubscribes nobody.
_ACTS: Final = frozenset({"list-unsubscribe", "list-unsubscribe-post", "disposition-notification-to"})


class Proof(NamedTuple):
    """What makes a test of a message.

    Attributes:
        to: The tester's address.
    """

    to: str

    def head(self, head: Head) -> Head:
        """The header of the test: to the tester, said to be one, without fields that a program would act on."""
        others = [(name, value) for name, value in head.others if name.lower() not in _ACTS]
        return head._replace(to=self.to, subject=f"{PREFIX}{head.subject or ''}", others=others)

    @staticmethod
    def html(source: str) -> str:
        """HTML whose links to unsubscribe lead nowhere."""
        pieces: list[str] = []
        at = 0
        for start, end in unsubscribing_links(source):
            pieces += [source[at:start], f'"{DISARMED}"']
            at = end
        pieces.append(source[at:])
        return "".join(pieces)

    @staticmethod
    def text(source: str) -> str:
        """A text whose URLs to unsubscribe are taken out: those that say so, and those on a line that does."""
        lines = []
        before = ""
        for line in source.split("\n"):
            # A URL often stands on the line after what it is for.
            if UNSUBSCRIBES.search(line) or (UNSUBSCRIBES.search(before) and _URL.match(line.strip())):
                line = _URL.sub(DISARMED, line)  # noqa: PLW2901 - the line as it will be
            lines.append(line)
            before = line
        return "\n".join(lines)


def unsubscribing_links(source: str) -> Iterator[tuple[int, int]]:
    """Where the addresses of links stand by which one would unsubscribe, quotation marks included.

    A link is one by its address, by what it says, or by what the same paragraph says before it or goes on with behind.

    Args:
        source: HTML.
    """
    link: tuple[int, int] | None = None
    said = ""
    behind: str | None = None  # what follows the link, once it has ended
    for token in tokens(source):
        if token.kind == "text" and behind is None:
            said = f"{said}{source[token.start : token.end]}"[-_NEAR:]
        elif token.kind == "text":
            behind = f"{behind}{source[token.start : token.end]}"[:_NEAR]
        elif token.kind == "end" and token.name == "a":
            behind = "" if link is not None else behind
        elif token.kind in ("start", "end") and (token.name in _LINKS or token.name in _BLOCKS):
            is_block = token.name in _BLOCKS
            if is_block and link is not None and behind is None:
                continue  # the block is within the link
            if link is not None and _leads_out(said, behind):
                yield link
            said = "" if is_block else behind or ("" if link is not None else said)
            link = behind = None
            if token.name in _LINKS and (address := _address(token)) is not None:
                link = address.value_start - (source[address.value_start - 1] in "\"'"), address.end
                said = f"{said} {address.value} "
    if link is not None and _leads_out(said, behind):
        yield link


def _address(link: Token) -> Attribute | None:
    """Where a link leads; None if it leads nowhere."""
    return next((one for one in link.attributes if one.name == "href" and one.value), None)


def _leads_out(said: str, behind: str | None) -> bool:
    return UNSUBSCRIBES.search(f"{said} {_SENTENCE_END.split(behind or '', maxsplit=1)[0]}") is not None
