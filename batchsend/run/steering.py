"""The hand on the wheel: what can be changed in a run while it goes on, by whichever way, each change in its log.

Two things hold a run back as a whole: somebody has paused it, or its hours are over (`batchsend.run.hours`). It goes on
when neither does. What is said before there is a pool holds from its beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchsend.campaign import Rate
from batchsend.delivery.signal import Signal
from batchsend.errors import RunError
from batchsend.figures import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchsend.campaign import Delivery
    from batchsend.delivery.pool import Pool
    from batchsend.results.ledger import Ledger
    from batchsend.results.run import Change


class Steering:
    """What somebody may change while a run goes on. Only in the thread of its loop.

    Every method returns what it has come to, one line, and raises `RunError` where the log cannot be written: the run
    then stops.

    Args:
        delivery: How the campaign says that it is sent.
        stop: Ends the run in order, with a reason.

    Attributes:
        paused: Somebody has paused it.
        closed_until: When its hours begin again, in seconds since the epoch; None while they last.
        rate: The most messages in a time, of the whole campaign; None for as many as the relays take.
        connections: Sessions at once.
        changed: Notified when something was changed.
    """

    def __init__(self, delivery: Delivery, stop: Callable[[str], None]) -> None:
        self.paused = False
        self.closed_until: float | None = None
        self._closed = ""
        self.rate: Rate | None = delivery.rate
        self.connections = delivery.max_connections
        self.changed = Signal()
        self._stop = stop
        self._pool: Pool | None = None
        self._ledger: Ledger | None = None
        self._early: list[tuple[dict[str, Change], str]] = []

    def attach(self, pool: Pool, ledger: Ledger) -> None:
        """Take the wheel of a pool that sends nothing yet.

        Raises:
            RunError: What was said before cannot be written to the log.
        """
        self._pool, self._ledger = pool, ledger
        for change, by in self._early:
            ledger.change(change, by)
            if "rate" in change:
                pool.set_rate(None if self.rate is None else self.rate.per_second)
            if "max_connections" in change:
                pool.set_connections(self.connections)
        self._early.clear()
        self._settle()

    def take_over(self, changes: Mapping[str, Change], by: str) -> None:
        """What was changed in the run that this one goes on with holds here, too."""
        rate, connections = changes.get("rate"), changes.get("max_connections")
        if "rate" in changes:
            self.set_rate(Rate.parse(rate) if isinstance(rate, str) else None, by)
        if isinstance(connections, int):
            self.set_connections(connections, by)
        if changes.get("paused") is True:
            self.pause(by)

    def pause(self, by: str) -> str:
        """Begin nothing more: what was begun is finished, and the sessions end in order."""
        if self.paused:
            return "it is paused already"
        self.paused = True
        self._settle()
        self._write({"paused": True}, by)
        return "nothing new is begun, and what was begun is finished"

    def go_on(self, by: str) -> str:
        """Go on after `pause`."""
        if not self.paused:
            return "it is not paused"
        self.paused = False
        self._write({"paused": False}, by)
        self._settle()
        return "it goes on"

    def set_rate(self, rate: Rate | None, by: str) -> str:
        """Send no faster than this from now on; None for as fast as the relays take it."""
        self.rate = rate
        if self._pool is not None:
            self._pool.set_rate(None if rate is None else rate.per_second)
        self._write({"rate": None if rate is None else str(rate)}, by)
        return "as fast as the relays take it" if rate is None else f"{rate} at most"

    def set_connections(self, connections: int, by: str) -> str:
        """Have so many sessions at once from now on, where the relays allow as many."""
        self.connections = connections
        if self._pool is not None:
            self._pool.set_connections(connections)
        self._write({"max_connections": connections}, by)
        return f"{count(connections, 'session')} at most"

    def stop(self, by: str) -> str:
        """End in order: nothing new is begun, replies are awaited, and it can be resumed."""
        self._stop(f"stopped by {by}")
        self.changed.notify()
        return "nothing new is sent, replies are awaited"

    def close_until(self, moment: float | None, said: str = "") -> None:
        """Its hours are over until then, which is said like this; None where they last."""
        self.closed_until = moment
        self._closed = said
        self._settle()

    @property
    def why_held(self) -> str | None:
        """Why nothing is begun at present, on one line; None where the run goes on."""
        if self.paused:
            return "paused: nothing new is begun"
        return self._closed if self.closed_until is not None else None

    @property
    def held(self) -> bool:
        """Nothing is begun at present."""
        return self.paused or self.closed_until is not None

    def _settle(self) -> None:
        if self._pool is not None and self.held != self._pool.paused:
            if self.held:
                self._pool.pause()
            else:
                self._pool.resume()
        self.changed.notify()

    def _write(self, change: dict[str, Change], by: str) -> None:
        self.changed.notify()
        if self._ledger is None or self._pool is None:
            self._early.append((change, by))
            return
        try:
            self._ledger.change(change, by)
        except RunError as error:
            self._pool.stop(error)
            raise
