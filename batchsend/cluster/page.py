"""What the live page shows of a campaign that a cluster sends: the same page as that of a run, from the database.

The database is asked once a second while the page is served. Where a run has sessions, a cluster has workers; they
stand with the relays in the table of who sends.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from batchsend import figures
from batchsend.cluster.database import DatabaseGoneError
from batchsend.cluster.status import status
from batchsend.display import one_line
from batchsend.monitor import words
from batchsend.outcome import Outcome
from batchsend.page.server import Heading, serve_page
from batchsend.report import charts
from batchsend.report.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batchsend.cluster.database import Database
    from batchsend.cluster.status import CampaignStatus, ClusterStatus

_EVERY: Final = 1.0
_STATES: Final = {"active": "sending", "publishing": "waiting"}
_HEADING: Final = Heading(rows="Workers and relays", row="Worker or relay", sessions="Under way")


class ClusterLive:
    """A campaign as its page shows it.

    Args:
        database: Where it is.
        name: The campaign's name.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._found: ClusterStatus | None = None
        self._gone = ""
        self._began = time.monotonic()
        self._timeline = Timeline(_EVERY)
        self._last: tuple[float, dict[str, int]] | None = None  # when it was looked, and what there was
        self.encoded = b""

    async def run(self) -> None:
        """Look at the campaign once a second, until cancelled."""
        while True:
            await anyio.sleep(_EVERY)
            await self.refresh()

    async def refresh(self) -> None:
        """Ask the database how the campaign is now.

        Raises:
            ClusterError: There is no such campaign.
        """
        try:
            self._found, self._gone = await status(self._database, self._name), ""
        except DatabaseGoneError as error:
            self._gone = error.message
        self.look()

    def look(self) -> None:
        """Put what the database has said last into what is shown."""
        if self._found is not None:
            one = self._found.campaigns[0]
            self._count(one)
            self.encoded = msgspec.json.encode(self._state(self._found, one))

    def _count(self, one: CampaignStatus) -> None:
        """What has come since the last look is of the second after that; what was there at first is of no time."""
        before, self._last = self._last, (time.monotonic() - self._began, dict(one.outcomes))
        if before is None:
            return
        moment, counts = before
        for outcome in Outcome:
            if (more := one.outcomes.get(outcome, 0) - counts.get(outcome, 0)) > 0:
                self._timeline.add(moment, outcome, more)

    def _state(self, found: ClusterStatus, one: CampaignStatus) -> dict[str, Any]:
        """What there is to show: every text is safe to show, on one line, and no markup."""
        whole = max(one.offered + one.withheld, 1)
        decided = sum(one.outcomes.get(outcome, 0) for outcome in Outcome)
        accepted = one.outcomes.get(Outcome.ACCEPTED, 0)
        notes = [*filter(None, [self._gone, one.why]), *(why for each in found.workers for why in each.lacks.values())]
        under_way = one.outcomes.get("under_way", 0)
        return {
            "state": _STATES.get(one.state, one.state),
            "notes": [one_line(note) for note in notes],
            "share": words.percentage(decided / whole),
            "said": f"{figures.count(whole, 'record')}, {accepted:,} accepted",
            "outcomes": [
                {
                    "kind": outcome.value,
                    "name": outcome.label,
                    "count": f"{one.outcomes.get(outcome, 0):,}",
                    "part": round(100 * one.outcomes.get(outcome, 0) / whole, 3),
                }
                for outcome in Outcome
                if one.outcomes.get(outcome, 0) or outcome is Outcome.ACCEPTED
            ],
            "figures": self._figures(one),
            "chart": self._chart(),
            "relays": [*_workers(found), *_relays(found)],
            "quotas": [],
            "replies": [],
            "sessions": [],
            "sessions_said": f"{figures.count(under_way, 'message')} stored as under way",
            "paused": one.state == "paused",
            "stopping": False,
            "rate": None,
            "connections": 0,
        }

    def _figures(self, one: CampaignStatus) -> list[tuple[str, str, str]]:
        """Name, value, and what is to be said of it in small letters."""
        shown = [
            ("Pace", f"{one.pace:,.0f}/s", figures.count(one.workers, "worker")),
            ("Lots", f"{one.done:,} of {one.lots:,}", f"{one.leased:,} leased"),
            ("Left", f"{one.left:,}", ""),
        ]
        if one.state == "active" and one.left and one.pace >= 1:
            shown[2] = ("Left", f"{one.left:,}", f"{figures.duration(one.left / one.pace)} left")
        return shown

    def _chart(self) -> charts.Chart | None:
        attempts = sum(step.total for step in self._timeline)
        if not attempts:
            return None
        return charts.throughput(self._timeline, attempts=attempts, elapsed=time.monotonic() - self._began)


def _workers(found: ClusterStatus) -> list[dict[str, Any]]:
    return [
        {
            "name": one_line(worker.name),
            "state": "ready",
            "said": one_line("; ".join(worker.lacks.values())),
            "accepted": f"{worker.accepted:,}",
            "pace": f"{worker.pace:,.0f}/s",
            "sessions": "",
            "quotas": [],
        }
        for worker in found.workers
    ]


def _relays(found: ClusterStatus) -> list[dict[str, Any]]:
    said = [(relay.relay, sentence) for relay in found.relays for sentence in relay.sentences()]
    said += [(quota.whose, quota.sentence()) for quota in found.quotas]
    return [
        {
            "name": one_line(name),
            "state": "asleep",
            "said": one_line(sentence),
            "accepted": "",
            "pace": "",
            "sessions": "",
            "quotas": [],
        }
        for name, sentence in said
    ]


@asynccontextmanager
async def cluster_page(database: Database, name: str, port: int) -> AsyncIterator[str]:
    """Serve the page of a campaign while the context lasts; yields its address. Nothing can be changed from it.

    Args:
        database: Where it is.
        name: The campaign's name.
        port: The port on loopback; 0 for any free one.

    Raises:
        UsageError: The extra ``web`` is not installed, the port cannot be had, or there is no such campaign.
    """
    live = ClusterLive(database, name)
    await live.refresh()
    async with serve_page(live, port, None, name, _HEADING) as url:
        yield url
