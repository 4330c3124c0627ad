"""``python -m benchmarks``, in small: the figures, the table and the picture come out of one command."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.documents import PERFORMANCE
from benchmarks.figures import Figures, Outcome
from tests.cli.commandline import ROOT, WITHIN
from tests.servers import requirements

if TYPE_CHECKING:
    from pathlib import Path


def benchmarks(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=WITHIN)


@pytest.mark.servers
def test_one_scenario_in_small(tmp_path: Path) -> None:
    requirements.program("smtp-sink")
    requirements.namespaces()
    output, document = tmp_path / "results.json", PERFORMANCE.read_text()
    Figures("2026-01-02", outcomes={"tls": Outcome("tls", "from another day", 20)}).save(output, [])
    ran = benchmarks("--only", "journal", "--messages", "40", "--rounds", "1", "--output", output)
    assert (ran.returncode, ran.stderr) == (0, "")
    figures = Figures.load(output)
    assert list(figures.outcomes) == ["tls", "journal"], "what was measured before stays"
    assert [len(timing.taken) for timing in figures.outcomes["journal"].timings] == [1, 1]
    assert "journal and log against none" in ran.stdout
    assert output.with_suffix(".svg").exists()
    assert PERFORMANCE.read_text() == document, "the figures of a trial are not the project's"
