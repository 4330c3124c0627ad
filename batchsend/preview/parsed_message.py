"""A letter: a composed message taken apart again, as the reader of a mail program has it before them."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import MIMEPart

    from batchsend.message import Envelope, Submission

_OF_THE_FORMAT: Final = ("content-", "mime-")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not read as text.

    Attributes:
        name: Its file name, or ``""``.
        content_type: Its media type.
        content: Its octets.
        content_id: What the HTML refers to it by (RFC 2392), without angle brackets; None where it is only attached.
    """

    name: str
    content_type: str
    content: bytes
    content_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMessage:
    """One record's message.

    Attributes:
        record: The record's number.
        envelope: Where it goes, and where failures are reported.
        content: The message to the octet.
        headers: Names and decoded values of what a reader may want to see, in their order.
        raw_headers: The header block as it is sent, without the empty line behind it.
        text: The plain text, or None. Lines end in LF here.
        html: The HTML as it is sent but for the ends of its lines, or None.
        attachments: Everything else, in its order.
    """

    record: int
    envelope: Envelope
    content: bytes
    headers: tuple[tuple[str, str], ...]
    raw_headers: str
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]

    @property
    def inline(self) -> Mapping[str, Attachment]:
        """The parts that the HTML may refer to, by their Content-ID."""
        return {part.content_id: part for part in self.attachments if part.content_id is not None}

    @classmethod
    def of(cls, submission: Submission) -> ParsedMessage:
        """Take a submission's content apart."""
        content = submission.content
        message = message_from_bytes(content, policy=policy.default)
        texts: dict[str, str] = {}
        attachments: list[Attachment] = []
        for part in _leaves(message):
            kind = part.get_content_type()
            if kind in ("text/plain", "text/html") and kind not in texts and not _is_file(part):
                texts[kind] = _text(part)
            else:
                attachments.append(_attachment(part))
        return cls(
            record=submission.record,
            envelope=submission.envelope,
            content=content,
            headers=tuple(
                (name, str(value)) for name, value in message.items() if not name.lower().startswith(_OF_THE_FORMAT)
            ),
            raw_headers=content.partition(b"\r\n\r\n")[0].decode("utf-8", "backslashreplace"),
            text=texts.get("text/plain"),
            html=texts.get("text/html"),
            attachments=tuple(attachments),
        )


def _leaves(part: MIMEPart) -> Iterator[MIMEPart]:
    """The parts that hold something; an attached message is one, whatever it consists of."""
    if part.get_content_maintype() != "multipart":
        yield part
        return
    for within in part.iter_parts():
        yield from _leaves(within)


def _is_file(part: MIMEPart) -> bool:
    return part.is_attachment() or part.get_filename() is not None


def _text(part: MIMEPart) -> str:
    try:
        text = str(part.get_content())
    except LookupError:  # a charset that Python does not know
        text = _octets(part).decode("utf-8", "backslashreplace")
    return text.replace("\r\n", "\n")


def _attachment(part: MIMEPart) -> Attachment:
    content_id = part["Content-ID"]
    return Attachment(
        name=part.get_filename() or "",
        content_type=part.get_content_type(),
        content=_octets(part),
        content_id=None if content_id is None else str(content_id).strip().removeprefix("<").removesuffix(">"),
    )


def _octets(part: MIMEPart) -> bytes:
    decoded = part.get_payload(decode=True)
    if isinstance(decoded, bytes):
        return decoded
    return b"".join(within.as_bytes() for within in part.iter_parts())  # an attached message
