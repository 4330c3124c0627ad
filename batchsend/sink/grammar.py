"""The grammar of MAIL and RCPT (RFC 5321 §4.1.2, RFC 6531 §3.3): paths and parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH_LIMIT: Final = 256
"""Octets of a path with its angle brackets (RFC 5321 §4.5.3.1.3)."""

LOCAL_PART_LIMIT: Final = 64
"""Octets of a local part (RFC 5321 §4.5.3.1.1)."""

_ATOM: Final = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++"
_DOT_STRING: Final = rb"%b(?:\.%b)*+" % (_ATOM, _ATOM)
_DOMAIN: Final = rb"[A-Za-z0-9]++(?:(?:\.|-++)[A-Za-z0-9]++)*+"

# RFC 6531 §3.3 adds UTF-8 beyond ASCII to atoms, quoted text and domains; that it is UTF-8 is checked on its own.
_UTF8_ATOM: Final = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]+"
_UTF8_DOMAIN: Final = rb"[A-Za-z0-9\x80-\xff]+(?:(?:\.|-+)[A-Za-z0-9\x80-\xff]+)*"
_QUOTED: Final = rb'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\x20-\x7e])*"'
_LITERAL: Final = rb"\[[\x21-\x5a\x5e-\x7e]+\]"
_LOCAL_PART: Final = rb"%b(?:\.%b)*|%b" % (_UTF8_ATOM, _UTF8_ATOM, _QUOTED)
_ROUTE: Final = rb"@%b(?:,@%b)*:" % (_UTF8_DOMAIN, _UTF8_DOMAIN)
_PATH: Final = re.compile(
    rb"<(?:%b)?(?P<mailbox>(?P<local>%b)@(?:%b|%b))>(?: +(?P<parameters>.+))?"
    % (_ROUTE, _LOCAL_PART, _UTF8_DOMAIN, _LITERAL)
)
_NULL_PATH: Final = re.compile(rb"<>(?: +(?P<parameters>.+))?")
# RFC 5321 §4.1.1.3: the one mailbox that needs no domain.
_POSTMASTER: Final = re.compile(rb"<(?P<mailbox>postmaster)>(?: +(?P<parameters>.+))?", re.IGNORECASE)
_PARAMETER: Final = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e]+))?")

match_group: Final = re.compile(
    # What is at most 64 octets long breaks no limit of RFC 5321 §4.5.3.1, whichever part of a path it is.
    rb"MAIL FROM:<(?=[^>]{0,64}>)((?:%b@%b)?)>((?: BODY=8BITMIME| SIZE=[0-9]{1,20}){0,2})\r\n"
    rb"RCPT TO:<(?=[^>]{3,64}>)(%b@%b)>\r\n"
    rb"(?:DATA|BDAT ([0-9]{1,18}) LAST)\r\n" % (_DOT_STRING, _DOMAIN, _DOT_STRING, _DOMAIN)
).match
"""Recognise a pipelined group of the commonest form, all of which the other functions would accept, in one step.

Its groups are the reverse-path, the parameters of MAIL, the forward-path, and the size of the chunk (None for DATA).
"""


class CommandError(Exception):
    """A command is refused with this reply.

    Args:
        reply: Code, enhanced status code and text, without CRLF.
    """

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class ServerParameters:
    """The parameters of a MAIL command.

    Attributes:
        values: All of them by upper-case keyword; None for one without a value.
        size: What SIZE declares, in octets; 0 where it does not (RFC 1870 §5).
        smtputf8: Whether SMTPUTF8 is among them (RFC 6531 §3.4).
    """

    values: Mapping[str, str | None]
    size: int = 0
    smtputf8: bool = False


NO_PARAMETERS: Final = ServerParameters(MappingProxyType({}))


def parse_mail(argument: bytes) -> tuple[bytes, ServerParameters]:
    """Read what follows ``MAIL``: the reverse-path, empty for the null one, and the parameters.

    Raises:
        CommandError: It is malformed.
    """
    path, parameters = _parse_path(argument, b"FROM:", _NULL_PATH)
    return path, parse_parameters(parameters)


def parse_rcpt(argument: bytes) -> bytes:
    """Read what follows ``RCPT``: the forward-path.

    Raises:
        CommandError: It is malformed, or has parameters: no extension on offer defines one.
    """
    path, parameters = _parse_path(argument, b"TO:", _POSTMASTER)
    if parameters:
        raise CommandError(b"555 5.5.4 Unsupported parameter of RCPT")
    return path


def _parse_path(argument: bytes, keyword: bytes, special: re.Pattern[bytes]) -> tuple[bytes, bytes]:
    """Return the mailbox and the unparsed parameters; ``special`` is the form that only this command knows."""
    if argument[: len(keyword)].upper() != keyword:
        raise CommandError(b"501 5.5.4 Syntax: %b<path> [parameters]" % keyword)
    rest = argument[len(keyword) :]
    match = special.fullmatch(rest) or _PATH.fullmatch(rest)
    if match is None:
        raise CommandError(b"501 5.1.7 Bad sender path" if keyword == b"FROM:" else b"501 5.1.3 Bad recipient path")
    parts = match.groupdict(b"")
    mailbox = parts.get("mailbox", b"")
    if len(mailbox) + 2 > PATH_LIMIT or len(parts.get("local", b"")) > LOCAL_PART_LIMIT:
        raise CommandError(
            b"501 5.1.7 Sender path too long" if keyword == b"FROM:" else b"501 5.1.3 Recipient path too long"
        )
    try:
        mailbox.decode()
    except UnicodeDecodeError:
        raise CommandError(b"501 5.5.2 Path is not UTF-8") from None
    return mailbox, parts["parameters"]


@lru_cache(maxsize=1024)
def parse_parameters(text: bytes) -> ServerParameters:
    """Read the parameters of MAIL; a campaign's are nearly always the same, hence the cache.

    Args:
        text: The parameters with the spaces between them; blanks around them do not matter.

    Raises:
        CommandError: One is malformed, given twice, or unknown.
    """
    values: dict[str, str | None] = {}
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise CommandError(b"501 5.5.4 Malformed parameter")
        keyword, value = match[1].decode().upper(), match[2]
        if keyword in values:
            raise CommandError(b"501 5.5.4 Parameter %b given twice" % keyword.encode())
        values[keyword] = None if value is None else value.decode()
        _check_parameter(keyword, values[keyword])
    return ServerParameters(MappingProxyType(values), int(values.get("SIZE") or 0), "SMTPUTF8" in values)


def _check_parameter(keyword: str, value: str | None) -> None:
    match keyword:
        case "SIZE":
            valid = value is not None and re.fullmatch(r"[0-9]{1,20}", value) is not None
        case "BODY":
            if value is not None and value.upper() == "BINARYMIME":
                raise CommandError(b"504 5.5.4 BINARYMIME is not offered")
            valid = value is not None and value.upper() in {"7BIT", "8BITMIME"}
        case "SMTPUTF8":
            valid = value is None
        case "AUTH":
            valid = value is not None
        case _:
            raise CommandError(b"555 5.5.4 Unsupported parameter %b" % keyword.encode())
    if not valid:
        raise CommandError(b"501 5.5.4 Bad value of %b" % keyword.encode())
