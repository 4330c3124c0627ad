"""Messages composed and read again, for the tests of composition."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from typing import TYPE_CHECKING, Any

from batchsend.campaign import Message
from batchsend.message.composer import Composer
from batchsend.recipients import Record

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.message.submission import Submission

BASIC: dict[str, Any] = {
    "from_": "App <hello@mail.example.com>",
    "subject": "Hello {{ name }}",
    "text": "Hi {{ name }}\n",
}
ANN = {"email": "ann@example.com", "name": "Ann"}


def composer(directory: Path, *, recipient_field: str | None = None, **keys: Any) -> Composer:
    message = Message(**{**BASIC, **keys})
    return Composer(message, directory=directory, batch_id="b1", recipient_field=recipient_field)


def compose(directory: Path, fields: dict[str, Any] | None = None, **keys: Any) -> Submission:
    return composer(directory, **keys).compose(Record(7, 8, ANN if fields is None else fields))


def parse(submission: Submission) -> EmailMessage:
    content = submission.content
    assert content.endswith(b"\r\n")
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    parsed = message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def body(parsed: EmailMessage, kind: str) -> str:
    part = parsed.get_body((kind,))
    assert part is not None
    text = part.get_content()
    assert isinstance(text, str)
    return text.replace("\r\n", "\n")


def shape(part: MIMEPart) -> str:
    """The structure of a message: ``alternative(text/plain, text/html)``."""
    if not part.is_multipart():
        return part.get_content_type()
    return f"{part.get_content_subtype()}({', '.join(shape(inner) for inner in part.iter_parts())})"
