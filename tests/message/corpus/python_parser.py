"""Python's own ``email`` as a reader of the corpus."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses

from tests.message.corpus.letter import Attached, Mailbox, ParsedMessage, shown


def parse(content: bytes) -> EmailMessage:
    """Parse a message, in which nothing may be wrong."""
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert not part.defects
    return message


def read(content: bytes) -> ParsedMessage:
    """Read a message."""
    message = parse(content)
    bodies = [message.get_body((kind,)) for kind in ("plain", "html")]
    text, html = ("" if body is None else str(body.get_content()).replace("\r\n", "\n") for body in bodies)
    attachments = [
        Attached.of(part.get_filename() or "", _octets(part), str(part["Content-ID"] or "").strip("<>"))
        for part in message.walk()
        if not part.is_multipart() and part not in bodies
    ]
    return ParsedMessage(
        sender=_mailboxes(message, "From"),
        to=_mailboxes(message, "To"),
        reply_to=_mailboxes(message, "Reply-To"),
        subject=str(message["Subject"]),
        note=str(message["X-Note"]),
        list_unsubscribe=str(message["List-Unsubscribe"]),
        message_id=str(message["Message-ID"]),
        text=shown(text if message.is_multipart() else text.removesuffix("\n")),
        html=shown(html),
        attachments=tuple(attachments),
        names=tuple(name.lower() for name in message),
        date=int(message["Date"].datetime.timestamp()),
    )


def _mailboxes(message: EmailMessage, name: str) -> tuple[Mailbox, ...]:
    """The mailboxes of a field, found by the parser's older functions.

    ``policy.default`` of Python 3.11 leaves the space between the encoded-words of a display-name standing, against RFC
    2047 §6.2: of ``=?utf-8?q?a?= =?utf-8?q?b?= <x@example.com>`` it makes ``a b``.
    """
    (source,) = (value for field, value in message.raw_items() if field == name)
    found = getaddresses([source.replace("\r\n", "")])
    return tuple(Mailbox(str(make_header(decode_header(shown_name))), address) for shown_name, address in found)


def _octets(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content
