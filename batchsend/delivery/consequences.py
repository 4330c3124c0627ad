"""What a refusal means beyond its own record: for the relay that said it, and for the run. One policy for all of them.

=============  ====================================================================================================
verdict        what follows
=============  ====================================================================================================
pace           the relay's rate is cut, and recovers
connections    the relay gets fewer sessions, and pauses before the next try
session_full   the session ends, the number of messages it took is learned
quota          the relay sleeps until its hour or day is over; others go on; nobody else: wait, or stop the run
relay          the relay is out of service for this run; none left: stop the run
sender         the tenth in a row stops the run
content,       the same refusal of `stop_after` records in a row, of three domains or more, stops the run:
refused, …     it is not about the recipients
later          the same refusal of so many: the relay pauses after each further one, ever longer, until one is accepted
=============  ====================================================================================================
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from batchsend.delivery.judges import advice, judge, kind_of, times_named
from batchsend.delivery.statistics import Asleep
from batchsend.errors import RefusalError, RunError
from batchsend.figures import count
from batchsend.outcome import Outcome, Stage
from batchsend.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchsend.campaign import Delivery
    from batchsend.delivery.relay import Relay
    from batchsend.delivery.replies import Judgement
    from batchsend.delivery.session import Session
    from batchsend.outcome import DeliveryResult
    from batchsend.smtp.replies import Reply

MAX_SENDER_REFUSALS: Final = 10
"""Records in a row that are refused for their sender, after which it is the sender who is refused."""

LEAST_DOMAINS: Final = 3
"""Domains that the records refused alike must have: one domain may refuse everybody, and the rest be right."""

CUTS_BEFORE_FEWER: Final = 5
"""Cuts of the rate in a row after which there are fewer sessions, too."""

# Looked up once: see `batchsend.outcome`.
_MAILBOX: Final = Verdict.MAILBOX
_LATER: Final = Verdict.LATER
_GREYLISTED: Final = Verdict.GREYLISTED

_HOUR: Final = 3600.0
_DAY: Final = 86400.0
RESUME: Final = "Batch(…, resumption=…)"
"""How a program goes on with a run; the command line says it in its own way, and so does a sender."""

WAIT: Final = 'Delivery(max_wait="forever")'
"""How a program has a run wait by itself."""

_TOLD: Final = 1000  # notices that are remembered
_NOTICED: Final = 100  # characters of what a server says that a notice repeats


class _InARow:
    """Records in a row that were refused alike.

    Attributes:
        count: How many.
    """

    def __init__(self) -> None:
        self.count = 0
        self._shape: tuple[object, ...] = ()
        self._domains: set[str] = set()

    def add(self, result: DeliveryResult, judgement: Judgement) -> None:
        """One more was refused, alike or not."""
        shape = (judgement.verdict, result.code, result.enhanced, kind_of((result.reply or "").encode()))
        if shape != self._shape:
            self.clear()
            self._shape = shape
        self.count += 1
        if len(self._domains) < LEAST_DOMAINS:
            self._domains.add((result.recipient or "").rpartition("@")[2].lower())

    def clear(self) -> None:
        """Another one was not."""
        self.count = 0
        self._domains.clear()

    def are_all(self, most: int) -> bool:
        """Whether it is not about the recipients: there are so many, of `LEAST_DOMAINS` domains."""
        return self.count >= most and len(self._domains) >= LEAST_DOMAINS


class Consequences:
    """Acts on what refusals mean beyond their records.

    Args:
        options: The campaign's limits.
        relays: All relays of the run.
        notice: Called with what the user should know.
        stop: Called with the reason when the run cannot go on.
        retire: Called with a relay that is to be sent nothing for now.

    Attributes:
        slowdown: When a relay asked for a slower pace last, and what it said; or None.
    """

    def __init__(
        self,
        options: Delivery,
        relays: Sequence[Relay],
        *,
        notice: Callable[[str], None],
        stop: Callable[[RunError], None],
        retire: Callable[[Relay], None],
    ) -> None:
        self.slowdown: tuple[float, str] | None = None
        self._options = options
        self._relays = relays
        self._notice = notice
        self._stop = stop
        self._retire = retire
        self._refused = _InARow()
        self._later = _InARow()
        self._told: set[str] = set()
        self._accepted = 0  # when a limit was spoken of last, and since when nothing more was accepted
        self._in_vain_since: float | None = None

    @property
    def refusals(self) -> int:
        """Records in a row that were refused alike, for good or for now: where there are some, call `accepted`."""
        return self._refused.count or self._later.count

    def accepted(self) -> None:
        """A message was accepted: what was refused before it was about its own record."""
        self._refused.clear()
        self._later.clear()

    def refused(
        self, session: Session, result: DeliveryResult, judgement: Judgement, *, now: float, sessions: int
    ) -> None:
        """A relay has refused a message in this session; ``result`` says how."""
        verdict = judgement.verdict
        if verdict is _MAILBOX:
            self.accepted()  # many addresses of an old list may be unknown; it is an answer about a recipient
            return
        if verdict is _GREYLISTED:
            return
        relay = session.relay
        said = f"{result.code} {result.reply}".replace("\n", " ")
        if verdict is _LATER:
            self._later.add(result, judgement)
            if self._later.are_all(self._options.stop_after):
                relay.back_off(now)
                self._look_for_progress(said, now)
            return
        if self._of_relay(relay, judgement, result.stage, said, now=now, sessions=sessions):
            if verdict is Verdict.CONNECTIONS and sessions > relay.limits.allowed:
                session.finish()  # one of those that are too many
            return
        if verdict is Verdict.SESSION_FULL:
            session.finish()
            relay.limits.session_full(session.took, now)
            if not session.took:  # then the next one would be full, too: it is no limit of a session's length
                relay.back_off(now)
                self._look_for_progress(said, now)
        else:
            self._count(result, judgement, said)

    def closed(self, relay: Relay, session: Session, reply: Reply, *, now: float, sessions: int) -> None:
        """A session was ended by the server, with these words."""
        judgement = judge(Stage.MAIL, reply)
        self._of_relay(relay, judgement, None, str(reply), now=now, sessions=sessions)
        if judgement.verdict is Verdict.SESSION_FULL:
            relay.limits.session_full(session.answered, now)

    def _of_relay(
        self, relay: Relay, judgement: Judgement, stage: Stage | None, said: str, *, now: float, sessions: int
    ) -> bool:
        """Act on a verdict about a whole relay; False if it is none."""
        verdict = judgement.verdict
        if verdict is Verdict.PACE:
            self._slow_down(relay, said, now)
            self._look_for_progress(said, now)
        elif verdict is Verdict.CONNECTIONS:
            self._fewer(relay, said, now, sessions)
            self._look_for_progress(said, now)
        elif verdict is Verdict.QUOTA:
            self._sleep(relay, said, now)
        elif verdict is Verdict.RELAY:
            self._out_of_service(relay, stage, said, advice(verdict, judgement.reason))
        else:
            return False
        return True

    def asleep(self, now: float) -> Asleep | None:
        """Until when nothing can be sent because the quotas are used up; None where something can, or never will."""
        first = self._first_to_wake(now)
        if first is None:
            return None
        return Asleep(time.time() + first.asleep_until - now, first.sleeps_because, is_ours=first.rests)

    def seconds_asleep(self, now: float) -> float | None:
        """How long nothing can be sent because the quotas are used up; None where something can, or never will."""
        first = self._first_to_wake(now)
        return None if first is None else first.asleep_until - now

    def look(self, now: float) -> None:
        """See whether the work that is left has a relay that it can wait for."""
        first = self._first_to_wake(now)
        if first is None:
            return
        seconds = first.asleep_until - now
        words = first.sleeps_because
        if first.rests:
            why = words = f"the quota is {words}"
        else:
            why = f"{first.name} said {words}"
        longest = self._options.max_wait
        # Rounded up: who comes back at the minute that was said is not to be refused for being too early.
        back = time.strftime("%a %d %b %H:%M", time.localtime(time.time() + seconds + 60))
        if seconds > longest:
            self._stop(
                RunError(
                    f"{first.name}: its sending limit is used up until about {back}: {words}",
                    remedy=f"go on at {back} or later: {RESUME}; to let it wait by itself: {WAIT}",
                )
            )
        else:
            self.tell(f"sending limit until {back}: {why}")

    def _first_to_wake(self, now: float) -> Relay | None:
        if any(relay.can_send(now) and relay.given_up is None for relay in self._relays):
            return None
        sleeping = [relay for relay in self._relays if relay.out_of_service is None and not relay.can_send(now)]
        return min(sleeping, key=lambda relay: relay.asleep_until, default=None)

    def tell(self, text: str) -> None:
        """Give notice of something, once: what is said again in the same words is known."""
        if text not in self._told:
            if len(self._told) >= _TOLD:
                self._told.clear()
            self._told.add(text)
            self._notice(text)

    # --- each verdict ---------------------------------------------------------------------------------------------

    def _slow_down(self, relay: Relay, said: str, now: float) -> None:
        if relay.throttle.slow_down(now, relay.goodput.rate(now, relay.accepted)):
            self.slowdown = time.time(), said
            self.tell(f"slowed to {relay.throttle.rate:.3g}/s: the server said {said}")
            if relay.throttle.cuts % CUTS_BEFORE_FEWER == 0:
                relay.limits.fewer(now)

    def _look_for_progress(self, said: str, now: float) -> None:
        """End a run that a limit has kept from sending anything for as long as it may wait."""
        accepted = sum(relay.accepted for relay in self._relays)
        if self._in_vain_since is None or accepted != self._accepted:
            self._accepted, self._in_vain_since = accepted, now
        elif now - self._in_vain_since > self._options.max_wait:
            minutes = round((now - self._in_vain_since) / 60)
            self._stop(
                RunError(
                    f"nothing was accepted for {minutes} min, however slowly it was sent: the server said {said}",
                    remedy=f"go on when the server takes mail again: {RESUME}; to let it try by itself: {WAIT}",
                )
            )

    def _fewer(self, relay: Relay, said: str, now: float, sessions: int) -> None:
        if relay.back_off(now):
            relay.limits.too_many_connections(sessions, now)
            allowed = count(relay.limits.allowed, "connection")
            self.tell(f"{allowed} at most from here on: the server said {said[:_NOTICED]}")

    def _sleep(self, relay: Relay, said: str, now: float) -> None:
        if not relay.can_send(now):
            return  # what was on the way when it was said the first time
        seconds, period = times_named(said, time.time())
        if period is None:
            # It may be an hour's or a day's: what is refused again after an hour is asked less and less often.
            period = min(_HOUR * 2**relay.tried_in_vain, _DAY) if seconds is None else seconds
        relay.sleep(now, seconds or period, said[:_NOTICED], period=_HOUR if period <= _HOUR else _DAY)
        self._retire(relay)

    def _out_of_service(self, relay: Relay, stage: Stage | None, said: str, remedy: str) -> None:
        if relay.out_of_service is not None:
            return
        where = f" at {stage}" if stage is not None else ""
        error = RefusalError(f"{relay.name} refuses to send for us{where}: {said}", remedy=remedy)
        relay.retire(error)
        if all(one.out_of_service is not None for one in self._relays):
            self._stop(error)
        else:
            self.tell(f"{relay.name} is not used any more in this run: it said {said[:_NOTICED]}")
        self._retire(relay)

    def _count(self, result: DeliveryResult, judgement: Judgement, said: str) -> None:
        """The same refusal again and again is not about the recipients."""
        self._refused.add(result, judgement)
        if judgement.verdict is Verdict.SENDER:
            if self._refused.count < MAX_SENDER_REFUSALS:
                return
            what = f"the sender is refused at {result.stage}: {said}"
        elif not self._refused.are_all(self._options.stop_after):
            return
        else:
            what = f"{self._refused.count} records in a row were refused alike at {result.stage}: {said}"
        remedy = advice(judgement.verdict, judgement.reason)
        if result.status is Outcome.REJECTED:
            again = judgement.reason or result.code
            remedy += f' Then send to those who were refused, too: {RESUME} with Choice(["{again}"])'
        self._stop(RefusalError(what, remedy=remedy))
