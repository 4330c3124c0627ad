"""The commands of a transaction (RFC 5321 §4.1.1), as octets."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

DATA: Final = b"DATA\r\n"
RSET: Final = b"RSET\r\n"
QUIT: Final = b"QUIT\r\n"

# No control character, and nothing that ends a path but within a Quoted-string (RFC 5321 §4.1.2).
_CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
_PLAIN: Final = rf'[^"<> {_CONTROL}]*+'
_PATH: Final = re.compile(rf'{_PLAIN}(?:"(?:[^"\\{_CONTROL}]|\\[^{_CONTROL}])*+"{_PLAIN})*+')


def mail(reverse_path: str, parameters: str = "") -> bytes:
    """MAIL FROM with its parameters (RFC 5321 §4.1.1.2).

    Args:
        reverse_path: A Mailbox without angle brackets, or ``""``.
        parameters: ESMTP parameters, each led by a space.

    Raises:
        ValueError: A control character, or a space or an angle bracket outside a quoted string, is in the path, or a
            control character in the parameters: it never reaches the wire.
    """
    return f"{_mail_from(reverse_path)}{_line(parameters)}\r\n".encode()


def rcpt(forward_path: str, parameters: str = "") -> bytes:
    """RCPT TO with its parameters (RFC 5321 §4.1.1.3).

    Raises:
        ValueError: As for `mail`.
    """
    return f"RCPT TO:<{_path(forward_path)}>{_line(parameters)}\r\n".encode()


def xtext(text: str) -> str:
    """Text as the value of a parameter (RFC 3461 §4): what is not plain printable ASCII as ``+`` and two digits."""
    return "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}" for octet in text.encode()
    )


def utf8_xtext(address: str) -> str:
    """An internationalised address as the value of ORCPT (RFC 6533 §3): what is not plain ASCII by its code point."""
    return "".join(
        character if "!" <= character <= "~" and character not in "+=\\" else f"\\x{{{ord(character):02X}}}"
        for character in address
    )


def bdat(size: int) -> bytes:
    """BDAT with LAST (RFC 3030 §2): ``size`` octets of content follow at once."""
    return b"BDAT %d LAST\r\n" % size


@lru_cache(maxsize=16)  # of most campaigns all messages have the same
def _mail_from(reverse_path: str) -> str:
    return f"MAIL FROM:<{_path(reverse_path)}>"


def _path(path: str) -> str:
    # Addresses were validated when the envelope was made. This is the last place before the wire, and where a command
    # injection would happen, so it does not rely on that. A quoted local part may hold a ">" (RFC 5321 §4.1.2).
    if not _PATH.fullmatch(path):
        raise ValueError(f"not a path: {path!r}")
    return path


def _line(parameters: str) -> str:
    if not parameters.isprintable():
        raise ValueError(f"not parameters: {parameters!r}")
    return parameters
