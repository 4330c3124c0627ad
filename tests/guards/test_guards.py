"""The table of guards is about the program as it is; and a few of them, taken out, are noticed.

``python -m tests.guards`` takes out all of them, which is a matter of minutes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.guards.__main__ import ROOT, attempt, copy, original
from tests.guards.guard import Guard, without
from tests.guards.table import GUARDS

if TYPE_CHECKING:
    from pathlib import Path

TRIED = 12
"""How many are taken out here: each so many-th of those whose tests need no browser and start no program."""

LIGHT = [guard for guard in GUARDS if "page" not in guard.tests and "/cli/" not in guard.tests]
SOME = LIGHT[:: len(LIGHT) // TRIED]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.claim)
def test_a_guard_is_where_the_table_has_it_and_its_tests_are_there(guard: Guard) -> None:
    source = original(guard).read_text()
    assert without(guard, source) != source
    file, _, name = guard.tests.partition("::")
    assert not name or f"def {name}(" in (ROOT / file).read_text()


def test_what_the_manual_names_as_tests_is_there() -> None:
    named = re.findall(r"`(?:python -m )?(tests[./][\w./-]+)`", (ROOT / "batchsend/manual/security.md").read_text())
    assert len(named) > 15
    for one in named:
        path = ROOT / (one if "/" in one else one.replace(".", "/"))
        assert path.exists(), one


@pytest.mark.slow
@pytest.mark.parametrize("guard", SOME, ids=lambda guard: guard.claim)
def test_without_the_guard_its_test_fails(guard: Guard, tmp_path: Path) -> None:
    copy(tmp_path)
    tried = attempt(guard, tmp_path)
    assert tried.noticed, tried.said
