"""A message that came back, taken apart into its parts, whatever is wrong with it.

The parser of the standard library recurses into nested parts and takes more than linear time for some headers; what
comes back is written by strangers. This one goes over the lines once, keeps no more than the stated sizes of any part,
and never raises.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, a2b_qp
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batchsend.message.encoded_words import decode
from batchsend.message.html_tokens import unescaped
from batchsend.message.parsed import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_READ: Final = 4 * 1024 * 1024
"""Octets of a message that are looked at. A report says what it has to say before the message that it returns."""

MOST_HEADER: Final = 128 * 1024
"""Octets of one part's header that are looked at."""

MOST_TEXT: Final = 128 * 1024
"""Characters of one part's text that are looked at."""

_MOST_VALUE: Final = 8 * 1024
_MOST_DEPTH: Final = 30
_MOST_PARTS: Final = 200

_FIELD: Final = re.compile(r"([!-9;-~]{1,200})[ \t]*:(.*)", re.DOTALL)
_PARAMETER: Final = re.compile(r';\s*([\w*-]{1,40})\s*=\s*(?:"([^"]{0,500})"|([^\s;"]{1,500}))')
_TYPE: Final = re.compile(r"\s*([\w.+-]{1,60}/[\w.+-]{1,60})")
_BREAKS: Final = re.compile(r"<(?:br|/p|/div|/tr|/li|/h\d|/table|/pre)\b[^<>]*>", re.IGNORECASE)
_UNSHOWN: Final = re.compile(r"<(?P<name>style|script|title)\b[^<>]*>[^<]*</(?P=name)>", re.IGNORECASE)
_TAG: Final = re.compile(r"<[a-zA-Z/!][^<>]*>")


@dataclass(frozen=True, slots=True)
class ReportPart:
    """A part that is not a multipart: what a report or a returned message stands in.

    Attributes:
        fields: Names, in lower case, and values of its header, unfolded, in their order.
        kind: Its media type in lower case; ``text/plain`` where it has none (RFC 2045 §5.2).
        parameters: Of the media type, their names in lower case.
        octets: Its body as it stands.
        within: The media types of the multiparts around it, the outermost first.
    """

    fields: tuple[tuple[str, str], ...]
    kind: str
    parameters: dict[str, str]
    octets: bytes
    within: tuple[str, ...] = ()

    def field(self, name: str) -> str:
        """The decoded value of the first header field of this name, or ``""``."""
        return first(self.fields, name)

    def content(self) -> bytes:
        """The body without its Content-Transfer-Encoding; where that is broken, the body as it is."""
        encoding = self.field("content-transfer-encoding").lower()
        if encoding == "quoted-printable":
            return a2b_qp(self.octets)
        if encoding == "base64":
            try:
                return a2b_base64(self.octets)
            except Error:
                return self.octets
        return self.octets

    def text(self) -> str:
        """The body as text of lines that end in LF; of HTML what is shown of it."""
        octets = self.content()[: MOST_TEXT * 4]
        text = _in_charset(octets, self.parameters.get("charset", "utf-8"))[:MOST_TEXT]
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        return shown(text) if self.kind == "text/html" else text


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that came in.

    Attributes:
        fields: Its own header, as `ReportPart.fields`.
        kind: Its media type.
        parameters: Of that.
        entities: Its parts, in their order.
    """

    fields: tuple[tuple[str, str], ...]
    kind: str
    parameters: dict[str, str]
    entities: tuple[ReportPart, ...]

    def field(self, name: str) -> str:
        """The decoded value of the first header field of this name, or ``""``."""
        return first(self.fields, name)

    def has(self, name: str) -> bool:
        """Whether there is a header field of this name."""
        return any(own == name for own, _ in self.fields)


def first(fields: tuple[tuple[str, str], ...], name: str) -> str:
    """The decoded value of the first field of a name (in lower case), or ``""``."""
    return next((readable(value) for own, value in fields if own == name), "")


def readable(value: str) -> str:
    """A field's value as `header` has it, decoded (RFC 2047); what cannot be decoded is replaced."""
    return _whole(decoded(value[:_MOST_VALUE])) if value else ""


def header(block: bytes) -> tuple[tuple[str, str], ...]:
    """The fields of a header block, or of a block of a report that is written as one (RFC 3464 §2.1)."""
    found: list[tuple[str, list[str]]] = []
    for line in block[:MOST_HEADER].decode("ascii", "surrogateescape").split("\n"):
        if line[:1] in (" ", "\t"):
            if found:
                found[-1][1].append(line.strip())
        elif (match := _FIELD.match(line)) is not None:
            found.append((match[1].lower(), [match[2].strip()]))
    return tuple((name, " ".join(lines)) for name, lines in found)


def divided(octets: bytes) -> tuple[bytes, bytes]:
    """Header block and body, with LF as the ends of lines in the former."""
    end = re.search(rb"(?:^|\n)\r?\n", octets)
    if end is None:
        return octets.replace(b"\r\n", b"\n"), b""
    return octets[: end.start()].replace(b"\r\n", b"\n"), octets[end.end() :]


def read(octets: bytes) -> Incoming:
    """Take a message apart. It never fails: what is no message is one part of text."""
    octets = octets[:MOST_READ].lstrip(b"\r\n")
    if b"\n" not in octets[:MOST_HEADER] and b"\r" in octets[:MOST_HEADER]:
        octets = octets.replace(b"\r", b"\n")
    if octets.startswith(b"From "):
        octets = octets.partition(b"\n")[2]
    block, body = divided(octets)
    fields = header(block)
    kind, parameters = media_type(first(fields, "content-type"))
    if not kind.startswith("multipart/") or not parameters.get("boundary"):
        return Incoming(fields, kind, parameters, (ReportPart(fields, kind, parameters, body),))
    parts = tuple(_parts(body, kind, parameters["boundary"]))
    # Where the delimiters have been lost, all of it is text.
    return Incoming(fields, kind, parameters, parts or (ReportPart(fields, "text/plain", {}, body, (kind,)),))


def media_type(value: str) -> tuple[str, dict[str, str]]:
    """Type and parameters of a Content-Type, however it is written."""
    match = _TYPE.match(value)
    if match is None:
        return "text/plain", {}
    parameters = {
        found[1].lower(): found[2] if found[2] is not None else found[3]
        for found in _PARAMETER.finditer(value, match.end())
    }
    return match[1].lower(), parameters


def _parts(body: bytes, kind: str, boundary: str) -> Iterator[ReportPart]:
    """The parts that are not multiparts themselves; a message within is one part, whatever it consists of."""
    boundaries = [(_delimiter(boundary), kind)]
    pieces: list[bytes] | None = None  # of the part that is being read; None before the first and in a multipart
    in_header = False
    count = 0
    for line in body.splitlines(keepends=True):
        level = _level(line, boundaries) if line.startswith(b"--") else None
        if level is None:
            if pieces is None:
                continue
            pieces.append(line)
            if in_header and line in (b"\n", b"\r\n"):
                in_header = False
                if (inner := _opens(pieces, boundaries)) is not None:
                    boundaries.append(inner)
                    pieces = None
            continue
        if pieces is not None and count < _MOST_PARTS:
            count += 1
            yield _entity(pieces, boundaries)
        del boundaries[level + 1 :]
        if level and line.rstrip() == boundaries[level][0] + b"--":
            del boundaries[level:]
        # What stands behind the last delimiter is no part; some put what matters there all the same.
        pieces, in_header = [], True
    if pieces is not None and any(piece.strip() for piece in pieces):
        yield _entity(pieces, boundaries)


def _delimiter(boundary: str) -> bytes:
    return b"--" + boundary.encode("utf-8", "surrogateescape").rstrip()


def _level(line: bytes, boundaries: list[tuple[bytes, str]]) -> int | None:
    """Which multipart's delimiter a line is. There are never more than `_MOST_DEPTH`."""
    line = line.rstrip()
    without = line.removesuffix(b"--")
    for level in range(len(boundaries) - 1, -1, -1):
        delimiter = boundaries[level][0]
        if delimiter in (line, without):
            return level
    return None


def _opens(pieces: list[bytes], boundaries: list[tuple[bytes, str]]) -> tuple[bytes, str] | None:
    """The delimiter of a multipart, where what has been read of a part is the header of one."""
    if len(boundaries) >= _MOST_DEPTH:
        return None
    fields = header(b"".join(pieces).replace(b"\r\n", b"\n"))
    kind, parameters = media_type(first(fields, "content-type"))
    if not kind.startswith("multipart/") or not parameters.get("boundary"):
        return None
    return _delimiter(parameters["boundary"]), kind


def _entity(pieces: list[bytes], boundaries: list[tuple[bytes, str]]) -> ReportPart:
    octets = b"".join(pieces)
    block, body = (b"", octets[1:].lstrip(b"\n")) if octets[:1] == b"\n" else divided(octets)
    fields = header(block)
    kind, parameters = media_type(first(fields, "content-type"))
    return ReportPart(fields, kind, parameters, body, tuple(kind for _, kind in boundaries))


def _in_charset(octets: bytes, charset: str) -> str:
    try:
        return _whole(decode(octets, charset))
    except (LookupError, ValueError):  # a charset that there is not, or text that is not in it
        return octets.decode("utf-8", "replace")


def _whole(text: str) -> str:
    """Text without halves of characters, which no log takes."""
    return text.encode("utf-8", "replace").decode()


def shown(html: str) -> str:
    """What is shown of HTML, roughly: its text, with line ends where it has some."""
    return unescaped(_TAG.sub("", _BREAKS.sub("\n", _UNSHOWN.sub("", html))))
