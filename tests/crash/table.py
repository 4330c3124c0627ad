"""The findings of trials as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchsend import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.crash.trial import Findings, Setting

_HEADER = (
    "mode             conn depth rotate faults  runs kills rotating  records accepted rejected deferred in-doubt  "
    "worst/bound  places recovered wrong"
)


def rows(trials: Iterable[tuple[Setting, Findings]]) -> Iterator[str]:
    """A line for each trial, and one for all of them.

    "Rotating" are the kills that fell as a session said QUIT while its successor was sending; "worst/bound" is how many
    records one kill left in doubt, and how many it may have.
    """
    yield _HEADER
    runs = kills = at_rotation = records = recovered = wrong = 0
    outcomes = dict.fromkeys(Outcome, 0)
    for setting, found in trials:
        counts = {outcome: found.outcomes[outcome.value] for outcome in Outcome}
        mode = f"{setting.mode}, power" if setting.power else setting.mode
        yield (
            f"{mode:16} {setting.connections:4} {setting.depth:5} {setting.max_messages:6} {setting.faults:5}% "
            f"{_numbers(found.runs, found.kills, found.at_rotation, found.records, counts)}"
            f"  {found.most_in_doubt:5}/{found.bound:<5}  "
            f"{found.most_places:6} {found.recovered:9} {len(found.wrong):5}"
        )
        runs += found.runs
        kills += found.kills
        at_rotation += found.at_rotation
        records += found.records
        recovered += found.recovered
        wrong += len(found.wrong)
        for outcome, count in counts.items():
            outcomes[outcome] += count
    yield f"{'together':40} {_numbers(runs, kills, at_rotation, records, outcomes)}{'':22}{recovered:9} {wrong:5}"


def _numbers(runs: int, kills: int, at_rotation: int, records: int, counts: dict[Outcome, int]) -> str:
    return (
        f"{runs:5} {kills:5} {at_rotation:8} {records:8} {counts[Outcome.ACCEPTED]:8} {counts[Outcome.REJECTED]:8} "
        f"{counts[Outcome.DEFERRED]:8} {counts[Outcome.IN_DOUBT]:8}"
    )
