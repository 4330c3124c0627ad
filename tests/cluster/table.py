"""The findings of trials as a table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.cluster.trial import Findings, Setting

_HEADER = "records workers depth refusals accepted rejected deferred in-doubt/bound  lost twice wrong seconds  faults"


def rows(trials: Iterable[tuple[Setting, Findings]]) -> Iterator[str]:
    """A line for each trial, and one for all of them."""
    yield _HEADER
    together: Counter[str] = Counter()
    records = bound = lost = twice = wrong = faults = 0
    seconds = 0.0
    for setting, found in trials:
        lost_here = sum("is lost" in line for line in found.wrong)
        twice_here = sum("delivered" in line for line in found.wrong)
        yield (
            f"{setting.records:7} {setting.workers:7} {setting.depth:5} {setting.refusals:8} "
            f"{_numbers(found.outcomes)}{setting.bound:<6} {lost_here:5} {twice_here:5} {len(found.wrong):5} "
            f"{found.seconds:7.1f}  {', '.join(setting.faults)}"
        )
        together += found.outcomes
        records += setting.records
        bound += setting.bound
        lost += lost_here
        twice += twice_here
        wrong += len(found.wrong)
        faults += len(setting.faults)
        seconds += found.seconds
    yield (
        f"{records:7} {'':22}{_numbers(together)}{bound:<6} {lost:5} {twice:5} {wrong:5} {seconds:7.1f}  "
        f"{faults} faults"
    )


def _numbers(outcomes: Counter[str]) -> str:
    return f"{outcomes['accepted']:8} {outcomes['rejected']:8} {outcomes['deferred']:8} {outcomes['in_doubt']:8}/"
