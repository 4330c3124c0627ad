"""Records that are offered more than once: how often that may be, and what an older offer may still say.

A record whose first offer went back or was deferred may be under way a second time when the first one's session breaks
and takes everything back that it was told. The rules, in `supersede`:

1.  If the record waits in the backlog, or was left there when the run stopped, it is taken out of it, and is in
    doubt: it is not sent again.
2.  If it is under way by another offer, that goes on, and the account is told of the doubt by `Account.retry`.
    Accepted, the record is accepted, and the user is told that it may have been delivered twice; in any other case it
    is in doubt.
3.  Otherwise it is the account's, and the account decides by the attempt.

That is about results that would be in doubt. One that is not, because the content had not gone out, changes nothing of
a record that the pool has: it is to be sent as it is. And what was settled in doubt for an older offer's sake stays so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from batchsend.outcome import DeliveryResult, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from batchsend.delivery.account import Account
    from batchsend.delivery.backlog import Backlog
    from batchsend.delivery.offer import Offer

MAX_LOSSES: Final = 5
"""Sessions that one record may be lost with before it is deferred: it may be what ends them."""

MAX_HELD_BACK: Final = 50
"""How often one record goes back because of what the relay said, if others get through: then it is about the record.

While nothing gets through it is not: what goes back is neither an attempt nor an outcome, for as long as it takes.
"""

# Looked up once: see `batchsend.outcome`.
_ACCEPTED: Final = Outcome.ACCEPTED
_IN_DOUBT: Final = Outcome.IN_DOUBT


class OfferedAgain:
    """What a pool keeps of records that went back, until they have their outcome.

    Args:
        account: Who keeps the account.
        backlog: Where records wait for their next offer.
        under_way: Finds the offer of a record that a session has now.
        notice: Called with what the user should know.

    Attributes:
        used: There was such a record: whether `settled` need be told of any.
        forgotten: Records under way that are somebody else's by now: they are not offered again.
    """

    def __init__(
        self,
        account: Account,
        backlog: Backlog,
        under_way: Callable[[int], Offer | None],
        notice: Callable[[str], None],
    ) -> None:
        self._account = account
        self._backlog = backlog
        self._under_way = under_way
        self._notice = notice
        self.used = False
        self.forgotten: set[int] = set()
        self._losses: dict[int, int] = {}
        # How often a record went back, and how many messages its relay had accepted by then.
        self._held_back: dict[int, tuple[int, int]] = {}

    def forget(self, records: Iterable[int]) -> None:
        """These are under way, and somebody else's by now."""
        self.used = True
        self.forgotten |= set(records)

    def settled(self, record: int) -> None:
        """A record has its outcome, or is not here any more: nothing is kept of it."""
        if self._losses or self._held_back:
            self._losses.pop(record, None)
            self._held_back.pop(record, None)
        self.forgotten.discard(record)

    def lost(self, record: int, *, by_its_fault: bool) -> int:
        """A session has ended before a record was committed; count it where the record may be why.

        Returns:
            How often that was; with `MAX_LOSSES` it was often enough, and the count is forgotten.
        """
        self.used = True
        losses = self._losses[record] = self._losses.get(record, 0) + by_its_fault
        if losses >= MAX_LOSSES:
            del self._losses[record]
        return losses

    def held_back(self, record: int, accepted: int) -> bool:
        """A record goes back for the relay's reasons; False if that was often enough.

        Args:
            record: Its number.
            accepted: How many messages the relay has accepted so far.
        """
        times, before = self._held_back.get(record, (0, -1))
        if accepted != before or times > 1:
            times += 1
        self.used = True
        self._held_back[record] = times, accepted
        return times <= MAX_HELD_BACK and record not in self.forgotten

    def supersede(self, offer: Offer, earlier: DeliveryResult, result: DeliveryResult) -> None:
        """What was said of an offer cannot be believed; see the rules at the top of this file."""
        in_doubt = result.status is _IN_DOUBT
        record = result.record
        result.server = earlier.server
        if in_doubt and (waiting := self._backlog.withdraw(record)) is not None:
            self.settled(record)
            result.attempt = waiting.attempt  # the newest one: that is what all of them together came to
            self._account.settle(waiting, result)
        elif (current := self._under_way(record)) is not None and current is not offer:
            if in_doubt:
                current.doubt = result
                self._account.retry(current.submission, result)
        elif offer.went_back:
            if in_doubt:
                # It has an outcome of a later offer, with the same attempt: that one counts, but not another attempt.
                self._account.supersede(None, result)
        elif offer.doubt is not None and earlier.status is not _ACCEPTED:
            pass  # it was settled in doubt, as `with_doubt` has it
        elif in_doubt or not self._backlog.holds(record):
            self._account.supersede(earlier, result)

    def with_doubt(self, result: DeliveryResult, doubt: DeliveryResult, attempt: int) -> DeliveryResult:
        """The outcome of a record whose older offer is in doubt, and whose newest attempt has come to a result."""
        if result.status is not _ACCEPTED:
            return of_attempt(doubt, attempt)
        self._notice(f"record {result.record:,} may have been delivered twice: {doubt.reason}")
        return result


def of_attempt(doubt: DeliveryResult, attempt: int) -> DeliveryResult:
    """A doubt about an older offer as the outcome of the newest attempt, which is what all of them together came to.

    The line that was written when the older offer became doubtful keeps that one's number, so that the place of the
    newer one in the journal stood until now.
    """
    return replace(doubt, attempt=attempt)
