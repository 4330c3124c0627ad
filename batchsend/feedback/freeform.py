"""Bounces in free form: who they are about, and which of their words are about whom.

flufl.bounce knows the forms of many mail systems; it is shown only the report's own text, cut to a size, since its
expressions are not made for hostile ones. It says who; the words are found here, and so is who it does not know.
"""

from __future__ import annotations

import logging
import re
from email.message import Message
from typing import TYPE_CHECKING, Final

from batchsend.errors import UsageError
from batchsend.feedback.wordings import BEGINS_RETURNED
from batchsend.version import with_extra

if TYPE_CHECKING:
    from batchsend.feedback.entities import Incoming

MOST_READ: Final = 32 * 1024
_MOST_FOR_FORMS: Final = 16 * 1024
_MOST_LINE: Final = 998
_LINE_ENDS: Final = re.compile(r"[\r\n]")
_RUNS: Final = re.compile(r"([\n \t])\1{2,}")
_MOST_RECIPIENTS: Final = 100

# It logs what its detectors trip over, which is handled here.
logging.getLogger("flufl.bounce").addHandler(logging.NullHandler())

ADDRESS: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
"""A mail address in a text."""

_HEAD: Final = re.compile(
    r"^[ \t>*\"'(-]{0,20}(?:(?:To|Recipient|Recipient address|Address|RCPT TO|Unknown user|<<<)[ \t]*:?[ \t]*)?"
    r"(?P<code>[45]\d\d[ -](?:[45]\.\d{1,3}\.\d{1,3} )?)?[<\"'(]{0,2}" + rf"(?P<address>{ADDRESS.pattern})",
    re.IGNORECASE,
)
_INTRODUCES: Final = re.compile(
    r"(?:the )?following (?:recipient|address|destination)[^\n]*\n|to one or more (?:of its)?\s*recipients[^\n]*\n"
    r"|Failure Reasons[^\n]*\n|fatal errors -----[^\n]*\n|Transcript of session follows[^\n]*\n"
    r"|以下のメールアドレス[^\n]*\n|次のあて先[^\n]*\n|одному или нескольким получателям[^\n]*\n",
    re.IGNORECASE,
)
_RCPT: Final = re.compile(r"RCPT TO: ?<(" + ADDRESS.pattern + ")>", re.IGNORECASE)
_RETURNED: Final = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})


def own_text(message: Incoming) -> str:
    """What a report says itself: its text before the message that it returns."""
    parts: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    for entity in message.entities:
        if entity.kind in _RETURNED:
            break
        if entity.kind in parts:
            parts[entity.kind].append(entity.text())
    text = "\n".join(parts["text/plain"]) or "\n".join(parts["text/html"])
    end = BEGINS_RETURNED.search(text)
    text = text if end is None else text[: end.start()]
    return "\n".join(line[:_MOST_LINE] for line in text[:MOST_READ].split("\n"))


def returned(message: Incoming) -> bytes:
    """The header of the message that a report returns, or nothing."""
    for entity in message.entities:
        if entity.kind in _RETURNED:
            return entity.content().lstrip(b"\r\n")
    for entity in message.entities:
        if entity.kind.startswith("text/"):
            text = entity.text()
            if (begin := BEGINS_RETURNED.search(text)) is not None:
                line = text.startswith(("Rec", "Ret", "rec", "ret"), begin.start())
                return (text[begin.start() :] if line else text[begin.end() :].partition("\n")[2].lstrip("\n")).encode()
    return b""


def recipients(message: Incoming, text: str, others: frozenset[str]) -> dict[str, str]:
    """Whom a bounce in free form is about, in their order, and the words that are about each.

    Args:
        message: The bounce.
        text: Its own text.
        others: Addresses that are not meant where they stand in it: whom the report was sent to, and who sent it.

    Raises:
        UsageError: flufl.bounce is not installed.
    """
    known = _known_forms(message, text)
    failed = ADDRESS.findall(message.field("x-failed-recipients"))[:_MOST_RECIPIENTS]
    begin = _INTRODUCES.search(text)
    words = words_about(text[begin.end() :] if begin is not None else text) or words_about(text)
    named = [one for one in words if one.lower() not in others]
    if not named:
        named = [one for one in _RCPT.findall(text) if one.lower() not in others]
    if not named:
        named = [one for one in ADDRESS.findall(text) if one.lower() in known]
    found = list(dict.fromkeys(failed or named)) or sorted(known)
    if not found:
        found = [one for one in ADDRESS.findall(text) if one.lower() not in others][:1]
    alone = len(set(map(str.lower, found))) == 1
    lower = {one.lower(): said for one, said in words.items()}
    return {one: _about(text, lower.get(one.lower(), ""), alone=alone) for one in found[:_MOST_RECIPIENTS]}


def _about(text: str, words: str, *, alone: bool) -> str:
    """The words about one of the recipients: where there is no other, all of the report's."""
    if alone and not re.search(r"\b[45]\d\d\b|\b[45]\.\d{1,3}\.\d{1,3}\b", words):
        return f"{words.strip()}\n{text.strip()}" if words.strip() else text.strip()
    return words.strip()


def words_about(text: str) -> dict[str, str]:
    """The addresses that lines of a text begin with, and what stands from there to the next of them."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    spelled: dict[str, str] = {}
    for line in text.split("\n"):
        head = _HEAD.match(line)
        if head is not None:
            address = spelled.setdefault(head["address"].lower(), head["address"])
            if len(found) >= _MOST_RECIPIENTS and address not in found:
                break
            current = found.setdefault(address, [])
            current.append(line[head.start("code") :] if head["code"] else line[head.end() :].lstrip(">\"')"))
        elif current is not None:
            current.append(line)
    return {address: "\n".join(lines) for address, lines in found.items()}


def _known_forms(message: Incoming, text: str) -> set[str]:
    """Whom flufl.bounce finds in the report's own text."""
    try:
        from flufl.bounce import all_failures  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            "bounces in free form are read by flufl.bounce, which is not installed",
            remedy=with_extra("feedback"),
        ) from None
    shown = Message()
    # Its detectors expect a sender. They look for him, for the subject and for the text; blank lines mean nothing to
    # most of them, and runs of them take some a second.
    sender = ADDRESS.search(message.field("from"))
    shown["From"] = "nobody@invalid.example" if sender is None else sender[0]
    shown["Subject"] = _LINE_ENDS.sub(" ", message.field("subject")[:_MOST_LINE])
    shown.set_payload(_RUNS.sub(r"\1\1", text[:_MOST_FOR_FORMS]).encode("ascii", "replace").decode())
    try:
        temporary, permanent = all_failures(shown)
    except (LookupError, ValueError, TypeError, AttributeError):
        return set()  # a form that it began to recognise and that went on otherwise: not known to it
    return {_text(one).lower() for one in {*temporary, *permanent}}


def _text(address: bytes | str) -> str:
    return address.decode("utf-8", "replace") if isinstance(address, bytes) else address
