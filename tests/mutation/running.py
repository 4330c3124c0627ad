"""Tests run one by one, in the order of whoever asks: pytest collects them once, for any number of processes."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import pytest
from hypothesis import Phase, settings

from tests.simulation.drawing import draw
from tests.simulation.running import run_case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SEED: Final = "seed "
"""How the name of a case of the simulation begins; the rest is its seed."""

SLOW_BUT_ASKED: Final = (
    *("tests/run/test_composing.py", "tests/run/test_own_quotas.py", "tests/run/test_under_way.py"),
    "tests/test_batch_streams.py",
    *("tests/crash/test_log_under_way.py", "tests/crash/test_results_as_recipients.py", "tests/cli/test_cli_events.py"),
)
"""No quick test does what is done there, in processes that they start or over many runs."""

PYTEST: Final = (
    *("-q", "-s", "-k", "not broken_build", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--hypothesis-seed=0"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # some of it is imported here already
)
_COMPUTES: Final = 3.0
_WAITS: Final = 20.0
_TIMES: Final = 10.0
"""How many seconds a test may compute and wait: so many, and so many times what it takes."""

_MEMORY: Final = 4 << 30
_CACHED: Final = type(cache(str))
_PR_SET_CHILD_SUBREAPER: Final = 36


class Timed(NamedTuple):
    """A test, or a case of the simulation.

    Attributes:
        name: How pytest calls it, or `SEED` and the seed.
        seconds: How long it takes where nothing is changed.
    """

    name: str
    seconds: float


class Runner:
    """A plugin of pytest that hands what was collected to somebody instead of running it.

    Args:
        work: Called with this when all is collected.
    """

    def __init__(self, work: Callable[[Runner], None]) -> None:
        self._work = work
        self._failed = False
        self._items: dict[str, pytest.Item] = {}
        self._asked: list[pytest.Item] = []

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        """An example that fails is enough: it need not be made small."""
        settings.register_profile(
            "mutation", settings.default, phases=[Phase.explicit, Phase.generate], database=None, print_blob=False
        )
        settings.load_profile("mutation")

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Remember the tests of a file that alone runs what it is about, of whatever tier they are."""
        if str(item.path).endswith(SLOW_BUT_ASKED):
            self._asked.append(item)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Have `--quick` keep them: by now it has left them out."""
        items += [item for item in self._asked if item not in items]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Literal[True]:
        """Do the work in place of the tests."""
        self._items = {item.nodeid: item for item in session.items}
        self._work(self)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember that a test has failed."""
        self._failed |= report.failed

    @property
    def names(self) -> list[str]:
        """The tests, as they were collected."""
        return list(self._items)

    def succeeds(self, name: str, following: str | None = None) -> bool:
        """Run a test, or a case of the simulation.

        Args:
            name: Which.
            following: The test that is run next: what both of them need stays. None where none is.
        """
        forget_results()
        if name.startswith(SEED):
            return not run_case(draw(int(name.removeprefix(SEED))))
        item = self._items[name]
        after = None if following is None else self._items[following]
        self._failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        return not self._failed

    def first_failure(self, tests: Sequence[Timed]) -> str | None:
        """Run some until one fails, and return its name; SIGALRM or SIGPROF ends this process where one has no end."""
        there = [one for one in tests if one.name in self._items or one.name.startswith(SEED)]
        for place, test in enumerate(there):
            following = next((one.name for one in there[place + 1 :] if one.name in self._items), None)
            signal.setitimer(signal.ITIMER_PROF, _COMPUTES + _TIMES * test.seconds)
            signal.setitimer(signal.ITIMER_REAL, _WAITS + _TIMES * test.seconds)  # other programs want the processor
            if not self.succeeds(test.name, following):
                return test.name
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        return None


def forget_results() -> None:
    """Empty the program's caches: what one test has had computed is computed for the next one, too.

    Otherwise only the first of them would be seen to execute the lines, and a mutant's would not be executed at all.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "batchsend":
            for value in vars(module).values():
                if isinstance(value, _CACHED):
                    value.cache_clear()


def within_bounds() -> None:
    """Let this process have no more memory than any test needs, and say nothing."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in range(3):
        os.dup2(nothing, file)


def adopt() -> None:
    """Have whatever a process of this one's leaves running become this one's, which then can end it."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def fork(work: Callable[[], bytes]) -> tuple[bytes, int]:
    """Do something in a copy of this process.

    Where this process adopts, nothing goes on that was started meanwhile.

    Returns:
        What the work has returned, and the exit code: 0; or the signal that has ended the copy, negative.
    """
    before = _children()
    with tempfile.TemporaryFile() as answer:
        process = os.fork()
        if not process:
            code = 1
            try:
                within_bounds()
                answer.write(work())
                answer.flush()
                code = 0
            finally:
                os._exit(code)
        try:
            _, status = os.waitpid(process, 0)
        finally:
            while started := _children() - before:
                for child in started:
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
                    with suppress(ChildProcessError):
                        os.waitpid(child, 0)
        answer.seek(0)
        return answer.read(), os.waitstatus_to_exitcode(status)


def _children() -> set[int]:
    return {int(child) for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def collect(tests: Iterable[str], work: Callable[[Runner], None], *more: str) -> None:
    """Have pytest collect tests, and do some work with them; none is done where they cannot be collected."""
    pytest.main([*PYTEST, *more, *tests], plugins=[Runner(work)])
