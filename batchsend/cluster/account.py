"""The account of one campaign on one worker: what its pool says, for the database. Implements the pool's `Account`.

A record is this worker's while its lot is. When the lot is lost, nothing of it is committed any more: what waits in the
pool is taken out of it, what is in a session and not committed is refused at its commit, which ends that session, and
what was committed is the next worker's to name in doubt, whatever the server says to us.

A deferred record is not kept here: its row says when it is due, and its lot comes back to whoever takes it then.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from batchsend.cluster.lots import Lease, Taken, lot_of
from batchsend.cluster.writer import UNDER_WAY, WAITING, Stored, Writer
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.results.line import outcome_line
from batchsend.run.retry import pause_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.cluster.lots import Parcel
    from batchsend.delivery.pool import Pool
    from batchsend.message.submission import Submission
    from batchsend.recipients import Record

LOST: Final = "the worker was lost before the server answered"
"""Why a record is in doubt that was under way when its worker was lost."""

_SOON: Final = 0.5
_IN_DOUBT: Final = Outcome.IN_DOUBT
_DEFERRED: Final = Outcome.DEFERRED


class HeldLot:
    """A lot that this worker has a lease of.

    Args:
        taken: The lot as it was taken.
        lease: Its lease.
        account: Whose it is.

    Attributes:
        lost: It is somebody else's by now.
        offered: All its records that are due were given to the pool, or had their outcome otherwise.
        out: How many of its records the pool has.
    """

    def __init__(self, taken: Taken, lease: Lease, account: ClusterAccount) -> None:
        self.lease = lease
        self.lost = False
        self.offered = False
        self.out: set[int] = set()
        self.committed: set[int] = set()
        self.refused: set[int] = set()
        self._account = account
        self._taken = taken

    def due(self) -> list[tuple[Record, int]]:
        """The records that are to be offered now, with the numbers of their attempts."""
        due: list[tuple[Record, int]] = []
        for parcel in self._taken.parcels:
            known = self._taken.known.get(parcel.record.number)
            if known is None:
                due.append((parcel.record, 1))
            elif known.status == WAITING:
                due.append((parcel.record, known.attempt))
            elif known.status == _DEFERRED and known.wait is not None and known.wait <= _SOON:
                due.append((parcel.record, known.attempt + 1))
        return due

    def left_behind(self) -> list[tuple[Parcel, int]]:
        """The records that were under way when the worker before was lost, with the numbers of these attempts."""
        known = self._taken.known
        return [
            (parcel, known[parcel.record.number].attempt)
            for parcel in self._taken.parcels
            if parcel.record.number in known and known[parcel.record.number].status == UNDER_WAY
        ]

    def lose(self) -> None:
        """As `Holder.lose`."""
        if not self.lost:
            self.lost = True
            self._account.lost(self)

    def refuse(self, record: int) -> None:
        """As `Holder.refuse`."""
        self.refused.add(record)
        self._account.forget(self, {record})

    def __repr__(self) -> str:
        return f"<HeldLot {self.lease}, {len(self.out)} out{', lost' if self.lost else ''}>"


class ClusterAccount:
    """Keeps the account of a campaign's records in the database, as far as they are this worker's.

    Args:
        campaign: The campaign's number.
        size: Records of each of its lots.
        writer: What stores.
        max_attempts: How often a record is offered in all.
        pause: Seconds before the second attempt.
        notice: Called with what the user should know.

    Attributes:
        lots: The lots that are held, by number; one that was lost as long as the pool has something of it.
        accepted: How many messages were accepted through it.
        clock: Seconds that the database's clock is before this machine's.
    """

    def __init__(
        self,
        campaign: int,
        size: int,
        writer: Writer,
        *,
        max_attempts: int,
        pause: float,
        notice: Callable[[str], None],
    ) -> None:
        self.lots: dict[int, HeldLot] = {}
        self.accepted = 0
        self.clock = 0.0
        self.pool: Pool | None = None
        self._campaign = campaign
        self._size = size
        self._writer = writer
        self._max_attempts = max_attempts
        self._pause = pause
        self._notice = notice
        self._loop = asyncio.get_running_loop()

    # --- lots -------------------------------------------------------------------------------------------------------

    def take_over(self, taken: Taken) -> HeldLot:
        """A lot was leased: what the worker before has left under way is in doubt from now on."""
        lease = Lease(self._campaign, taken.lot, taken.epoch, self._size)
        lot = self.lots[taken.lot] = HeldLot(taken, lease, self)
        left = lot.left_behind()
        for parcel, attempt in left:
            self._store(lot, lost(parcel, attempt, time.time()))
        if left:
            named = ", ".join(str(parcel.record.number) for parcel, _ in left[:20])
            self._notice(f"under way when their worker was lost, so now in doubt: {len(left)} (record {named})")
        return lot

    def give(self, lot: HeldLot, submissions: list[Submission], pool: Pool) -> None:
        """Hand submissions of a lot to the pool."""
        if lot.lost:
            return
        lot.out.update(submission.record for submission in submissions)
        pool.add(submissions)

    def withheld(self, lot: HeldLot, result: DeliveryResult) -> None:
        """A record of a lot has its outcome without having been offered."""
        self._store(lot, result)

    def all_offered(self, lot: HeldLot) -> None:
        """Nothing more of a lot is to be given to the pool."""
        lot.offered = True
        self._look(lot)

    def lost(self, lot: HeldLot) -> None:
        """A lot is somebody else's: take what waits out of the pool, and see to it that nothing comes back."""
        self._notice(f"lot {lot.lease.lot} was taken over by another worker: this one was not heard of for too long")
        self.forget(lot, lot.out)

    def forget(self, lot: HeldLot, records: set[int]) -> None:
        """Records of a lot are not to be offered any more."""
        if self.pool is not None:
            lot.out -= self.pool.forget(records)
        self._look(lot)

    def _look(self, lot: HeldLot) -> None:
        """See whether a lot is done with."""
        if lot.out or self.lots.get(lot.lease.lot) is not lot:
            return
        if lot.lost:
            del self.lots[lot.lease.lot]
        elif lot.offered:
            del self.lots[lot.lease.lot]
            self._writer.finish(lot.lease)

    # --- what the pool says -----------------------------------------------------------------------------------------

    def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
        """As `Account.commit`: always held back until the database has it."""
        record = submission.record
        lot = self._lot(record)
        if lot is None or lot.lost or record in lot.refused:
            self._loop.call_soon(release, False)
            return False
        lot.committed.add(record)
        self._writer.commit(Stored(lot, record, submission.attempt, UNDER_WAY), release)
        return False

    def withdraw(self, submission: Submission) -> None:
        """As `Account.withdraw`."""
        record = submission.record
        lot = self._lot(record)
        if lot is not None and not lot.lost and record in lot.committed:
            lot.committed.discard(record)
            self._writer.store(Stored(lot, record, submission.attempt, WAITING))

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        """As `Account.retry`."""
        if result.status is _IN_DOUBT:
            # It is named at once: this process may be killed before the offer that is under way has its outcome.
            self.supersede(None, result)
        else:
            self.withdraw(submission)

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """As `Account.settle`."""
        record = submission.record
        lot = self._lot(record)
        if lot is None:
            return
        lot.out.discard(record)
        if not lot.lost and record not in lot.refused:
            if result.status is Outcome.ACCEPTED:
                self.accepted += 1
            lot.committed.discard(record)
            self._store(lot, result, submission.attempt)
        self._look(lot)

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """As `Account.supersede`: the database decides by the attempts."""
        record = result.record
        lot = self._lot(record)
        if result.status is _IN_DOUBT:
            holder = lot or self._ghost(record)
            line = outcome_line(self._told(result)).rstrip()
            self._writer.store(Stored(holder, record, max(result.attempt, 1), result.status.value, line, doubts=True))
        elif lot is not None and not lot.lost and earlier is not None and record not in lot.out:
            self._store(lot, result)

    # --- its own ----------------------------------------------------------------------------------------------------

    def _lot(self, record: int) -> HeldLot | None:
        return self.lots.get(lot_of(record, self._size))

    def _ghost(self, record: int) -> HeldLot:
        """A lot that is not held any more, for what is found out of a record of it."""
        number = lot_of(record, self._size)
        return HeldLot(Taken(number, 0, [], {}), Lease(self._campaign, number, 0, self._size), self)

    def _store(self, lot: HeldLot, result: DeliveryResult, offered: int = 0) -> None:
        """Store an outcome; a deferred record with the time when it is offered again, if it is."""
        attempt = max(result.attempt, offered)
        pause: float | None = None
        if result.status is _DEFERRED and attempt < self._max_attempts:
            pause = pause_after(max(attempt, 1), self._pause)
        line = outcome_line(self._told(result)).rstrip()
        self._writer.store(Stored(lot, result.record, attempt, result.status.value, line, pause))

    def _told(self, result: DeliveryResult) -> DeliveryResult:
        """A result with the time on the database's clock, which is everybody's."""
        return replace(result, time=result.time + self.clock) if self.clock else result

    def __repr__(self) -> str:
        return f"<ClusterAccount of campaign {self._campaign}, {len(self.lots)} lots>"


def lost(parcel: Parcel, attempt: int, now: float) -> DeliveryResult:
    """What is known of a record that was under way when its worker was lost."""
    return DeliveryResult(
        record=parcel.record.number,
        recipient=parcel.recipient,
        status=_IN_DOUBT,
        stage=Stage.CONTENT,
        reason=LOST,
        attempt=attempt,
        message_id=parcel.message_id,
        time=now,
    )
