"""The steps of a scripted dialogue: what a server that follows no rule says, expects and does, one after the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tests.tools.wire import Message, Wire, path

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence


class MismatchError(AssertionError):
    """The client said something else than the script expects."""


def _path_or_all(command: bytes) -> bytes:
    try:
        return path(command)
    except ValueError:
        return command


@dataclass(slots=True)
class Dialogue:
    """What the steps of one connection share.

    Attributes:
        wire: The connection.
        released: Set by the server's ``release()``; ends every :class:`Silence`.
        reverse_path: Of the transaction under way.
        recipients: Of the transaction under way.
        chunks: The BDAT octets of the transaction under way.
    """

    wire: Wire
    released: asyncio.Event
    reverse_path: bytes = b""
    recipients: list[bytes] = field(default_factory=list)
    chunks: bytearray = field(default_factory=bytearray)

    def note(self, command: bytes) -> None:
        """Follow the envelope through a command (RFC 5321 §4.1.1)."""
        verb = command[:5].upper()
        if verb == b"MAIL ":
            self._begin(_path_or_all(command))
        elif verb == b"RCPT ":
            self.recipients.append(_path_or_all(command))
        elif verb[:4] in {b"RSET", b"EHLO", b"HELO"}:
            self._begin(b"")

    def finish(self, content: bytes) -> None:
        """Record a message whose content arrived whole."""
        self.wire.connection.messages.append(Message(self.reverse_path, tuple(self.recipients), content))
        self._begin(b"")

    def _begin(self, reverse_path: bytes) -> None:
        self.reverse_path = reverse_path
        self.recipients.clear()
        self.chunks.clear()


class Step(Protocol):
    """One step of a script."""

    async def play(self, dialogue: Dialogue) -> None:
        """Do it; a client that goes away meanwhile ends the script with PeerClosedError."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send these octets as they are, in pieces of ``segment`` octets where given."""

    octets: bytes
    segment: int | None = None

    async def play(self, dialogue: Dialogue) -> None:
        await dialogue.wire.send(self.octets, segment=self.segment)


def reply(*lines: str, segment: int | None = None) -> Send:
    """Return the step that sends these lines, each ended by CRLF; the hyphens of a long reply are the caller's."""
    return Send("".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape"), segment)


@dataclass(frozen=True, slots=True)
class Expect:
    """Read a command line that begins with ``prefix``, whatever its case; ``""`` takes any line."""

    prefix: str

    async def play(self, dialogue: Dialogue) -> None:
        command = await dialogue.wire.read_command()
        if not command.upper().startswith(self.prefix.upper().encode()):
            message = f"expected {self.prefix!r}, received {command!r}"
            raise MismatchError(message)
        dialogue.note(command)


@dataclass(frozen=True, slots=True)
class ReadContent:
    """Read the content that follows a 354, up to the lone dot."""

    async def play(self, dialogue: Dialogue) -> None:
        dialogue.finish(await dialogue.wire.read_content())


@dataclass(frozen=True, slots=True)
class ReadOctets:
    """Read the octets of a BDAT chunk: ``count``, or as many as the command before announced (RFC 3030 §2)."""

    count: int | None = None

    async def play(self, dialogue: Dialogue) -> None:
        words = dialogue.wire.connection.commands[-1].upper().split()
        count = int(words[1]) if self.count is None else self.count
        dialogue.chunks += await dialogue.wire.read_octets(count)
        if words[-1] == b"LAST":
            dialogue.finish(bytes(dialogue.chunks))


@dataclass(frozen=True, slots=True)
class ReadToEnd:
    """Read and record everything until the client closes or resets the connection."""

    async def play(self, dialogue: Dialogue) -> None:
        await dialogue.wire.read_to_end()


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection: FIN, and RST to whatever the client still sends."""

    async def play(self, dialogue: Dialogue) -> None:
        await dialogue.wire.close()


@dataclass(frozen=True, slots=True)
class HalfClose:
    """Send FIN and go on reading."""

    async def play(self, dialogue: Dialogue) -> None:
        dialogue.wire.half_close()


@dataclass(frozen=True, slots=True)
class CutOff:
    """Send FIN beneath TLS, without a close_notify, and go on reading."""

    async def play(self, dialogue: Dialogue) -> None:
        dialogue.wire.cut_off()


@dataclass(frozen=True, slots=True)
class Reset:
    """Send RST; what was sent before and has arrived can still be read by the client."""

    async def play(self, dialogue: Dialogue) -> None:
        dialogue.wire.reset()


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing, but go on reading from the socket, until the server is released or the test ends."""

    async def play(self, dialogue: Dialogue) -> None:
        await dialogue.released.wait()


@dataclass(frozen=True, slots=True)
class StopReading:
    """Read nothing more from the socket; the window closes once the kernel's buffers are full."""

    async def play(self, dialogue: Dialogue) -> None:
        dialogue.wire.stop_reading()


@dataclass(frozen=True, slots=True)
class ResumeReading:
    """Undo :class:`StopReading`."""

    async def play(self, dialogue: Dialogue) -> None:
        dialogue.wire.resume_reading()


@dataclass(frozen=True, slots=True)
class Await:
    """Go on once the test sets this event."""

    event: asyncio.Event

    async def play(self, dialogue: Dialogue) -> None:
        await self.event.wait()


@dataclass(frozen=True, slots=True)
class Signal:
    """Tell the test that the dialogue has come this far."""

    event: asyncio.Event

    async def play(self, dialogue: Dialogue) -> None:
        self.event.set()


@dataclass(frozen=True, slots=True)
class StartTls:
    """Take the server's part in a TLS handshake, after the 220 to STARTTLS has been sent (RFC 3207)."""

    context: ssl.SSLContext

    async def play(self, dialogue: Dialogue) -> None:
        await dialogue.wire.start_tls(self.context)


@dataclass(frozen=True, slots=True)
class Repeat:
    """Play these steps ``times`` times over, or for ever: until the client goes away or the test ends."""

    steps: Sequence[Step]
    times: int | None = None

    async def play(self, dialogue: Dialogue) -> None:
        played = 0
        while self.times is None or played < self.times:
            for step in self.steps:
                await step.play(dialogue)
            played += 1
            # Steps that never wait, such as sending to a client that reads all, must leave the loop to others.
            await asyncio.sleep(0)
