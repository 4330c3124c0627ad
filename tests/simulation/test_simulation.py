"""The simulated world: what it has found once, a few cases in each run of the tests, a minute of them in all tests.

That it finds anything is shown by builds that are broken on purpose.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from batchsend.outcome import Stage
from batchsend.verdict import Verdict
from tests.simulation.broken_builds import APPLY, CLUSTER_PATCHES, PATCHES, ROOT, find
from tests.simulation.case import Break, Case, Habit, Life, Relay, Reply
from tests.simulation.drawing import draw
from tests.simulation.replies import REFUSALS
from tests.simulation.running import run_case
from tests.simulation.shrinking import keep, shrink, smaller_cases

# The connections are the simulation's own, and a compiled pool takes no connector but the real one.
pytestmark = pytest.mark.interpreted

KEPT = sorted((Path(__file__).parent / "cases").glob("*.json"))
CASES = int(os.environ.get("BATCHSEND_SIMULATED", "500"))
"""How many cases a run of all the tests tries: about a minute's worth."""

FIRST = 50_000
"""Where they begin: always at the same place, so that a change is what makes one fail."""

SEED = 1
SEEDS = {"held_and_told_to_leave": 600, "put_back_not_withdrawn": 5000, "refusal_not_withdrawn": 150}
"""Where to begin, so that it is not left to luck whether a broken build is found in time: `SEED` for all others."""


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_was_found_once_is_right(path: Path) -> None:
    assert run_case(msgspec.json.decode(path.read_bytes(), type=Case)) == []


@pytest.mark.parametrize("seed", range(10))
def test_a_few_cases_keep_all_promises(seed: int) -> None:
    assert run_case(draw(seed)) == []


@pytest.mark.slow
def test_many_cases_keep_all_promises() -> None:
    for seed in range(FIRST, FIRST + CASES):
        wrong = run_case(draw(seed))
        assert not wrong, f"make simulate SEED={seed} RUNS=1: {wrong[:3]}"


@pytest.mark.parametrize("patch", [*PATCHES, *CLUSTER_PATCHES], ids=lambda path: path.stem)
def test_each_broken_build_can_be_made(patch: Path) -> None:
    subprocess.run([*APPLY, "--check", str(patch)], cwd=ROOT, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_each_broken_build_is_found_within_a_minute(patch: Path) -> None:
    found = find(patch, SEEDS.get(patch.stem, SEED))
    assert found.code == 1, found.said
    assert found.said.startswith("seed "), "an error of the simulation is no finding"


def test_the_relays_have_words_for_every_verdict() -> None:
    assert {verdict for _, verdict, _ in REFUSALS} == {verdict.value for verdict in Verdict} - {Verdict.ACCEPTED.value}


def test_a_case_that_fails_is_made_as_small_as_it_can_be() -> None:
    """What fails here is that there are ten records or more, and a relay without PIPELINING."""
    reply = Reply(relay=1, stage=draw(1).relays[0].quota_stage, nth=3, says="451 4.3.0 Try again later")
    case = Case(
        seed=1,
        records=80,
        relays=(Relay(pipelining=False), Relay(chunking=True)),
        replies=(reply,),
        lives=(Life(ends="kill", event=3), Life(pause=0.0)),
        delivery={"max_connections": 3},
    )
    small = shrink(case, lambda one: one.records >= 10 and not one.relays[0].pipelining, smaller_cases, seconds=30.0)
    assert small == Case(seed=1, records=10, relays=(Relay(pipelining=False),))


def test_the_same_case_is_the_same_course_of_things() -> None:
    """So a case that is kept goes on showing what it was kept for."""
    case = draw(7)
    courses: list[list[str]] = [[], []]
    for course in courses:
        run_case(case, course.append)
    assert courses[0] == courses[1]
    assert len(courses[0]) > 20


def test_a_case_that_was_found_is_kept_as_it_is(tmp_path: Path) -> None:
    case = draw(11)
    kept = keep(case, case.seed, tmp_path)
    assert kept == tmp_path / "seed_11.json"
    assert msgspec.json.decode(kept.read_bytes(), type=Case) == case


REFUSED = Reply(relay=0, stage=Stage.RCPT, nth=3, says="550 5.1.1 No such user", again=3)
USUAL = Case(seed=3, records=20, relays=(Relay(chunking=True),), replies=(REFUSED,), delivery={"max_messages": 4})
"""One relay, to which everything else is done below, and a few refusals."""


def _is_another(case: Case) -> bool:
    """Whether all goes well in a case, and otherwise than in the usual one."""
    courses: list[list[str]] = [[], []]
    for one, course in zip((case, replace(USUAL, delivery=case.delivery)), courses, strict=True):
        assert run_case(one, course.append) == []
    return courses[0] != courses[1]


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("habit", get_args(Habit))
def test_a_relay_that_breaks_what_it_offers_is_met_in_its_cases(habit: Habit, depth: int) -> None:
    """So that it cannot be that a habit is drawn and nothing comes of it."""
    case = replace(USUAL, relays=(Relay(chunking=True, habits=(habit,)),), delivery={**USUAL.delivery, "depth": depth})
    assert _is_another(case) or (habit.startswith("bdat") and depth == 1)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"breaks": (Break(relay=0, connection=1, what="reset", octets=700, upward=True),)}, id="reset"),
        pytest.param({"breaks": (Break(relay=0, connection=1, what="drip", octets=700, upward=True),)}, id="drip"),
        pytest.param({"relays": (Relay(chunking=True, addresses=2, silent=True),)}, id="silent address"),
        pytest.param({"relays": (Relay(chunking=True, per_session=3, limits=True),)}, id="LIMITS"),
        pytest.param({"lives": (Life(ends="hurry", event=40), Life())}, id="two signals"),
    ],
)
def test_what_may_befall_a_run_is_met_in_its_cases(changed: dict[str, object]) -> None:
    assert _is_another(replace(USUAL, **changed))
