"""A whole message (RFC 5322) as the template: marks in its header and its texts, everything else as it is."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.utils import collapse_rfc2231_value
from functools import partial
from typing import TYPE_CHECKING, Any

from batchsend.errors import UsageError
from batchsend.message import tokens
from batchsend.message.attachments import MAX_SIZE
from batchsend.message.encoded_words import decode, read_words, unfolded
from batchsend.message.encoding import BASE64, EIGHT_BIT, Encoded, encode_base64, has_short_lines, seven_bit
from batchsend.message.entity import Entity
from batchsend.message.files_read import note
from batchsend.message.headers import ADDRESS_FIELDS, URL_FIELDS, Head
from batchsend.message.marks import has_marks, marks
from batchsend.message.mime import Boundary, new_delimiter
from batchsend.message.texts import Text

if TYPE_CHECKING:
    from email.message import Message as Parsed
    from pathlib import Path

    from batchsend.message.proof import Proof
    from batchsend.message.templates import Templates

# What an earlier transmission left behind, or what every message gets anew.
_LEFT_OUT = re.compile(
    r"date|message-id|mime-version|content-.*|received(-spf)?|return-path|delivered-to|x-original-to|dkim-signature"
    r"|authentication-results|arc-.*|resent-.*|x-mozilla-.*|x-received|status|x-status|lines",
    re.IGNORECASE,
)
_REFUSED = frozenset({"cc", "bcc"})
_LONGEST_FIELD = 16_384  # characters; the standard library takes parameters apart in quadratic time
# Their parts are signed as they are, or nobody can look into them.
_WHOLE = frozenset({"multipart/signed", "multipart/encrypted", "message/rfc822", "message/delivery-status"})


class WholeMessage:
    """The entities of a campaign whose message is a file.

    Its texts are filled in and encoded anew; every other part keeps its headers and its content. Multipart entities get
    boundaries that no data can contain.

    Args:
        path: The message.
        templates: Compiles its texts; without images, as the message has brought its own.
        eight_bit: Whether octets above 127 may be sent.
        proof: What makes tests of the messages, or None.

    Attributes:
        head: Its header, as templates.

    Raises:
        UsageError: It cannot be read, is no message, or has what cannot be sent.
    """

    def __init__(self, path: Path, templates: Templates, *, eight_bit: bool, proof: Proof | None = None) -> None:
        self._templates = templates
        self._proof = proof
        self._eight_bit = eight_bit
        self._delimiter = new_delimiter()
        self._boundaries = 0
        self._pieces: list[bytes | Text] = [b"MIME-Version: 1.0\r\n"]
        self._octets = _read(path)
        message = _parsed(self._octets, path)
        self.head = _head(message)
        try:
            self._add(message)
        except RecursionError as error:
            raise UsageError(f"{path} has parts within parts too deeply", "Save it anew.") from error
        self._octets = b""

    def render(self, variables: dict[str, Any]) -> Entity:
        """As `bodies.Body.render`."""
        pieces = [piece if isinstance(piece, bytes) else piece.render(variables)[1] for piece in self._pieces]
        if any(piece[0] is EIGHT_BIT for piece in pieces if isinstance(piece, tuple)):
            return Entity(_flat(pieces), True, partial(self._in_seven_bits, pieces))
        return Entity(_flat(pieces), False, None)

    def _in_seven_bits(self, pieces: list[bytes | Encoded]) -> list[bytes]:
        return _flat([piece if isinstance(piece, bytes) else seven_bit(piece, self._delimiter) for piece in pieces])

    def _add(self, part: Parsed) -> None:
        """Take a part in, and those that it is made of."""
        for name, raw in part.raw_items():
            if name.lower().startswith("content-"):
                _require_plain(name, str(raw))
        if not isinstance(part.get_param("charset", ""), str):  # the standard library trips over it
            raise UsageError("a part has a charset in a language", "Write charset=utf-8, without asterisks.")
        kind = part.get_content_type()
        if part.is_multipart() and kind not in _WHOLE:
            self._add_multipart(part)
        elif kind.startswith("text/") and part.get_content_disposition() != "attachment" and self._is_template(part):
            self._add_text(part)
        else:
            self._pieces.append(self._as_it_is(part))

    def _add_multipart(self, part: Parsed) -> None:
        self._boundaries += 1
        parameters = "".join([f" {one};\r\n" for one in _parameters(part, but="boundary")])
        boundary = Boundary(part.get_content_subtype(), f"{self._delimiter}_{self._boundaries}", parameters=parameters)
        self._pieces += [_part_header(part, but=("content-type", "content-transfer-encoding")), boundary.opening]
        for number, inner in enumerate(part.get_payload()):
            if number:
                self._pieces.append(boundary.between)
            self._add(inner)
        self._pieces.append(boundary.end)

    def _is_template(self, part: Parsed) -> bool:
        return has_marks(_text(part))

    def _add_text(self, part: Parsed) -> None:
        kind = part.get_content_type()
        where = f"the {kind} part"
        html = kind == "text/html"
        template = (self._templates.html if html else self._templates.text)(_text(part), where)
        finish = None
        if self._proof is not None:
            finish = self._proof.html if html else self._proof.text
        text = Text(template, self._delimiter, where, eight_bit=self._eight_bit, finish=finish)
        parameters = "".join([f";\r\n {one}" for one in _parameters(part, but="charset")])
        header = f"Content-Type: {kind}; charset=utf-8{parameters}\r\n".encode("ascii")
        self._pieces += [header + _part_header(part, but=("content-type", "content-transfer-encoding")), text]

    def _as_it_is(self, part: Parsed) -> bytes:
        """A part without marks: its own octets, or in base64 where they could not be sent to every server."""
        if part.is_multipart() or part.get_content_type() in _WHOLE:
            body = self._whole(part)
            if not _is_sendable(body):
                raise UsageError(
                    f"its {part.get_content_type()} part has octets above 127 or lines of more than 998",
                    "Encode what is in it as quoted-printable or base64.",
                )
            return _part_header(part, but=()) + b"\r\n" + body
        body = _with_crlf(str(part.get_payload()).encode("utf-8", "surrogateescape"))
        encoding = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
        if encoding == "binary" or not _is_sendable(body):
            return _part_header(part, but=("content-transfer-encoding",)) + BASE64 + encode_base64(_octets(part))
        return _part_header(part, but=()) + b"\r\n" + body

    def _whole(self, part: Parsed) -> bytes:
        """The body of a part that has parts, or a message, of its own."""
        boundary = part.get_boundary()
        if boundary is None:
            whole = part.as_bytes(policy=policy.compat32.clone(max_line_length=None))
            return _with_crlf(whole).partition(b"\r\n\r\n")[2]
        # A signature is about these octets, the spaces in their headers included, which parsing does not keep.
        octets = _with_crlf(self._octets)
        mark = re.escape(boundary.encode("ascii", "replace"))
        first = re.compile(rb"^--%b[ \t]*+\r\n" % mark, re.MULTILINE).search(octets)
        last = re.compile(rb"^--%b--" % mark, re.MULTILINE).search(octets, first.end()) if first else None
        if first is None or last is None:
            raise UsageError(f"its {part.get_content_type()} part has no end", "Save it anew.")
        return octets[first.start() : last.end()]


def _flat(pieces: list[bytes | Encoded]) -> list[bytes]:
    flat: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            flat.append(piece)
        else:
            flat += piece
    if not flat[-1].endswith(b"\r\n"):
        flat.append(b"\r\n")
    return flat


def _read(path: Path) -> bytes:
    note(path)
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "Check the path and its permissions.") from error
    if len(octets) > MAX_SIZE:
        raise UsageError(f"{path} has more than {MAX_SIZE} octets", "No relay takes such a message.")
    return octets.removeprefix(b"\xef\xbb\xbf")


def _parsed(octets: bytes, path: Path) -> Parsed:
    try:
        message = message_from_bytes(octets, policy=policy.compat32)
        parts = list(message.walk())
    except RecursionError as error:
        raise UsageError(f"{path} has parts within parts too deeply", "Save it anew.") from error
    for part in parts:
        if part.defects:
            defect = type(part.defects[0]).__name__
            raise UsageError(f"{path} is not a message as RFC 5322 and RFC 2045 want it: {defect}", "Save it anew.")
    return message


def _head(message: Parsed) -> Head:
    """The message's header, decoded, its fields as the campaign file would have them."""
    own: dict[str, str] = {}
    others: list[tuple[str, str]] = []
    for name, raw in message.raw_items():
        key = name.lower()
        if _LEFT_OUT.fullmatch(name):
            continue
        if key in _REFUSED:
            raise UsageError(f"has the header {name}", "A message goes to its record's recipient alone: take it out.")
        value = _decoded(name, str(raw))
        if key not in ("from", "to", "reply-to", "subject"):
            others.append((name, value))
        elif key in own:
            raise UsageError(f"has the header {name} twice", "Keep one.")
        else:
            own[key] = value
    if "from" not in own:
        raise UsageError("has no header From", "Add it; it may have template marks.")
    return Head(own["from"], own.get("to"), own.get("reply-to"), own.get("subject"), others)


def _decoded(name: str, raw: str) -> str:
    """A header's value as a template: unfolded, its encoded-words read (RFC 2047)."""
    key = name.lower()
    try:
        value = unfolded(raw)
        if key in ("from", "to", "reply-to") or key in ADDRESS_FIELDS:
            return read_words(value, _quoted)  # what they say is a name, whatever is in it
        return value if key in tokens.NAMES | URL_FIELDS else read_words(value)
    except (LookupError, ValueError) as error:
        raise UsageError(f"header {name} cannot be decoded: {error}", "Write it in UTF-8.") from error


def _quoted(text: str) -> str:
    """A text as a quoted-string (RFC 5322 §3.2.4); template marks in it stay what they are."""
    pieces: list[str] = []
    at = 0
    for start, end in marks(text):
        pieces += [_escaped(text[at:start]), text[start:end]]
        at = end
    return f'"{"".join(pieces)}{_escaped(text[at:])}"'


def _escaped(text: str) -> str:
    """A text as it stands within quotation marks."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _text(part: Parsed) -> str:
    charset = str(part.get_content_charset("utf-8"))
    try:
        return decode(_octets(part), charset).replace("\r\n", "\n")
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"a {part.get_content_type()} part is not {charset!r}: {error}", "Save it as UTF-8."
        ) from error


def _octets(part: Parsed) -> bytes:
    octets = part.get_payload(decode=True)
    return octets if isinstance(octets, bytes) else b""


def _parameters(part: Parsed, *, but: str) -> list[str]:
    """The parameters of its Content-Type, without one."""
    found = []
    for name, value in (part.get_params() or [])[1:]:
        if name.lower() != but:
            escaped = _escaped(collapse_rfc2231_value(value))
            # RFC 2231 may have said what the field itself may not.
            _require_plain("Content-Type", f"{name}={escaped}")
            found.append(f'{name}="{escaped}"')
    return found


def _part_header(part: Parsed, *, but: tuple[str, ...]) -> bytes:
    """The header of a part as it is, without some of its fields."""
    lines: list[str] = []
    for name, raw in part.raw_items():
        key = name.lower()
        if key.startswith("content-") and key not in but:
            lines.append(f"{name}: {str(raw).strip()}\n")
    return _with_crlf("".join(lines).encode("ascii"))


def _require_plain(name: str, value: str) -> None:
    if has_marks(value):
        raise UsageError(
            f"header {name} of a part has template marks",
            "They may stand in the message's own header and in its texts.",
        )
    if not f"{name}{value}".isascii() or "\0" in value:
        raise UsageError(f"header {name!a} of a part is not ASCII", "Encode it by RFC 2231, or name the file in ASCII.")
    if len(value) > _LONGEST_FIELD:
        raise UsageError(f"header {name} of a part has more than {_LONGEST_FIELD} characters", "Save it anew.")


def _is_sendable(body: bytes) -> bool:
    return body.isascii() and b"\0" not in body and has_short_lines(body)


def _with_crlf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
