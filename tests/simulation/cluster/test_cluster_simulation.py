"""The simulated cluster: workers and a PostgreSQL whose answers are late, lost, or come when nobody waits any more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from tests.simulation.broken_builds import CLUSTER_PATCHES, find
from tests.simulation.case import Break, Relay
from tests.simulation.cluster.case import Befalls, ClusterCase, Event, Trouble, draw
from tests.simulation.cluster.running import run_case
from tests.simulation.replies import QUOTA_OF_A_MINUTE

if TYPE_CHECKING:
    from tests.simulation.cluster.database import RealDatabase

# The connections are the simulation's own, and a compiled pool takes no connector but the real one.
pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.interpreted]

KEPT = sorted((Path(__file__).parent / "cases").glob("*.json"))
CASES = int(os.environ.get("BATCHSEND_SIMULATED_CLUSTER", "50"))
"""How many cases a run of all the tests tries: some twenty seconds' worth."""

FIRST = 1000


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_was_found_once_is_right_in_a_cluster(real: RealDatabase, path: Path) -> None:
    assert run_case(msgspec.json.decode(path.read_bytes(), type=ClusterCase), real) == []


@pytest.mark.parametrize("nth", range(20, 80, 3))
def test_a_statement_that_is_done_late_changes_nothing_whichever_it_is(real: RealDatabase, nth: int) -> None:
    kept = msgspec.json.decode(
        (Path(__file__).parent / "cases/a_statement_done_late.json").read_bytes(), type=ClusterCase
    )
    case = replace(kept, troubles=(Trouble(client=1, nth=nth, what="late", seconds=6.0),))
    assert run_case(case, real) == []


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CASES))
def test_many_cases_of_a_cluster_keep_all_promises(real: RealDatabase, seed: int) -> None:
    wrong = run_case(draw(seed), real)
    assert not wrong, f"python -m tests.simulation.cluster {seed} --runs 1: {wrong[:3]}"


def test_who_is_stopped_loses_its_lease_and_a_killed_one_is_gone(real: RealDatabase) -> None:
    """So that it cannot be that nothing ever happens in these cases."""
    said: list[str] = []
    case = ClusterCase(
        seed=4,
        records=60,
        workers=(0.0, 0.0, 20.0),
        events=(
            Event(worker=1, after=8.0, what="freeze", seconds=40.0),
            Event(worker=2, after=9.0, what="kill"),
            Event(worker=0, after=25.0, what="restart", seconds=3.0),
        ),
        delivery={"rate": "3/s"},
        far=2.0,
    )
    assert run_case(case, real, said.append) == []
    assert any("worker 1: " in line and "was taken over" in line for line in said)
    assert any("now in doubt" in line for line in said)
    assert any("the database is back" in line for line in said)
    assert not any("worker 2 has ended" in line for line in said)


USUAL = ClusterCase(
    seed=3, records=20, relays=(Relay(chunking=True),), delivery={"depth": 4, "max_messages": 4, "rate": "5/s"}
)
"""One relay and one worker, to which everything else is done below."""


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"relays": (Relay(chunking=True, habits=("bdat refused",)),)}, id="a habit"),
        pytest.param({"relays": (Relay(chunking=True, per_session=3, limits=True),)}, id="LIMITS"),
        pytest.param({"relays": (Relay(chunking=True, addresses=2, silent=True),)}, id="silent address"),
        pytest.param(
            {"relays": (Relay(chunking=True, quota=(15, 60), by_clock=True, quota_says=QUOTA_OF_A_MINUTE),)},
            id="a relay's quota",
        ),
        pytest.param({"delivery": {**USUAL.delivery, "quota": "15/min"}}, id="own quota"),
        pytest.param({"breaks": (Break(relay=0, connection=1, what="reset", octets=700, upward=True),)}, id="a cut"),
        pytest.param({"events": (Event(worker=1, after=3.0, what="leave"),)}, id="one signal"),
    ],
)
def test_what_may_befall_a_worker_is_met_in_its_cases(real: RealDatabase, changed: dict[str, object]) -> None:
    """So that it cannot be that something is drawn and nothing comes of it."""
    courses: list[list[str]] = [[], []]
    for case, course in zip((replace(USUAL, **changed), USUAL), courses, strict=True):
        assert run_case(case, real, course.append) == []
    assert courses[0] != courses[1]


def test_a_second_signal_ends_a_worker_at_once(real: RealDatabase) -> None:
    """And the first one when all that is under way is answered, which takes longer here."""
    ended: list[float] = []
    both: tuple[Befalls, ...] = ("leave", "hurry")
    for signals in both:
        said: list[str] = []
        case = replace(USUAL, events=(Event(worker=1, after=18.0, what=signals),), far=5.0)
        assert run_case(case, real, said.append) == []
        ended += [float(line.split()[0]) for line in said if line.endswith("worker 1 has ended")]
        assert any("now in doubt" in line for line in said) is (signals == "hurry")
    assert ended[1] < ended[0]


@pytest.mark.parametrize("patch", CLUSTER_PATCHES, ids=lambda path: path.stem)
def test_each_broken_build_of_a_cluster_is_found_within_a_minute(patch: Path) -> None:
    found = find(patch, FIRST)
    assert found.code == 1, found.said
    assert found.said.startswith("seed "), "an error of the simulation is no finding"
