"""Composes Django's ordinary messages from their attributes: octet for octet what Django's ``message()`` comes to.

Django makes objects of the standard library first, which takes longer than all the rest of the way. What those come to
is the same for all messages of one shape but for the texts in it: the headers there are, their order, what MIME says of
the parts. So Django is asked once a shape, by a message of that shape, and later messages are put into that mould.
Whatever is not known for certain to come out the same goes Django's own way: attachments, addresses that are not plain,
texts that have to be encoded, classes that have a say in it themselves.
"""

from __future__ import annotations

import copy
import re
from email import message_from_bytes
from email.errors import MessageError
from email.headerregistry import HeaderRegistry
from email.message import Message
from email.policy import Policy
from email.utils import formatdate, make_msgid
from functools import lru_cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.utils import DNS_NAME

from batchsend.message.submission import Submission
from batchsend.message.submitting import envelopes_to, simple_address
from batchsend.message.writing import (
    boundary_line,
    headers,
    is_plain,
    multipart_body,
    new_boundary,
    rules_of,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_UTF_8: Final = "utf-8"
_SHORT: Final = 76
_LONG: Final = 998
_HEADER_ROOM: Final = 76
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_TEXT: Final = re.compile(r"text/[a-z0-9.+-]+")
# What the standard library reads the meaning of; of all others the text counts.
_WITH_MEANING: Final = frozenset(HeaderRegistry().registry) | {"from", "to", "cc", "bcc", "reply-to"}
_FUNCTIONS: Final = frozenset(
    name
    for kind in (EmailMessage, EmailMultiAlternatives)
    for name, value in vars(kind).items()
    if isinstance(value, FunctionType) and name != "__init__"
)
_SUBTYPES: Final = ("mixed_subtype", "alternative_subtype")
_OF_CLASSES: Final = _FUNCTIONS.union(_SUBTYPES)


class Composed(NamedTuple):
    """A message that was composed.

    Attributes:
        content: Its octets, as `batchsend.Submission` has them.
        message_id: Its Message-ID.
    """

    content: bytes
    message_id: str

    def to(self, recipients: Iterable[str], sender: str, record: int) -> list[Submission]:
        """A submission for each recipient; whom it names twice gets it once.

        Args:
            recipients: Addresses without names.
            sender: The reverse-path.
            record: Its number.

        Raises:
            RecordError: One of them is no address.
        """
        eight_bit = not self.content.isascii()
        return [
            Submission(
                record=record,
                envelope=envelope,
                content=self.content,
                message_id=self.message_id,
                eight_bit=eight_bit,
                seven_bit=self._seven_bit if eight_bit else None,
            )
            for envelope in envelopes_to(recipients, sender)
        ]

    def _seven_bit(self) -> bytes:
        return written(message_from_bytes(self.content), cte_type="7bit")


class _Shape(NamedTuple):
    """What decides about everything but the texts.

    Attributes:
        subtype: Of the body.
        body: Its kind, by `_kind`.
        alternatives: Media type and kind of each.
        names: The headers that the message brings, in its order.
        cc: Whether there is a Cc.
        reply_to: Whether there is a Reply-To.
    """

    subtype: str
    body: _Kind
    alternatives: tuple[tuple[str, _Kind], ...]
    names: tuple[str, ...]
    cc: bool
    reply_to: bool


class _Kind(NamedTuple):
    """What decides how a text is written.

    Attributes:
        is_ascii: Whether all of it is.
        is_short: Whether no line is longer than what any policy allows.
        ends: Whether its last line has an end.
    """

    is_ascii: bool
    is_short: bool
    ends: bool


class _Mould(NamedTuple):
    """What Django makes of a shape.

    Attributes:
        top: The headers in order: octets that stay, or the name of one that each message fills in.
        media_type: The Content-Type of what holds the parts; None where the body stands alone.
        parts: The headers of each part, and whether its text gets a line end; one pair for a body alone.
        holder: A message without headers, which says what becomes of a header that is not plain.
        policy: What headers are written by.
    """

    top: tuple[bytes | str, ...]
    media_type: str | None
    parts: tuple[tuple[bytes, bool], ...]
    holder: Message[Any, Any]
    policy: Policy[Any]


def compose(message: Any) -> Composed | None:
    """What Django's ``message()`` would come to; None where it has to be asked.

    Args:
        message: A `django.core.mail.EmailMessage`.
    """
    kind: Any = type(message)
    if not _is_ordinary(kind) or not _OF_CLASSES.isdisjoint(vars(message)) or message.attachments:
        return None
    alternatives = getattr(message, "alternatives", ())
    encoding = message.encoding or settings.DEFAULT_CHARSET  # a Charset is equal to its name, and may encode the body
    if not isinstance(encoding, str) or encoding != _UTF_8 or not _are_alternatives(alternatives):
        return None
    values = _values(message)
    texts = [message.body, *(one[0] for one in alternatives)]
    kinds = [_kind(text) for text in texts]
    types = [one[1] for one in alternatives]
    if values is None or not all(isinstance(one, str) and _TEXT.fullmatch(one) for one in types):
        return None
    known = [kind for kind in kinds if kind is not None]
    if len(known) != len(kinds):
        return None
    names = tuple(message.extra_headers)
    shape = _Shape(
        message.content_subtype,
        known[0],
        tuple(zip(types, known[1:], strict=True)),
        names,
        "Cc" in values,
        "Reply-To" in values,
    )
    mould = _mould(shape)
    try:
        return None if mould is None else _filled(mould, values, texts)
    except (ValueError, MessageError):
        return None  # it says so itself


@lru_cache(maxsize=64)
def _is_ordinary(kind: Any) -> bool:
    """Whether a class lets Django's own functions make the message, of Django's own parts."""
    base = EmailMultiAlternatives if issubclass(kind, EmailMultiAlternatives) else EmailMessage
    if not issubclass(kind, base) or kind.__getattribute__ is not object.__getattribute__:
        return False
    same = all(getattr(kind, name) is getattr(base, name) for name in _FUNCTIONS if hasattr(base, name))
    return same and all(getattr(kind, name, None) == getattr(base, name, None) for name in _SUBTYPES)


def _values(message: Any) -> dict[str, str] | None:
    """What the headers say; None where an address is not plain, or a header has a meaning."""
    values = {"Subject": message.subject, "From": message.from_email}
    for name, listed in (("To", message.to), ("Cc", message.cc), ("Reply-To", message.reply_to)):
        if listed:
            if not all(map(_is_plain_address, listed)):
                return None
            values[name] = ", ".join(listed)
    values |= message.extra_headers
    if "To" not in values or not _is_plain_address(message.from_email) or not all(map(_is_free, message.extra_headers)):
        return None
    if not all(isinstance(value, str) and value for value in values.values()):
        return None
    if any(len(values.get(name, "")) + len(name) > _HEADER_ROOM for name in ("From", "To", "Cc", "Reply-To")):
        return None
    return values if len({name.lower() for name in values}) == len(values) else None


def _are_alternatives(given: Any) -> bool:
    return isinstance(given, list | tuple) and all(isinstance(one, tuple) and len(one) == 2 for one in given)


def _is_plain_address(text: Any) -> bool:
    return isinstance(text, str) and simple_address(text) is not None


def _is_free(name: Any) -> bool:
    """Whether a header is none that Django or the standard library reads the meaning of."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return False
    return name.lower() not in _WITH_MEANING and not name.lower().startswith("content-")


def _kind(text: Any) -> _Kind | None:
    """The kind of a text; None where it has to be encoded, or is none."""
    if not isinstance(text, str) or not text or "\r" in text:
        return None
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        return None
    longest = max(map(len, octets.split(b"\n")))
    return None if longest > _LONG else _Kind(text.isascii(), longest <= _SHORT, text.endswith("\n"))


@lru_cache(maxsize=256)
def _mould(shape: _Shape) -> _Mould | None:
    """What Django makes of a shape; None where it encodes a text, or makes something else of it."""
    texts = [_sample(shape.body), *(_sample(kind) for _, kind in shape.alternatives)]
    given = {"headers": dict.fromkeys(shape.names, "value")}
    addressed = {"cc": ["c@example.com"] if shape.cc else [], "reply_to": ["r@example.com"] if shape.reply_to else []}
    sample = EmailMultiAlternatives("subject", texts[0], "f@example.com", ["t@example.com"], **given, **addressed)
    sample.content_subtype = shape.subtype
    for text, (media_type, _) in zip(texts[1:], shape.alternatives, strict=True):
        sample.attach_alternative(text, media_type)
    made: Any = sample.message()
    policy = rules_of(made.policy)
    parts: list[Any] = made.get_payload() if made.is_multipart() else [made]
    if len(parts) != len(texts):
        return None
    ends = [_line_end_added(part, text) for part, text in zip(parts, texts, strict=True)]
    kind: str | None = str(made["Content-Type"]) if parts != [made] else None
    if None in ends or ";" in (kind or ""):
        return None
    filled = {"subject", "from", "to", "cc", "reply-to", "date", "message-id", *(name.lower() for name in shape.names)}
    if kind is not None:
        filled.add("content-type")
    top = [
        name if name.lower() in filled else headers([(name, value)], policy)[:-2] for name, value in made.raw_items()
    ]
    inside = [b"" if part is made else headers(list(part.raw_items()), policy) for part in parts]
    holder = copy.copy(made)
    for name, _ in made.raw_items():
        del holder[name]
    return _Mould(tuple(top), kind, tuple(zip(inside, map(bool, ends), strict=True)), holder, policy)


def _sample(kind: _Kind) -> str:
    """A text of a kind."""
    return ("" if kind.is_ascii else "é") + "x" * (10 if kind.is_short else 100) + ("\n" if kind.ends else "")


def _line_end_added(part: Message[Any, Any], text: str) -> bool | None:
    """Whether a text gets a line end that it lacks; None where it is not written as it is."""
    _, _, body = written(part).partition(b"\r\n\r\n")
    octets = text.encode().replace(b"\n", b"\r\n")
    if body == octets:
        return False
    return True if body == octets + b"\r\n" else None


def _filled(mould: _Mould, values: dict[str, str], texts: list[str]) -> Composed:
    """A mould with a message's texts in it."""
    message_id = make_msgid(domain=DNS_NAME)
    values = {"Date": formatdate(localtime=settings.EMAIL_USE_LOCALTIME), "Message-ID": message_id, **values}
    bodies = [
        top + text.encode().replace(b"\n", b"\r\n") + (b"\r\n" if adds else b"")
        for (top, adds), text in zip(mould.parts, texts, strict=True)
    ]
    boundary = "" if mould.media_type is None else new_boundary(bodies)
    lines: list[bytes] = []
    for one in mould.top:
        if isinstance(one, bytes):
            lines.append(one)
        elif one in values:
            lines.append(_line(mould, one, values[one]))
        else:
            lines.append(boundary_line(one, mould.media_type or "", boundary, mould.policy))
    lines.append(b"\r\n")
    lines.append(bodies[0] if mould.media_type is None else multipart_body(bodies, boundary))
    return Composed(b"".join(lines), message_id)


def _line(mould: _Mould, name: str, value: str) -> bytes:
    if is_plain(value) and len(name) + len(value) <= _HEADER_ROOM - 2:
        return f"{name}: {value}\r\n".encode("ascii")
    holder = copy.copy(mould.holder)
    del holder[name]  # gives the copy a list of headers of its own
    holder[name] = value
    return headers(list(holder.raw_items()), mould.policy)[:-2]
