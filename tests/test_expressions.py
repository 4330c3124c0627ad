"""Every regular expression of the package, on texts that may be the worst for it.

`test_linear_time` measures what is done with foreign text, with the texts that somebody has thought of. Here are all
expressions that the package has, found by themselves. Each is shown texts made of what it asks for itself: repeated
pieces, behind what it begins with, without the end that it wants. Eight times the length may take up to 15.6 times the
time, as there. An expression that takes more must be one of `BOUNDED`, which says why no text can hold anybody up.

``python -m tests.test_expressions`` prints all that take more, those of `BOUNDED` as well.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import batchsend
from batchsend.message.other_languages import in_jinja2
from tests.test_linear_time import DOUBLINGS, LOOKS, MEASURABLE, MOST, spent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(batchsend.__file__).parent
LENGTHS = (16, 20, 24, 28, 32, 48, 64, 128, 256, 512, 1024, 2048, 4096)
"""Characters of the texts, the shortest first: a time that doubles with each is found before it takes hours."""

MOST_PIECES = 6
SQUARE = 2.0 ** (2.5 * DOUBLINGS)
"""As `MOST`, where the square does no harm: with the third power it would be 512 times the time."""

BOUNDED = {
    "batchsend.cli.manual._LINK": "reads the pages of the manual, which are part of the package",
    "batchsend.delivery.replies.clues._TOKEN": "reads the expressions of the package, not texts",
    "batchsend.message.other_languages._FOUND": "looks at 2,000 characters of a template that is none",
    "batchsend.message.text_layout._BLOCK": "reads marks that only the package sets, each with its end",
    "batchsend.message.tokens._FORMS": "is asked whether it is the whole of a field, and never searched for",
    "batchsend.recipients.addresses._SEVERAL": "looks at addresses that are not far too long, of 1,000 characters",
    "batchsend.recipients.kinds._BOOKS": "is asked whether a list begins with it, and never searched for",
    "batchsend.recipients.kinds._WORD": "looks at 120 octets around the one that is none of UTF-8",
}
"""Expressions that would take the square of a long text, and why they meet none. None may take more than that."""

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


def expressions() -> Iterator[Expression]:
    """All that stand in modules or classes, by themselves or in tables; those within functions, by their literal."""
    seen = set()
    for module in _modules():
        for name, value in vars(module).items():
            for pattern in _patterns(value):
                if (key := (pattern.pattern, pattern.flags)) not in seen:
                    seen.add(key)
                    yield Expression(f"{module.__name__}.{name}", pattern, _methods(module.__name__, name))
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
def source(module: str | None = None) -> str:
    """A module, or all of the package."""
    if module is not None:
        return Path(importlib.import_module(module).__file__ or "").read_text()
    return "\n".join(file.read_text() for file in sorted(PACKAGE.rglob("*.py")))


@cache
def _calls(module: str | None) -> dict[str, set[str]]:
    """The methods of expressions that are named behind each name, called or given to a function."""
    calls: dict[str, set[str]] = {}
    for found in re.finditer(rf"(\w+)(?:\[[^\]\n]{{0,60}}\])?\.({'|'.join(METHODS)})\b", source(module)):
        calls.setdefault(found[1], set()).add(found[2])
    return calls


def _methods(module: str, name: str) -> tuple[str, ...]:
    """Those that are called: of a name of its own in its module, of another one anywhere. In a table all may be."""
    called = _calls(module if name.startswith("_") else None).get(name, set())
    return tuple(method for method in METHODS if method in called) or ("fullmatch", "match", "search")


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


def grows(one: Expression, most: float) -> str | None:
    """The text for which an expression takes more than so many times the time of an eighth of it, or None."""
    characters = pieces(one.pattern)
    units = [*characters, *("".join(pair) for pair in product(characters[:4], repeat=2) if len(set(pair)) > 1)]
    for (how, work), unit in product(works(one), units):
        for length in LENGTHS:
            if (longer := spent(work, unit, length)) >= MEASURABLE:
                if (times := growth(work, unit, length, longer, most)) > most:
                    return f"{how} of {unit!r}: {longer * 1000:.0f} ms for {length} characters, {times:.0f} times"
                break
    return None


def growth(work: Callable[[str], object], unit: str, length: int, longer: float, most: float) -> float:
    """How many times the time a text takes as one of an eighth of its length; both at their best of several looks."""
    once = spent(work, unit, length // 2**DOUBLINGS)
    for _ in range(LOOKS):
        if longer / once <= most:
            break
        longer = min(longer, spent(work, unit, length))
        once = min(once, spent(work, unit, length // 2**DOUBLINGS))
    return longer / once


@pytest.mark.slow
def test_no_expression_takes_the_square_of_a_text_that_others_write() -> None:
    every = list(expressions())
    assert BOUNDED.keys() <= {one.place for one in every}
    found = {one.place: how for one in every if (how := grows(one, SQUARE if one.place in BOUNDED else MOST))}
    assert found == {}


# Each a text that had taken the third power of its length, or the fourth: a minute for two thousand characters.
@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        *(("{{", " "), ("{{ a?", " "), ("{{ a ?:", " "), ("{{ a ? b :", " "), ("{{{", " ")),
        *(("{{|a:", " "), ("{% unless ", " "), ("{{", "<>")),
        *(("{{", "“"), ("{{.", "a"), ("{{", "&lt;"), ("{%", "|"), ("{%", "&"), ("{{", "|default:''")),
    ],
)
def test_what_another_language_is_looked_for_takes_the_square_at_most(begin: str, unit: str) -> None:
    def work(text: str) -> object:
        return in_jinja2(f"{begin}{text}", 1)

    found = {
        length: times
        for length in (240, 480, 960, 1920)
        if (longer := spent(work, unit, length)) >= MEASURABLE
        and (times := growth(work, unit, length, longer, SQUARE)) > SQUARE
    }
    assert found == {}


def main() -> None:
    """Print those whose time grows faster than the text."""
    everything = list(expressions())
    for one in everything:
        if (how := grows(one, MOST)) is not None:
            print(f"{one.place}: {how}{'' if one.place in BOUNDED else ' (not among BOUNDED)'}", flush=True)
    print(f"{len(everything)} expressions")


if __name__ == "__main__":
    main()
