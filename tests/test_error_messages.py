"""Every error message that the program can say is said in a test: a user never is the first to read one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS: Final = Path(__file__).parent
PACKAGE: Final = TESTS.parent / "batchsend"

ERRORS: Final = {"UsageError", "RecordError", "RunError", "SessionError", "ClickException"}
# What makes an error by another name, and which of its arguments has its words. A wrong value is told by its key, which
# is tested elsewhere, and by what was expected.
MAKERS: Final = {"wrong": 1, "missing": 1, "about": 1, "ConnectFailure": 1}
_WORDS: Final = 3


class Told(NamedTuple):
    """A message as the source has it.

    Attributes:
        where: The file and line of the error.
        pieces: Its literal pieces, between what is filled in.
    """

    where: str
    pieces: tuple[str, ...]


def messages() -> Iterator[Told]:
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            place = 0 if called in ERRORS else MAKERS.get(called)
            if place is None or len(node.args) <= place:
                continue
            pieces = tuple(literals(node.args[place]))
            if any(words(piece) for piece in pieces):
                yield Told(f"{file.relative_to(PACKAGE)}:{node.lineno}", pieces)


def literals(node: ast.expr) -> Iterator[str]:
    """The literal pieces of a message, one after the other; what is filled in parts them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for part in node.values:
            if isinstance(part, ast.Constant):
                yield str(part.value)
    elif isinstance(node, ast.BinOp):
        yield from literals(node.left)
        yield from literals(node.right)
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


@cache
def all_words() -> str:
    """All words of the tests and of the tables that they read, in order."""
    files = [*TESTS.rglob("*.py"), *TESTS.rglob("*.txt")]
    kept = [file for file in sorted(files) if file != Path(__file__)]
    return " " + " ".join(" ".join(words(file.read_text(encoding="utf-8"))) for file in kept) + " "


def is_tested(told: Told) -> bool:
    """Whether some words of a message that follow each other, three where it has as many, stand in a test so."""
    for piece in told.pieces:
        found = words(piece)
        length = min(_WORDS, len(found))
        if length < min(_WORDS, max(len(words(other)) for other in told.pieces)):
            continue  # a longer piece says more
        if any(f" {' '.join(found[at : at + length])} " in all_words() for at in range(len(found) - length + 1)):
            return True
    return False


def test_each_error_message_has_a_test() -> None:
    found = list(messages())
    assert len(found) > 250
    assert [told for told in found if not is_tested(told)] == []
