"""Every command on an input that is empty, one that is large, one that breaks off, and noise; and some bounds.

``python -m tests.bounds`` tries all bounds, with inputs of 50 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from batchsend.cli import batchsend
from tests.bounds.__main__ import MEMORY, wrong
from tests.bounds.bounds import BOUNDS, Bound
from tests.bounds.commands import COMMANDS, ELSEWHERE, READ_NOTHING, REFUSED, measure

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 1 << 20
KINDS = ("empty", "huge", "broken", "noise")
QUICK = (
    "replies without an end",
    "report --csv, a row of 60,000 tabs",
    "a CSV header of 40,000 columns",
    ".gz, a line of 1 GiB in 1 MB",
    ".zst, a line of 1 GiB in 100 kB",
    "one record of 100 MB",
    "50 sessions with 32 descriptors",
)


def test_every_command_that_reads_something_is_tried() -> None:
    tried = {name.partition(",")[0].partition(" ")[0] for name in COMMANDS}
    there = set(batchsend.list_commands(click.Context(batchsend)))
    assert tried | READ_NOTHING | ELSEWHERE == there


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_with_a_documented_exit_code(tmp_path: Path, name: str, kind: str) -> None:
    arguments, inputs = COMMANDS[name]
    content = inputs(LARGE)[kind]
    took = measure(tmp_path, lambda folder: arguments(folder, content))
    bound = Bound(name, lambda _: took, memory=MEMORY / 2, seconds=60.0, codes=(0, 1, 2, 3))
    assert wrong(bound, took) == []
    assert kind != "huge" or (took.code == 2) == (name in REFUSED), took
    # Whoever reads it knows what is wrong, and what to do.
    assert took.code != 2 or "batchsend: " in took.errors or took.output


@pytest.mark.slow
@pytest.mark.parametrize("bound", [bound for bound in BOUNDS if bound.what in QUICK], ids=lambda bound: bound.what)
def test_it_takes_no_more_than_it_may(tmp_path: Path, bound: Bound) -> None:
    assert wrong(bound, bound.measure(tmp_path)) == []
