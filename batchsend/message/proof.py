"""A message as somebody tests it: to the tester instead of the recipient, and without what would do something."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.message.html_tokens import tokens

if TYPE_CHECKING:
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
        """HTML whose links to unsubscribe lead nowhere, by what they or words before them say, or by their targets."""
        pieces: list[str] = []
        at = 0
        before = ""  # what the same paragraph says before the link
        link: tuple[int, int] | None = None
        for token in tokens(source):
            if token.kind == "text":
                before = f"{before}{source[token.start : token.end]}"[-_NEAR:]
            elif token.kind in ("start", "end") and token.name in _BLOCKS:
                before = ""
            elif token.name in ("a", "area") and token.kind in ("start", "end"):
                if link is not None and UNSUBSCRIBES.search(before):
                    pieces += [source[at : link[0]], f'"{DISARMED}"']
                    at = link[1]
                if link is not None:
                    before = ""
                link = None
                for attribute in token.attributes:
                    if attribute.name == "href" and attribute.value:
                        quoted = source[attribute.value_start - 1] in "\"'"
                        link = attribute.value_start - quoted, attribute.end
                        before = f"{before} {attribute.value} "
        if link is not None and UNSUBSCRIBES.search(before):
            pieces += [source[at : link[0]], f'"{DISARMED}"']
            at = link[1]
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
