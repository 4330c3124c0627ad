"""Quotas and warm-up of a whole cluster: what may be sent is counted in the database, and granted in small parts.

The rules:

1.  A worker sends no message that counts towards a quota without a grant. Grants are made in a transaction that holds
    the quota's row: what was sent in its window, and all that is granted, is never more than it allows.
2.  A grant holds for some seconds, on the worker's own clock from before it asked, and on the database's from after.
    Each second the worker says what it has sent, and is granted more; what it does not need it gives back.
3.  What a lost worker was granted is not known to be sent. Its account says what it has stored as under way, which it
    does before it sends. That is read once it cannot store anything more: its grant is over, so are its leases, and the
    epochs of its lots are raised.
4.  What was sent counts from the moment when the database heard of it, and by the second; where the window is a day, by
    1/4096 of it. So it counts a little longer than it has to, and never shorter.

A quota of a relay is shared by all campaigns that use it. Their own numbers hold for each of them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.campaign import Quota, places
from batchsend.cluster.database import Prepared
from batchsend.delivery.quota import DAY, EXACT, Meter, Meters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchsend.campaign import Campaign
    from batchsend.cluster.database import Connection, DatabaseTransaction
    from batchsend.delivery.pool import Pool

_HOLD: Final = 5.0
_FIRST: Final = 64
_ASK_AGAIN: Final = 0.1

_ENTER: Final = "INSERT INTO batchsend.quotas (meter, campaign) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_LOCK: Final = """
SELECT extract(epoch FROM clock_timestamp() - first)::float8 AS age FROM batchsend.quotas WHERE meter = $1 FOR UPDATE
"""
_OWN: Final = "SELECT held, reported FROM batchsend.quota_held WHERE meter = $1 AND campaign = $2 AND worker = $3"
_KEEP: Final = """
INSERT INTO batchsend.quota_held (meter, campaign, worker, held, reported, until)
VALUES ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 second')
ON CONFLICT (meter, campaign, worker) DO UPDATE
SET held = excluded.held, reported = excluded.reported, until = excluded.until
"""
_OTHERS: Final = """
SELECT coalesce(sum(held), 0)::bigint FROM batchsend.quota_held
WHERE meter = $1 AND NOT (campaign = $2 AND worker = $3)
"""
_USE: Final = """
INSERT INTO batchsend.quota_used AS u (meter, moment, count)
VALUES ($1, to_timestamp(ceil(extract(epoch FROM clock_timestamp())::float8 / $2) * $2), $3)
ON CONFLICT (meter, moment) DO UPDATE SET count = u.count + excluded.count
"""
_BEGINS: Final = "UPDATE batchsend.quotas SET first = clock_timestamp() WHERE meter = $1 AND first IS NULL"
_TELL: Final = """
UPDATE batchsend.quotas SET figures = $2, used_up_until = clock_timestamp() + $3 * interval '1 second' WHERE meter = $1
"""
_FORGET: Final = """
DELETE FROM batchsend.quota_used WHERE meter = $1 AND moment < clock_timestamp() - $2 * interval '1 second'
"""
_USED: Final = """
SELECT coalesce(sum(count), 0)::bigint FROM batchsend.quota_used
WHERE meter = $1 AND moment > clock_timestamp() - $2 * interval '1 second'
"""
# The newest moment of which more than the quota leaves room for is still in the window: once it is out, there is room.
_FREE: Final = """
SELECT extract(epoch FROM moment - clock_timestamp())::float8 + $2 FROM (
    SELECT moment, sum(count) OVER (ORDER BY moment DESC) AS since FROM batchsend.quota_used
    WHERE meter = $1 AND moment > clock_timestamp() - $2 * interval '1 second'
) AS u WHERE since >= $3 ORDER BY moment DESC LIMIT 1
"""
_SILENT: Final = """
SELECT campaign, worker, held FROM batchsend.quota_held
WHERE meter = $1 AND held > 0 AND until < clock_timestamp() AND NOT (campaign = $2 AND worker = $3)
ORDER BY campaign, worker
"""
_FENCE: Final = """
UPDATE batchsend.lots SET epoch = epoch + 1, worker = NULL, lease_until = NULL
WHERE campaign = $1 AND worker = $2 AND lease_until < clock_timestamp()
"""
_LEASES: Final = """
SELECT EXISTS (SELECT FROM batchsend.lots WHERE campaign = $1 AND worker = $2 AND lease_until >= clock_timestamp())
"""
_IN_ACCOUNT: Final = """
SELECT (SELECT count(*) FROM batchsend.account
    WHERE campaign = $1 AND worker = $2 AND status IN ('accepted', 'in_doubt', 'under_way')) AS stored,
    EXISTS (SELECT FROM batchsend.campaigns WHERE id = $1) AS known
"""
_STATEMENTS: Final = (
    *(_ENTER, _LOCK, _OWN, _KEEP, _OTHERS, _USE, _BEGINS, _TELL),
    *(_FORGET, _USED, _FREE, _SILENT, _FENCE, _LEASES, _IN_ACCOUNT),
)


class Grant(NamedTuple):
    """What the database has granted of one quota.

    Attributes:
        allowed: How many messages may count in all.
        told: How many of them the database knows to be sent.
        before: How many earlier pools of this worker have said that they have sent, beside these.
        until: When the grant is over, on the loop's clock.
        figures: As `Meter.figures`.
        used_up: The quota that the whole cluster has used up, and until when, on the loop's clock; or None.
    """

    allowed: int
    told: int
    before: int
    until: float
    figures: list[tuple[str, int, int]]
    used_up: tuple[Quota, float] | None


class SharedMeter(Meter):
    """Says how many messages a quota leaves this worker, which is what it was granted.

    Args:
        name: What the quota is called in the database.
        quotas: Each holds.
        warm_up: The quotas of the first days.
        clock: Seconds on the loop's clock.
        of_campaign: It is a campaign's, not a relay's.

    Attributes:
        name: As given.
        of_campaign: As given.
        spent: Messages that count, of this pool.
        allowed: How many may count in all, with those that are under way.
        granted: What it was granted last; None before the first time.
    """

    def __init__(
        self,
        name: str,
        quotas: Sequence[Quota],
        warm_up: Sequence[Quota],
        clock: Callable[[], float],
        *,
        of_campaign: bool = False,
    ) -> None:
        super().__init__(quotas, warm_up)
        self.name = name
        self.of_campaign = of_campaign
        self.quotas = tuple(quotas)
        self.warm_up = tuple(warm_up)
        self.spent = 0
        self.allowed = 0
        self.granted: Grant | None = None
        self._clock = clock

    @property
    def together(self) -> float:
        """Messages of so many seconds are counted as one moment's."""
        shortest = min([*(quota.seconds for quota in self.quotas), *(DAY for _ in self.warm_up)])
        return max(1.0, shortest / EXACT)

    def limits(self, age: float | None) -> list[Quota]:
        """What holds so many seconds after the first message; None before it."""
        day = 0 if age is None else int(max(age, 0.0) // DAY)
        return [*self.quotas, *self.warm_up[day : day + 1]]

    def give_back(self) -> None:
        """Keep only what is under way of what was granted; to be called before the database hears of it."""
        self.allowed = self.spent + self.under_way

    @property
    def lapsed(self) -> bool:
        """What it was granted holds no more."""
        return self.granted is None or self._clock() > self.granted.until

    def grant(self, grant: Grant) -> None:
        """More messages may count, or it is known when that will be."""
        self.granted, self.allowed = grant, grant.allowed

    def answered(self, now: float, *, counts: bool) -> None:
        """As `Meter.answered`."""
        del now
        self.under_way -= 1
        self.spent += counts

    def room(self, now: float) -> int:
        """As `Meter.room`."""
        del now
        return 0 if self.lapsed else max(0, self.allowed - self.spent - self.under_way)

    def wait(self, now: float) -> float:
        """As `Meter.wait`."""
        if self.room(now):
            return 0.0
        used_up = self._used_up
        return _ASK_AGAIN if used_up is None else max(_ASK_AGAIN, used_up[1] - self._clock())

    def used_up(self, now: float) -> Quota | None:
        """As `Meter.used_up`."""
        used_up = self._used_up
        if used_up is None or self.room(now):
            return None
        quota, until = used_up
        return quota if self._clock() < until else None

    def figures(self, now: float) -> list[tuple[str, int, int]]:
        """As `Meter.figures`, of the whole cluster."""
        del now
        return [] if self.granted is None else self.granted.figures

    @property
    def _used_up(self) -> tuple[Quota, float] | None:
        return None if self.granted is None else self.granted.used_up


class SharedQuotas:
    """The quotas of a campaign and its relays on one worker.

    Args:
        number: The campaign's number.
        campaign: The campaign.
        relays: What its relays are called by all workers, in order.
        worker: This worker's number.

    Attributes:
        meters: What the pool asks.
        prepared: What its transactions do.
    """

    def __init__(self, number: int, campaign: Campaign, relays: Sequence[str], worker: int) -> None:
        clock = asyncio.get_running_loop().time
        self.meters = Meters(campaign.servers, ())
        self.prepared = Prepared(*_STATEMENTS)
        self._campaign = number
        self._worker = worker
        self._clock = clock
        self._all: list[SharedMeter] = []
        self._granted: dict[SharedMeter, Grant] = {}
        if campaign.delivery.quota:
            meter = SharedMeter(f"campaign {number}", tuple(campaign.delivery.quota), (), clock, of_campaign=True)
            self.meters.campaign = meter
            self._all.append(meter)
        for server, place, relay in zip(campaign.servers, places(campaign.servers), relays, strict=True):
            if server.quota or server.warm_up:
                meter = SharedMeter(f"relay {relay}", tuple(server.quota), tuple(server.warm_up), clock)
                self.meters.relays[place.name] = meter
                self._all.append(meter)
        # Rows are locked in this order by everybody.
        self._all.sort(key=lambda meter: meter.name)

    def is_ours(self, words: str) -> bool:
        """Whether a relay that rests for these words rests for one of these quotas, of which all workers know."""
        quotas = (quota for meter in self._all for quota in (*meter.quotas, *meter.warm_up))
        return any(str(quota) == words for quota in quotas)

    async def update(self, transaction: DatabaseTransaction, pool: Pool, workers: int) -> None:
        """Say what was sent, and ask for more; in a transaction of `prepared`, after which comes `adopt`.

        Args:
            transaction: The transaction.
            pool: What sends.
            workers: How many share the campaign.
        """
        if not self._all:
            return
        statistics = pool.statistics()
        busy = bool(statistics.backlog or statistics.in_flight)
        for meter in self._all:
            if meter.lapsed or not busy:
                meter.give_back()
            self._granted[meter] = await self._ask(transaction, meter, workers if busy or meter.granted is None else 0)

    def adopt(self) -> None:
        """The transaction is done: what it has granted may be used."""
        for meter, grant in self._granted.items():
            meter.grant(grant)

    async def settle(self, connection: Connection) -> None:
        """This worker sends nothing more of the campaign for now: say what was sent, and give the rest back."""
        if not self._all:
            return
        async with self.prepared.transaction(connection) as transaction:
            for meter in self._all:
                meter.give_back()
                self._granted[meter] = await self._ask(transaction, meter, 0)
        self.adopt()

    async def _ask(self, transaction: DatabaseTransaction, meter: SharedMeter, workers: int) -> Grant:
        """Tell of one quota, and ask for a part of it that is fair among so many; for none where they are 0."""
        began, spent, allowed = self._clock(), meter.spent, meter.allowed
        await transaction.execute(_ENTER, meter.name, self._campaign if meter.of_campaign else None)
        age = await transaction.fetchval(_LOCK, meter.name)
        if meter.granted is None:
            # An earlier pool of this worker may not have come to tell of its end.
            before = await self._reckon(transaction, meter, self._campaign, self._worker)
        else:
            before = meter.granted.before
            own = await transaction.fetchrow(_OWN, meter.name, self._campaign, self._worker)
            reported = before if own is None else own["reported"]
            await self._use(transaction, meter, before + spent - reported)
        for lost in await transaction.fetch(_SILENT, meter.name, self._campaign, self._worker):
            if await self._is_lost(transaction, lost["campaign"], lost["worker"]):
                await self._reckon(transaction, meter, lost["campaign"], lost["worker"])
        # Not after its own longest window: another campaign may have a longer one for the same relay, of a day at most.
        await transaction.execute(_FORGET, meter.name, DAY)
        held = allowed - spent
        known = spent if meter.granted is None else meter.granted.told
        wanted = max(_FIRST, 4 * (spent - known))
        limits = meter.limits(age)
        figures = [
            (str(one), await transaction.fetchval(_USED, meter.name, one.seconds), one.messages) for one in limits
        ]
        if workers and limits:
            others = await transaction.fetchval(_OTHERS, meter.name, self._campaign, self._worker)
            room = max(0, min(most - used for _, used, most in figures) - others)
            held = max(held, min(room, wanted, -(-room // workers)))
        elif workers:  # its warm-up is over
            held = max(held, wanted)
        await transaction.execute(_KEEP, meter.name, self._campaign, self._worker, held, before + spent, _HOLD)
        used_up: list[tuple[Quota, float]] = []
        for quota, (_, used, most) in zip(limits, figures, strict=True):
            if used >= most:
                free = await transaction.fetchval(_FREE, meter.name, quota.seconds, most)
                if free is not None:
                    used_up.append((quota, began + free))
        last = max(used_up, key=lambda one: one[1], default=None)
        told = ", ".join(f"{used:,} of {name}" for name, used, _ in figures)
        await transaction.execute(_TELL, meter.name, told, None if last is None else last[1] - began)
        return Grant(spent + held, spent, before, began + _HOLD, figures, last)

    async def _use(self, transaction: DatabaseTransaction, meter: SharedMeter, messages: int) -> None:
        """So many messages were sent."""
        if messages > 0:
            await transaction.execute(_BEGINS, meter.name)
            await transaction.execute(_USE, meter.name, meter.together, messages)

    async def _is_lost(self, transaction: DatabaseTransaction, campaign: int, worker: int) -> bool:
        """Whether a worker whose grant is over can store nothing more as under way (rule 3)."""
        await transaction.execute(_FENCE, campaign, worker)
        return not await transaction.fetchval(_LEASES, campaign, worker)

    async def _reckon(self, transaction: DatabaseTransaction, meter: SharedMeter, campaign: int, worker: int) -> int:
        """Count what a pool that is no more has sent and has not told of.

        Returns:
            How many messages its worker has sent of the campaign, as far as this quota is concerned.
        """
        row = await transaction.fetchrow(_OWN, meter.name, campaign, worker)
        if row is None:
            return 0
        reported: int = row["reported"]
        if row["held"]:
            found = await transaction.fetchrow(_IN_ACCOUNT, campaign, worker)
            # Of a campaign that was dropped nobody knows; of one with several relays, it may have been this one.
            untold = max(0, found["stored"] - reported) if found is not None and found["known"] else row["held"]
            untold = min(untold, row["held"])
            await self._use(transaction, meter, untold)
            reported += untold
            await transaction.execute(_KEEP, meter.name, campaign, worker, 0, reported, 0.0)
        return reported

    def __repr__(self) -> str:
        return f"<SharedQuotas {self._all!r}>"
