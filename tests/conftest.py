"""What every test may use: event loops of asynchronous tests, tiers that a run may leave out, what each test cost."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.report.browser import Browser, browsing
from tests.servers.requirements import EVERYTHING_IS_HERE, NO_MAILERS, NO_OTHER_DJANGO, ROOT_MAY_EVERYTHING
from tests.tools.shares import in_shares
from tests.tools.virtual import virtual_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from tests.tools.virtual import VirtualLoop

HERE = Path(__file__).parent

# A shell ignores SIGINT for what a script starts in the background, and all processes of its tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is: it is no test's business.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("untimed"), max_examples=20)
settings.load_profile("untimed")

# The tiers that `--quick` leaves out, each with the folder all of whose tests belong to it; any other test joins a tier
# by its marker.
LEFT_OUT_WHEN_QUICK = {"servers": "servers", "crash": "crash", "slow": "benchmarks"}

# About how many seconds a test of each of them takes, by which processes share them out; any other takes next to none.
SECONDS = {"servers": 5.0, "crash": 2.0, "slow": 2.0}

# How many of the tests that computed the longest `--quick` names at its end.
NAMED = 10
# What a report says of its test: the seconds that it computed.
_COMPUTED = "computed"

_LEFT_OUT = pytest.StashKey[dict[str, int]]()
_KEY = "left out"
_BEGAN = pytest.StashKey[float]()


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """A loop whose clock jumps over the time in which nothing would happen; what runs on it, the test says."""
    yield from virtual_loop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser without a window; each test has pages of its own in it."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile, browsing(Path(profile)) as opened:
        yield opened


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the event loops on which every asynchronous test runs: both, or one of them with ``--brief``.

    Which one that is goes by the test's name, so that it is always the same, and each loop has about half of the tests.
    A test that gains nothing from the second loop names the one that it wants:
    ``@pytest.mark.asyncio(loop_factories=["asyncio"])``.
    """
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.SelectorEventLoop,
        "uvloop": uvloop.new_event_loop,
    }
    marker = item.get_closest_marker("asyncio")
    if _is_brief(config) and not (marker and marker.kwargs.get("loop_factories")):
        name = sorted(loops)[crc32(item.nodeid.encode()) % len(loops)]
        return {name: loops[name]}
    return loops


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Say how many processes ``-n auto`` starts: tests of `make test` wait a third of their time, all together half."""
    cores = len(os.sched_getaffinity(0))
    return cores * 3 // 2 if config.getoption("--quick") else cores * 2


def pytest_addoption(parser: pytest.Parser) -> None:
    tiers = ", ".join(LEFT_OUT_WHEN_QUICK)
    parser.addoption("--brief", action="store_true", help="one event loop for each asynchronous test, fewer examples")
    parser.addoption("--quick", action="store_true", help=f"--brief, without the tiers that take long or much: {tiers}")


def _is_brief(config: pytest.Config) -> bool:
    return bool(config.getoption("--brief") or config.getoption("--quick"))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LEFT_OUT] = {}
    if _is_brief(config):  # before any test is collected, whose settings are those of this moment
        settings.load_profile("quick")


@cache
def tier_of_folder(folder: Path) -> str | None:
    """Return the tier that all tests of a folder belong to, or None."""
    return next((tier for tier, name in LEFT_OUT_WHEN_QUICK.items() if folder.is_relative_to(HERE / name)), None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Mark the tests of a folder that is a tier; leave out what `--quick` does not run, and count it.

    Several processes each begin with what takes long.
    """
    left_out, kept = [], []
    count = Counter[str]()
    quick = config.getoption("--quick")
    for item in items:
        if (tier := tier_of_folder(item.path.parent)) is not None:
            item.add_marker(tier)
        tiers = [tier for tier in LEFT_OUT_WHEN_QUICK if item.get_closest_marker(tier)]
        if quick and tiers:
            count[tiers[0]] += 1
            left_out.append(item)
        else:
            kept.append(item)
    config.stash[_LEFT_OUT] = dict(count)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
    yield
    processes: int = getattr(config, "workerinput", {}).get("workercount", 1)  # of pytest-xdist
    if processes > 1:
        items[:] = in_shares(items, seconds, processes)


def seconds(item: pytest.Item) -> float:
    """About how long a test takes; 0.0 for next to no time."""
    return next((taken for tier, taken in SECONDS.items() if item.get_closest_marker(tier)), 0.0)


def pytest_collection_finish() -> None:
    """Keep the collected tests, ten thousand that stay to the end, out of what the garbage collector looks through."""
    gc.collect()
    gc.freeze()


def computed() -> float:
    """Seconds of processor time that this process has taken, and those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Begin to measure what a test computes: unlike the clock, that says nothing of how busy the machine is."""
    item.stash[_BEGAN] = computed()
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say what a test has computed; where everything must be there, one that is skipped has failed."""
    report = yield
    if report.when == "teardown":
        report.user_properties.append((_COMPUTED, computed() - item.stash[_BEGAN]))
    if EVERYTHING_IS_HERE and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(allowed in reason for allowed in (ROOT_MAY_EVERYTHING, NO_MAILERS, NO_OTHER_DJANGO)):
            report.outcome = "failed"
            report.longrepr = f"everything must be there, and this was left out: {reason}"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where several processes share the tests, tell the one that speaks to the user what was left out."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = session.config.stash[_LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """A process of pytest-xdist has ended: each of them saw all tests."""
    node_config: pytest.Config = getattr(node, "config")  # noqa: B009 - pytest-xdist says nothing of its types
    node_config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get(_KEY, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the tests that computed the longest: what is added to `make test` has few seconds to share."""
    if not config.getoption("--quick"):
        return
    took = {
        report.nodeid: value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _COMPUTED
    }
    longest = sorted(took, key=took.__getitem__, reverse=True)[:NAMED]
    terminalreporter.section(f"computed {sum(took.values()):.0f} s; the {NAMED} longest")
    for nodeid in longest:
        terminalreporter.write_line(f"{took[nodeid]:5.2f} s  {nodeid}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say as the last line which tiers were left out."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or not config.getoption("--quick"):
        return
    tiers = [f"{tier} ({count})" for tier, count in sorted(config.stash[_LEFT_OUT].items())]
    skipped = len(terminal.stats.get("skipped", ()))
    wanting = [f"{skipped} for want of what they need"] if skipped else []
    terminal.write_line(
        f"left out, in tests: {', '.join([*tiers, *wanting]) or 'none'}; `make test-all` runs everything"
    )
