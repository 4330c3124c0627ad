"""Which test executes which line: recorded once, and again where the test's file has changed.

Where the program has changed, the lines are those that they have become. Without the record all is recorded anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

import msgspec
from coverage import Coverage, CoverageData
from coverage.exceptions import DataError

from tests.mutation.running import SEED, Runner, Timed, fork

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ROOMS: Final = ("smtp", "delivery", "results", "run", "cluster")
CASES: Final = range(50_000, 50_040)
"""The cases of the simulation that are asked."""

_AT_A_TIME: Final = 25
"""How many tests are watched before what was seen is kept."""

_TRIES: Final = 2
"""How often a test is watched that fails: on a busy machine it may have failed for want of time."""

_IMPORTING: Final = """
import importlib, json, sys
from coverage import Coverage
folder, *modules = sys.argv[1:]
coverage = Coverage(data_file=None, include=[folder + "/batchsend/*"], config_file=False)
coverage.start()
for module in modules:
    importlib.import_module(module)
coverage.stop()
data = coverage.get_data()
print(json.dumps({file.removeprefix(folder + "/"): data.lines(file) for file in data.measured_files()}))
"""


_CHILDREN: Final = "children"
"""The folder for what processes execute that a test starts."""

_CONFIGURATION: Final = """
[run]
parallel = true
data_file = {folder}/{children}/lines
include = {folder}/batchsend/*
"""


class Recorded(msgspec.Struct):
    """What is known of a test.

    Attributes:
        file: A checksum of the file that it is in.
        seconds: How long it takes while it is watched, which is longer than else.
        fails: Whether it fails although nothing was changed: then it says nothing.
        starts: Whether it starts processes; what is executed by one that is killed is not seen.
        lines: The lines that it executes, by file, and those that processes do that it starts.
    """

    file: str
    seconds: float = 0.0
    fails: bool = False
    starts: bool = False
    lines: dict[str, list[int]] = msgspec.field(default_factory=dict)


class Record(msgspec.Struct):
    """What is known of the tests of a state of the program.

    Attributes:
        files: The text of each file of the rooms of which mutants are made.
        imported: The lines that are executed when these rooms are imported.
        tests: What is known of each test.
    """

    files: dict[str, str]
    imported: dict[str, list[int]]
    tests: dict[str, Recorded]

    def executing(self, file: str, statement: tuple[int, int]) -> list[Timed]:
        """The tests that execute a statement, the quickest first."""
        lines = set(range(statement[0], statement[1] + 1))
        return self._timed(name for name, test in self.tests.items() if not lines.isdisjoint(test.lines.get(file, ())))

    def touching(self, file: str) -> list[Timed]:
        """The tests that execute anything of a file, the quickest first."""
        return self._timed(name for name, test in self.tests.items() if file in test.lines)

    def starting(self) -> list[Timed]:
        """The tests that start processes, the quickest first."""
        return self._timed(name for name, test in self.tests.items() if test.starts)

    def imports(self, file: str, statement: tuple[int, int]) -> bool:
        """Whether a statement is executed when its file is imported."""
        return any(statement[0] <= line <= statement[1] for line in self.imported.get(file, ()))

    def _timed(self, names: Iterable[str]) -> list[Timed]:
        sound = [Timed(name, self.tests[name].seconds) for name in names if not self.tests[name].fails]
        return sorted(sound, key=lambda one: (one.seconds, one.name))


def record(kept: Path, folder: Path, runner: Runner, *, simulation: bool) -> Record:
    """Read the record that was kept, bring it up to date, and keep it.

    Args:
        kept: Where.
        folder: Where program and tests are.
        runner: The tests.
        simulation: Whether cases of the simulation are among them.
    """
    rooms = [file for room in ROOMS for file in sorted((folder / "batchsend" / room).rglob("*.py"))]
    texts = {str(file.relative_to(folder)): file.read_text() for file in rooms}
    found = msgspec.json.decode(kept.read_bytes(), type=Record) if kept.exists() else Record({}, {}, {})
    if found.files != texts:
        for name, text in texts.items():
            _follow(found, name, text)
        found = Record(texts, _imported(rooms, folder), found.tests)
    names = [*runner.names, *(f"{SEED}{case}" for case in CASES if simulation)]
    files = {name: _file_of(name, folder) for name in names}
    now = {file: _checksum(file) for file in set(files.values())}
    for _ in range(_TRIES):
        new = [name for name in names if not _is_known(found.tests.get(name), now[files[name]])]
        for place in range(0, len(new), _AT_A_TIME):
            print(f"{len(new) - place} of {len(names)} tests are to be watched", flush=True)
            for name, test in _watched(runner, new[place : place + _AT_A_TIME], folder).items():
                test.file = now[files[name]]
                found.tests[name] = test
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(msgspec.json.encode(found))
    here = {name: found.tests[name] for name in names}
    if failing := [name for name, test in here.items() if test.fails]:
        print(f"these fail although nothing was changed, and are not asked: {', '.join(failing)}", flush=True)
    return Record(texts, found.imported, here)


def _follow(found: Record, name: str, text: str) -> None:
    """Follow the lines of a file to where they are now; what executes its neighbours may execute a new one."""
    before = found.files.get(name)
    if before == text:
        return
    moved = _moved(before or "", text)
    beside = name.rpartition("/")[0]
    for test in found.tests.values():
        if name in test.lines:
            test.lines[name] = sorted({line for one in test.lines[name] for line in moved[one]})
        elif before is None and any(one.rpartition("/")[0] == beside for one in test.lines):
            test.lines[name] = list(range(1, text.count("\n") + 1))


def _moved(before: str, after: str) -> dict[int, list[int]]:
    """Where each line of a file is after a change: those of what has changed are all that stand there now.

    What was added belongs to the line before it.
    """
    lines: dict[int, list[int]] = {}
    changes = SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False).get_opcodes()
    for kind, old, old_end, new, new_end in changes:
        for line in range(old, old_end):
            lines[line + 1] = [line - old + new + 1] if kind == "equal" else [*range(new + 1, new_end + 1)]
        if kind == "insert":
            lines.setdefault(old, []).extend(range(new + 1, new_end + 1))
    return lines


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _file_of(name: str, folder: Path) -> Path:
    return folder / ("tests/simulation/drawing.py" if name.startswith(SEED) else name.partition("::")[0])


def _imported(files: list[Path], folder: Path) -> dict[str, list[int]]:
    names = (file.relative_to(folder).with_suffix("").parts for file in files)
    modules = [".".join(name).removesuffix(".__init__") for name in names]
    command = [sys.executable, "-c", _IMPORTING, str(folder), *modules]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    lines: dict[str, list[int]] = json.loads(done.stdout)
    return lines


def _is_known(known: Recorded | None, file: str) -> bool:
    """Whether a test need not be watched: it has not changed since, and did not fail, which it may not do again."""
    return known is not None and known.file == file and not known.fails


def _watched(runner: Runner, names: list[str], folder: Path) -> dict[str, Recorded]:
    """Watch tests in a process of their own; where one ends it, which that is is seen by watching each by itself."""
    answer, ended = fork(lambda: msgspec.json.encode(_watch(runner, names, folder)))
    if not ended:
        return msgspec.json.decode(answer, type=dict[str, Recorded])
    if len(names) == 1:
        return {names[0]: Recorded("", fails=True)}
    return {name: test for one in names for name, test in _watched(runner, [one], folder).items()}


def _watch(runner: Runner, names: list[str], folder: Path) -> dict[str, Recorded]:
    """Run tests, and see which lines each of them executes."""
    watched = {name: Recorded("") for name in names}
    children = folder / _CHILDREN
    children.mkdir(exist_ok=True)
    configuration = children / "configuration"
    configuration.write_text(_CONFIGURATION.format(folder=folder, children=_CHILDREN))
    os.environ["COVERAGE_PROCESS_START"] = str(configuration)
    coverage = Coverage(data_file=None, include=[f"{folder}/batchsend/*"], config_file=False)
    coverage.start()
    for place, name in enumerate(names):
        coverage.switch_context(name)
        began, started = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
        following = next((one for one in names[place + 1 :] if not one.startswith(SEED)), None)
        watched[name].fails = not runner.succeeds(name, following)
        watched[name].seconds = time.perf_counter() - began
        watched[name].starts = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt > started
        watched[name].lines = _of_processes(children, folder)
    coverage.stop()
    data = coverage.get_data()
    for file in data.measured_files():
        for line, contexts in data.contexts_by_lineno(file).items():
            for name in contexts:
                if name in watched:
                    watched[name].lines.setdefault(file.removeprefix(f"{folder}/"), []).append(line)
    return watched


def _of_processes(children: Path, folder: Path) -> dict[str, list[int]]:
    """The lines that processes have executed since this was asked last, by file."""
    lines: dict[str, set[int]] = {}
    for kept in children.glob("lines.*"):
        data = CoverageData(str(kept))
        with suppress(DataError):  # its process was killed while it wrote
            data.read()
        for file in data.measured_files():
            lines.setdefault(file.removeprefix(f"{folder}/"), set()).update(data.lines(file) or ())
        kept.unlink()
    return {file: sorted(executed) for file, executed in lines.items()}
