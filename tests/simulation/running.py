"""One case from its beginning to its verdict."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchsend.jitter import JITTER
from tests.simulation.oracle import judge
from tests.simulation.people import People
from tests.simulation.world import EndlessError, SimulationLoop, World, around, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.case import Case

# In memory where there is such a place: nothing of it is to be kept.
_MEMORY: Final = Path("/dev/shm")


def run_case(case: Case, tell: Callable[[str], None] = lambda _: None) -> list[str]:
    """What must not be in a case and is, one line each; nothing where all is well.

    Args:
        case: The case.
        tell: Called with everything that happens in the runs, and when.
    """
    where = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="batchsend-simulation-", dir=where) as folder:
        return _run_in(case, Path(folder).resolve(), tell)


def _run_in(case: Case, folder: Path, tell: Callable[[str], None]) -> list[str]:
    JITTER.seed(case.seed)  # the jitter of the pauses
    loop = SimulationLoop()
    asyncio.set_event_loop(loop)
    world = World(case, loop, folder, tell)
    people = People(case, world)
    try:
        with around(world):
            try:
                loop.run_until_complete(people.live())
            except EndlessError as error:
                return [f"run {len(people.ended)} does not end: {error}"]
            except Exception as error:  # whatever it is, it is what the case has found
                return [f"run {len(people.ended)}: {error!r}{told(error)}"]
            finally:
                end_loop(loop)
            return [*loop.complaints, *judge(case, world, people)]
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def end_loop(loop: SimulationLoop) -> None:
    """End what is still on the loop: nothing of it is judged any more."""
    loop.world = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(20):
            tasks = asyncio.all_tasks(loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            with suppress(Exception):
                loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        gc.collect(0)
