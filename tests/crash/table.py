"""The findings of trials as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchsend import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.crash.trial import Findings, Setting

_HEADER = (
    "mode             conn depth rotate faults  runs kills  records accepted rejected deferred in-doubt  worst/bound  "
    "recovered wrong"
)


def rows(trials: Iterable[tuple[Setting, Findings]]) -> Iterator[str]:
    """A line for each trial, and one for all of them."""
    yield _HEADER
    runs = kills = records = recovered = wrong = 0
    outcomes = dict.fromkeys(Outcome, 0)
    for setting, found in trials:
        counts = {outcome: found.outcomes[outcome.value] for outcome in Outcome}
        mode = f"{setting.mode}, power" if setting.power else setting.mode
        yield (
            f"{mode:16} {setting.connections:4} {setting.depth:5} {setting.max_messages:6} {setting.faults:5}% "
            f"{_numbers(found.runs, found.kills, found.records, counts)}  {found.most_in_doubt:5}/{found.bound:<5}  "
            f"{found.recovered:9} {len(found.wrong):5}"
        )
        runs += found.runs
        kills += found.kills
        records += found.records
        recovered += found.recovered
        wrong += len(found.wrong)
        for outcome, count in counts.items():
            outcomes[outcome] += count
    yield f"{'together':40} {_numbers(runs, kills, records, outcomes)}               {recovered:9} {wrong:5}"


def _numbers(runs: int, kills: int, records: int, counts: dict[Outcome, int]) -> str:
    return (
        f"{runs:5} {kills:5} {records:8} {counts[Outcome.ACCEPTED]:8} {counts[Outcome.REJECTED]:8} "
        f"{counts[Outcome.DEFERRED]:8} {counts[Outcome.IN_DOUBT]:8}"
    )
