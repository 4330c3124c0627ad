"""The rules of the code's structure, read from its source: what may import what, and how files and classes are made.

The lists of exceptions below may get shorter, never longer: a test fails too when one of them is not needed any more.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

import batchsend
from batchsend.display import OUTCOME_COLOURS
from batchsend.outcome import Outcome
from batchsend.report.charts import STACKED
from batchsend.results.format import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "batchsend"
FILES = sorted(PACKAGE.rglob("*.py"))

VOCABULARY = {"outcome", "verdict", "errors", "campaign"}
STAGES = ["recipients", "message", "delivery", "results", "feedback", "report"]
# What every room may use; these know nothing but each other.
TOOLS = {"display", "figures", "histogram", "jitter", "patterns", "room", "trace", "version"}
MAY_IMPORT = {
    "display": set[str](),
    "figures": set[str](),
    "histogram": set[str](),
    "jitter": set[str](),
    "patterns": set[str](),
    "room": set[str](),
    "trace": {"errors"},
    "outcome": set[str](),
    "verdict": set[str](),
    "errors": set[str](),
    "interruption": set[str](),
    "loop": {"errors", "interruption"},
    "version": set[str](),
    "_build": set[str](),
    "campaign": {"errors"},
    "smtp": {"outcome"},
    "sink": {"errors"},
    "scaffold": {*VOCABULARY, "recipients", "message"},
    **{stage: {*VOCABULARY, *STAGES[:place]} for place, stage in enumerate(STAGES)},
}
MAY_IMPORT["delivery"].add("smtp")
# What a run is to campaigns, this is to the messages of other programs.
MAY_IMPORT["sender"] = {*VOCABULARY, "recipients", "message", "delivery", "results", "loop"}
# Its management command is the command line's.
MAY_IMPORT["django"] = {*VOCABULARY, "message", "sender", "results", "cli"}
# A list may come as a results log: recipients/ reads it as everything else does, and results/ knows nobody.
MAY_IMPORT["results"] = set(VOCABULARY)
MAY_IMPORT["recipients"].add("results")
# A report quotes the replies of servers.
MAY_IMPORT["feedback"].add("smtp")
MAY_IMPORT["web"] = {"errors"}
MAY_IMPORT["listen"] = {*VOCABULARY, "recipients", "message", "results", "feedback", "sink", "events", "web"}
MAY_IMPORT["page"] = {*VOCABULARY, "delivery", "report", "monitor", "control", "run", "web"}
MAY_IMPORT["events"] = {*VOCABULARY, "recipients", "message", "results", "feedback"}
MAY_IMPORT["preview"] = {"errors", "recipients", "message"}
MAY_IMPORT["monitor"] = {"outcome", "errors", "delivery", "run"}
MAY_IMPORT["control"] = set(VOCABULARY)
MAY_IMPORT["bench"] = {*VOCABULARY, "recipients", "message", "delivery", "smtp", "sink", "loop", "report"}
MAY_IMPORT["check"] = {*VOCABULARY, "recipients", "message", "delivery", "smtp", "results"}
SEES_EVERYTHING = {"run", "cluster", "cli", "__init__", "__main__"}

INPUT_AND_OUTPUT = {"asyncio", "anyio", "socket", "ssl", "time", "os", "io", "pathlib", "threading", "selectors"}

MAX_FILE = 600
MAX_FUNCTION = 50
MIN_FILE = 25

SMALL_BY_NATURE = {"__init__.py", "__main__.py", "version.py"}


def named(file: Path) -> str:
    """A file as it is called within the package."""
    return str(file.relative_to(PACKAGE))


def room(file: Path) -> str:
    """The part of the package that a file belongs to."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(file: Path) -> ast.Module:
    """A file, parsed."""
    return ast.parse(file.read_text())


@cache
def imports(file: Path) -> tuple[str, ...]:
    """The dotted names of everything that a file imports, wherever in it."""
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module(file: Path) -> str:
    """The dotted name of a file's module."""
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def graph() -> dict[str, set[str]]:
    """The modules of the package that each of them imports, those included that only the type checker sees."""
    modules = {module(file): file for file in FILES}
    found: dict[str, set[str]] = {}
    for name, file in modules.items():
        imported = set(imports(file))
        # An imported name is a module, or stands in one.
        found[name] = {one if one in modules else one.rpartition(".")[0] for one in imported} & set(modules) - {name}
    return found


def reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    """Every module that one leads to by its imports; itself only if there is a way back."""
    found: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += edges[one]
    return found


def own_imports(file: Path) -> set[str]:
    """The rooms of the package that a file imports from; the package itself counts as none."""
    names = (name.split(".") for name in imports(file))
    rooms = {name[1] for name in names if name[0] == "batchsend" and len(name) > 1}
    return {name for name in rooms if name in MAY_IMPORT or name in SEES_EVERYTHING}


def test_each_room_imports_only_what_comes_before_it() -> None:
    bound = [file for file in FILES if room(file) not in SEES_EVERYTHING]
    assert {room(file) for file in bound} <= set(MAY_IMPORT), "a new room: say in this test what it may import"
    too_much = {
        named(file): more
        for file in bound
        if (more := own_imports(file) - MAY_IMPORT[room(file)] - TOOLS - {room(file)})
    }
    assert too_much == {}


def test_foreign_text_is_made_safe_in_one_place() -> None:
    """Who escapes by himself forgets a character that another one thought of. (A trace escapes octets, not text.)"""
    escaping = {str(file.relative_to(PACKAGE)) for file in FILES if "unicode_escape" in file.read_text()}
    assert escaping == {"display.py", "trace.py"}
    html = {str(file.relative_to(PACKAGE)) for file in FILES if {"html.escape", "html"} & set(imports(file))}
    assert html == {"display.py", "message/html_tokens.py", "scaffold/draft.py"}


@pytest.mark.parametrize("file", sorted((PACKAGE / "smtp").glob("*.py")), ids=lambda file: file.name)
def test_the_protocol_does_no_input_or_output(file: Path) -> None:
    modules = {name.split(".")[0] for name in imports(file)}
    assert not modules & INPUT_AND_OUTPUT
    assert modules <= {"batchsend", *sys.stdlib_module_names}, "smtp/ needs nothing but the standard library"


def test_no_file_and_no_function_outgrows_one_thing() -> None:
    long_files = {named(file): lines for file in FILES if (lines := file.read_text().count("\n")) > MAX_FILE}
    assert long_files == {}
    long_functions = {
        f"{named(file)}: {node.name}": lines
        for file in FILES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (lines := length(node)) > MAX_FUNCTION
    }
    assert long_functions == {}


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_each_outcome_has_its_word_its_colours_and_its_place() -> None:
    """What cannot be attributes of the enumeration, because it is loaded without it, is complete all the same."""
    values = {outcome.value for outcome in Outcome}
    assert set(get_args(Status)) == set(OUTCOME_COLOURS) == {outcome.value for outcome in STACKED} == values
    style = (PACKAGE / "report" / "page" / "page.css").read_text()
    light_and_dark = {value: style.count(f"--{value}: ") for value in values}
    assert light_and_dark == dict.fromkeys(values, 2)
    assert [value for value in values if f".{value} {{ fill: var(--{value}); }}" not in style] == []
    assert len(Outcome) <= 7, "a tally and a journal have three bits for it"


def test_there_is_no_circle_of_imports() -> None:
    """Who reads one module need not know another one first that needs to know the first one. Types are included."""
    edges = graph()
    ways = {name: reachable(name, edges) for name in edges}
    assert [name for name, way in ways.items() if name in way] == []


def test_no_class_name_is_used_twice() -> None:
    """Who reads a class's name knows which one is meant, without looking at the imports."""
    names = Counter(node.name for file in FILES for node in ast.walk(tree(file)) if isinstance(node, ast.ClassDef))
    assert {name for name, count in names.items() if count > 1} == set()


def test_each_module_says_what_is_in_it() -> None:
    """In a whole sentence, and with no number that nobody can look up."""
    said = {named(file): ast.get_docstring(tree(file)) for file in FILES}
    wrong = {
        name: docstring
        for name, docstring in said.items()
        if not docstring
        or not docstring.splitlines()[0].rstrip("`)]").endswith((".", ":"))
        or set("①②③④⑤") & set(docstring)
    }
    assert wrong == {}


def test_no_file_is_too_small_to_be_one() -> None:
    small = {
        str(file.relative_to(PACKAGE))
        for file in FILES
        if file.name not in SMALL_BY_NATURE and file.read_text().count("\n") < MIN_FILE
    }
    assert small == set()


def test_the_project_has_one_place_for_each_thing() -> None:
    """Nothing grows at the top level but what convention wants there."""
    tracked = {path.name for path in PACKAGE.parent.iterdir() if not path.name.startswith(".")}
    assert tracked <= {
        *("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile"),
        *("batchsend", "benchmarks", "tests", "samples"),
        "dist",  # of `make dist`; not tracked
    }


def test_every_public_name_is_there_and_none_is_imported_before_it_is_asked_for() -> None:
    """Who asks for one part does not wait for all of them."""
    program = """
import sys, batchsend
print([name for name in ("anyio", "asyncio", "jinja2") if name in sys.modules])
print(all(getattr(batchsend, name) for name in batchsend.__all__))
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\nTrue\n"
    with pytest.raises(AttributeError, match="no attribute 'sned'"):
        getattr(batchsend, "sned")  # noqa: B009 - a name that a type checker would refuse


def compiled_files() -> dict[str, list[Path]]:
    """The files that a wheel has compiled, by the patterns that name them."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    return {pattern: sorted(PACKAGE.parent.glob(pattern)) for pattern in hook["include"]}


def test_what_is_to_be_compiled_is_there() -> None:
    """A file that has moved would go on being interpreted, and nobody would be told."""
    assert [pattern for pattern, files in compiled_files().items() if not files] == []


def test_no_coroutine_is_compiled() -> None:
    """What mypyc compiles loses the exception that it handles while it waits: see `batchsend.delivery.waiting`."""
    asynchronous = (ast.AsyncFunctionDef, ast.AsyncWith, ast.AsyncFor, ast.Await)
    found = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}"
        for file in sorted({file for files in compiled_files().values() for file in files})
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, asynchronous)
    ]
    assert found == []


MOST_ATTRIBUTES = 30
"""Beyond these Python 3.11 keeps an object's attributes in a dictionary of its own, and looks each method up anew."""


def test_what_messages_pass_through_has_few_attributes_or_slots() -> None:
    """Interpreted, a message costs a tenth less: the more sessions there are, the more their dictionaries cost."""
    large = [
        f"{file.relative_to(PACKAGE)}: {node.name}"
        for file in sorted({file for files in compiled_files().values() for file in files})
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
        and len(own_attributes(node)) > MOST_ATTRIBUTES
        and not any("__slots__" in ast.unparse(line) for line in node.body if isinstance(line, ast.Assign))
    ]
    assert large == []


def own_attributes(of: ast.ClassDef) -> set[str]:
    """What the methods of a class store in its objects."""
    return {
        node.attr
        for node in ast.walk(of)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }


def test_no_test_imports_a_private_name() -> None:
    """What a test leans on is a promise: it has a name for everybody, and its place can be found by it."""
    private = [
        f"{file.relative_to(TESTS)}: {node.module}.{alias.name}"
        for file in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("batchsend")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert private == []
