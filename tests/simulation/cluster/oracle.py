"""Holds what the cluster's account has said of each record against what the relays know."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from batchsend.cluster.account import LOST
from tests.simulation.oracle import of_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.simulation.cluster.case import ClusterCase
    from tests.simulation.cluster.running import Cluster

_OPEN: Final = ("waiting", "under_way")


def judge(
    case: ClusterCase,
    cluster: Cluster,
    campaigns: Sequence[Any],
    history: Sequence[Any],
    lots: Sequence[Any],
) -> list[str]:
    """What must not be and is, one line each; nothing where all is well."""
    wrong: list[str] = []
    for relay in cluster.relays:
        relay.check_content()
        wrong += [*relay.wrong, *relay.failures]
    state = campaigns[0]["state"] if len(campaigns) == 1 else f"{len(campaigns)} campaigns"
    if state not in ("done", "stopped"):
        wrong.append(f"the campaign is {state} when nobody works on it any more: {lots}")
    of_each: dict[int, list[dict[str, Any]]] = {}
    for row in history:
        line = json.loads(row["line"]) if row["line"] is not None else {}
        of_each.setdefault(row["record"], []).append({**line, **dict(row), "line": line})
    wrong += _records(case, cluster, of_each, done=state == "done")
    wrong += _bound(case, of_each)
    return wrong


def _records(
    case: ClusterCase, cluster: Cluster, of_each: dict[int, list[dict[str, Any]]], *, done: bool
) -> Iterator[str]:
    taken = Counter[int]()
    said: dict[int, set[str]] = {}
    for relay in cluster.relays:
        taken += relay.taken
        for record, verdicts in relay.said.items():
            said.setdefault(record, set()).update(verdicts)
    for record in range(1, case.records + 1):
        lines = of_each.get(record, [])
        status = lines[-1]["status"] if lines else "none"
        if done and (status in (*_OPEN, "none")):
            yield f"record {record} is lost: {[line['status'] for line in lines]}"
        for what in of_record(lines, taken[record], said.get(record, set()), again=False):
            yield f"record {record} {what}"
        if status == "in_doubt" and lines[-1].get("reason") != LOST and record not in cluster.written:
            yield f"record {record} is in doubt, and its content was never sent to its end: {lines[-1]}"
    if unknown := (set(taken) | set(of_each)) - set(range(1, case.records + 1)):
        yield f"there is something about nobody on the list: {unknown}"


def _bound(case: ClusterCase, of_each: dict[int, list[dict[str, Any]]]) -> Iterator[str]:
    """Promise 2: what a worker has under way when it is lost is twice its window at most."""
    connections, depth = int(case.delivery.get("max_connections", 5)), int(case.delivery.get("depth", 1))
    window = 2 * (connections + 1) * min(depth, int(case.delivery.get("max_messages", 100))) * len(case.relays)
    lost = sum(len(case.workers) if event.worker == 0 else event.what != "leave" for event in case.events)
    lost += len(case.troubles)
    doubts = sum(lines[-1].get("reason") == LOST for lines in of_each.values())
    if doubts > lost * window:
        yield f"{doubts} are in doubt because their worker was lost, {lost * window} may be"
