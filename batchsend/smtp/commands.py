"""The commands of a transaction (RFC 5321 §4.1.1), as octets."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from batchsend.smtp.parameters import NO_MAIL_PARAMETERS, NO_RCPT_PARAMETERS, MailParameters, RcptParameters

DATA: Final = b"DATA\r\n"
RSET: Final = b"RSET\r\n"
QUIT: Final = b"QUIT\r\n"

# No control character, and nothing that ends a path but within a Quoted-string (RFC 5321 §4.1.2).
_CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
_PLAIN: Final = rf'[^"<> {_CONTROL}]*+'
_PATH: Final = re.compile(rf'{_PLAIN}(?:"(?:[^"\\{_CONTROL}]|\\[^{_CONTROL}])*+"{_PLAIN})*+')


def mail(reverse_path: str, parameters: MailParameters = NO_MAIL_PARAMETERS) -> bytes:
    """MAIL FROM with its parameters (RFC 5321 §4.1.1.2).

    Args:
        reverse_path: A Mailbox without angle brackets, or ``""``.
        parameters: As `SessionParameters.mail` makes them.

    Raises:
        ValueError: A control character, or a space or an angle bracket outside a quoted string, is in the path, or a
            control character in the parameters: it never reaches the wire.
    """
    return f"{_mail_from(reverse_path)}{_line(parameters)}\r\n".encode()


def rcpt(forward_path: str, parameters: RcptParameters = NO_RCPT_PARAMETERS) -> bytes:
    """RCPT TO with its parameters (RFC 5321 §4.1.1.3).

    Raises:
        ValueError: As for `mail`.
    """
    if not parameters:
        return f"RCPT TO:<{_path(forward_path)}>\r\n".encode()
    return f"RCPT TO:<{_path(forward_path)}>{_line(parameters)}\r\n".encode()


def bdat(size: int) -> bytes:
    """BDAT with LAST (RFC 3030 §2): ``size`` octets of content follow at once."""
    return b"BDAT %d LAST\r\n" % size


@lru_cache(maxsize=16)  # of most campaigns all messages have the same
def _mail_from(reverse_path: str) -> str:
    return f"MAIL FROM:<{_path(reverse_path)}>"


def _path(path: str) -> str:
    # Addresses were validated when the envelope was made. This is the last place before the wire, and where a command
    # injection would happen, so it does not rely on that. A quoted local part may hold a ">" (RFC 5321 §4.1.2).
    if path.isprintable() and not (" " in path or '"' in path or "<" in path or ">" in path):
        return path  # nearly all: a quarter of what the expression costs
    if not _PATH.fullmatch(path):
        raise ValueError(f"not a path: {path!r}")
    return path


def _line(parameters: str) -> str:
    if not parameters.isprintable():
        raise ValueError(f"not parameters: {parameters!r}")
    return parameters
