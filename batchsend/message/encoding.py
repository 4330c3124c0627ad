"""Content-Transfer-Encoding (RFC 2045 §6): the smallest that is right, in lines that every server takes."""

from __future__ import annotations

from binascii import b2a_base64, b2a_qp
from typing import TypeAlias

from batchsend.errors import RecordError

MAX_LINE = 998
"""Octets a line of content may have, CRLF not counted (RFC 5322 §2.1.1)."""

_BASE64_LINE = 57  # octets that make a line of 76 characters (RFC 2045 §6.8)
_QP_LITERAL = bytes([9, 10, *(octet for octet in range(32, 127) if octet != ord("="))])

Encoded: TypeAlias = tuple[bytes, bytes]
"""A part from its Content-Transfer-Encoding on: that field with the blank line that ends the headers, and the body."""

SEVEN_BIT = b"Content-Transfer-Encoding: 7bit\r\n\r\n"
EIGHT_BIT = b"Content-Transfer-Encoding: 8bit\r\n\r\n"
QUOTED_PRINTABLE = b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
BASE64 = b"Content-Transfer-Encoding: base64\r\n\r\n"


def encode_text(text: str, delimiter: str, where: str, *, eight_bit: bool = False) -> Encoded:
    """Encode a text body: as it is where that is right, otherwise by quoted-printable or base64, whichever is smaller.

    Args:
        text: The body; its lines may end in LF, CRLF or CR.
        delimiter: What must not stand in the encoded body, because it would end the part (RFC 2046 §5.1.1); it must
            begin with ``=_``, which neither quoted-printable nor base64 can produce.
        where: What the text is, as errors name it.
        eight_bit: Whether octets above 127 may stay (RFC 6152).

    Returns:
        The field and the body, its lines ending in CRLF.

    Raises:
        RecordError: The text holds half a character.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        octets = text.encode()
    except UnicodeEncodeError as error:
        found = f"U+{ord(text[error.start]):04X}"
        raise RecordError(f"{where} contains {found}, half of a character") from error
    plain = text.isascii()
    if (plain or eight_bit) and "\0" not in text and delimiter not in text:
        lines = octets.replace(b"\n", b"\r\n")
        if has_short_lines(lines):
            return (SEVEN_BIT if plain else EIGHT_BIT), lines
    if len(octets) + 2 * len(octets.translate(None, _QP_LITERAL)) <= (len(octets) + 2) // 3 * 4:
        # binascii takes the first line end it meets for the style of all: with LF alone it has nothing to guess.
        return QUOTED_PRINTABLE, b2a_qp(octets, istext=True).replace(b"\n", b"\r\n")
    return BASE64, encode_base64(octets.replace(b"\n", b"\r\n"))


def seven_bit(encoded: Encoded, delimiter: str) -> Encoded:
    """The same text in ASCII, for a server that does not offer 8BITMIME.

    Args:
        encoded: What `encode_text` made.
        delimiter: As for `encode_text`.
    """
    field, body = encoded
    return encode_text(body.decode(), delimiter, "text") if field is EIGHT_BIT else encoded


def encode_base64(octets: bytes) -> bytes:
    """Base64 in lines of 76 characters with CRLF between them, none after the last (RFC 2045 §6.8)."""
    return b"\r\n".join(
        [b2a_base64(octets[at : at + _BASE64_LINE], newline=False) for at in range(0, len(octets), _BASE64_LINE)]
    )


def has_short_lines(octets: bytes) -> bool:
    """Whether no line is longer than 998 octets; the lines end in CRLF."""
    at, end = 0, len(octets)
    while end - at > MAX_LINE:  # one look for each 998 octets, not one for each line
        at = octets.rfind(b"\r\n", at, at + MAX_LINE + 2) + 2
        if at == 1:
            return False
    return True
