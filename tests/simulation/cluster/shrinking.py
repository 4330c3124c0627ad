"""Makes a case of the cluster that fails smaller, as long as it goes on failing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tests.simulation.shrinking import fewer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.cluster.case import ClusterCase


def shrink(case: ClusterCase, fails: Callable[[ClusterCase], bool], *, seconds: float = 20.0) -> ClusterCase:
    """The smallest case found within some seconds that still fails."""
    until = time.process_time() + seconds
    smaller: ClusterCase | None = case
    while smaller is not None:
        case = smaller
        smaller = None
        for candidate in _smaller(case):
            if time.process_time() > until:
                return case
            if fails(candidate):
                smaller = candidate
                break
    return case


def _smaller(case: ClusterCase) -> Iterator[ClusterCase]:
    """Cases with less in them, those with much less first."""
    for troubles in fewer(case.troubles):
        yield replace(case, troubles=troubles)
    for events in fewer(case.events):
        yield replace(case, events=events)
    for replies in fewer(case.replies):
        yield replace(case, replies=replies)
    for breaks in fewer(case.breaks):
        yield replace(case, breaks=breaks)
    if any(case.clocks):
        yield replace(case, clocks=())
    for records in (case.records // 4, case.records // 2, case.records - 1):
        if 0 < records < case.records:
            yield replace(case, records=records)
