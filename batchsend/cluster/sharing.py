"""What the workers of a campaign share: its rate, its connections, its quotas, and what each learns of its relays.

Once a second each worker renews its share, in a transaction that locks the campaign's row, so that the shares together
are never more than the whole: who comes enters a claim, which the others count when they renew theirs, and gets what
they have given up; who takes more waits until it is free. A worker that is not heard of has no share after some
seconds; it cannot send by then, because it cannot commit either.

A relay's own rate and connections are divided like the campaign's: each worker has the same part of all of them. Where
a relay may have fewest connections, no more workers than that have a share.

A relay's quota sleep or refusal that one worker meets holds for all of them; a cut of the pace is every worker's cut; a
number of sessions that was found to be too high is divided like the campaign's own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from batchsend.errors import RefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batchsend.campaign import Campaign
    from batchsend.cluster.database import Connection
    from batchsend.cluster.quotas import SharedQuotas
    from batchsend.delivery.pool import Pool
    from batchsend.delivery.relay import Relay

SECONDS: Final = 4.0
"""How long a share holds that is not renewed."""

_KEEP_LIMIT: Final = 600.0  # a number of sessions that a relay was found to allow
_LEAST_RATE: Final = 0.001
_LEAST_PART: Final = 0.000_001
_OWN_CUT: Final = 3.0  # a cut by another worker within so many seconds of an own one is the same cut
_SAME_SLEEP: Final = 5.0

_LOCK: Final = "SELECT FROM batchsend.campaigns WHERE id = $1 FOR UPDATE"
_OTHERS: Final = """
SELECT worker, part, connections FROM batchsend.shares
WHERE campaign = $1 AND worker <> $2 AND until > clock_timestamp() ORDER BY worker
"""
_KEEP: Final = """
INSERT INTO batchsend.shares (campaign, worker, part, rate, connections, pace, until)
VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7 * interval '1 second')
ON CONFLICT (campaign, worker) DO UPDATE
SET part = excluded.part, rate = excluded.rate, connections = excluded.connections, pace = excluded.pace,
    until = excluded.until
"""
_GIVE_UP: Final = "DELETE FROM batchsend.shares WHERE campaign = $1 AND worker = $2"

_RELAYS: Final = """
SELECT relay, extract(epoch FROM asleep_until - clock_timestamp())::float8 AS asleep, because, refuses, slower,
    CASE WHEN most_until > clock_timestamp() THEN most_connections END AS most
FROM batchsend.relays WHERE relay = ANY($1::text[])
"""
_SLEEP: Final = """
INSERT INTO batchsend.relays (relay, asleep_until, because)
VALUES ($1, clock_timestamp() + $2 * interval '1 second', $3)
ON CONFLICT (relay) DO UPDATE SET asleep_until = greatest(relays.asleep_until, excluded.asleep_until),
    because = excluded.because
"""
_REFUSES: Final = """
INSERT INTO batchsend.relays (relay, refuses) VALUES ($1, $2)
ON CONFLICT (relay) DO UPDATE SET refuses = excluded.refuses
"""
_SLOWER: Final = """
INSERT INTO batchsend.relays AS r (relay, slower, slowed_by) VALUES ($1, 1, $2)
ON CONFLICT (relay) DO UPDATE SET slower = r.slower + 1, slowed_by = excluded.slowed_by
RETURNING slower
"""
_MOST: Final = """
INSERT INTO batchsend.relays (relay, most_connections, most_until)
VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second')
ON CONFLICT (relay) DO UPDATE SET most_connections = excluded.most_connections, most_until = excluded.most_until
"""


class SharedLimits:
    """One worker's part of a campaign.

    Args:
        number: The campaign's number.
        relays: What its relays are called by all workers, in the order of the pool's.
        worker: This worker's number.
        pool: The pool that sends it here.
        campaign: The campaign.
        quotas: Its quotas, and its relays'.
    """

    def __init__(
        self,
        number: int,
        relays: Sequence[str],
        worker: int,
        pool: Pool,
        *,
        campaign: Campaign,
        quotas: SharedQuotas,
    ) -> None:
        delivery = campaign.delivery
        self._campaign = number
        self._quotas = quotas
        quotas.prepared.add(_LOCK, _OTHERS, _KEEP, _GIVE_UP)  # what is done in one transaction with them
        self._relays = list(zip(relays, pool.relays, strict=True))
        self._worker = worker
        self._pool = pool
        self._rate = delivery.rate.per_second if delivery.rate is not None else None
        self._own_rates = any(server.rate is not None for server in campaign.servers)
        # What each relay may have, and what is divided: the least of them.
        self._most = [server.max_connections or delivery.max_connections for server in campaign.servers]
        self._connections = min(self._most)
        self._share: tuple[float, int] | None = None
        self._known = {name: _Known() for name in relays}
        self._loop = asyncio.get_running_loop()

    async def update(self, connection: Connection) -> bool | None:
        """Tell what was learned, heed what others have, and renew the share.

        Args:
            connection: To the database.

        Returns:
            Whether it may send: true where it has a share, false where others have to give some of theirs up first, and
            None where there is none for it, because there are as many workers as may be connected.
        """
        most = self._connections
        found = await connection.fetch(_RELAYS, [name for name, _ in self._relays])
        said: dict[str, dict[str, Any]] = {row["relay"]: dict(row) for row in found}
        for name, relay in self._relays:
            row = said.get(name) or {}
            await self._tell(connection, name, relay, row)
            self._adopt(name, relay, row)
            if row.get("most") is not None:
                most = min(most, max(row["most"], 1))
        async with self._quotas.prepared.transaction(connection) as transaction:
            await transaction.execute(_LOCK, self._campaign)
            others = [dict(row) for row in await transaction.fetch(_OTHERS, self._campaign, self._worker)]
            share = self._fair(others, most)
            if share is None:
                await transaction.execute(_GIVE_UP, self._campaign, self._worker)
                self._share = None
                return None
            part, connections = share
            rate = None if self._rate is None else part * self._rate
            counted = max(connections, self._open_now())
            pace = self._pool.statistics().goodput
            await transaction.execute(_KEEP, self._campaign, self._worker, part, rate, counted, pace, SECONDS)
            if connections:
                await self._quotas.update(transaction, self._pool, len(others) + 1)
        if not connections:
            return False
        self._quotas.adopt()
        self._apply(part, connections)
        return True

    async def give_up(self, connection: Connection) -> None:
        """This worker sends nothing of the campaign for now."""
        await connection.execute(_GIVE_UP, self._campaign, self._worker)
        self._share = None
        await self._quotas.settle(connection)

    def _open_now(self) -> int:
        """What its open sessions are worth: those that are too many count until they are answered."""
        sessions = [relay.sessions for relay in self._pool.statistics().relays]
        return max(-(-count * self._connections // most) for count, most in zip(sessions, self._most, strict=True))

    def _fair(self, others: Sequence[Mapping[str, Any]], most: int) -> tuple[float, int] | None:
        """This worker's share, which is never more than what the others leave; None where none is due to it.

        A share of no connection is a claim: the others count it when they reckon their own shares.
        """
        count = len(others) + 1
        place = sum(row["worker"] < self._worker for row in others)
        left = most - sum(row["connections"] for row in others)
        due = most // count + (place < most % count)
        connections = min(due, left)
        if due < 1:
            return None
        if connections < 1 and self._share is None:
            return 0.0, 0
        part = max(0.0, min(1 / count, 1 - sum(row["part"] for row in others)))
        # Who has a share already keeps one connection while the others end what they have too many.
        return part, max(connections, 1)

    def _apply(self, part: float, connections: int) -> None:
        before, self._share = self._share, (part, connections)
        if before == self._share:
            return
        if self._own_rates:
            now = self._loop.time()
            for _, relay in self._relays:
                relay.set_part(max(part, _LEAST_PART), now)
        if self._rate is not None or self._own_rates:
            self._pool.set_rate(None if self._rate is None else max(part * self._rate, _LEAST_RATE))
        if before is None or before[1] != connections:
            for (_, relay), most in zip(self._relays, self._most, strict=True):
                self._pool.set_connections(max(1, connections * most // self._connections), relay)

    # --- what is learned ----------------------------------------------------------------------------------------------

    async def _tell(self, connection: Connection, name: str, relay: Relay, row: Mapping[str, Any]) -> None:
        """Say what this worker has met."""
        known, now = self._known[name], self._loop.time()
        # Each worker knows by itself when the campaign's own quotas have room again.
        ours = relay.rests and self._quotas.is_ours(relay.sleeps_because)
        if not ours and relay.asleep_until > now and relay.asleep_until > known.asleep_until + _SAME_SLEEP:
            known.asleep_until = relay.asleep_until
            await connection.execute(_SLEEP, name, relay.asleep_until - now, relay.sleeps_because)
        if isinstance(relay.out_of_service, RefusalError) and row.get("refuses") is None:
            await connection.execute(_REFUSES, name, relay.out_of_service.message)
        if relay.throttle.cuts > known.cuts:
            known.cut_at = now
            known.slower = await connection.fetchval(_SLOWER, name, self._worker)
        known.cuts = relay.throttle.cuts
        learned = relay.limits.learned.get("max_connections")
        if learned is not None and learned != known.most:
            known.most = learned
            others = await connection.fetch(_OTHERS, self._campaign, self._worker)
            total = int(learned) + sum(other["connections"] for other in others)
            await connection.execute(_MOST, name, total, _KEEP_LIMIT)

    def _adopt(self, name: str, relay: Relay, row: Mapping[str, Any]) -> None:
        """Do what another worker has been told."""
        known, now = self._known[name], self._loop.time()
        asleep = row.get("asleep") or 0.0
        if asleep > 0 and now + asleep > relay.asleep_until + _SAME_SLEEP:
            relay.sleep(now, asleep, str(row["because"]))
            self._pool.retire_sessions(relay)
            known.asleep_until = relay.asleep_until
        if row.get("refuses") is not None and relay.out_of_service is None:
            relay.retire(RefusalError(str(row["refuses"])))
            self._pool.retire_sessions(relay)
            if all(one.out_of_service is not None for _, one in self._relays):
                self._pool.stop(relay.out_of_service)
        slower = row.get("slower") or 0
        if known.slower is not None and slower > known.slower and now - known.cut_at > _OWN_CUT:
            relay.throttle.slow_down(now, relay.goodput.rate(now, relay.accepted))
            known.cuts, known.cut_at = relay.throttle.cuts, now
        known.slower = max(slower, known.slower or 0)


class _Known:
    """What a worker has told or heeded of a relay.

    Attributes:
        asleep_until: Until when it sleeps, on the loop's clock.
        cuts: Of its throttle, so far.
        cut_at: When that was cut last.
        slower: How often any worker has told of a cut; None before the first look.
        most: How many sessions it was found to allow.
    """

    def __init__(self) -> None:
        self.asleep_until = 0.0
        self.cuts = 0
        self.cut_at = float("-inf")
        self.slower: int | None = None
        self.most: float | None = None
