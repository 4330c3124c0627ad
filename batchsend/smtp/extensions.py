"""What a server offers: the reply to EHLO (RFC 5321 §4.1.1.1), read once a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

KEYWORDS: Final = {
    "pipelining": "PIPELINING",
    "chunking": "CHUNKING",
    "eight_bit_mime": "8BITMIME",
    "smtputf8": "SMTPUTF8",
    "starttls": "STARTTLS",
    "dsn": "DSN",
    "require_tls": "REQUIRETLS",
}
"""The keywords that a server offers or does not, and that take no argument, by their attributes of `Extensions`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """The service extensions of one session, those of the encrypted session where there is one (RFC 3207 §4.2).

    Attributes:
        pipelining: PIPELINING (RFC 2920).
        chunking: CHUNKING (RFC 3030).
        eight_bit_mime: 8BITMIME (RFC 6152).
        smtputf8: SMTPUTF8 (RFC 6531).
        starttls: STARTTLS (RFC 3207).
        dsn: DSN (RFC 3461).
        require_tls: REQUIRETLS (RFC 8689).
        size: SIZE (RFC 1870): the largest message in octets, 0 for no fixed limit, None where it is not offered.
        auth: AUTH mechanisms (RFC 4954) in the server's order, upper case.
        mail_max: LIMITS MAILMAX (RFC 9422 §4.1): transactions allowed in one session, or None.
        rcpt_max: LIMITS RCPTMAX (RFC 9422 §4.2): recipients allowed in one transaction, or None.
    """

    pipelining: bool = False
    chunking: bool = False
    eight_bit_mime: bool = False
    smtputf8: bool = False
    starttls: bool = False
    dsn: bool = False
    require_tls: bool = False
    size: int | None = None
    auth: tuple[str, ...] = ()
    mail_max: int | None = None
    rcpt_max: int | None = None

    @classmethod
    def parse(cls, text: str) -> Extensions:
        """Read the reply's text, one keyword a line after the greeting; unknown ones are ignored (RFC 5321 §2.2.1)."""
        offered: dict[str, list[str]] = {}
        for line in text.split("\n")[1:]:
            words = line.upper().replace("AUTH=", "AUTH ").split()
            if words:
                offered.setdefault(words[0], []).extend(words[1:])
        return cls(
            pipelining="PIPELINING" in offered,
            chunking="CHUNKING" in offered,
            eight_bit_mime="8BITMIME" in offered,
            smtputf8="SMTPUTF8" in offered,
            starttls="STARTTLS" in offered,
            dsn="DSN" in offered,
            require_tls="REQUIRETLS" in offered,
            size=_number(next(iter(offered["SIZE"]), "0")) if "SIZE" in offered else None,
            auth=tuple(dict.fromkeys(offered.get("AUTH", ()))),
            mail_max=_limit(offered.get("LIMITS", ()), "MAILMAX"),
            rcpt_max=_limit(offered.get("LIMITS", ()), "RCPTMAX"),
        )

    def obstacle(self, *, size: int, eight_bit: bool, utf8: bool) -> str | None:
        """Why a message cannot be offered to this server, or None.

        Args:
            size: The content's octets.
            eight_bit: The content has octets above 127.
            utf8: The envelope has characters above 127.
        """
        if utf8 and not self.smtputf8:
            return "the address is not ASCII, and the server does not offer SMTPUTF8"
        if eight_bit and not self.eight_bit_mime:
            return "the content is 8-bit, and the server does not offer 8BITMIME"
        if self.size and size > self.size:
            return f"the message has {size} octets, and the server takes at most {self.size}"
        return None


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 20 else None


def _limit(limits: Iterable[str], wanted: str) -> int | None:
    for limit in limits:
        name, _, value = limit.partition("=")
        if name == wanted:
            return _number(value) or None
    return None
