"""The parameters of MAIL and RCPT (RFC 5321 §4.1.2): what a server offers, and a message needs or asks for.

A new parameter is made here: what a session knows of it is an argument of `SessionParameters`, what a message does is
one of its methods'. Whether the server offers it stands in `batchsend.smtp.extensions`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NewType

if TYPE_CHECKING:
    from batchsend.smtp.extensions import Extensions

MailParameters = NewType("MailParameters", str)
"""The parameters of MAIL as they stand in the command, each led by a space."""
RcptParameters = NewType("RcptParameters", str)
"""The parameters of RCPT as they stand in the command, each led by a space."""

Notify = Literal["never", "success", "failure", "delay"]
Return = Literal["full", "headers"]  # as the campaign file has it; the type checker holds the two together

NO_MAIL_PARAMETERS: Final = MailParameters("")
NO_RCPT_PARAMETERS: Final = RcptParameters("")

_RET: Final[dict[Return | None, str]] = {None: "", "full": " RET=FULL", "headers": " RET=HDRS"}
_ENCODED: Final = re.compile(r"\+([0-9A-F]{2})")
_LONGEST_ENVELOPE_ID: Final = 100


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """Which reports a sender asks for (RFC 3461).

    Attributes:
        notify: When to report (§4.1); ``never`` stands alone.
        ret: How much of the message a report of failure returns (§4.3); None for as the server likes.

    Raises:
        ValueError: ``notify`` is empty, or says never and something else.
    """

    notify: tuple[Notify, ...]
    ret: Return | None = None

    def __post_init__(self) -> None:
        if not self.notify or ("never" in self.notify and len(self.notify) > 1):
            raise ValueError(f"not what NOTIFY can say: {self.notify!r}")


class SessionParameters:
    """Writes the parameters of a session's commands. Made once a session; each message adds its own.

    Args:
        extensions: What the server offers in this session.
        reports: Which reports are asked for where the server offers DSN, or None.
        require_tls: REQUIRETLS is asked for (RFC 8689 §2), which the server must offer.
    """

    def __init__(
        self, extensions: Extensions, *, reports: ReportRequest | None = None, require_tls: bool = False
    ) -> None:
        self._size = extensions.size is not None
        self._dsn = reports is not None and extensions.dsn
        self._ret = "" if reports is None else _RET[reports.ret]
        self._notify = "" if reports is None else f" NOTIFY={','.join(reports.notify).upper()}"
        self._require_tls = " REQUIRETLS" if require_tls else ""

    def mail(self, *, size: int, eight_bit: bool, utf8: bool, envelope_id: str | None = None) -> MailParameters:
        """The parameters of MAIL.

        Args:
            size: The content's octets (SIZE, RFC 1870 §6).
            eight_bit: The content has octets above 127 (BODY, RFC 6152 §2).
            utf8: An address of the envelope has characters above 127 (SMTPUTF8, RFC 6531 §3.4).
            envelope_id: What comes back in every report about this message (ENVID, RFC 3461 §4.4), without the angle
                brackets that may be around it; None for nothing. One that is too long when it is encoded is left out.
        """
        parameters = self._require_tls
        if self._size:
            parameters += f" SIZE={size}"
        if eight_bit:
            parameters += " BODY=8BITMIME"
        if utf8:
            parameters += " SMTPUTF8"
        if self._dsn:
            parameters += self._ret
            if envelope_id is not None:
                encoded = xtext(envelope_id.strip("<>"))
                parameters += f" ENVID={encoded}" if len(encoded) <= _LONGEST_ENVELOPE_ID else ""
        return MailParameters(parameters)

    def rcpt(self, forward_path: str, *, utf8: bool) -> RcptParameters:
        """The parameters of RCPT: NOTIFY and ORCPT (RFC 3461 §4.1, §4.2).

        Args:
            forward_path: The recipient's address.
            utf8: MAIL says SMTPUTF8.
        """
        if not self._dsn:
            return NO_RCPT_PARAMETERS
        # RFC 6533 §3: an address that is not ASCII is of the type utf-8, which has an encoding of its own.
        if utf8 and not forward_path.isascii():
            original = f"utf-8;{utf8_xtext(forward_path)}"
        else:
            original = f"rfc822;{xtext(forward_path)}"
        return RcptParameters(f"{self._notify} ORCPT={original}")


def xtext(text: str) -> str:
    """Text as the value of a parameter (RFC 3461 §4): what is not plain printable ASCII as ``+`` and two digits."""
    return "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}" for octet in text.encode()
    )


def from_xtext(encoded: str) -> str:
    """What `xtext` has made of a text, or, as servers bring it back, any text: what is no code stays as it is."""
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), encoded)


def utf8_xtext(address: str) -> str:
    """An internationalised address as the value of ORCPT (RFC 6533 §3): what is not plain ASCII by its code point."""
    return "".join(
        character if "!" <= character <= "~" and character not in "+=\\" else f"\\x{{{ord(character):02X}}}"
        for character in address
    )
