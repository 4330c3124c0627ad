"""What makes mutants makes those that it is said to, and nothing of types and texts."""

from __future__ import annotations

from pathlib import Path

from tests.mutation.__main__ import KNOWN
from tests.mutation.mutants import mutants

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


def test_known_survivors_are_mutants_that_there_are_and_have_a_reason() -> None:
    root = Path(__file__).parents[2]
    for row in KNOWN.read_text().splitlines()[1:]:
        file, before, after, reason = row.split("\t")
        assert reason
        assert (before, after) in {(one.before, one.after) for one in mutants((root / file).read_text())}, row
