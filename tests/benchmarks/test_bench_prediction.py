"""The bench's prediction held against campaigns: how it is judged, and one trial of it in small."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from batchsend.bench.grid import GridPoint
from benchmarks.prediction import GRID, SERVERS, Trial, Trials, difference, far_behind, surely_faster, verdicts
from tests.servers import requirements

if TYPE_CHECKING:
    from pathlib import Path

GENTLE, DEEP = str(GridPoint(5, 1)), str(GridPoint(5, 16))


def trial(predicted: float, **campaigns: float) -> Trial:
    rates = {GENTLE: campaigns["gentle"], DEEP: campaigns["deep"]}
    return Trial("far", (5, 16), None, predicted, 0.02, 70.0, rates, 0.05)


@pytest.mark.parametrize(("sent", "right"), [(900, True), (1100, True), (899, False), (1101, False)])
def test_a_prediction_is_right_within_a_tenth(sent: float, right: bool) -> None:
    assert trial(1000, gentle=100, deep=sent).is_right is right


def test_advice_is_wrong_where_another_setting_was_surely_faster() -> None:
    once = trial(1000, gentle=1000, deep=900)
    assert surely_faster(once, [once]) == f"{GENTLE} was faster"
    near = trial(1000, gentle=1000, deep=960)
    assert not surely_faster(near, [near]), "advice may spend five per cent on asking less"


def test_several_rounds_tell_what_is_chance() -> None:
    unsure = [trial(1000, gentle=gentle, deep=900) for gentle in (800, 1000, 1200)]
    assert not surely_faster(unsure[2], unsure)
    sure = [trial(1000, gentle=gentle, deep=900) for gentle in (999, 1000, 1001)]
    assert surely_faster(sure[0], sure)


def test_what_is_said_of_all_rounds() -> None:
    good, bad = trial(1000, gentle=100, deep=1000), trial(1000, gentle=100, deep=800)
    lines = list(verdicts([good, bad]))
    assert lines[0].startswith("far 1: predicted 1,000/s ±2%, sent 1,000/s, +0.0% right; advised 5 connections at")
    assert "-20.0% WRONG" in lines[1]
    assert lines[2] == "far: prediction within 10% 1 times of 2, advice the best 2 times of 2"
    assert "advice the best 0 times of 1" in list(verdicts([replace(good, advised=(5, 1))]))[-1]


def test_what_was_far_behind_in_a_round_is_not_sent_with_again() -> None:
    assert far_behind(trial(1000, gentle=800, deep=1000)) == {GENTLE}
    assert not far_behind(trial(1000, gentle=801, deep=1000))


def test_machines_differ_as_their_most_different_core_does() -> None:
    assert difference((1.0, 2.0), (1.0, 2.0)) == 0
    assert difference((1.0, 2.0), (1.1, 1.6)) == pytest.approx(0.25)
    assert difference((), (1.1, 1.6)) == 0, "nothing is known of it"


@pytest.mark.servers
def test_a_campaign_is_sent_again_where_the_machine_is_not_as_fast_as_in_the_bench(tmp_path: Path) -> None:
    requirements.namespaces()
    machines = iter([(1.0, 1.0), (1.0, 1.2), (1.12, 1.0), (0.95, 1.0)])
    lines: list[str] = []
    with SERVERS["near"]() as place:
        found = Trials(
            *("near", place, tmp_path),
            seconds=0.1,
            grid=[GridPoint(1, 1)],
            options=("--time", "200ms", "--messages", "200"),
            notice=lines.append,
            sample=lambda: nullcontext(lambda: next(machines)),
        ).round()
    assert found.differs == pytest.approx(0.053)
    assert sum(line.startswith("  send:") for line in lines) == 3


@pytest.mark.servers
@pytest.mark.parametrize("server", ["near", "limited"])
def test_a_round_in_small(tmp_path: Path, server: str) -> None:
    """Every setting has sent a campaign, and the server has received all of it."""
    requirements.namespaces()
    lines: list[str] = []
    with SERVERS[server]() as place:
        found = Trials(
            *(server, place, tmp_path),
            seconds=0.1,
            options=("--time", "200ms", "--messages", "400"),
            notice=lines.append,
            sample=lambda: nullcontext(tuple),
        ).round()
    assert set(found.campaigns) == {str(point) for point in GRID}
    assert all(rate > 0 for rate in (found.predicted, *found.campaigns.values()))
    assert sum(line.startswith("  send:") for line in lines) == len(found.campaigns)
