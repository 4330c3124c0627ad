"""Submissions of a message of the standard library: its envelope from its headers, and its octets.

What a program gives is looked into by `batchsend.message.outgoing`: this is compiled, and a wrong type would be told in
the compiler's words.
"""

from __future__ import annotations

import copy
import os
import re
import time
from email import message_from_bytes
from email.errors import InvalidHeaderDefect
from email.header import Header
from email.headerregistry import Address, BaseHeader, Group
from email.policy import EmailPolicy, default
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from batchsend.errors import RecordError
from batchsend.message.encoded_words import on_one_line
from batchsend.message.submission import Envelope, Submission
from batchsend.message.writing import Field, defects_of, lower_case, not_in_a_line, own_fields, written, written_lines
from batchsend.recipients.addresses import distinct, mailbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from email.message import Message

    from batchsend.message.dkim import Signer

_ORIGINATORS: Final = ("From", "Sender", "Reply-To")
_RECIPIENTS: Final = ("To", "Cc", "Bcc")
_RESENT: Final = "Resent-"
# An address by itself, or in angle brackets after plain words: what parsing would find, in a hundredth of the time.
_DOT_ATOM: Final = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
_SIMPLE: Final = re.compile(rf"({_DOT_ATOM})|[A-Za-z0-9][A-Za-z0-9 ]{{0,60}} <({_DOT_ATOM})>")
# As long as a plain name and the longest path (RFC 5321 §4.5.3.1.3) are together, in round numbers.
_LONGEST_SIMPLE: Final = 320
_SHOWN: Final = 200
_BLIND: Final = frozenset({"bcc", f"{_RESENT}Bcc".lower()})
_WITH_DOMAINS: Final = frozenset(
    f"{prefix}{name}".lower() for name in (*_ORIGINATORS, "To", "Cc") for prefix in ("", _RESENT)
)


def submissions(
    message: Message[Any, Any],
    record: int,
    sender: str | None,
    recipients: Sequence[str] | None,
    signer: Signer | None,
) -> list[Submission]:
    """One submission for each recipient; the arguments are those of `batchsend.message.outgoing.outgoing`.

    Raises:
        RecordError: As there.
    """
    fields = _Fields(message)
    prefix = _prefix(fields) if sender is None or recipients is None else ""
    reverse = _sender(fields, prefix) if sender is None else sender
    forward = _header_recipients(fields, prefix) if recipients is None else recipients
    envelopes = envelopes_to(forward, reverse)
    utf8 = not all(one.forward_path.isascii() and one.reverse_path.isascii() for one in envelopes)
    if utf8 and not isinstance(message.policy, EmailPolicy):
        paths = (path for one in envelopes for path in (one.reverse_path, one.forward_path))
        raise RecordError(
            f"{next(path for path in paths if not path.isascii())!r} is not ASCII before the @ and needs SMTPUTF8 "
            "(RFC 6531), for which only an email.message.EmailMessage can be written"
        )
    if not envelopes:
        raise RecordError(
            "the message has no recipient", remedy=f"Fill in {prefix}To, {prefix}Cc or {prefix}Bcc, or give recipients."
        )
    message_id = fields.prepare(envelopes[0].reverse_path, utf8=utf8)
    content, is_lines = _octets(message, fields.all, utf8=utf8)
    is_ascii = content.isascii()
    signed = signer is not None and _is_to_sign(fields, signer)
    if signer is not None and signed:
        # A relay may rewrite octets above 127, which breaks a signature (RFC 6376 §5.3): it is sent without them.
        if not utf8 and not is_ascii and (seven_bit := _seven_bit(message, fields)) is not None:
            content, is_lines = seven_bit(), False
            is_ascii = content.isascii()
        content = signer.sign(content) + content
    in_ascii = None if utf8 or signed or is_ascii else _seven_bit(message, fields)
    return [
        Submission(
            record=record,
            envelope=envelope,
            content=content,
            message_id=message_id,
            canonical=is_lines,
            eight_bit=not is_ascii,
            seven_bit=in_ascii,
        )
        for envelope in envelopes
    ]


def envelopes_to(recipients: Iterable[str], reverse: str) -> list[Envelope]:
    """The envelope of each recipient of a message; whom it names twice gets it once.

    Raises:
        RecordError: One of them is no address, or ``reverse`` is none.
    """
    envelopes = [Envelope(reverse, path) for path in recipients]
    if len(envelopes) > 1:
        wanted = distinct([envelope.forward_path for envelope in envelopes])
        if len(wanted) < len(envelopes):
            return [Envelope(reverse, path) for path in wanted]
    return envelopes


class _Fields:
    """The headers of a message, each looked up once.

    Args:
        message: The message, which stays as it is.

    Attributes:
        all: The headers, as the message stores them; after `prepare` as they are sent.
        policy: The message's.
    """

    def __init__(self, message: Message[Any, Any]) -> None:
        self.policy: Any = message.policy
        self._keeps_parsed = type(message.policy) is EmailPolicy
        self.all: list[Field] = own_fields(message)
        self._named: dict[str, list[Field]] = {}
        for field in self.all:
            name = lower_case(field[0])
            same = self._named.get(name)
            if same is None:
                self._named[name] = [field]
            else:
                same.append(field)

    def __contains__(self, name: str) -> bool:
        return lower_case(name) in self._named

    def values(self, name: str) -> list[Any]:
        """The values of all fields of a name, as ``get_all`` of the message has them."""
        found = self._named.get(lower_case(name))
        return [self._value(field) for field in found] if found else []

    def _value(self, field: Field) -> Any:
        """What ``header_fetch_parse`` says; the standard library's own policy returns a parsed header as it is."""
        name, value = field
        if self._keeps_parsed and isinstance(value, BaseHeader):
            return value
        try:
            return self.policy.header_fetch_parse(name, value)
        except Exception as error:  # foreign code that reads whatever is in the message, see `_unreadable`
            raise _unreadable(f"header {name}", value, error) from error

    def addresses(self, name: str) -> list[str]:
        """The addresses in all fields of a name."""
        found: list[str] = []
        for value in self.values(name):
            found += addresses(value, f"header {name}")
        return found

    def prepare(self, reverse: str, *, utf8: bool) -> str | None:
        """Make them what goes out, and return the Message-ID.

        Raises:
            RecordError: An address of theirs is in another script, and those of the envelope are not: the headers
                could only be written for a server that is asked for SMTPUTF8 (RFC 6531).
        """
        if not _BLIND.isdisjoint(self._named):
            self.all = [field for field in self.all if lower_case(field[0]) not in _BLIND]
        if isinstance(self.policy, EmailPolicy):
            for name, found in self._named.items():
                if name in _WITH_DOMAINS and not self._is_ascii(found):
                    self._put_domains_into_ascii(name, utf8=utf8)
        own = self._named.get("message-id")
        message_id = None if own is None else _whole(str(own[-1][1])).strip()
        if "dkim-signature" not in self._named:
            # As they are written: parsing them would take as long as all the rest.
            if "date" not in self._named:
                self.all.append(("Date", _date(int(time.time()))))
            if message_id is None:
                domain = reverse.rpartition("@")[2]
                message_id = _new_message_id(domain if domain and domain.isascii() else "localhost")
                self.all.append(("Message-ID", message_id))
        return message_id

    def _is_ascii(self, found: list[Field]) -> bool:
        for field in found:
            value = self._value(field)
            # By the method of `str` itself: each parsed header has a class of its own, whose look-ups are slow.
            if not (str.isascii(value) if isinstance(value, str) else str(value).isascii()):
                return False
        return True

    def _put_domains_into_ascii(self, name: str, *, utf8: bool) -> None:
        """Write the domains of address fields as A-labels (RFC 5890), where they have others: headers are ASCII."""
        for place, (given, raw) in enumerate(self.all):
            if given.lower() != name:
                continue
            value = self._value((given, raw))
            if all(address.addr_spec.isascii() for address in value.addresses):
                continue
            if not utf8 and not all(address.username.isascii() for address in value.addresses):
                raise RecordError(f"header {name} holds an address in another script, but the envelope does not")
            groups = [
                Group(group.display_name, tuple(_ascii(address, name) for address in group.addresses))
                for group in value.groups
            ]
            try:
                self.all[place] = self.policy.header_store_parse(given, groups)
            except Exception as error:  # as in `_value`
                raise _unreadable(f"header {given}", raw, error) from error


def given_message_id(message: Message[Any, Any]) -> str | None:
    """The Message-ID that a message came with, as it was written: what is no Message-ID could not be read."""
    for name, value in message.raw_items():
        if name.lower() == "message-id":
            return _whole(str(value).replace("\r", "").replace("\n", "")).strip()
    return None


def _whole(text: str) -> str:
    """A text that can be written as UTF-8: octets of a parsed message that are none are halves of characters here."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _new_message_id(domain: str) -> str:
    """As `email.utils.make_msgid` makes one, in half the time, and not from the generator that a program may seed."""
    return f"<{int(time.time() * 100)}.{os.getpid()}.{os.urandom(8).hex()}@{domain}>"


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    """The value of Date (RFC 5322 §3.3), which says no more than the second."""
    return formatdate(second)


def _prefix(fields: _Fields) -> str:
    """What the headers that count begin with (RFC 5322 §3.6.6)."""
    resent = fields.values(f"{_RESENT}Date")
    if len(resent) > 1:
        raise RecordError(
            "the message was resent more than once: its headers do not say which recipients are meant",
            remedy="Give both to send_message: sender=…, recipients=….",
        )
    return _RESENT if resent else ""


def _sender(fields: _Fields, prefix: str) -> str:
    for name in (f"{prefix}Sender", f"{prefix}From"):
        for address in fields.addresses(name):
            return address
    raise RecordError("the message has no sender", remedy=f"Fill in {prefix}From, or give a sender.")


def _header_recipients(fields: _Fields, prefix: str) -> list[str]:
    found: list[str] = []
    for name in _RECIPIENTS:
        found += fields.addresses(prefix + name)
    return found


def simple_address(text: str) -> str | None:
    """The one address in a text that is so plain that it need not be parsed; None where it is not."""
    # A parsed header is made a mere text, or the cache would keep all that belongs to it.
    return _simple_address(str(text)) if len(text) <= _LONGEST_SIMPLE else None


@lru_cache(maxsize=64)
def _simple_address(text: str) -> str | None:
    """As `simple_address`, remembered: most messages of a program are from the same address."""
    found = _SIMPLE.fullmatch(text)
    return None if found is None else found[1] or found[2]


def addresses(value: object, where: str) -> list[str]:
    """The addresses in a header's value (RFC 5322 §3.4), without their names.

    Args:
        value: A text, or a header of either kind of message.
        where: What it is, as the error names it.

    Raises:
        RecordError: It is not a list of addresses: what it was meant to be is not guessed.
    """
    field: Any = value
    if isinstance(value, str) and (simple := simple_address(value)) is not None:
        defects = defects_of(value) if isinstance(value, BaseHeader) else getattr(value, "defects", ())
        if not defects:
            return [simple]
    if not hasattr(value, "addresses"):
        try:
            # An older header is parsed before its encoded words are decoded: a comma in a name stays there.
            field = _parsed(value.encode() if isinstance(value, Header) else str(value))
            if isinstance(value, Header) and _wrong(field) is not None:
                # All of it was encoded, the addresses, too, which then are only in what it says.
                field = _parsed(str(value))
        except Exception as error:  # as in `_Fields._value`
            raise _unreadable(where, value, error) from error
    if (wrong := _wrong(field)) is not None:
        raise RecordError(f"{where} {_shown(value)} is not a list of addresses: {wrong}")
    return [address.addr_spec for address in field.addresses]


def _parsed(text: str) -> Any:
    """A text as a header of addresses."""
    return default.header_factory("To", on_one_line(text))


def _wrong(field: Any) -> InvalidHeaderDefect | None:
    """Why a header is no list of addresses; None where it is one."""
    return next((defect for defect in field.defects if isinstance(defect, InvalidHeaderDefect)), None)


def _unreadable(where: str, value: object, error: Exception) -> RecordError:
    """The error for a header that the standard library's parser stumbles over.

    It does so by errors of any type (``@@`` is an `IndexError`, a group in a group an `AttributeError`), whose words
    mean nothing to whoever has written the header.
    """
    if isinstance(error, RecordError):
        return error
    return RecordError(not_in_a_line(where, value) or f"{where} {_shown(value)} cannot be read")


def _shown(value: object) -> str:
    """A header's value as it was written, if not all of it."""
    try:
        text = str(getattr(value, "_parse_tree", value))  # a parsed header's own text leaves out what it did not take
    except UnicodeError:
        return "(octets that are no text)"
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}…"


def _ascii(address: Address, name: str) -> Address:
    path = mailbox(address.addr_spec, f"header {name}:")
    return Address(address.display_name, address.username, path.rpartition("@")[2])


def _is_to_sign(fields: _Fields, signer: Signer) -> bool:
    """Whether a signature is missing, and DMARC could take the signer's for that of the author."""
    if "DKIM-Signature" in fields:
        return False
    try:
        author = next(iter(fields.addresses("From")), None)
        if author is not None:
            signer.require_alignment(mailbox(author, "header From:"))
    except RecordError:
        return False
    return author is not None


def _octets(message: Message[Any, Any], fields: Sequence[Field], **policy: Any) -> tuple[bytes, bool]:
    """The message written out with these headers, each line ended by CRLF, and whether that is known of all of it.

    Raises:
        RecordError: It cannot be.
    """
    if not policy.get("utf8", True):
        del policy["utf8"]
    try:
        return written_lines(message, fields, **policy)
    except Exception as error:  # foreign code that writes whatever the program has put into the message
        raise RecordError(f"the message cannot be written out: {error}") from error


def _seven_bit(message: Message[Any, Any], fields: _Fields) -> Callable[[], bytes] | None:
    """Writes the message without octets above 127; None where that would break a signature."""
    if "DKIM-Signature" in fields or any(part.get_content_type() == "multipart/signed" for part in message.walk()):
        return None
    # What is in it now: the program may change its message before a session asks for this form.
    kept, sent = copy.copy(message), fields.all
    if isinstance(message.policy, EmailPolicy):
        return lambda: _octets(kept, sent, cte_type="7bit")[0]
    # Classes derived from an older Message, such as Django's, write their text as they like; a parsed one obeys.
    return lambda: written(message_from_bytes(_octets(kept, sent)[0]), cte_type="7bit")
