"""``python -m tests.expressions``: every regular expression of the package, on texts that may be the worst for it.

`test_linear_time` measures what is done with foreign text, with the texts that somebody has thought of. Here are all
expressions that the package has, found by themselves. Each is shown texts made of what it asks for itself: repeated
pieces, behind what it begins with, without the end that it wants. What is slow at that is printed: to be looked at,
for it may never see a long text, or one that it has not been called on in this way.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import batchsend
from tests.test_linear_time import spent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(batchsend.__file__).parent
LENGTHS = (16, 24, 128, 1024, 4096)
"""Characters of the texts, the shortest first: a time that doubles with each is found before it takes hours."""

TOO_LONG = 0.01
"""Seconds for any of them: in proportion to its length, the longest takes a tenth of that."""

MOST_PIECES = 6
METHODS = ("fullmatch", "match", "search", "finditer", "sub", "split", "findall")


class Expression(NamedTuple):
    """One of the package's.

    Attributes:
        place: The module and the name.
        pattern: It.
        methods: Those of its methods that are called somewhere.
    """

    place: str
    pattern: re.Pattern[Any]
    methods: tuple[str, ...]


@cache
def source() -> str:
    """All of the package."""
    return "\n".join(file.read_text() for file in sorted(PACKAGE.rglob("*.py")))


def expressions() -> Iterator[Expression]:
    """All that stand in modules or classes, by themselves or in tables; those within functions, by their literal."""
    seen = set()
    for module in _modules():
        for name, value in vars(module).items():
            for pattern in _patterns(value):
                if (key := (pattern.pattern, pattern.flags)) not in seen:
                    seen.add(key)
                    yield Expression(f"{module.__name__}.{name}", pattern, _methods(name))
    for called in re.finditer(
        r"\bre\.(match|search|fullmatch|sub|split|findall|finditer)\(\s*(r?b?\"[^\"\n]*\")", source()
    ):
        written = ast.literal_eval(called[2])
        pattern = re.compile(written)
        if (key := (pattern.pattern, pattern.flags)) not in seen:
            seen.add(key)
            yield Expression(f"re.{called[1]}({called[2]})", pattern, (called[1],))


def _modules() -> Iterator[Any]:
    for info in pkgutil.walk_packages(batchsend.__path__, "batchsend."):
        if info.name.rpartition(".")[2] not in ("__main__", "_build") and ".django" not in info.name:
            yield importlib.import_module(info.name)


def _patterns(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif type(value).__name__ == "_LatePattern":
        yield re.compile(value.pattern, value.flags)  # type: ignore[attr-defined]
    elif isinstance(value, dict):
        for one in (*value.keys(), *value.values()):
            yield from _patterns(one)
    elif isinstance(value, tuple | list | frozenset | set) and len(value) < 2000:
        for one in value:
            yield from _patterns(one)


@cache
def _calls() -> dict[str, set[str]]:
    """The methods of expressions that are called on each name, anywhere in the package."""
    calls: dict[str, set[str]] = {}
    for found in re.finditer(rf"(\w+)(?:\[[^\]\n]{{0,60}}\])?\.({'|'.join(METHODS)})\(", source()):
        calls.setdefault(found[1], set()).add(found[2])
    return calls


def _methods(name: str) -> tuple[str, ...]:
    called = _calls().get(name, set())
    return tuple(method for method in METHODS if method in called) or ("search", "fullmatch")


def pieces(pattern: re.Pattern[Any]) -> list[str]:
    """Characters that an expression asks for, and a few that it may not."""
    found: dict[str, None] = {}
    for kind, argument in _flat(re._parser.parse(pattern.pattern, pattern.flags & ~re.LOCALE)):  # type: ignore[attr-defined]
        if kind in ("LITERAL", "NOT_LITERAL"):
            found.setdefault(chr(argument) if kind == "LITERAL" else "a")
        elif kind == "IN":
            for inner, value in argument:
                if inner.name == "LITERAL":
                    found.setdefault(chr(value))
                elif inner.name == "RANGE":
                    found.setdefault(chr(value[0]))
                elif inner.name == "CATEGORY":
                    found.setdefault({"DIGIT": "1", "SPACE": " ", "WORD": "a"}.get(value.name.split("_")[1], "-"))
    return list(dict.fromkeys([*found, "a", " ", "1"]))[:MOST_PIECES]


def _flat(parsed: Any) -> Iterator[tuple[str, Any]]:
    """The parts of an expression, those within others included."""
    for kind, argument in parsed:
        yield kind.name, argument
        for inner in argument if isinstance(argument, tuple | list) else [argument]:
            if type(inner).__name__ == "SubPattern":
                yield from _flat(inner)
            elif isinstance(inner, list):
                for one in inner:
                    if type(one).__name__ == "SubPattern":
                        yield from _flat(one)


def beginning(pattern: re.Pattern[Any]) -> str:
    """A text that an expression takes as far as to its first part that repeats."""
    text = ""
    for kind, argument in re._parser.parse(pattern.pattern, pattern.flags & ~re.LOCALE):  # type: ignore[attr-defined]
        if kind.name == "LITERAL":
            text += chr(argument)
        elif kind.name == "IN" and argument[0][0].name in ("LITERAL", "RANGE"):
            value = argument[0][1]
            text += chr(value if isinstance(value, int) else value[0])
        else:
            break
    return text


def works(one: Expression) -> Iterator[tuple[str, Callable[[str], object]]]:
    """What is done with an expression, by name: each method, behind its beginning and without."""
    octets = isinstance(one.pattern.pattern, bytes)

    def given(text: str) -> Any:
        return text.encode("latin-1", "replace") if octets else text

    for method in one.methods:
        call = getattr(one.pattern, method)
        for before, after in product({"", beginning(one.pattern)}, ("", "\0")):

            def work(
                text: str, before: str = before, after: str = after, call: Any = call, name: str = method
            ) -> object:
                whole = given(f"{before}{text}{after}")
                if name == "sub":
                    return call(given(""), whole)
                return list(call(whole)) if name == "finditer" else call(whole)

            yield f"{method} {before!r} … {after!r}", work


def slowest(one: Expression) -> str | None:
    """What an expression is too slow at, or None."""
    characters = pieces(one.pattern)
    units = [*characters, *("".join(pair) for pair in product(characters[:4], repeat=2) if len(set(pair)) > 1)]
    for (how, work), unit in product(works(one), units):
        for length in LENGTHS:
            if (seconds := spent(work, unit, length)) > TOO_LONG:
                return f"{how} of {unit!r}: {seconds * 1000:.0f} ms for {length} characters"
    return None


def main() -> int:
    """Print those that are slow; returns the exit code."""
    found = 0
    everything = list(expressions())
    for one in everything:
        if (how := slowest(one)) is not None:
            found += 1
            print(f"{one.place}: {how}", flush=True)
    print(f"{len(everything)} expressions, {found} to be looked at")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
