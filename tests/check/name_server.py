"""A DNS server on loopback that answers from a table, as the DNS would."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

Zone = dict[str, list[str]]
"""Records by name and type: ``{"example.com MX": ["10 mail.example.com."]}``."""

SILENT = "silent"
"""In the place of a record: no answer at all."""

BROKEN = "broken"
"""In the place of a record: SERVFAIL."""


class NameServer(asyncio.DatagramProtocol):
    """Answers over UDP; an async context manager that serves while open.

    A name that is not in the table, and has nothing below it there, does not exist (NXDOMAIN).

    Args:
        zone: What it knows; changes of it are seen at once.

    Attributes:
        asked: The questions so far, as ``NAME TYPE``.
    """

    def __init__(self, zone: Mapping[str, list[str]]) -> None:
        self.asked: list[str] = []
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return str(host), int(port)

    @property
    def option(self) -> str:
        """The same as an option's value."""
        return "{}:{}".format(*self.address)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._transport is not None
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        records = self._zone.get(f"{name} {kind}", [])
        if SILENT in records:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if BROKEN in records:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            texts = [_quoted(text) if kind == "TXT" else text for text in records]
            response.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, texts))
        elif not self._exists(name):
            response.set_rcode(dns.rcode.NXDOMAIN)
        assert self._transport is not None
        self._transport.sendto(response.to_wire(), addr)

    def _exists(self, name: str) -> bool:
        names = {key.split()[0] for key in self._zone}
        return any(known == name or known.endswith(f".{name}") for known in names)


def _quoted(text: str) -> str:
    """A TXT record as a zone file has it: in strings of at most 255 octets."""
    escaped = [text[at : at + 255].replace("\\", "\\\\").replace('"', '\\"') for at in range(0, len(text), 255)]
    return " ".join(f'"{part}"' for part in escaped) or '""'
