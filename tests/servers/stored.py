"""A message as a server has stored it, and what is left when the server's own additions are taken off."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What a server may add at the top when it takes or delivers a message: RFC 5321 §4.4 (trace information).
_TRACE = re.compile(rb"(?:(?:Received|Return-Path):[^\n]*\n(?:[ \t][^\n]*\n)*)*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stored:
    """One message for one recipient.

    Attributes:
        recipient: The forward-path at delivery.
        sender: The reverse-path at delivery.
        content: The content with CRLF line ends, the server's trace fields at its top.
    """

    recipient: str
    sender: str
    content: bytes

    @property
    def submitted(self) -> bytes:
        """The content as the client sent it: without the trace fields that stand before everything else.

        The servers' configurations see to it that nothing else is touched. What SMTP does not carry is not restored: a
        content that did not end in CRLF has it now (RFC 5321 §4.1.1.4).
        """
        match = _TRACE.match(self.content)
        return self.content[match.end() :] if match else self.content
