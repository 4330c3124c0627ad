"""A composed message taken apart again, as the reader of a mail program has it before them."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Final

from batchsend.message.encoded_words import decode, read_words, unfolded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import Message

    from batchsend.message.submission import Envelope, Submission

_OF_THE_FORMAT: Final = ("content-", "mime-")


@dataclass(frozen=True, slots=True)
class ParsedAttachment:
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
    attachments: tuple[ParsedAttachment, ...]

    @property
    def inline(self) -> Mapping[str, ParsedAttachment]:
        """The parts that the HTML may refer to, by their Content-ID."""
        return {part.content_id: part for part in self.attachments if part.content_id is not None}

    @classmethod
    def of(cls, submission: Submission) -> ParsedMessage:
        """Take a submission's content apart."""
        content = submission.content
        message = message_from_bytes(content, policy=policy.compat32)
        texts: dict[str, str] = {}
        attachments: list[ParsedAttachment] = []
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
                (name, decoded(str(value)))
                for name, value in message.raw_items()
                if not name.lower().startswith(_OF_THE_FORMAT)
            ),
            raw_headers=content.partition(b"\r\n\r\n")[0].decode("utf-8", "backslashreplace"),
            text=texts.get("text/plain"),
            html=texts.get("text/html"),
            attachments=tuple(attachments),
        )

    def header(self, name: str) -> str | None:
        """The decoded value of the first header of this name, or None."""
        return next((value for own, value in self.headers if own.lower() == name.lower()), None)


def decoded(raw: str) -> str:
    """A header's value in words: unfolded, its encoded-words read (RFC 2047); what cannot be read stays as it is.

    The parser of the standard library's newer policies takes quadratic time and more for it.
    """
    try:
        return read_words(unfolded(raw))
    except (LookupError, ValueError):
        return raw.encode("ascii", "surrogateescape").decode("utf-8", "replace")


def _leaves(part: Message) -> Iterator[Message]:
    """The parts that hold something; an attached message is one, whatever it consists of."""
    if part.get_content_maintype() != "multipart" or not part.is_multipart():
        yield part
        return
    for within in _parts(part):
        yield from _leaves(within)


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _text(part: Message) -> str:
    charset = str(part.get_content_charset("utf-8"))
    try:
        text = decode(_octets(part), charset)
    except (LookupError, ValueError):  # not in a charset that Python knows
        text = _octets(part).decode("utf-8", "backslashreplace")
    return text.replace("\r\n", "\n")


def _attachment(part: Message) -> ParsedAttachment:
    content_id = part["Content-ID"]
    return ParsedAttachment(
        name=part.get_filename() or "",
        content_type=part.get_content_type(),
        content=_octets(part),
        content_id=None if content_id is None else str(content_id).strip().removeprefix("<").removesuffix(">"),
    )


def _octets(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    return b"".join(within.as_bytes() for within in _parts(part))  # an attached message


def _parts(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [within for within in payload if not isinstance(within, str)] if isinstance(payload, list) else []
