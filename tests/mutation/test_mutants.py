"""What makes mutants makes those that it is said to, and nothing of types and texts; and they get into the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

from tests.mutation.mutants import mutants
from tests.mutation.patching import put_in, replaced
from tests.mutation.running import SLOW_BUT_ASKED, Timed
from tests.mutation.trial import KNOWN, asked, interval

ROOT = Path(__file__).parents[2]
KINDS = ("equivalent: ", "performance: ", "wording: ", "environment: ", "margin: ")
"""How the reasons begin for which a mutant may survive."""

SOURCE = '''\
"""Not this: 1 < 2."""

def f(x: int | None, y: bool = True) -> int:
    """Nor this: x and y."""
    if x is None or not y:
        g(x)
    return x + 1 if x >= 2 else "ö" in "öä"
'''


def test_each_mutant_changes_one_thing() -> None:
    assert {(one.line, one.after) for one in mutants(SOURCE)} == {
        (3, "def f(x: int | None, y: bool = False) -> int:"),
        (5, "if x is not None or not y:"),
        (5, "if x is None and not y:"),
        (5, "if x is None or y:"),
        (5, "if not (x is None or not y):"),
        (6, "pass"),
        (7, 'return x - 1 if x >= 2 else "ö" in "öä"'),
        (7, 'return x + 2 if x >= 2 else "ö" in "öä"'),
        (7, 'return x + 1 if x > 2 else "ö" in "öä"'),
        (7, 'return x + 1 if x >= 3 else "ö" in "öä"'),
        (7, 'return x + 1 if x >= 2 else "ö" not in "öä"'),
    }


def changed(source: str) -> list[str]:
    return [one.after for one in mutants(source)]


def test_a_figure_that_a_module_names_is_doubled_and_any_other_number_is_one_more() -> None:
    assert changed("LONGEST: Final = 3600.0") == ["LONGEST: Final = 7200.0"]
    assert changed("SOON = 0.5") == ["SOON = 1.5"], "by one at least"
    assert changed("NONE = 0") == ["NONE = 1"]
    assert changed("OCTETS = 512 * 1024") == ["OCTETS = 1024 * 1024", "OCTETS = 512 / 1024", "OCTETS = 512 * 2048"]
    assert changed("WORDS = gap(4)") == ["WORDS = gap(5)"], "it is an argument"
    assert changed("def f(x=8):\n    return x") == ["def f(x=9):"]


def test_what_only_says_that_the_program_has_no_mistake_is_left_as_it_is() -> None:
    assert changed("class Row(Struct, frozen=True, kw_only=True, gc=False, slots=True):\n    x: int") == []
    assert changed("class Row(Struct, omit_defaults=True):\n    x: int") == ["class Row(Struct, omit_defaults=False):"]
    assert changed("rows = zip(a, b, strict=True)") == []
    assert changed("path = path.resolve(strict=True)") == ["path = path.resolve(strict=False)"]


WHOLE = """\
LIMIT = 3

def outer(x, most=4):
    def inner(y):
        check(
            y,
        )
        return y + 1
    return inner(x) if x < LIMIT else most

class Sum:
    zero = 0

    def more(self, x):
        return self.zero + x
"""


def names(source: str) -> dict[str, object]:
    found: dict[str, object] = {"check": lambda _: None}
    exec(compile(source, "whole.py", "exec", dont_inherit=True), found)
    return found


def functions_of(found: dict[str, object]) -> list[FunctionType]:
    there = [one for one in found.values() if isinstance(one, FunctionType)]
    return [*there, getattr(found["Sum"], "more")]  # noqa: B009 - it is a class that nothing is known of


def test_a_change_within_a_function_is_put_into_the_running_program() -> None:
    said: dict[str, object] = {}
    for one in mutants(WHOLE):
        change = replaced("whole.py", WHOLE, one.source)
        if change.outside:
            continue
        found = names(WHOLE)
        put_in(change.codes, functions_of(found))
        outer, more = found["outer"], getattr(found["Sum"], "more")  # noqa: B009
        assert isinstance(outer, FunctionType)
        said[one.after] = [outer(2), outer(3), more(found["Sum"], 5)]
    assert said == {
        "pass": [3, 4, 5],
        "return y - 1": [1, 4, 5],
        "return y + 2": [4, 4, 5],
        "return inner(x) if x <= LIMIT else most": [3, 4, 5],
        "return self.zero - x": [3, 4, -5],
    }


def test_what_is_computed_when_a_file_is_imported_is_known_to_be_so() -> None:
    outside = {one.after for one in mutants(WHOLE) if replaced("whole.py", WHOLE, one.source).outside}
    assert outside == {"LIMIT = 6", "def outer(x, most=5):", "zero = 1"}


def test_a_mutant_knows_the_statement_that_it_is_in() -> None:
    assert {(one.line, one.statement) for one in mutants(WHOLE)} == {
        *((1, (1, 1)), (3, (3, 3)), (5, (5, 7)), (8, (8, 8)), (9, (9, 9)), (12, (12, 12)), (15, (15, 15)))
    }


@pytest.mark.parametrize(
    ("caught", "tried", "between"), [(0, 10, (0.0, 0.28)), (9, 10, (0.6, 0.98)), (10, 10, (0.72, 1))]
)
def test_how_sure_a_fraction_is(caught: int, tried: int, between: tuple[float, float]) -> None:
    assert interval(caught, tried) == pytest.approx(between, abs=0.005)


def test_known_survivors_are_mutants_that_there_are_and_have_a_reason() -> None:
    root = Path(__file__).parents[2]
    for row in KNOWN.read_text().splitlines()[1:]:
        file, before, after, reason = row.split("\t")
        assert reason.startswith(KINDS), row
        assert after in {one.after for one in mutants((root / file).read_text(), only=before)}, row


def test_tests_of_the_room_come_first_and_leave_half_of_the_time_to_others() -> None:
    room = [Timed(f"tests/run/test_a.py::{number}", 10.0) for number in range(5)]
    others = [Timed(f"tests/cli/test_b.py::{number}", 9.0) for number in range(5)]
    unseen = [Timed("tests/run/test_c.py::0", 1.0)]
    tests = sorted([*room, *others], key=lambda test: test.seconds)
    assert asked(tests, unseen, ("tests/run/",), 60.0) == [*room[:2], *others[:4], *unseen]
    assert asked(room, unseen, ("tests/run/",), 60.0) == [*room, *unseen]
    assert asked(others, unseen, ("tests/run/",), 20.0) == [*others[:2], *unseen]


@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file in SLOW_BUT_ASKED if "crash" in file])
def test_what_no_quick_test_does_is_asked_of_slow_ones(file: str) -> None:
    command = "from tests.mutation.running import *; collect(sys.argv[1:], lambda one: print(one.names), '--quick')"
    asked = subprocess.run([sys.executable, "-c", command, file], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{file}::test_" in asked.stdout


SPOILING = """\
import os
from pathlib import Path

def test_that_ends_its_process():
    os._exit(1)

def test_that_fails_once():
    there = Path("tried").exists()
    Path("tried").touch()
    assert there

def test_that_is_sound():
    pass
"""
WATCHING = """
import json
from pathlib import Path
from tests.mutation.record import record
from tests.mutation.running import collect
here = Path.cwd()
def work(runner):
    found = record(here / "kept.json", here, runner, simulation=False).tests
    (here / "fails.json").write_text(json.dumps({name.partition("::")[2]: one.fails for name, one in found.items()}))
collect(["test_some.py"], work)
"""


@pytest.mark.slow
def test_a_test_that_fails_once_or_ends_its_process_does_not_spoil_the_record_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "batchsend").symlink_to(ROOT / "batchsend")
    (tmp_path / "test_some.py").write_text(SPOILING)
    command = [sys.executable, "-c", WATCHING]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    assert json.loads((tmp_path / "fails.json").read_text()) == {
        "test_that_ends_its_process": True,
        "test_that_fails_once": False,
        "test_that_is_sound": False,
    }
