"""A well-behaved pipelining server that a test makes misbehave: each reply is the test's to decide."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchsend.outcome import Stage
from tests.tools.listener import Listener
from tests.tools.wire import path

if TYPE_CHECKING:
    import ssl

    from tests.tools.wire import Wire


class Then(enum.Enum):
    """What the server does once the reply is sent."""

    GO_ON = enum.auto()
    CLOSE = enum.auto()
    HALF_CLOSE = enum.auto()
    RESET = enum.auto()
    SILENCE = enum.auto()


@dataclass(frozen=True, slots=True)
class Action:
    """What the server does at one stage.

    Attributes:
        reply: The octets sent, or None for the reply that a well-behaved server gives, or ``b""`` for nothing.
        then: What follows the reply.
        succeeds: Whether the command takes effect; at the end of the content: whether the server takes the message.
            None where the code of the reply's last line says it: 2yz and 3yz do.
    """

    reply: bytes | None = None
    then: Then = Then.GO_ON
    succeeds: bool | None = None


ACCEPT = Action()
"""The well-behaved reply."""


def refuse(code: int, text: str = "refused") -> Action:
    """Return the action that refuses with this code; after a 421 the server closes (RFC 5321 §3.8)."""
    return Action(f"{code} {text}\r\n".encode(), Then.CLOSE if code == 421 else Then.GO_ON)


def drop(then: Then = Then.CLOSE, *, succeeds: bool = False) -> Action:
    """Return the action that ends the connection, or falls silent, instead of replying.

    Args:
        then: How it ends.
        succeeds: Whether the server has taken the message all the same: the case that RFC 1047 is about.
    """
    return Action(b"", then, succeeds)


def say(reply: bytes, *, then: Then = Then.GO_ON, succeeds: bool | None = None) -> Action:
    """Return the action that sends these octets, however wrong: extra replies, mixed codes, no code at all."""
    return Action(reply, then, succeeds)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that the server has taken responsibility for, whether or not it could say so.

    Attributes:
        connection: The connection's number, from 1.
        transaction: The transaction's number within the connection, from 1.
        reverse_path: The sender.
        recipients: The recipients that were not refused.
        content: The content, dot-unstuffed, or the octets of its BDAT chunks.
    """

    connection: int
    transaction: int
    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes


Decide = Callable[[int, int, Stage, str | None], Action]
"""A test's decision for one stage, called with

- the connection's number, from 1;
- the transaction's: how many MAIL commands this connection has seen, 0 before the first;
- the stage: GREETING, EHLO, AUTH (with an initial response: nothing more is asked), MAIL, RCPT, DATA (the reply to the
  DATA command) or CONTENT (to the final dot or to the last BDAT chunk);
- at RCPT the forward-path, at DATA and CONTENT the first recipient that was not refused, otherwise None.
"""

_WELL_BEHAVED = {
    Stage.GREETING: b"220 faulty.example.org ESMTP\r\n",
    Stage.AUTH: b"235 2.7.0 Authentication successful\r\n",
    Stage.MAIL: b"250 2.1.0 Ok\r\n",
    Stage.RCPT: b"250 2.1.5 Ok\r\n",
    Stage.DATA: b"354 End data with <CR><LF>.<CR><LF>\r\n",
    Stage.CONTENT: b"250 2.0.0 Ok\r\n",
}


class _EndError(Exception):
    """The connection is at its end by the server's decision."""


class _Session:
    """One connection: reads a command, replies, and keeps the state of RFC 5321 §4.1.4."""

    def __init__(self, server: FaultyServer, wire: Wire) -> None:
        self._server = server
        self._wire = wire
        self._transaction = 0
        self._reset()

    def _reset(self) -> None:
        self._reverse_path: str | None = None
        self._recipients: list[str] = []
        self._chunks = bytearray()

    async def play(self) -> None:
        try:
            await self._act(Stage.GREETING)
            while True:
                await self._command(await self._wire.read_command())
        except _EndError:
            return

    async def _command(self, command: bytes) -> None:
        try:
            await self._obey(command)
        except ValueError:
            await self._send(b"501 5.5.4 Syntax error in parameters\r\n")

    async def _obey(self, command: bytes) -> None:
        verb = command.split(b" ", 1)[0].upper()
        match verb:
            case b"EHLO" | b"HELO":
                self._reset()
                await self._act(Stage.EHLO)
            case b"AUTH":
                await self._act(Stage.AUTH)
            case b"MAIL":
                await self._mail(command)
            case b"RCPT":
                await self._rcpt(command)
            case b"DATA":
                await self._data()
            case b"BDAT" if self._server.chunking and self._server.knows_bdat:
                await self._bdat(command)
            case b"RSET":
                self._reset()
                await self._send(b"250 2.0.0 Ok\r\n")
            case b"NOOP":
                await self._send(b"250 2.0.0 Ok\r\n")
            case b"QUIT":
                await self._server.quitting(self._wire.connection.number)
                await self._send(b"221 2.0.0 Bye\r\n")
                raise _EndError
            case _:
                await self._send(b"500 5.5.2 Command unrecognised\r\n")

    async def _mail(self, command: bytes) -> None:
        self._transaction += 1
        if self._reverse_path is not None:
            await self._send(b"503 5.5.1 Nested MAIL\r\n")
            return
        reverse_path = path(command).decode()
        if await self._act(Stage.MAIL):
            self._reverse_path = reverse_path

    async def _rcpt(self, command: bytes) -> None:
        if self._reverse_path is None:
            await self._send(b"503 5.5.1 MAIL first\r\n")
            return
        recipient = path(command).decode()
        if await self._act(Stage.RCPT, recipient):
            self._recipients.append(recipient)

    async def _data(self) -> None:
        if not self._recipients:
            if not self._server.anyway:
                await self._send(b"503 5.5.1 RCPT first\r\n")
                return
            await self._send(_WELL_BEHAVED[Stage.DATA])
            self._server.for_nobody.append(await self._wire.read_content())
            await self._send(_WELL_BEHAVED[Stage.CONTENT])
            self._reset()
            return
        if await self._act(Stage.DATA, self._recipients[0]):
            await self._finish(await self._wire.read_content())

    async def _bdat(self, command: bytes) -> None:
        words = command.upper().split()
        if len(words) < 2:
            raise ValueError(command)
        chunk = await self._wire.read_octets(int(words[1]))
        last = words[2:] == [b"LAST"]
        if not self._recipients:
            # The octets are read all the same (RFC 3030 §2): they are in the pipeline, whatever became of RCPT.
            await self._send(_WELL_BEHAVED[Stage.CONTENT] if self._server.anyway else b"503 5.5.1 RCPT first\r\n")
            if last:
                self._reset()
            return
        self._chunks += chunk
        if last:
            await self._finish(bytes(self._chunks))
        else:
            await self._send(b"250 2.0.0 Ok\r\n")

    async def _finish(self, content: bytes) -> None:
        """Take the message or not: the record is written before the reply is, as a server must (RFC 5321 §6.1)."""
        action = self._decide(Stage.CONTENT, self._recipients[0])
        reverse_path, recipients = self._reverse_path or "", tuple(self._recipients)
        self._reset()
        if self._succeeds(action, Stage.CONTENT):
            self._server.accepted.append(
                Accepted(self._wire.connection.number, self._transaction, reverse_path, recipients, content)
            )
        await self._carry_out(action, Stage.CONTENT)

    async def _act(self, stage: Stage, recipient: str | None = None) -> bool:
        action = self._decide(stage, recipient)
        await self._carry_out(action, stage)
        return self._succeeds(action, stage)

    def _decide(self, stage: Stage, recipient: str | None) -> Action:
        return self._server.decide(self._wire.connection.number, self._transaction, stage, recipient)

    def _well_behaved(self, stage: Stage) -> bytes:
        return self._server.ehlo_reply if stage is Stage.EHLO else _WELL_BEHAVED[stage]

    def _succeeds(self, action: Action, stage: Stage) -> bool:
        if action.succeeds is not None:
            return action.succeeds
        reply = self._well_behaved(stage) if action.reply is None else action.reply
        last = reply.removesuffix(b"\r\n").rpartition(b"\r\n")[2]
        return last[:1] in {b"2", b"3"}

    async def _carry_out(self, action: Action, stage: Stage) -> None:
        await self._send(self._well_behaved(stage) if action.reply is None else action.reply)
        match action.then:
            case Then.GO_ON:
                return
            case Then.CLOSE:
                await self._wire.close()
            case Then.RESET:
                self._wire.reset()
            case Then.HALF_CLOSE:
                self._wire.half_close()
                await self._wire.read_to_end()
            case Then.SILENCE:
                await self._wire.read_to_end()
        raise _EndError

    async def _send(self, reply: bytes) -> None:
        await self._wire.send(reply, segment=self._server.segment)


class FaultyServer(Listener):
    """Serves SMTP well, except where ``decide`` says otherwise, and records what it has accepted.

    A command out of place is refused without asking ``decide``: RCPT before MAIL, DATA or BDAT without a recipient.

    Args:
        decide: Asked once for each reply that matters.
        pipelining: Whether EHLO offers PIPELINING (RFC 2920).
        chunking: Whether EHLO offers CHUNKING (RFC 3030) and BDAT works.
        knows_bdat: False for a server that offers CHUNKING and does not know BDAT: it takes the octets for commands.
        anyway: Whether DATA and BDAT are answered as if somebody would receive the message, although every RCPT was
            refused (RFC 2920 §3.1 allows for the 354); what follows is thrown away.
        extensions: Further lines for EHLO's reply, such as ``"8BITMIME"``.
        segment: Replies are written in pieces of so many octets; None: whole.
        tls: The context of implicit TLS, or None for plaintext.

    Attributes:
        accepted: Every message that the server has taken, in order: the oracle.
        for_nobody: What it was sent after a 354 without any recipient: nothing but the lone dot should be.
    """

    def __init__(
        self,
        decide: Decide,
        *,
        pipelining: bool = True,
        chunking: bool = True,
        knows_bdat: bool = True,
        anyway: bool = False,
        extensions: tuple[str, ...] = ("8BITMIME", "SMTPUTF8"),
        segment: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls=tls)
        self.decide = decide
        self.chunking = chunking
        self.knows_bdat = knows_bdat
        self.anyway = anyway
        self.for_nobody: list[bytes] = []
        self.segment = segment
        self.accepted: list[Accepted] = []
        offered = ["PIPELINING"] * pipelining + ["CHUNKING"] * chunking + [*extensions, "ENHANCEDSTATUSCODES"]
        lines = ["250-faulty.example.org", *(f"250-{keyword}" for keyword in offered[:-1]), f"250 {offered[-1]}"]
        self.ehlo_reply = "".join(f"{line}\r\n" for line in lines).encode()

    async def quitting(self, connection: int) -> None:
        """QUIT has come in a connection of this number; the reply to it goes out afterwards."""

    async def play(self, wire: Wire) -> None:
        """Serve one connection."""
        await _Session(self, wire).play()
