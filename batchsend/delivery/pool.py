"""The pool: takes submissions in, gives them to the sessions of its relays, and takes what became of them out.

A submission is at exactly one place: in the backlog, in a session, or settled; ``_out`` counts those in sessions. A
session that finds the backlog empty, the rate used up or a better relay at work is parked; whoever changes that pumps
the parked ones first and wakes slots for the rest. The pool is over when nothing more comes, the backlog is empty and
nothing is out, or when it was stopped and nothing is out.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from batchsend.campaign import options_for
from batchsend.delivery import waiting
from batchsend.delivery.backlog import Backlog
from batchsend.delivery.consequences import Consequences
from batchsend.delivery.leave import Leave
from batchsend.delivery.offer import never_offered
from batchsend.delivery.offered_again import MAX_LOSSES, OfferedAgain, of_attempt
from batchsend.delivery.quota import Meters
from batchsend.delivery.relay import CLOSE_AFTER, relays_of
from batchsend.delivery.several_recipients import Together
from batchsend.delivery.signal import Signal
from batchsend.delivery.slots import Slots
from batchsend.delivery.statistics import PoolStatistics, Slowdown
from batchsend.delivery.throttle import Goodput
from batchsend.message.submission import bundle
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.trace import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence

    from batchsend.campaign import Delivery
    from batchsend.delivery.account import Account
    from batchsend.delivery.connector import Connector
    from batchsend.delivery.offer import Offer
    from batchsend.delivery.relay import Relay
    from batchsend.delivery.replies import Judgement
    from batchsend.delivery.session import Session
    from batchsend.errors import RunError
    from batchsend.message.submission import Bundle, Submission

_LONGEST_SLEEP: Final = 600.0

# Looked up once: see `batchsend.outcome`.
_ACCEPTED: Final = Outcome.ACCEPTED
_IN_DOUBT: Final = Outcome.IN_DOUBT
_SENT: Final = (_ACCEPTED, _IN_DOUBT)


class Pool:
    """Sends submissions through at most ``max_connections`` sessions of each relay.

    Args:
        connectors: One for each relay, in the order of the campaign; their servers say what each may take.
        options: How fast, how often and how safely.
        account: Who keeps the account.
        notice: Called with what the user should know and no result says, one line each.
        learned: What `learned` was at the end of an earlier run.
        meters: What counts the messages, where an earlier run has sent some; None for new ones.

    Raises:
        ValueError: There is no relay.
    """

    def __init__(
        self,
        connectors: Sequence[Connector],
        options: Delivery,
        account: Account,
        *,
        notice: Callable[[str], None] = lambda _: None,
        learned: Mapping[str, float] = MappingProxyType({}),
        meters: Meters | None = None,
    ) -> None:
        if not connectors:
            raise ValueError("a pool needs a relay to send to")
        self._account = account
        self._notice = notice = guarded(notice)
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._sessions = 0
        self._several = len(connectors) > 1
        each = [options_for(one.server, options, alone=not self._several) for one in connectors]
        meters = meters or Meters([one.server for one in connectors], tuple(options.quota))
        self._relays = relays_of([one.server for one in connectors], each, learned, meters, now, eased=self._ask_again)
        self._backlog = Backlog(low=max(64, 2 * sum(its.max_connections * its.depth for its in each)))
        self._slots = [self._slots_of(*one) for one in zip(connectors, self._relays, each, strict=True)]
        self._leave = Leave(
            self._relays,
            options,
            now=now,
            meter=meters.campaign,
            pace=self._wait_to_send,
            retire=self.retire_sessions,
            again=self._distribute_soon,
        )
        self._counted = self._leave.counts
        self._asked = False  # to distribute what there is, in the loop's next turn
        self._consequences = Consequences(
            options, self._relays, notice=notice, stop=self.stop, retire=self.retire_sessions
        )
        self._replies: dict[int, int] = {250: 0}
        self._wake_ups: dict[Relay, asyncio.TimerHandle] = {}  # of relays that a rate or a pause holds back
        self._parked: dict[Session, None] = {}  # in the order of parking
        self._out = 0
        self._wanted = self._backlog.wanted  # or the pool has stopped
        self._over = asyncio.Event()
        self._look_again = Signal()  # the pool is over, or goes on after a pause
        self._closed = False
        self._stopping = False
        self._paused = False
        self._error: RunError | None = None
        self._offered_again = OfferedAgain(account, self._backlog, self._under_way, notice)
        self._together: Together | None = None

    def _slots_of(self, connector: Connector, relay: Relay, options: Delivery) -> Slots:
        return Slots(
            connector,
            relay,
            options,
            work=self,
            backlog=self._backlog,
            may_work=self._may_work,
            lost=self._relay_lost,
            gone=self._relay_gone,
            unreached=self._others_take_over,
            ended=self._session_ended,
            notice=self._notice,
            number=self._next_number,
        )

    @property
    def learned(self) -> dict[str, float]:
        """What the relay has shown it allows, by the name of the option; of several ``ses.rate`` is the rate of ses."""
        if not self._several:
            return self._relays[0].learned
        return {f"{relay.name}.{key}": value for relay in self._relays for key, value in relay.learned.items()}

    @property
    def stopping(self) -> bool:
        """Nothing more is begun."""
        return self._stopping

    def statistics(self) -> PoolStatistics:
        """The pool as it is now."""
        now = self._loop.time()
        relay = self._relays[0]
        slowdown = None if self._several else self._consequences.slowdown
        return PoolStatistics(
            sessions=tuple(statistics for slots in self._slots for statistics in slots.sessions()),
            opening=sum(slots.opening for slots in self._slots),
            opened=sum(slots.opened for slots in self._slots),
            connections=sum(one.limits.allowed for one in self._relays),
            in_flight=self._out,
            backlog=len(self._backlog),
            goodput=sum(relay.goodput.rate(now, relay.accepted) for relay in self._relays),
            rate=self._leave.rate if self._several else relay.throttle.rate,
            slowdown=Slowdown(*slowdown, relay.throttle.cuts) if slowdown and relay.throttle.cuts else None,
            replies=self._replies.copy(),
            asleep=self._consequences.asleep(now),
            relays=tuple(self._leave.statistics(slots.relay, len(slots), now) for slots in self._slots),
            quotas=self._leave.quotas(now),
        )

    def run(self) -> Coroutine[Any, Any, None]:
        """Send what is put in until `close`, or until the run is stopped.

        Cancelling it ends every session at once; what was committed and not answered is reported in doubt.

        Raises:
            RunError: The run had to stop early. What was in flight is reported; what was not begun is not.
        """
        return waiting.run([slots.run for slots in self._slots], self._measure, self._look_again, self._over, self._end)

    def _end(self) -> RunError | None:
        for timer in self._wake_ups.values():
            timer.cancel()
        self._stopping = True
        for slots in self._slots:
            slots.abort("the run was stopped")
        self._wanted.notify()
        return self._error

    def room(self) -> Coroutine[Any, Any, bool]:
        """Wait until more submissions are wanted; False where none will be: the pool has stopped."""
        return waiting.answer(self._room, self._wanted)

    def _room(self) -> bool | None:
        if self._stopping:
            return False
        return True if self._backlog.wants_more else None

    def add(self, submissions: Iterable[Submission]) -> None:
        """Take submissions in; `room` says when."""
        if not self._stopping:
            self._backlog.extend(submissions)
            self._distribute()

    def put(self, submissions: Iterable[Submission]) -> Coroutine[Any, Any, bool]:
        """Take submissions in as soon as there is room; False where the pool has stopped and takes none."""
        return waiting.put(self, submissions)

    def forget(self, records: Iterable[int]) -> set[int]:
        """Records are not to be offered any more, because they are somebody else's by now.

        Returns:
            Those that waited here, and are the account's again without a word. Any other one that is here is settled
            when its session has done with it, also where it would have been offered again.
        """
        wanted = set(records)
        waited = {record for record in wanted if self._backlog.withdraw(record) is not None}
        for record in waited:
            self._offered_again.settled(record)
        self._offered_again.forget(record for record in wanted - waited if self._under_way(record) is not None)
        self._look_for_the_end()
        return waited

    def close(self) -> None:
        """Nothing more comes: the pool ends when everything that was put in is settled."""
        self._closed = True
        self._look_for_the_end()

    def stop(self, error: RunError | None = None) -> None:
        """Begin nothing more; what is under way is awaited. `run` then ends, with ``error`` if there is one."""
        if self._error is None:
            self._error = error
        self._stopping = True
        self._backlog.clear()
        self._wanted.notify()
        self._look_for_the_end()

    # --- the hand on the wheel ----------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Nothing is begun until `resume`."""
        return self._paused

    def pause(self) -> None:
        """Begin nothing more until `resume`: what was begun is finished, and the sessions end in order."""
        if not self._paused:
            self._paused = True
            for slots in self._slots:
                slots.pause()

    def resume(self) -> None:
        """Go on after `pause`: sessions are opened again as there is work."""
        if self._paused:
            self._paused = False
            for slots in self._slots:
                slots.resume()
            for relay in self._relays:
                relay.goodput.restart(self._loop.time(), relay.accepted)
            self._look_again.notify()

    def set_rate(self, rate: float | None) -> None:
        """Change the most messages a second, all sessions together; None for as fast as the relays take them.

        What a relay was slowed down to stays until it has recovered from that.
        """
        self._leave.set_rate(rate, self._loop.time())
        for relay in self._relays:
            self._ask_again(relay)

    @property
    def relays(self) -> tuple[Relay, ...]:
        """What is known of each relay, in the order of the connectors."""
        return tuple(self._relays)

    def set_connections(self, connections: int, only: Relay | None = None) -> None:
        """Change how many sessions there may be at once with each relay; those that are too many end in order.

        Args:
            connections: At least 1. What a relay was found to allow still bounds it.
            only: The only relay of which that is said; None for all of them.
        """
        for slots in self._slots:
            if only is None or slots.relay is only:
                slots.set_connections(connections)

    # --- what sessions call (the hot path) ------------------------------------------------------------------------

    def supply(self, session: Session) -> Submission | None:
        """The next submission; None parks the session until there is one."""
        relay = session.relay
        backlog = self._backlog
        if not backlog.queue or (backlog.large and not self._fits()):
            self._parked[session] = None
            return None
        if self._counted:
            if wait := self._leave.take(relay, self._loop.time()):
                self._park_for(session, relay, wait)
                return None
        elif not relay.unlimited and (wait := self._wait_to_send(relay)):
            self._park_for(session, relay, wait)
            return None
        self._out += 1
        submission = backlog.take()
        if self._wanted.waiters and backlog.wants_more:
            self._wanted.notify()
        return submission

    def _fits(self) -> bool:
        """Whether there is room in memory for the next message; the first one always has it."""
        return not self._out or self._backlog.fits(session.octets for slots in self._slots for session in slots.live)

    def _wait_to_send(self, relay: Relay) -> float:
        """Seconds until a relay with a limit may be sent a message; for ever where whoever is at work sees to it."""
        now = self._loop.time()
        if not relay.careful:
            return relay.wait_to_send(now)
        wait = relay.wait_to_send(now, self._under_way_with(relay))
        if wait > CLOSE_AFTER and not relay.can_send(now):
            self._loop.call_soon(self.retire_sessions, relay)
        return wait

    def _under_way_with(self, relay: Relay) -> int:
        return sum(session.under_way for session in self._live(relay)) if self._several else self._out

    def share(self, bundle_: Bundle, most: int, session: Session) -> tuple[Submission, ...]:
        """Of a bundle that was just supplied, those that go in one transaction; the rest waits as before."""
        relay, now = session.relay, self._loop.time()
        relay.shares(most)
        count = min(most, len(bundle_.members))
        if relay.careful:
            under_way = self._under_way_with(relay) - (not self._several)  # the bundle itself is not on its way yet
            count = min(count, relay.foresight.room(relay.accepted, under_way, now))
        if self._counted:
            count = 1 + self._leave.take_more(relay, count - 1, now)
        members, rest = bundle_.members[:count], bundle_.members[count:]
        self._out += count - 1
        relay.throttle.charge(count - 1)
        if rest:
            self._backlog.put_back(bundle(rest))
            self._loop.call_soon(self._distribute)
        return members

    @contextmanager
    def together(self, too_many: Sequence[Offer]) -> Iterator[None]:
        """What is said meanwhile is about the recipients of one transaction.

        What goes back goes back together, and the same reply to several of them counts once beyond their records.

        Args:
            too_many: Those for whom there was no room in the transaction: they go back, whatever was said to them.
        """
        self._together = together = Together(too_many)
        self._out += 1  # it is not over before what goes back is in the backlog
        try:
            yield
        finally:
            self._together = None
            self._out -= 1
            if together.back:
                (self._backlog.leave if self._stopping else self._backlog.put_back)(bundle(together.back))
            if not self._out:
                self._look_for_the_end()

    def _park_for(self, session: Session, relay: Relay, seconds: float) -> None:
        self._parked[session] = None
        if relay not in self._wake_ups and seconds < float("inf"):
            self._wake_ups[relay] = self._loop.call_later(seconds, self._may_send_again, relay)

    def _ask_again(self, relay: Relay) -> None:
        """What held a relay's sessions back has changed: those that are parked need not wait for their timer."""
        if (timer := self._wake_ups.pop(relay, None)) is not None:
            timer.cancel()
        self._distribute_soon()

    def _distribute_soon(self) -> None:
        if not self._asked:
            self._asked = True
            self._loop.call_soon(self._distribute)

    # --- what sessions say of their offers ----------------------------------------------------------------------------

    def commit(self, offer: Offer, session: Session) -> bool:
        """Say that an offer is about to be committed; False holds its session back."""
        return self._account.commit(offer.submission, session.release)

    def settle(self, offer: Offer, result: DeliveryResult, judgement: Judgement | None, session: Session) -> None:
        """Take what became of an offer, and act on what it means beyond its record."""
        self._out -= 1
        if self._several:
            result.server = session.relay.name
        if (code := result.code) is not None:
            # A `Counter` is no dictionary to the compiler, and takes four times as long.
            self._replies[code] = self._replies.get(code, 0) + 1
        if result.status is _ACCEPTED:
            self._accepted(session)
        elif judgement is not None and self._refused(offer, result, judgement, session):
            return
        if self._counted:
            self._leave.answered(session.relay, self._loop.time(), counts=result.status in _SENT)
        # The record has its outcome: what was kept of it is forgotten, and it goes back to the account.
        submission, again = offer.submission, self._offered_again
        if offer.doubt is not None:
            result = again.with_doubt(result, offer.doubt, submission.attempt)
        if again.used:
            again.settled(submission.record)
        self._account.settle(submission, result)
        if self._backlog.large:
            self._distribute_soon()  # there may be room for more
        if not self._out:
            self._look_for_the_end()

    def _accepted(self, session: Session) -> None:
        session.took += 1
        if session.relay.took():
            self._distribute_soon()
        if self._consequences.refusals:
            self._consequences.accepted()

    def put_back(self, offer: Offer, session: Session) -> None:
        """Queue again what a session did not get to commit."""
        self._out -= 1
        if self._counted:
            self._leave.answered(session.relay, self._loop.time(), back=True)
        submission, again = offer.submission, self._offered_again
        self._account.withdraw(submission)
        if offer.doubt is not None:
            self._account.settle(submission, of_attempt(offer.doubt, submission.attempt))
        elif submission.record in again.forgotten:
            again.forgotten.discard(submission.record)
            reason = "its session ended before it was sent, and it is somebody else's by now"
            self._account.settle(submission, never_offered(submission, reason, session.number))
        else:
            losses = again.lost(submission.record, by_its_fault=not (session.full or session.left))
            if losses < MAX_LOSSES or self._stopping:
                self._queue_again(submission)
            else:
                reason = f"{losses} sessions ended before it was sent, the last one because {session.why_ended}"
                result = never_offered(submission, reason, session.number)
                result.server = session.relay.name if self._several else None
                self._account.settle(submission, result)
        if not self._out:
            self._look_for_the_end()

    def supersede(self, offer: Offer, earlier: DeliveryResult, result: DeliveryResult) -> None:
        """What was said of an offer cannot be believed; `OfferedAgain` has the rules."""
        self._offered_again.supersede(offer, earlier, result)

    def _refused(self, offer: Offer, result: DeliveryResult, judgement: Judgement, session: Session) -> bool:
        """Act on what a refusal means; True where its record goes back."""
        relay, together = session.relay, self._together
        too_many = together is not None and offer in together.too_many
        if not too_many and (together is None or together.is_new(result)):
            self._consequences.refused(session, result, judgement, now=self._loop.time(), sessions=self._count(relay))
        return (too_many or judgement.outcome is None) and self._go_back(offer, result, relay)

    # --- the run's own ----------------------------------------------------------------------------------------------

    def _go_back(self, offer: Offer, result: DeliveryResult, relay: Relay) -> bool:
        """Keep a record that was refused for the relay's reasons; False if that was often enough."""
        submission = offer.submission
        if not self._offered_again.held_back(submission.record, relay.accepted) or offer.doubt is not None:
            return False
        offer.went_back = True
        self._account.retry(submission, result)
        if self._counted:
            self._leave.answered(relay, self._loop.time(), back=True)
        self._queue_again(submission, last=True)  # if it is about the record, the others get through first
        if not self._out:
            self._look_for_the_end()
        return True

    def _queue_again(self, submission: Submission, *, last: bool = False) -> None:
        if self._stopping:
            self._backlog.leave(submission)
        elif self._together is not None:
            self._together.back.append(submission)
        elif last:
            self._backlog.extend([submission])
        else:
            self._backlog.put_back(submission)

    def _under_way(self, record: int) -> Offer | None:
        found = (session.holds(record) for slots in self._slots for session in slots.live)
        return next((offer for offer in found if offer is not None), None)

    def _may_work(self, relay: Relay, opening: int) -> bool:
        """Whether a relay is to have one more session than are being opened: it can send, and there is work for it."""
        return (not self._backlog.large or self._fits()) and self._leave.may_work(relay, self._loop.time(), opening)

    def _distribute(self) -> None:
        """Give work to the sessions that wait for it, then wake slots for the rest."""
        self._asked = False
        full: set[Relay] = set()
        for session in list(self._parked):
            if not self._backlog:
                break
            relay = session.relay
            if relay not in self._wake_ups and relay not in full:
                del self._parked[session]
                session.pump()
                if session in self._parked and self._several:
                    full.add(relay)  # whatever keeps this session from more keeps the relay's others
        if self._backlog:
            if self._counted:
                self._leave.refresh()
            for slots in self._slots:
                slots.wake()

    def _may_send_again(self, relay: Relay) -> None:
        del self._wake_ups[relay]
        self._distribute()

    def _measure(self) -> float | None:
        """Keep the samples of what gets through, and see to relays that wake or that nobody can be waited for.

        Returns:
            Seconds until it is to be done again; None while the pool is paused.
        """
        now = self._loop.time()
        for relay in self._relays:
            relay.sample(now)
        if self._counted:
            self._leave.look(now, {session.relay for session in self._parked})
        if self._backlog and not self._paused:
            self._consequences.look(now)
            self._distribute()
        if self._paused:
            return None
        # What sleeps until a quota is over is looked at then, and now and then for those who watch.
        asleep = self._consequences.seconds_asleep(now) if self._backlog else None
        return Goodput.INTERVAL if asleep is None else min(asleep, _LONGEST_SLEEP)

    def _look_for_the_end(self) -> None:
        done = self._stopping or (self._closed and not self._backlog)
        if done and not self._out and not self._over.is_set():
            self._over.set()
            self._look_again.notify()
            for slots in self._slots:
                slots.finish()

    # --- what slots say -----------------------------------------------------------------------------------------------

    def _next_number(self) -> int:
        self._sessions += 1
        return self._sessions

    def _count(self, relay: Relay) -> int:
        return next(len(slots) for slots in self._slots if slots.relay is relay)

    def _live(self, relay: Relay) -> tuple[Session, ...]:
        return next(slots.live for slots in self._slots if slots.relay is relay)

    def retire_sessions(self, relay: Relay) -> None:
        """Nothing more is to be sent to a relay for now: its sessions end in order."""
        for slots in self._slots:
            if slots.relay is relay:
                slots.retire()
        self._others_take_over()

    def _relay_lost(self, relay: Relay, error: RunError) -> None:
        """A relay is out of service for this run, which ends where that is so of all of them."""
        relay.retire(error)
        self._go_on_without(error)

    def _relay_gone(self, relay: Relay, error: RunError) -> None:
        """A relay does not answer, and nobody waits for it any more; while others do, it is tried now and then."""
        relay.given_up = error
        self._go_on_without(error)

    def _go_on_without(self, error: RunError) -> None:
        if all(one.out_of_service is not None or one.given_up is not None for one in self._relays):
            first = self._relays[0]
            self.stop(first.out_of_service or first.given_up)
        else:
            self._consequences.tell(f"{error.message}; going on with the other relays")
            self._others_take_over()

    def _others_take_over(self) -> None:
        """Others may take over what a relay cannot take now: they are given it, or asked, in the next turn."""
        self._leave.changed()
        self._distribute_soon()

    def _session_ended(self, session: Session) -> None:
        """A session is gone; what it put back may be more than its own slot can take."""
        self._parked.pop(session, None)
        if session.closing_reply is not None and session.unfinished:
            self._consequences.closed(
                session.relay,
                session,
                session.closing_reply,
                now=self._loop.time(),
                sessions=self._count(session.relay),
            )
        self._distribute()
        self._look_for_the_end()

    def __repr__(self) -> str:
        stopping = ", stopping" if self._stopping else ""
        return f"<Pool {self._out} out, {len(self._parked)} parked, {self._backlog!r}, {self._slots!r}{stopping}>"
