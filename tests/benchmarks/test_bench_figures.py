"""The figures: kept whole, compared round by round, held against the targets; documents and picture say them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from benchmarks.documents import LOADED, PERFORMANCE, README, RESULTS, fill, headline, section
from benchmarks.figures import Figures, Outcome, Timing
from benchmarks.picture import draw
from benchmarks.scenarios import SCENARIOS
from benchmarks.table import outcome_lines, target_lines
from benchmarks.targets import TARGETS, Target, account

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


def everything(seconds: float = 2.0) -> Figures:
    """Figures in which every contestant took as long as every other."""
    figures = Figures("2026-01-02", {"cores": 2, "python": "3.11.7"}, {"batchsend": "0.1.0", "postfix": "3.7.11"})
    for scenario in SCENARIOS:
        timings = [
            Timing(entry.name, 1000 if entry.sends else 0, [seconds] * 3, [50.0] * 3, [40.0])
            for entry in scenario.entries
        ]
        missing = {"another": "it is not there"}
        outcome = Outcome(scenario.name, scenario.title, scenario.connections, 2048, timings, missing)
        figures.outcomes[scenario.name] = outcome
    return figures


def test_what_was_kept_is_what_is_read(tmp_path: Path) -> None:
    figures = everything()
    figures.outcomes["loopback"].timings[0].seconds[1] = None
    figures.outcomes["loopback"].timings[0].slower = [0.01, None, 0.02]
    figures.outcomes["loopback"].timings[1].slower = [0.0, 0.5, 0.0]
    figures.outcomes["loopback"].repeated = 2
    path = tmp_path / "results.json"
    figures.save(path, account(figures))
    assert Figures.load(path) == figures
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
    told = json.loads(path.read_text())
    assert [target["met"] for target in told["targets"]].count(None) == 0
    assert told["scenarios"][0]["timings"][0]["median_per_second"] == 500
    assert told["scenarios"][0]["slower"] == [0.01, 0.5, 0.02], "the worst run of each round"
    assert Figures.load(tmp_path / "none.json") == Figures()


def test_ratios_are_those_of_one_round() -> None:
    """A round in which the machine was busy slows both, and says nothing about either."""
    ours = Timing("ours", 1000, [1.0, 10.0, 1.0, None], [])
    theirs = Timing("theirs", 100, [1.0, 10.0, 0.5, 1.0], [])
    assert ours.ratios(theirs) == [10.0, 10.0, 5.0]
    assert ours.rate == 1000
    assert theirs.ratios(Timing("later", 1, [], [])) == []


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_target_is_of_scenarios_and_contestants_that_there_are(target: Target) -> None:
    assert target.measure(Figures()) is None
    assert target.met(Figures()) is None
    assert target.measure(everything()) is not None
    assert target.met(everything()) is not None


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_target_is_of_five_rounds_or_more(target: Target) -> None:
    figures = everything()
    for scenario in SCENARIOS:
        few = {entry.name for entry in scenario.entries if (entry.rounds or scenario.rounds) < 5}
        outcome = figures.outcomes[scenario.name]
        outcome.timings = [timing for timing in outcome.timings if timing.name not in few]
    assert target.measure(figures) is not None


def test_a_target_is_met_at_its_bound_and_not_beyond() -> None:
    least, most = Target("x", lambda _: 1.0, 1.0), Target("x", lambda _: 1.0, 1.0, at_least=False)
    assert least.met(Figures()) is most.met(Figures()) is True
    assert Target("x", lambda _: 0.99, 1.0).met(Figures()) is False
    assert Target("x", lambda _: 1.01, 1.0, at_least=False).met(Figures()) is False


def test_the_tables_name_everybody() -> None:
    figures = everything()
    for scenario in SCENARIOS:
        lines = "\n".join(outcome_lines(figures.outcomes[scenario.name]))
        assert all(entry.name in lines for entry in scenario.entries)
        assert "left out: it is not there" in lines
    lines = "\n".join(target_lines(figures))
    assert all(target.name in lines for target in TARGETS)


def test_the_picture_has_a_bar_for_each_and_both_kinds_of_light() -> None:
    figures = everything()
    timing = figures.outcomes["loopback"].timings[1]
    timing.name = "<b>&"
    drawn = draw(figures)
    picture = ET.fromstring(drawn)
    shown = [text.text for text in picture.iter(f"{SVG}text")]
    assert {timing.name for timing in figures.outcomes["loopback"].timings} <= set(shown)
    bars = list(picture.iter(f"{SVG}rect"))
    assert len(bars) == len(figures.outcomes["loopback"].timings) + 3
    assert all(float(bar.attrib["width"]) > 0 for bar in bars)
    assert "prefers-color-scheme: dark" in drawn
    assert ET.fromstring(draw(Figures())).attrib["height"] == "0"


def test_a_document_is_filled_between_its_marks_and_nowhere_else() -> None:
    beginning, end = "<!-- generated: figures -->\n", "<!-- /generated -->\n"
    text = f"before\n{beginning}old\n{end}between\n<!-- generated: keys -->\nkept\n{end}after\n"
    filled = fill(text, everything(), Figures())
    assert filled.startswith(f"before\n{beginning}![")
    assert filled.endswith(f"{end}between\n<!-- generated: keys -->\nkept\n{end}after\n")
    assert "old" not in filled
    assert "| batchsend | 1,000 | 500 |" in filled
    assert fill(filled, everything(), Figures()) == filled
    with pytest.raises(ValueError, match="no place for the figures"):
        fill("nothing here", everything(), everything())


def test_the_headline_compares_the_whole_job_with_the_usual_clients() -> None:
    said = " ".join(headline(everything()).split())
    assert "**500 messages a second**: 1.0 times as many as Nodemailer's pool, 1.0 times as many as aiosmtplib" in said
    assert "50 ms away, over 5 connections, it is **500**" in said
    assert "Nothing has been measured" in headline(Figures())


def test_the_documents_say_what_was_measured() -> None:
    """Their figures are those of results.json: what is there is what `python -m benchmarks --render` writes."""
    figures = Figures.load(RESULTS)
    assert headline(figures) in README.read_text()
    assert section(figures, Figures.load(LOADED)) in PERFORMANCE.read_text()


def test_what_was_not_measured_is_not_said_to_be_met_and_a_run_beside_a_busy_core_stands_apart() -> None:
    name = "signed by RSA-2048: processes against one"
    figures, loaded = everything(), everything(3.0)
    del figures.outcomes["signed"]
    assert f"| {name} | ≥ 1.8 |  | not measured | 1.00 | missed |" in section(figures, loaded)
    assert f"| {name} | ≥ 1.8 | 1.00 | missed |  | not measured |" in section(everything(), Figures())


def test_the_worst_round_is_a_target_of_its_own() -> None:
    figures = everything()
    figures.outcomes["loopback"].timings[0].seconds[:] = [1.0, 1.0, 2.1]
    measured = {target.name: target.measure(figures) for target in TARGETS}
    assert measured["whole job against smtp-source"] == 2.0
    assert measured["whole job against smtp-source, worst round"] == pytest.approx(2.0 / 2.1)


def test_the_document_says_how_far_the_machine_was_disturbed() -> None:
    figures = everything()
    for place, timing in enumerate(figures.outcomes["loopback"].timings[:2]):
        timing.slower = [0.0, 0.65 * place, 0.15]
    said = "The machine was more than 15% slower than at its fastest beside 1 of 6 runs, 65% at most."
    assert said in section(figures, Figures())
    assert "slower than at its fastest" not in section(everything(), Figures()), "nobody looked"


def test_the_picture_shows_what_was_measured() -> None:
    figures = Figures.load(RESULTS)
    picture = RESULTS.with_suffix(".svg")
    assert picture.exists() == bool(figures.outcomes)
    assert not figures.outcomes or picture.read_text() == draw(figures)


def test_the_figures_name_no_machine() -> None:
    for path in (RESULTS, LOADED):
        told = path.read_text() if path.exists() else ""
        assert not any(word in told for word in ("/home", "/root", "/tmp", "127.0.0.1"))
