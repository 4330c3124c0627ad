"""Threads that do as they like with one sender: each outcome is told once, to whom it belongs, and nobody hangs."""

from __future__ import annotations

import random
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import Delivery, Outcome, RunError, SyncSender, UnfinishedError, UsageError
from tests.delivery.harness import GUARD, message
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend import DeliveryResult


class Threads:
    """Threads that use one sender as a seed says.

    Args:
        seed: Decides what they do.

    Attributes:
        told: How often each recipient's outcome was told to whom it belongs.
        failures: What no thread should have met.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._refused = random.Random(seed)
        self.told: Counter[str] = Counter()
        self.failures: list[BaseException] = []
        self.sender: SyncSender

    def unclaimed(self, result: DeliveryResult) -> None:
        """A result that nobody waits for; whoever hears it tries what it cannot do."""
        self._hear("", [result])
        if threading.current_thread().name == "batchsend" and self._refused.random() < 0.05:
            for refused in (self.sender.close, lambda: self.sender.send_message(message("never@example.com"))):
                try:
                    refused()
                except UsageError as error:
                    if "own thread" not in error.message:
                        self.failures.append(error)
                else:
                    self.failures.append(AssertionError("its own thread was not refused"))

    def _hear(self, name: str, results: list[DeliveryResult]) -> None:
        with self._lock:
            for result in results:
                recipient = str(result.recipient)
                if not recipient.startswith(name) or result.status is not Outcome.ACCEPTED:
                    self.failures.append(AssertionError(f"{name} has heard {result}"))
                self.told[recipient] += 1

    def _messages(self, name: str, count: int, choose: random.Random) -> Iterator[Any]:
        """Messages, among which there may be what is none, an error, or the close of the sender."""
        for place in range(count):
            match choose.randrange(400):
                case 0:
                    yield None
                case 1:
                    raise LookupError(name)
                case 2:
                    self.sender.close()
                case 3:
                    self._hear(name, self.sender.send_message(message(f"{name}nested{place}@example.com")))
                case _:
                    yield message(f"{name}{place}@example.com")

    def _call(self, name: str, choose: random.Random) -> None:
        try:
            match choose.randrange(6):
                case 0:
                    self._hear(name, self.sender.send_all(self._messages(name, choose.randrange(60), choose)))
                case 1 | 2:
                    for result in self.sender.send(self._messages(name, 150, choose)):
                        self._hear(name, [result])
                        if choose.random() < 0.01:
                            break
                case 3 if choose.random() < 0.2:
                    self.sender.close()
                case 4:
                    statistics = self.sender.statistics
                    assert statistics is None or statistics.backlog >= 0
                case _:
                    for place in range(choose.randrange(10)):
                        self._hear(name, self.sender.send_message(message(f"{name}m{place}@example.com")))
        except UnfinishedError as error:
            self._hear(name, error.results)
        except (RunError, UsageError, LookupError, TypeError):
            pass  # the sender was closed meanwhile, or its own messages failed or were none

    def use(self, sender: SyncSender, at_least: int) -> None:
        """Have threads use a sender, which is opened again as often as it is closed.

        Args:
            sender: What they use, three times over.
            at_least: How many outcomes are to be told. How many messages come before a close depends on when the
                threads get their turns, so that further threads follow, some hundred at most, until it is reached.
        """
        self.sender = sender

        def work(session: int, number: int) -> None:
            choose = random.Random(f"{self._seed} {session} {number}")
            try:
                for turn in range(12):
                    self._call(f"t{number}s{session}u{turn}-", choose)
            except BaseException as error:
                self.failures.append(error)

        for session in range(20):
            if session >= 3 and self.told.total() >= at_least:
                break
            with sender:
                threads = [threading.Thread(target=work, args=(session, number), daemon=True) for number in range(6)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    while thread.is_alive():
                        thread.join(0.01 * GUARD)
                        with suppress(UsageError):
                            sender.open()  # whatever thread has closed it


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.slow) for seed in range(4)])
def test_threads_that_close_raise_and_break_off_lose_nothing_and_mix_nothing_up(seed: int) -> None:
    """Every message that the server took was told once, to its own thread or to `unclaimed`; and no other one was."""
    threads = Threads(seed)
    with SinkThread() as sink:
        delivery = Delivery(max_connections=3, max_messages=15)
        threads.use(SyncSender(sink.server, delivery=delivery, unclaimed=threads.unclaimed), at_least=300)
    assert threads.failures == []
    assert threads.told == Counter(received.recipients[0] for received in sink.received)
    assert set(threads.told.values()) == {1}
    assert len(sink.received) >= 300
