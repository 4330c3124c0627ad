"""Who a sender's results belong to: the account of a pool that many callers use at once.

Callers number their messages as they like, and two of them may use the same number. So each message gets a number that
is the exchange's own before the pool sees it, and its result the caller's number again. A message is at exactly one
place: it waits with its caller's `Call`, is under way in the pool, or has its result.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from batchsend.delivery.account import NullAccount
from batchsend.delivery.signal import Signal
from batchsend.message.submission import Bundle, bundle, members_of
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.trace import report_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from batchsend.message.submission import Submission

_AT_A_TIME: Final = 32
"""How many messages of one caller go into the pool before it is the next one's turn."""

REMEMBERED: Final = 1024
"""Results of one session that may still be corrected; also the number of sessions of which that is kept."""


class Told:
    """What a caller hears.

    Attributes:
        number: The exchange's own number of the message, in the order in which the call gave them.
        result: Its outcome, with the caller's number.
    """

    __slots__ = ("number", "result")

    def __init__(self, number: int, result: DeliveryResult) -> None:
        self.number = number
        self.result = result


class Call:
    """One caller's messages, and what became of them.

    Attributes:
        waiting: What is to go into the pool, each with the first number of its recipients, and its key.
        under_way: How many messages the pool has, one for each recipient.
        told: What the caller has not heard yet.
        changed: Signalled when any of these has changed.
        left: The caller hears nothing any more.
        error: Why nothing more will come, or None.
        has_more: Whether messages may follow those that were offered, so that it waits for room for them.
        owns: Whether its submissions are nobody else's, so that they are numbered as they are and not copied.
        offered: How many messages were offered, one for each recipient.
    """

    __slots__ = ("changed", "error", "has_more", "left", "offered", "owns", "told", "under_way", "waiting")

    def __init__(self, *, has_more: bool = False, owns: bool = False) -> None:
        self.has_more = has_more
        self.owns = owns
        self.offered = 0
        self.waiting: deque[tuple[int, Submission, str | None]] = deque()
        self.under_way = 0
        self.told: deque[Told] = deque()
        self.changed = Signal()
        self.left = False
        self.error: Exception | None = None

    @property
    def outstanding(self) -> int:
        """Messages and results that the caller has not done with."""
        return len(self.waiting) + self.under_way + len(self.told)

    @property
    def settled(self) -> bool:
        """Whether everything that was offered has its result."""
        return not self.waiting and not self.under_way

    def results(self) -> list[DeliveryResult]:
        """What the caller has not heard yet, in the order in which it gave its messages; it hears it now.

        What was told last of a message counts.
        """
        if len(self.told) == 1:
            return [self.told.popleft().result]
        known = {told.number: told.result for told in self.told}
        self.told.clear()
        return [known[number] for number in sorted(known)]


class Origin:
    """Whose a message is, and how it is called there.

    Attributes:
        call: The caller's.
        record: The caller's number.
        number: The exchange's own, in the order in which the call gave its messages.
        key: What the caller calls it, or None.
    """

    __slots__ = ("call", "key", "number", "record")

    def __init__(self, call: Call, record: int, number: int, key: str | None) -> None:
        self.call = call
        self.record = record
        self.number = number
        self.key = key


class Exchange(NullAccount):
    """Numbers the messages of all callers, takes them in turns, and tells each caller what became of its own.

    The account of a pool that keeps nothing on a disk: the octets may leave at once; of a message that goes back into
    the pool, its caller is told when it has an outcome.

    Args:
        unclaimed: Told each result that no caller waits for any more.

    Attributes:
        work: Signalled when there is something to take.
        idle: Signalled when nothing waits and nothing is under way.
    """

    def __init__(self, unclaimed: Callable[[DeliveryResult], None]) -> None:
        self.work = Signal()
        self.idle = Signal()
        self._unclaimed = unclaimed
        self._numbers = 0
        self._turns: deque[Call] = deque()  # callers with something waiting
        self._under_way: dict[int, Origin] = {}
        # Whose the latest results of each session were; they may be corrected until the session ends.
        self._settled: dict[int | None, deque[tuple[int, Origin]]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._turns and not self._under_way

    # --- what callers ask for -----------------------------------------------------------------------------------------

    def offer(self, call: Call, submissions: Sequence[Submission], key: str | None = None) -> None:
        """Take messages in, of one content; they wait for their caller's turn.

        Args:
            call: Whose they are.
            submissions: The messages.
            key: What the caller calls them, for an exchange that keeps an account; otherwise None.
        """
        empty, before = not call.waiting, self._numbers
        for submission in submissions:
            call.waiting.append((self._numbers + 1, submission, key))
            self._numbers += len(submission.members) if isinstance(submission, Bundle) else 1
        call.offered += self._numbers - before
        if call.waiting and empty:
            self._turns.append(call)
            self.work.notify()

    def tell(self, call: Call, result: DeliveryResult, key: str | None = None) -> None:
        """Tell a caller of a message that was never offered."""
        del key
        self._numbers += 1
        self._tell(call, Told(self._numbers, result))

    def unclaimed(self, result: DeliveryResult) -> None:
        """Say of a result that nobody waits for it."""
        say_unclaimed(self._unclaimed, result)

    def leave(self, call: Call) -> None:
        """A caller goes: what waits is not sent, and what it has not heard is unclaimed."""
        call.left = True
        if call.waiting:
            call.waiting.clear()
            self._turns.remove(call)
            self._look_for_idleness()
        while call.told:
            self.unclaimed(call.told.popleft().result)

    # --- what the sender asks for -------------------------------------------------------------------------------------

    def take(self) -> list[Submission]:
        """The next messages, of the callers whose turn it is; an empty list where nothing waits."""
        taken: list[Submission] = []
        turns = self._turns
        while turns and len(taken) < _AT_A_TIME:
            call = turns[0]
            waiting = call.waiting
            for _ in range(min(len(waiting), _AT_A_TIME)):
                # It waits until it has entered: were that to fail, its caller is among those who are told.
                first, submission, key = waiting[0]
                if isinstance(submission, Bundle):
                    entered = [
                        one
                        for number, member in enumerate(submission.members, first)
                        if (one := self._enter(Origin(call, member.record, number, key), member)) is not None
                    ]
                    if entered:
                        taken.append(bundle(entered))
                elif (one := self._enter(Origin(call, submission.record, first, key), submission)) is not None:
                    taken.append(one)
                waiting.popleft()
            turns.popleft()
            if waiting:
                turns.append(call)
            if call.has_more or call.settled:
                call.changed.notify()
        if not taken:
            self._look_for_idleness()
        return taken

    def _enter(self, origin: Origin, member: Submission) -> Submission | None:
        """Let a message into the pool; None where it does not go there."""
        self._under_way[origin.number] = origin
        origin.call.under_way += 1
        return numbered(member, origin, origin.number, member.attempt)

    def stopped(self, error: Exception) -> tuple[int, int]:
        """The pool is over: what has no result was not begun, and will not be. Its callers hear why.

        Returns:
            How many messages that are, one for each recipient; and how many of them are of callers that have left.
        """
        calls = {id(call): call for call in (*self._turns, *(origin.call for origin in self._origins()))}
        waiting = sum(len(members_of(submission)) for call in self._turns for _, submission, _ in call.waiting)
        left = sum(origin.call.left for origin in self._under_way.values())
        counts = waiting + len(self._under_way), left
        self._turns.clear()
        self._under_way.clear()
        self._settled.clear()
        for call in calls.values():
            call.waiting.clear()
            call.under_way = 0
            call.error = error
            call.changed.notify()
        self.idle.notify()
        return counts

    def _origins(self) -> Iterable[Origin]:
        """Whose the messages are that the pool has."""
        return self._under_way.values()

    # --- what the pool says -------------------------------------------------------------------------------------------

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """Tell a caller of an outcome."""
        self._settle(submission.record, self._under_way.pop(submission.record), result)
        self._look_for_idleness()

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """Tell a caller that an outcome cannot be believed; where a later offer has settled the record, that stands."""
        if earlier is None:
            return
        for known, origin in reversed(self._settled.get(earlier.session, ())):
            if known == result.record:
                self._correct(origin, result)
                return
        self.unclaimed(replace(result, record=0))

    # ------------------------------------------------------------------------------------------------------------------

    def _settle(self, record: int, origin: Origin, result: DeliveryResult) -> None:
        self._remember(result.session, record, origin)
        origin.call.under_way -= 1
        self._tell(origin.call, Told(origin.number, replace(result, record=origin.record)))

    def _correct(self, origin: Origin, result: DeliveryResult) -> None:
        """Tell a caller what replaces the outcome that it was told."""
        self._tell(origin.call, Told(origin.number, replace(result, record=origin.record)))

    def _tell(self, call: Call, told: Told) -> None:
        if call.left:
            self.unclaimed(told.result)
        else:
            call.told.append(told)
            call.changed.notify()

    def _remember(self, session: int | None, record: int, origin: Origin) -> None:
        results = self._settled.pop(session, None)
        if results is None:
            results = deque(maxlen=REMEMBERED)
            if len(self._settled) >= REMEMBERED:
                del self._settled[next(iter(self._settled))]  # the one that was heard of least lately
        results.append((record, origin))
        self._settled[session] = results

    def _look_for_idleness(self) -> None:
        if self.is_idle:
            self.idle.notify()

    def __repr__(self) -> str:
        return f"<Exchange {len(self._turns)} callers wait, {len(self._under_way)} messages under way>"


def numbered(member: Submission, origin: Origin, record: int, attempt: int) -> Submission:
    """A caller's submission as the pool knows it."""
    if not origin.call.owns:
        return replace(member, record=record, attempt=attempt)
    member.record, member.attempt = record, attempt
    return member


def say_unclaimed(called: Callable[[DeliveryResult], None], result: DeliveryResult) -> None:
    """Tell a program's own function of a result that nobody waits for. What it raises must not reach a session."""
    try:
        called(result)
    except Exception as error:
        report_failure(f"unclaimed failed for the result {result!r}", error)


def invalid(record: int, message_id: str | None, reason: str) -> DeliveryResult:
    """The outcome of a message that cannot be sent."""
    return DeliveryResult(record=record, recipient=None, status=Outcome.INVALID, reason=reason, message_id=message_id)
