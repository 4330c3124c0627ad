"""Callers of a sender that do as they like: send, break off, raise, are cancelled; and what they hear of it."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from batchsend import Outcome, RunError, UnfinishedError, UsageError
from tests.delivery.harness import message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage

    from batchsend import DeliveryResult, Sender


class BrokenProgramError(Exception):
    """What the program that has opened a sender raises while callers are at work."""


class Callers:
    """Callers of one sender that do what a seed makes them do.

    Args:
        seed: Decides what they do.
        keyed: Whether each message has a key, which is its recipient: for a sender with a results log. The program that
            has opened it fails now and then.

    Attributes:
        asked: The recipients of all messages that they gave.
        told: The outcomes of each recipient that were told to whom they belong.
    """

    def __init__(self, seed: int, *, keyed: bool = False) -> None:
        self.asked: set[str] = set()
        self._key: Callable[[EmailMessage], str] | None = (lambda one: str(one["To"])) if keyed else None
        self.told: dict[str, list[Outcome]] = {}
        self._choose = random.Random(seed)

    def unclaimed(self, result: DeliveryResult) -> None:
        """A result that nobody waits for."""
        self._hear("", [result])

    def _hear(self, name: str, results: list[DeliveryResult]) -> None:
        for result in results:
            assert result.recipient is not None
            assert result.recipient.startswith(name), "of somebody else's message"
            self.told.setdefault(result.recipient, []).append(result.status)

    def _messages(self, name: str, count: int) -> Iterator[EmailMessage]:
        for place in range(1, count + 1):
            yield self._message(f"{name}{place}@example.com")
            if self._choose.random() < 0.002:
                raise LookupError(name)

    def _message(self, recipient: str) -> EmailMessage:
        self.asked.add(recipient)
        return message(recipient)

    async def _call(self, name: str, sender: Sender) -> None:
        try:
            match self._choose.randrange(4):
                case 0:
                    self._hear(
                        name, await sender.send_all(self._messages(name, self._choose.randrange(80)), key=self._key)
                    )
                case 1:
                    async with aclosing(sender.send(self._messages(name, 200), key=self._key)) as results:
                        async for result in results:
                            self._hear(name, [result])
                            if self._choose.random() < 0.02:
                                break
                case _:
                    for place in range(self._choose.randrange(20)):
                        one = self._message(f"{name}m{place}@example.com")
                        key = None if self._key is None else self._key(one)
                        self._hear(name, await sender.send_message(one, key=key))
        except UnfinishedError as error:
            self._hear(name, error.results)
        except RunError as error:
            assert "closed before" in error.message  # noqa: PT017
        except (LookupError, UsageError):
            pass  # its own messages failed, or the sender was closed before it called

    async def session(self, number: int, sender: Sender) -> None:
        """Open the sender, let callers use it, cancel some of them and close it, or end it by an error."""
        tasks: list[asyncio.Task[None]] = []
        with suppress(BrokenProgramError):
            async with sender:
                tasks += [asyncio.create_task(self._call(f"s{number}c{index}-", sender)) for index in range(12)]
                for task in self._choose.sample(tasks, 4):
                    for _ in range(self._choose.randrange(30)):
                        await asyncio.sleep(0)
                    task.cancel()
                if self._key is not None and self._choose.random() < 0.4:
                    raise BrokenProgramError
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if outcome is not None and not isinstance(outcome, asyncio.CancelledError):
                raise outcome
