"""Brings a client and the model server together: in random turns, in random segments, one session long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from batchsend.smtp import commands
from batchsend.smtp.client import State
from batchsend.smtp.transaction import Transaction

if TYPE_CHECKING:
    from random import Random

    from batchsend.smtp.client import Client
    from tests.smtp.model_server import ModelServer

Tamper: TypeAlias = Callable[[bytes], bytes]


def envelope(record: int) -> tuple[bytes, bytes, bytes]:
    """Return a record's reverse-path, forward-path and content: no two records have one of them in common."""
    content = b"Record: %d\r\n\r\n.\r\n..%d\r\nMAIL FROM:<%d@example.org>\r\n" % (record, record, record)
    return b"%d@example.org" % record, b"%d@example.com" % record, content


@dataclass
class Drive:
    """One session, and what the client said of it.

    Attributes:
        begun: The transactions that were begun, in order.
        received: Those that `receive` handed back, in order.
        abandoned: Those that `abandon` handed back, in order.
        stalled: The client awaited a reply, and the server a command.
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

    def run(self, records: list[int], tamper: Tamper) -> None:
        """Send the records as far as the session carries them.

        Args:
            records: Their numbers.
            tamper: What is done to each reply on its way.
        """
        waiting = deque(records)
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
            elif not (self.client.room and waiting) and not self._finish(waiting):
                self.stalled = True
                break
        self.abandoned = self.client.abandon()
        # What was written is on its way, whatever the client does now.
        while self.server.ready:
            self.server.step()

    def _begin(self, waiting: deque[int]) -> None:
        while waiting and self.client.room and self.random.random() < 0.8:
            record = waiting.popleft()
            reverse_path, forward_path, content = envelope(record)
            transaction = Transaction(
                record,
                mail=commands.mail(reverse_path.decode()),
                rcpt=commands.rcpt(forward_path.decode()),
                content=content,
            )
            self.begun.append(transaction)
            self.client.begin(transaction)
        if not waiting and self.random.random() < 0.3:
            self.client.finish()
        if self.random.random() < 0.8:
            self.server.arrive(self.client.data_to_send())

    def _finish(self, waiting: deque[int]) -> bool:
        """Let out what is held back at random; False if there is nothing: nobody will ever say anything again."""
        octets = self.client.data_to_send()
        if octets:
            self.server.arrive(octets)
            return True
        if self.client.state is State.OPEN and self.client.idle and not waiting:
            self.client.finish()
            return True
        return False
