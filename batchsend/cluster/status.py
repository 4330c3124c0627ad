"""What is going on: campaigns, lots, workers, relays; and the hand on them: pause, continue, stop, drop."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import Struct, field

from batchsend.cluster.collect import name_left_behind, unknown
from batchsend.cluster.database import ClusterError, Prepared
from batchsend.figures import count, duration
from batchsend.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batchsend.cluster.database import Connection, Database

_ROWS_AT_ONCE: Final = 20_000

_CAMPAIGNS: Final = """
SELECT c.id, c.name, c.run, c.state, c.why, c.server, c.created, l.offered, l.lots, l.done, l.leased, l.workers, (
    SELECT coalesce(sum(s.pace), 0)::float8 FROM batchsend.shares AS s WHERE s.campaign = c.id AND s.until >= now()
) AS pace
FROM batchsend.campaigns AS c LEFT JOIN LATERAL (
    SELECT coalesce(sum(count), 0)::bigint AS offered, count(*) AS lots, count(*) FILTER (WHERE done) AS done,
        count(*) FILTER (WHERE lease_until >= now()) AS leased,
        count(DISTINCT worker) FILTER (WHERE lease_until >= now()) AS workers
    FROM batchsend.lots WHERE campaign = c.id
) AS l ON true
WHERE $1::text IS NULL OR c.name = $1 ORDER BY c.id
"""
_COUNTS: Final = "SELECT status, count(*) AS count FROM batchsend.account WHERE campaign = $1 GROUP BY status"
_WORKERS: Final = """
SELECT id, name, version, extract(epoch FROM now() - started)::float8 AS up, accepted, pace, lacks,
    extract(epoch FROM now() - seen)::float8 AS silent
FROM batchsend.workers WHERE seen + lease >= now() ORDER BY id
"""
_RELAYS: Final = """
SELECT relay, because, refuses, most_connections, extract(epoch FROM asleep_until - now())::float8 AS asleep
FROM batchsend.relays WHERE asleep_until > now() OR refuses IS NOT NULL OR most_until > now() ORDER BY relay
"""
_QUOTAS: Final = """
SELECT coalesce('campaign ' || c.name, q.meter) AS whose, q.figures,
    CASE WHEN q.used_up_until > now() THEN extract(epoch FROM q.used_up_until - now())::float8 END AS used_up
FROM batchsend.quotas AS q LEFT JOIN batchsend.campaigns AS c ON c.id = q.campaign
WHERE q.campaign IS NULL OR $1::text IS NULL OR c.name = $1 ORDER BY q.meter
"""
_LOCK: Final = """
SELECT id, state, relays, published, collected FROM batchsend.campaigns WHERE name = $1 FOR UPDATE
"""
_SET_STATE: Final = """
UPDATE batchsend.campaigns SET state = $2, why = $3, collected = NULL, ended = CASE WHEN $2 = 'stopped' THEN now() END
WHERE id = $1
"""
# Whoever lets a campaign go on has seen to what its relays said.
_FORGIVE: Final = "UPDATE batchsend.relays SET refuses = NULL, asleep_until = NULL WHERE relay = ANY($1::text[])"
_DROP: Final = (
    *(f"DELETE FROM batchsend.{table} WHERE campaign = $1" for table in ("lots", "files", "shares")),  # noqa: S608 - fixed names
    *(
        f"DELETE FROM batchsend.{table} WHERE meter = 'campaign ' || $1::bigint"  # noqa: S608 - likewise
        for table in ("quotas", "quota_used", "quota_held")
    ),
    "DELETE FROM batchsend.quota_held WHERE campaign = $1 AND held = 0",
    "DELETE FROM batchsend.campaigns WHERE id = $1",
)


class CampaignStatus(Struct):
    """One campaign.

    Attributes:
        name: Its name.
        run: Its run's identity.
        state: ``publishing``, ``active``, ``paused``, ``stopped`` or ``done``.
        why: Why it was stopped, or None.
        server: Where its messages go.
        offered: How many of its records are offered at all.
        outcomes: Its records by status; ``under_way`` and ``waiting`` beside the outcomes.
        lots: How many lots it has.
        done: How many of them are done.
        leased: How many are being worked on.
        workers: By how many workers.
        pace: Messages a second at present, all its workers together.
    """

    name: str
    run: str
    state: str
    why: str | None
    server: str
    offered: int
    outcomes: dict[str, int]
    lots: int
    done: int
    leased: int
    workers: int
    pace: float = 0.0

    @property
    def left(self) -> int:
        """How many of its records have no outcome yet."""
        decided = Counter(self.outcomes)
        return max(0, self.offered - sum(decided[outcome] for outcome in Outcome) + self.withheld)

    @property
    def withheld(self) -> int:
        """How many of its records were decided without being offered."""
        return sum(self.outcomes.get(outcome, 0) for outcome in Outcome if not outcome.was_offered)


class WorkerStatus(Struct):
    """One worker that was heard of lately.

    Attributes:
        id: Its number.
        name: Its machine and process.
        version: Its version of batchsend.
        up: For how many seconds it works.
        silent: Seconds since it was heard of.
        accepted: Messages that were accepted through it.
        pace: Messages a second at present.
        lacks: Why it does not send a campaign, by the campaign's number.
    """

    id: int
    name: str
    version: str
    up: float
    silent: float
    accepted: int
    pace: float
    lacks: dict[str, str]


class RelayStatus(Struct):
    """One relay that all leave alone, or use with care.

    Attributes:
        relay: Host and port.
        asleep: Seconds that its quota is still used up, or None.
        because: What it said then.
        refuses: Why it is out of service, or None.
        most_connections: How many sessions it was found to allow, or None.
    """

    relay: str
    asleep: float | None
    because: str | None
    refuses: str | None
    most_connections: int | None

    def sentences(self) -> Iterator[str]:
        """It for people."""
        if self.refuses is not None:
            yield f"out of service: {self.refuses}"
        if self.asleep is not None and self.asleep > 0:
            yield f"sending limit for {duration(self.asleep)} more: {self.because}"
        if self.most_connections is not None:
            yield f"{count(self.most_connections, 'connection')} at most"


class QuotaStatus(Struct):
    """What the quotas of a campaign, or of a relay, have come to, all workers together.

    Attributes:
        whose: The campaign's or the relay's.
        figures: What counts towards each of them.
        used_up: Seconds until there is room again; None where there is some.
    """

    whose: str
    figures: str
    used_up: float | None

    def sentence(self) -> str:
        """It for people."""
        rest = "" if self.used_up is None else f"; used up for {duration(self.used_up)} more"
        return f"{self.figures}{rest}"


class ClusterStatus(Struct):
    """All of it."""

    campaigns: list[CampaignStatus]
    workers: list[WorkerStatus] = field(default_factory=list)
    relays: list[RelayStatus] = field(default_factory=list)
    quotas: list[QuotaStatus] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """It for people."""
        for one in self.campaigns:
            yield from self._of_campaign(one)
        if not self.campaigns:
            yield "no campaigns"
        for worker in self.workers:
            lacks = "".join(f"; {why}" for why in worker.lacks.values())
            yield (
                f"worker {worker.id}  {worker.name}  {worker.accepted:,} accepted, {worker.pace:,.0f}/s, "
                f"for {duration(worker.up)}{lacks}"
            )
        if not self.workers:
            yield "no worker was heard of lately"
        for relay in self.relays:
            yield from (f"relay {relay.relay}  {sentence}" for sentence in relay.sentences())
        for quota in self.quotas:
            yield f"quota of {quota.whose}  {quota.sentence()}"

    def _of_campaign(self, one: CampaignStatus) -> Iterator[str]:
        why = f": {one.why}" if one.why else ""
        yield f"{one.name}  {one.state}{why}"
        counts = ", ".join(f"{number:,} {status.replace('_', ' ')}" for status, number in sorted(one.outcomes.items()))
        yield f"  {one.left:,} of {one.offered:,} left; {counts or 'nothing sent yet'}"
        rest = ""
        if one.state == "active" and one.left and one.pace:
            rest = f"; {one.pace:,.0f}/s, {duration(one.left / one.pace)} left"
        yield (
            f"  lots: {one.done:,} of {one.lots:,} done, {one.leased:,} leased by {count(one.workers, 'worker')}"
            f"{rest}; run {one.run} to {one.server}"
        )


async def status(database: Database, name: str | None = None, *, brief: bool = False) -> ClusterStatus:
    """Look at everything, or at one campaign.

    Args:
        database: Where.
        name: The campaign; None for all.
        brief: Without the outcomes, whose counting takes time where there are millions.

    Raises:
        ClusterError: There is no such campaign.
    """

    async def work(connection: Connection) -> ClusterStatus:
        campaigns = []
        for row in await connection.fetch(_CAMPAIGNS, name):
            counts = [] if brief else await connection.fetch(_COUNTS, row["id"])
            outcomes = {found["status"]: found["count"] for found in counts}
            campaigns.append(_made(CampaignStatus, dict(row) | {"outcomes": outcomes}))
        if name is not None and not campaigns:
            raise unknown(name)
        workers = [
            _made(WorkerStatus, dict(row) | {"lacks": orjson.loads(row["lacks"])})
            for row in await connection.fetch(_WORKERS)
        ]
        relays = [_made(RelayStatus, dict(row)) for row in await connection.fetch(_RELAYS)]
        quotas = [_made(QuotaStatus, dict(row)) for row in await connection.fetch(_QUOTAS, name)]
        return ClusterStatus(campaigns, workers, relays, quotas)

    return await database.call(work, seconds=60.0)


def _made(kind: type[Any], row: dict[str, Any]) -> Any:
    return kind(**{name: row[name] for name in kind.__struct_fields__})


async def set_state(
    database: Database,
    name: str,
    state: str,
    *,
    only_from: tuple[str, ...],
    why: str | None = None,
    although_collected: bool = False,
) -> bool:
    """Pause a campaign, let it go on, or stop it; workers see it within seconds.

    Args:
        database: Where.
        name: The campaign.
        state: What it is to be: ``paused``, ``active`` or ``stopped``.
        only_from: What it must be before.
        why: Why it is stopped.
        although_collected: Let it go on although the log of what it had come to is one that can be gone on with.

    Returns:
        False where it was in that state already.

    Raises:
        ClusterError: There is no such campaign, or it cannot get there from where it is.
    """

    async def work(connection: Connection) -> bool:
        async with Prepared(_LOCK, _SET_STATE, _FORGIVE).transaction(connection) as transaction:
            row = await transaction.fetchrow(_LOCK, name)
            if row is None:
                raise unknown(name)
            if row["state"] == state:
                return False
            if row["state"] not in only_from:
                raise ClusterError(f"campaign {name} is {row['state']}", remedy="see: batchsend cluster status")
            if state == "active":
                _refuse_to_go_on(name, dict(row), although_collected=although_collected)
            await transaction.execute(_SET_STATE, row["id"], state, why)
            if state == "active":
                await transaction.execute(_FORGIVE, row["relays"])
            return True

    return await database.call(work)


def _refuse_to_go_on(name: str, row: Mapping[str, Any], *, although_collected: bool) -> None:
    """Check that nobody is left out, or written to twice, if a campaign goes on that was stopped.

    Raises:
        ClusterError: Its records are not all there, or somebody may send what is left from its log.
    """
    if row["published"] is None:
        raise ClusterError(f"campaign {name} is not published completely", remedy="publish it again")
    if row["collected"] is not None and not although_collected:
        raise ClusterError(
            f"the log of campaign {name} was collected after it was stopped: "
            "where `batchsend resume` goes on with it, people would get the message twice",
            remedy=f"if nobody has resumed it, and nobody will: batchsend cluster continue {name} --although-collected",
        )


async def _empty_account(database: Database, campaign: int) -> int:
    """Delete the account of a campaign, a part at a time; returns how many records it had.

    By ranges: what such a statement costs does not depend on what the server knows of the table.
    """

    async def last(connection: Connection) -> int:
        found: int | None = await connection.fetchval(
            "SELECT max(record) FROM batchsend.account WHERE campaign = $1", campaign
        )
        return found or 0

    total = 0
    for after in range(0, await database.call(last), _ROWS_AT_ONCE):

        async def part(connection: Connection, after: int = after) -> int:
            deleted = await connection.execute(
                "DELETE FROM batchsend.account WHERE campaign = $1 AND record > $2 AND record <= $3",
                *(campaign, after, after + _ROWS_AT_ONCE),
            )
            return int(deleted.rpartition(" ")[2])

        total += await database.call(part, seconds=60.0)
    return total


async def drop(database: Database, name: str) -> int:
    """Take a campaign and its account out of the database, a part at a time.

    Returns:
        How many records its account had.

    Raises:
        ClusterError: There is no such campaign, or it is being sent.
    """

    async def begin(connection: Connection) -> int:
        row = await connection.fetchrow(
            "SELECT c.id, c.state, c.lot_size, EXISTS (SELECT FROM batchsend.lots AS l WHERE l.campaign = c.id "
            "AND l.lease_until >= now()) AS leased FROM batchsend.campaigns AS c WHERE c.name = $1",
            name,
        )
        if row is None:
            raise unknown(name)
        if row["state"] in ("active", "paused"):
            raise ClusterError(f"campaign {name} is being sent", remedy=f"batchsend cluster stop {name}")
        if row["leased"]:
            raise ClusterError(
                f"campaign {name} is being sent: a worker still holds lots of it",
                remedy="drop it again in a moment; where the worker is lost, when its lease is over",
            )
        await name_left_behind(connection, row["id"], row["lot_size"])
        number: int = row["id"]
        return number

    campaign = await database.call(begin, seconds=60.0)

    total = await _empty_account(database, campaign)

    async def end(connection: Connection) -> None:
        async with Prepared(*_DROP).transaction(connection) as transaction:
            for statement in _DROP:
                await transaction.execute(statement, campaign)

    await database.call(end, seconds=60.0)
    return total
