"""What a message says to whoever reads it, however it was encoded: what the corpus expects and what parsers find."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any, NamedTuple, Self

LONGEST_SHOWN = 1000
"""Characters of a text that is compared, and shown where it differs, as it is."""


INLINE = "has a Content-ID"


class Mailbox(NamedTuple):
    """One address of a header.

    Attributes:
        name: The display-name, or ``""``.
        address: The addr-spec.
    """

    name: str
    address: str


class Attached(NamedTuple):
    """A part that is no body.

    Attributes:
        filename: Its name.
        octets: How many it has.
        digest: Their SHA-256.
        content_id: Its Content-ID without angle brackets, or ``""``; or `INLINE`, which is as much as can be expected.
    """

    filename: str
    octets: int
    digest: str
    content_id: str = ""

    @classmethod
    def of(cls, filename: str, content: bytes, content_id: str = "") -> Self:
        """Describe a file."""
        return cls(filename, len(content), sha256(content).hexdigest(), content_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMessage:
    """A message, decoded.

    Attributes:
        sender: The mailboxes of From.
        to: Those of To.
        reply_to: Those of Reply-To.
        subject: The subject.
        note: The header X-Note: words in any script.
        list_unsubscribe: The value of List-Unsubscribe.
        message_id: The Message-ID with its angle brackets.
        text: The plain text as `shown` shows it; ``""`` where there is none.
        html: The HTML likewise.
        attachments: The other parts, in order.
        names: The names of the header's fields, in order.
        date: Seconds since the epoch.
    """

    sender: tuple[Mailbox, ...]
    to: tuple[Mailbox, ...]
    reply_to: tuple[Mailbox, ...]
    subject: str
    note: str
    list_unsubscribe: str
    message_id: str
    text: str
    html: str
    attachments: tuple[Attached, ...]
    names: tuple[str, ...]
    date: int

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Read what a parser's program printed: one object, its members named as here."""
        of_mailboxes = ("sender", "to", "reply_to")
        values = found | {name: tuple(Mailbox(*one) for one in found[name]) for name in of_mailboxes}
        values["attachments"] = tuple(Attached(*one) for one in found["attachments"])
        values["names"] = tuple(found["names"])
        return cls(**values)

    def with_references_named(self) -> Self:
        """The same with each reference of the HTML to a part by the part's file name, as Content-IDs are made up."""
        html = self.html
        for one in self.attachments:
            if one.content_id:
                html = html.replace(f"cid:{one.content_id}", f"cid:{one.filename}")
        attachments = tuple(one._replace(content_id=INLINE if one.content_id else "") for one in self.attachments)
        return replace(self, html=html, attachments=attachments)

    def differences(self, other: Self) -> dict[str, tuple[object, object]]:
        """What differs, by name: here and there."""
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def shown(text: str) -> str:
    """A body for comparison: its lines end in LF; a long one is told by its length and SHA-256."""
    lines = text.replace("\r\n", "\n")
    if len(lines) <= LONGEST_SHOWN:
        return lines
    return f"{len(lines)} characters, {sha256(lines.encode()).hexdigest()}"
