"""The cases of the cluster that are a little smaller than one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tests.simulation.shrinking import fewer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.cluster.case import ClusterCase


def smaller_cases(case: ClusterCase) -> Iterator[ClusterCase]:
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
