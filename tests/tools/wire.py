"""One SMTP connection as a test's server sees it: read strictly, written in any segmentation, every octet recorded."""

from __future__ import annotations

import asyncio
import math
import os
import re
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

# RFC 5321 §4.1.1.2 and §4.1.1.3; a quoted local part may hold ">".
_PATH = re.compile(rb'(?:MAIL FROM|RCPT TO):<((?:"(?:[^"\\]|\\.)*"|[^>"])*)>(?: .*)?', re.IGNORECASE | re.DOTALL)


class PeerClosedError(Exception):
    """The client closed or reset the connection while something was expected of it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message whose content arrived whole, accepted or not.

    Attributes:
        reverse_path: What stood between the angle brackets of MAIL FROM, or the whole command where it has no path.
        recipients: The same of each RCPT TO, in order, refused ones included.
        content: The content with the dot-stuffing taken out, or the octets of all its BDAT chunks.
    """

    reverse_path: bytes
    recipients: tuple[bytes, ...]
    content: bytes


@dataclass(slots=True)
class Connection:
    """The record of one connection, exact to the octet.

    Attributes:
        number: Its place in the order of connecting, from 1.
        received: Every octet read from the client; after STARTTLS the decrypted ones.
        sent: Every octet handed to the transport.
        commands: Every line read as a command, without its CRLF.
        messages: Every message whose content arrived whole.
        end: How the client ended it: ``"eof"``, ``"reset"``, or None where the server did.
        completed: Whether the server came to the end of what it had to say.
    """

    number: int
    received: bytearray = field(default_factory=bytearray)
    sent: bytearray = field(default_factory=bytearray)
    commands: list[bytes] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    end: str | None = None
    completed: bool = False


def path(command: bytes) -> bytes:
    """Return what stands between the angle brackets of a MAIL or RCPT command.

    Raises:
        ValueError: The command is not MAIL FROM or RCPT TO with a path and, after a space, parameters.
    """
    match = _PATH.fullmatch(command)
    if match is None:
        raise ValueError(f"not a MAIL or RCPT command with a path: {command!r}")
    return match[1]


class Wire:
    """Reads and writes one accepted connection.

    Lines end in CRLF and in nothing else (RFC 5321 §2.3.8): a bare LF or CR is part of its line.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection) -> None:
        self.connection = connection
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._deaf_until = -math.inf
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock

    async def _fill(self) -> None:
        try:
            octets = await self._reader.read(1 << 16)
        except OSError as error:
            self.connection.end = "reset"
            raise PeerClosedError from error
        if not octets:
            self.connection.end = "eof"
            raise PeerClosedError
        self.connection.received += octets
        if asyncio.get_running_loop().time() >= self._deaf_until:
            self._buffer += octets

    async def read_line(self) -> bytes:
        """Return the next line without its CRLF.

        Raises:
            PeerClosedError: The client went away first.
        """
        start = 0
        while (end := self._buffer.find(b"\r\n", start)) < 0:
            start = max(0, len(self._buffer) - 1)
            await self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    async def read_command(self) -> bytes:
        """Return the next line, noted among the connection's commands.

        Raises:
            PeerClosedError: The client went away first.
        """
        line = await self.read_line()
        self.connection.commands.append(line)
        return line

    async def read_content(self) -> bytes:
        """Return the content up to the lone dot, dot-unstuffed (RFC 5321 §4.5.2).

        Raises:
            PeerClosedError: The client went away first.
        """
        content = bytearray()
        while (line := await self.read_line()) != b".":
            content += line.removeprefix(b".") + b"\r\n"
        return bytes(content)

    async def read_octets(self, count: int) -> bytes:
        """Return the next ``count`` octets: a BDAT chunk (RFC 3030 §2).

        Raises:
            PeerClosedError: The client went away first.
        """
        while len(self._buffer) < count:
            await self._fill()
        octets = bytes(self._buffer[:count])
        del self._buffer[:count]
        return octets

    @property
    def has_more(self) -> bool:
        """Something has come that was not taken yet: what the client sent together with the last line, or early."""
        return bool(self._buffer)

    def forget(self, seconds: float) -> None:
        """Throw away what has come and was not taken, and what comes in some seconds from now."""
        self._buffer.clear()
        self._deaf_until = asyncio.get_running_loop().time() + seconds

    async def read_to_end(self) -> None:
        """Read and record until the client closes or resets the connection."""
        try:
            while True:
                await self._fill()
        except PeerClosedError:
            return

    async def send(self, octets: bytes, *, segment: int | None = None) -> None:
        """Write, in pieces of ``segment`` octets where given.

        The loop turns twice after each piece, so that a client on the same loop reads each by itself.

        Raises:
            PeerClosedError: The client reset the connection.
        """
        size = segment or max(1, len(octets))
        try:
            for start in range(0, len(octets), size):
                piece = octets[start : start + size]
                self.connection.sent += piece
                self._writer.write(piece)
                await self._writer.drain()
                if segment is not None:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
        except OSError as error:
            self.connection.end = "reset"
            raise PeerClosedError from error

    def stop_reading(self) -> None:
        """Read nothing more from the socket: once its buffers are full the client sees a zero window."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # typeshed calls it a WriteTransport

    def resume_reading(self) -> None:
        """Undo :meth:`stop_reading`."""
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]  # typeshed calls it a WriteTransport

    def half_close(self) -> None:
        """Send FIN and go on reading."""
        self._writer.write_eof()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Take the server's part in a TLS handshake; what arrived in plaintext before it is thrown away (RFC 3207 §6).

        Raises:
            PeerClosedError: The handshake failed.
        """
        self._buffer.clear()
        try:
            await self._writer.start_tls(context)
        except OSError as error:
            self.connection.end = "reset"
            raise PeerClosedError from error

    async def close(self) -> None:
        """Flush and close: FIN, and RST to whatever the client sends later. Closing twice is no error."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return  # The client reset it first: closed all the same.

    def reset(self) -> None:
        """Abort with RST, unsent octets thrown away."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def cut_off(self) -> None:
        """Send FIN beneath TLS, without the close_notify that should come before it (RFC 8446 §6.1)."""
        with socket.socket(fileno=os.dup(self._socket.fileno())) as tcp:
            tcp.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Close without flushing."""
        self._writer.transport.abort()
