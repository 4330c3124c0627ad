"""What `cluster status` says of campaigns, workers, relays and quotas."""

from __future__ import annotations

from typing import Any

import pytest

from batchsend.cluster.status import CampaignStatus, ClusterStatus, QuotaStatus, RelayStatus, WorkerStatus


def campaign(**changed: Any) -> CampaignStatus:
    """A campaign of a hundred records, of which five are withheld beside them."""
    said = {
        "name": "october",
        "run": "r1",
        "state": "active",
        "why": None,
        "server": "mx.example.com:25",
        "offered": 100,
        "outcomes": {"accepted": 30, "rejected": 2, "suppressed": 5, "under_way": 1},
        "lots": 10,
        "done": 3,
        "leased": 2,
        "workers": 2,
        "pace": 10.0,
    }
    return CampaignStatus(**(said | changed))


def test_a_campaign_is_told_with_what_is_left_of_it_and_for_how_long() -> None:
    assert list(ClusterStatus([campaign()]).lines())[:3] == [
        "october  active",
        "  68 of 100 left; 30 accepted, 2 rejected, 5 suppressed, 1 under way",
        "  lots: 3 of 10 done, 2 leased by 2 workers; 10/s, 6.8 s left; run r1 to mx.example.com:25",
    ]


@pytest.mark.parametrize(
    ("changed", "rest"),
    [
        ({"state": "paused"}, ""),
        ({"pace": 0.0}, ""),
        ({"outcomes": {"accepted": 100, "suppressed": 5}}, ""),
        ({"pace": 0.5, "workers": 1}, "; 0/s, 2 min 16 s left"),
    ],
    ids=["paused", "nothing is sent", "nothing is left", "slow"],
)
def test_how_long_it_takes_is_told_where_it_goes_on(changed: dict[str, Any], rest: str) -> None:
    one = campaign(**changed)
    workers = "1 worker" if one.workers == 1 else "2 workers"
    last = list(ClusterStatus([one]).lines())[2]
    assert last == f"  lots: 3 of 10 done, 2 leased by {workers}{rest}; run r1 to mx.example.com:25"


def test_why_a_campaign_was_stopped_is_told_and_that_nothing_was_sent() -> None:
    stopped = campaign(state="stopped", why="relay: refused", outcomes={}, leased=0)
    assert list(ClusterStatus([stopped]).lines())[:2] == [
        "october  stopped: relay: refused",
        "  100 of 100 left; nothing sent yet",
    ]


def test_where_there_is_nothing_that_is_said() -> None:
    assert list(ClusterStatus([]).lines()) == ["no campaigns", "no worker was heard of lately"]


def test_workers_relays_and_quotas_are_told() -> None:
    worker = WorkerStatus(7, "host:12", "1.0", 65.0, 0.2, 1200, 10.4, {"3": "needs a key", "4": "needs a word"})
    relays = [
        RelayStatus("one:25", 90.0, "5.4.5 too much today", None, None),
        RelayStatus("two:25", None, None, "554 not you", 1),
        RelayStatus("three:25", -1.0, "it was", None, 2),
    ]
    quotas = [QuotaStatus("campaign october", "5 of 10/day", None), QuotaStatus("relay one:25", "9 of 9/h", 60.0)]
    assert list(ClusterStatus([], [worker], relays, quotas).lines())[1:] == [
        "worker 7  host:12  1,200 accepted, 10/s, for 1 min 05 s; needs a key; needs a word",
        "relay one:25  sending limit for 1 min 30 s more: 5.4.5 too much today",
        "relay two:25  out of service: 554 not you",
        "relay two:25  1 connection at most",
        "relay three:25  2 connections at most",
        "quota of campaign october  5 of 10/day",
        "quota of relay one:25  9 of 9/h; used up for 1 min 00 s more",
    ]
