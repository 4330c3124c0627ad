"""Brings a client and the model server together: in random turns, in random segments, one session long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from batchsend.outcome import Stage
from batchsend.smtp import commands
from batchsend.smtp.client_state import State
from batchsend.smtp.replies import Reply
from batchsend.smtp.transaction import Disposition, SharedTransaction, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from batchsend.smtp.client import Client
    from tests.smtp.model_server import ModelServer

Tamper: TypeAlias = Callable[[bytes], bytes]


def envelope(record: int, message: int | None = None) -> tuple[bytes, bytes, bytes]:
    """Return a record's reverse-path, forward-path and content.

    Args:
        record: Its number: no two records have the forward-path in common.
        message: The number of the message, which is its first recipient's; None where it is the only one. No two
            messages have reverse-path or content in common.
    """
    number = record if message is None else message
    content = b"Record: %d\r\n\r\n.\r\n..%d\r\nMAIL FROM:<%d@example.org>\r\n" % (number, number, number)
    return b"%d@example.org" % number, b"%d@example.com" % record, content


class HandedBack(NamedTuple):
    """What became of one record of one transaction.

    Attributes:
        record: Its number.
        message: The message's.
        stage: As of a `Transaction`.
        reply: Likewise.
        disposition: Likewise.
        committed: Likewise, of the transaction.
    """

    record: int
    message: int
    stage: Stage
    reply: Reply | None
    disposition: Disposition
    committed: bool

    @property
    def envelope(self) -> tuple[bytes, bytes, bytes]:
        """Reverse-path, forward-path and content."""
        return envelope(self.record, self.message)


def handed_back(transactions: Iterable[Transaction[int]]) -> list[HandedBack]:
    """What became of each record of some transactions, in their order."""
    found = []
    for one in transactions:
        parts = one.parts() if isinstance(one, SharedTransaction) else [one]
        found += [
            HandedBack(part.key, one.key, part.stage, part.reply, part.disposition, part.committed) for part in parts
        ]
    return found


@dataclass
class Drive:
    """One session, and what the client said of it.

    Attributes:
        begun: The transactions that were begun, in order.
        received: Those that `receive` handed back, in order.
        abandoned: Those that `abandon` handed back, in order.
        stalled: The client awaited a reply, and the server a command, or nothing at all.
    """

    client: Client[int]
    server: ModelServer
    random: Random
    begun: list[Transaction[int]] = field(default_factory=list)
    received: list[Transaction[int]] = field(default_factory=list)
    abandoned: list[Transaction[int]] = field(default_factory=list)
    stalled: bool = False

    @property
    def ended(self) -> list[Transaction[int]]:
        """Everything that was handed back, in order."""
        return self.received + self.abandoned

    def run(self, messages: list[list[int]], tamper: Tamper) -> None:
        """Send the messages as far as the session carries them.

        Args:
            messages: The numbers of each one's records.
            tamper: What is done to each reply on its way.
        """
        waiting = deque(messages)
        inbound = b""
        while self.client.state is not State.CLOSED:
            self._begin(waiting)
            if self.server.ready and (not inbound or self.random.random() < 0.6):
                inbound += tamper(self.server.step())
                if self.server.closed and self.random.random() < 0.3:
                    inbound = inbound[: self.random.randint(0, len(inbound))]  # the rest is lost with the connection
            elif inbound:
                length = self.random.choice([1, len(inbound), self.random.randint(1, len(inbound))])
                self.received += self.client.receive(inbound[:length])
                inbound = inbound[length:]
            elif self.server.closed or (not waiting and self.client.idle and self.client.state is State.QUITTING):
                break
            elif self.server.left or (not (self.client.room and waiting) and not self._finish(waiting)):
                self.stalled = True
                break
        self.client.ended_by_server("the server closed the connection", 0.0)
        self.abandoned = self.client.abandon()
        # What was written is on its way, whatever the client does now.
        while self.server.ready:
            self.server.step()

    def _begin(self, waiting: deque[list[int]]) -> None:
        while waiting and self.client.room and self.random.random() < 0.8:
            transaction = _transaction(waiting.popleft())
            self.begun.append(transaction)
            self.client.begin(transaction)
        if not waiting and self.random.random() < 0.3:
            self.client.finish()
        if self.random.random() < 0.8:
            self.server.arrive(self.client.data_to_send())

    def _finish(self, waiting: deque[list[int]]) -> bool:
        """Let out what is held back at random; False if there is nothing: nobody will ever say anything again."""
        octets = self.client.data_to_send()
        if octets:
            self.server.arrive(octets)
            return True
        if self.client.state is State.OPEN and self.client.idle and not waiting:
            self.client.finish()
            return True
        return False


def _transaction(records: list[int]) -> Transaction[int]:
    reverse_path, _, content = envelope(records[0])
    mail = commands.mail(reverse_path.decode())
    rcpts = [commands.rcpt(envelope(record)[1].decode()) for record in records]
    if len(records) == 1:
        return Transaction(records[0], mail=mail, rcpt=rcpts[0], content=content)
    return SharedTransaction(records, mail=mail, rcpts=rcpts, content=content)
