"""Mutants of a source file: each is the file with one thing changed, which some test has to notice."""

from __future__ import annotations

import ast
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    _Span = Callable[[ast.expr | ast.stmt], tuple[int, int]]

_COMPARED: Final[dict[type[ast.cmpop], tuple[str, str]]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_RECKONED: Final[dict[type[ast.operator], tuple[str, str]]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.FloorDiv: ("//", "*"),
}
_OF_A_CLASS: Final = ("frozen", "gc", "kw_only", "slots")
"""Of a class, as of a dataclass in its decorator: they forbid what type checkers report, or save time and memory."""


class Mutant(NamedTuple):
    """One change.

    Attributes:
        line: The line's number.
        before: The line as it is.
        after: The line as it becomes.
        source: The whole file with it, which has as many lines as before.
        statement: The first and the last line of the statement that it is in, or of the head of that statement.
    """

    line: int
    before: str
    after: str
    source: str
    statement: tuple[int, int]


def mutants(source: str, *, only: str | None = None) -> list[Mutant]:
    """All mutants of a file, in the order of its lines.

    Types, docstrings and decorators are left as they are, and so is what only says that the program has no mistake:
    `_OF_A_CLASS`, and ``strict`` of `zip`.

    Args:
        source: The file.
        only: Those of lines that read so.
    """
    found = {(begin, end, new) for begin, end, new in _changes(source) if source[begin:end] != new}
    statements = _statements(source)
    lines = source.split("\n")
    made = []
    for begin, end, new in sorted(found):
        line = source.count("\n", 0, begin) + 1
        before = lines[line - 1].strip()
        if only is not None and before != only:
            continue
        changed = source[:begin] + new + source[end:]
        try:
            ast.parse(changed)
        except SyntaxError:
            continue
        around = max(one for one in statements if one[0] <= line <= one[1])
        made.append(Mutant(line, before, changed.split("\n")[line - 1].strip(), changed, around))
    return made


def _statements(source: str) -> list[tuple[int, int]]:
    """The first and the last line of every statement; of one that others stand in, of what comes before them."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            assert node.end_lineno is not None
            inner: list[ast.stmt] | None = getattr(node, "body", None)
            found.append((node.lineno, max(node.lineno, inner[0].lineno - 1) if inner else node.end_lineno))
    return found


def _changes(source: str) -> Iterator[tuple[int, int, str]]:
    """What could be changed: from where to where, and into what."""
    places = [0]
    for line in source.split("\n"):
        places.append(places[-1] + len(line.encode()) + 1)
    octets = source.encode()

    def at(line: int, column: int) -> int:
        return len(octets[: places[line - 1] + column].decode())

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    tree = ast.parse(source)
    figures = _figures(tree)
    for node in _code(tree):
        yield from _changes_of_operators(node, source, span)
        yield from _changes_of_others(node, source, span, figures)


def _changes_of_operators(node: ast.AST, source: str, span: _Span) -> Iterator[tuple[int, int, str]]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from _operator(source, span(node.left)[1], span(node.comparators[0])[0], _COMPARED, node.ops[0])
    elif isinstance(node, ast.BinOp):
        yield from _operator(source, span(node.left)[1], span(node.right)[0], _RECKONED, node.op)
    elif isinstance(node, ast.BoolOp):
        words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            yield from _word(source, span(left)[1], span(right)[0], *words)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield span(node)[0], span(node.operand)[0], ""


def _changes_of_others(
    node: ast.AST, source: str, span: _Span, figures: set[ast.AST]
) -> Iterator[tuple[int, int, str]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield *span(node), str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        # One second more than an hour is nothing that anybody would notice; twice the time is.
        more = max(1, abs(node.value)) if node in figures else 1
        yield *span(node), f"{node.value + more}"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await):
        begin, end = span(node)
        yield begin, end, "pass" + "\n" * source.count("\n", begin, end)
    elif isinstance(node, ast.If | ast.While) and not _is_turned_elsewhere(node.test):
        begin, end = span(node.test)
        yield begin, end, f"not ({source[begin:end]})"


def _figures(tree: ast.Module) -> set[ast.AST]:
    """The numbers of the figures that a module names: a number, or what is reckoned of numbers."""
    found: set[ast.AST] = set()
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            parts = list(ast.walk(statement.value))
            if all(isinstance(part, ast.Constant | ast.BinOp | ast.operator) for part in parts):
                found.update(parts)
    return found


def _is_turned_elsewhere(test: ast.expr) -> bool:
    """Whether the opposite of a condition is a mutant already, by its operator, or is none."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return isinstance(test.ops[0], ast.Eq | ast.NotEq | ast.Is | ast.IsNot | ast.In | ast.NotIn)
    if isinstance(test, ast.Name) and test.id == "TYPE_CHECKING":
        return True
    return isinstance(test, ast.Constant) or (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not))


def _operator(
    source: str, begin: int, end: int, words: dict[type, tuple[str, str]], operator: ast.AST
) -> Iterator[tuple[int, int, str]]:
    if type(operator) in words:
        yield from _word(source, begin, end, *words[type(operator)])


def _word(source: str, begin: int, end: int, word: str, other: str) -> Iterator[tuple[int, int, str]]:
    place = source.find(word, begin, end)
    if place >= 0:
        yield place, place + len(word), other


def _code(tree: ast.Module) -> Iterator[ast.AST]:
    """What is run, without annotations, and without what is imported for them, or told only to people."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "__repr__":
            continue
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            inner = value if isinstance(value, list) else [value]
            waiting += [one for one in inner if isinstance(one, ast.AST) and not _says_it_is_right(node, one)]


def _says_it_is_right(node: ast.AST, inner: ast.AST) -> bool:
    """Whether something only says that the program has no mistake: without it, one that has none does the same."""
    if not isinstance(inner, ast.keyword):
        return False
    if isinstance(node, ast.ClassDef):
        return inner.arg in _OF_A_CLASS
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "zip" and inner.arg == "strict"
