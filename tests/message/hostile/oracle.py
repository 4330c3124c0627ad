"""What a server received against what the campaign asked for: every difference is named, none is put right.

Headers are read strictly, by the grammar that the campaign's fields have, and not by a parser that forgives.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from email import message_from_bytes
from quopri import decodestring
from typing import TYPE_CHECKING, Any

from tests.message.hostile.campaign import IMAGE, NAMES, PARTS, PLACES, asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from email.message import Message

    from tests.message.hostile.campaign import Asked
    from tests.message.hostile.rows import Row
    from tests.servers.stored import Stored

_FIELD = re.compile(r"([!-9;-~]+): ?([^\r\n\0]*)")
_MESSAGE_ID = re.compile(r"<[^@<>]+\.(\d+)@mail\.example\.com>")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: +[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_QUOTED = re.compile(r'"((?:[^"\\\r\n\0]|\\.)*)"')
_WORD = re.compile(r"=\?utf-8\?([qb])\?([!->@-~]+)\?=")
_WORDS = re.compile(r"=\?utf-8\?[qb]\?[!->@-~]+\?=(?: =\?utf-8\?[qb]\?[!->@-~]+\?=)*")


class UnaskedError(AssertionError):
    """A message is not the one that the campaign asks for."""


class Oracle:
    """Compares one run's log and its server's messages with the rows that it was given.

    Args:
        rows: The rows, in the order of the recipients file.
        outcomes: The lines of the log.
        eight_bit: Whether the server takes octets above 127.

    Attributes:
        complaints: What is wrong, each with its record.
        counts: Records by outcome.
    """

    def __init__(self, rows: Sequence[Row], outcomes: Iterable[dict[str, Any]], *, eight_bit: bool = True) -> None:
        self.complaints: list[str] = []
        self.counts = Counter[str]()
        self._rows = rows
        self._eight_bit = eight_bit
        self._awaited: dict[int, dict[str, Any]] = {}
        self._read_log(outcomes)

    def _read_log(self, outcomes: Iterable[dict[str, Any]]) -> None:
        last = {outcome["record"]: outcome for outcome in outcomes}
        if last.keys() != set(range(1, len(self._rows) + 1)):
            self.complaints.append(f"{len(last)} of {len(self._rows)} records are accounted for")
        for number, row in enumerate(self._rows, 1):
            if (outcome := last.get(number)) is None:
                continue
            self.counts[outcome["status"]] += 1
            if outcome["status"] == "accepted":
                self._awaited[number] = outcome
            elif outcome["status"] == "invalid":
                self._require_reason(number, row, outcome["reason"])
            else:
                self.complaints.append(f"record {number} is {outcome}")

    def _require_reason(self, number: int, row: Row, reason: str) -> None:
        places = tuple(place for name in row.hostile for place in PLACES[name])
        if row.fields is not None and not reason.startswith(places or "\0"):
            self.complaints.append(f"record {number}, hostile in {sorted(row.hostile)}, is invalid: {reason}")
        if not reason or not reason.isprintable():
            self.complaints.append(f"record {number} has the reason {reason!r}")

    def receive(self, message: Stored) -> None:
        """Look at one message of the server."""
        try:
            header = _header(message.submitted)
            number = int(_matched(_MESSAGE_ID, header["Message-ID"])[1])
            if self._awaited.pop(number, None) is None:
                raise UnaskedError("it was not asked for, or is there twice")
            if not self._eight_bit and not message.submitted.isascii():
                raise UnaskedError("it has octets above 127")
            fields = self._rows[number - 1].fields
            if fields is None:
                raise UnaskedError("its record is none")
            _require(message, header, asked(fields))
        except (UnaskedError, ValueError, LookupError) as error:
            self.complaints.append(f"{error!r} in {message.submitted[:600]!r}")

    def finish(self) -> list[str]:
        """Everything that is wrong, after the last message."""
        self.complaints += [f"record {number} was accepted and is not there" for number in self._awaited]
        return self.complaints


def _header(content: bytes) -> dict[str, str]:
    """The header's fields, unfolded: those of the campaign, in its order, each once."""
    block, _, _ = content.partition(b"\r\n\r\n")
    if max(map(len, content.split(b"\r\n"))) > 998:
        raise UnaskedError("a line is too long")
    fields: list[tuple[str, str]] = []
    for line in block.decode().split("\r\n"):
        if line.startswith(" ") and fields:
            name, value = fields.pop()
            if not line.strip() or not _FIELD.fullmatch(f"x: {line}"):
                raise UnaskedError(f"a folded line is {line!r}")
            fields.append((name, value + line))
        else:
            fields.append((_matched(_FIELD, line)[1], line.partition(":")[2].removeprefix(" ")))
    if tuple(name for name, _ in fields) != NAMES:
        raise UnaskedError(f"the header has {[name for name, _ in fields]}")
    return dict(fields)


def _require(message: Stored, header: dict[str, str], wanted: Asked) -> None:
    _same("RCPT", message.recipient, wanted.recipient)
    _same("MAIL", message.sender, wanted.sender)
    _same("From", _mailbox(header["From"], "hello@mail.example.com"), wanted.from_name)
    _same("To", _mailbox(header["To"], wanted.recipient), wanted.to_name)
    _same("Reply-To", _mailbox(header["Reply-To"], wanted.reply_to), wanted.to_name)
    for name, value in wanted.words.items():
        _same(name, _unstructured(header[name]), value)
    for name, value in wanted.tokens.items():
        _same(name, header[name], value)
    _same("the number of URLs", header["List-Unsubscribe"].count("<"), 2)
    content = message.submitted
    parsed = message_from_bytes(content)
    parts = list(parsed.walk())
    _same("the structure", [part.get_content_type() for part in parts[:-1]], PARTS)
    for part in parts:
        if part.is_multipart():
            _same("the delimiters", content.count(f"\r\n--{part.get_boundary()}".encode()), 3)
            if part.preamble or (part.epilogue or "").strip():
                raise UnaskedError("there is something around the parts")
    _, _, text, _, html, image, attached = parts
    _same("the text", _decoded(text), wanted.text)
    reference = f"cid:{image['Content-ID'].strip('<>')}"
    _same("the HTML", _decoded(html).replace(reference, "cid:", 1), wanted.html)
    _same("the image", image.get_payload(decode=True), IMAGE)
    octets = attached.get_payload(decode=True)
    if attached.get_content_disposition() != "attachment" or octets not in wanted.attachments:
        raise UnaskedError(f"attached is {octets!r}")


def _same(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise UnaskedError(f"{what} is {found!r} in the place of {wanted!r}")


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise UnaskedError(f"{text!r} is not {pattern.pattern}")
    return match


def _mailbox(value: str, address: str) -> str:
    """The display-name of a field that holds this one address and nothing else."""
    if value == address:
        return ""
    phrase = value.removesuffix(f" <{address}>")
    if phrase == value:
        raise UnaskedError(f"{value!r} does not end in <{address}>")
    if quoted := _QUOTED.fullmatch(phrase):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if _ATOMS.fullmatch(phrase) and "=?" not in phrase:
        return phrase
    return _words(phrase)


def _unstructured(value: str) -> str:
    return _words(value) if "=?" in value else value


def _words(value: str) -> str:
    """The text of encoded-words, of which each holds whole characters (RFC 2047 §5)."""
    _matched(_WORDS, value)
    pieces: list[str] = []
    for word in _WORD.finditer(value):
        if len(word[0]) > 75:
            raise UnaskedError(f"{word[0]!r} is longer than 75 characters")
        octets = b64decode(word[2], validate=True) if word[1] == "b" else decodestring(word[2], header=True)
        pieces.append(octets.decode())
    return "".join(pieces)


def _decoded(part: Message) -> str:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets.decode().replace("\r\n", "\n")
