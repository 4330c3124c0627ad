"""Shows how far a run has come: the live view on a terminal, a line every ten seconds everywhere else."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
from msgspec.structs import asdict

from batchsend.cli.steer import press
from batchsend.errors import RunError
from batchsend.monitor import words
from batchsend.monitor.pace import Pace
from batchsend.monitor.sample import Sample
from batchsend.outcome import Outcome
from batchsend.results.line import timestamp

if TYPE_CHECKING:
    from batchsend.cli.console import Console
    from batchsend.monitor.pace import Speed
    from batchsend.run.batch import Batch

EVERY: Final = 10.0
"""Seconds between two lines."""

_REDRAW: Final = 0.25
"""Seconds between two pictures of the live view, at least."""

_SHARE: Final = 150
"""Between two pictures at least so many times the time goes by that one takes: it costs a run less than a hundredth."""


async def follow(batch: Batch, console: Console, *, heeds_keys: bool = False) -> None:
    """Say on standard error how far a run has come, until cancelled.

    Args:
        batch: The run.
        console: What says it, where there is no terminal.
        heeds_keys: Where there is one, let keys change the run (`batchsend.cli.steer.press`).
    """
    if console.as_json or not _is_capable(os.environ.get("TERM", "")):
        await tell(batch, console)
    else:
        await _show(batch, console, heeds_keys=heeds_keys)


async def tell(batch: Batch, console: Console, *, every: float = EVERY) -> None:
    """Say a line every few seconds; a run that is over by then is not spoken of."""
    pace = Pace(Sample.take(batch))
    while True:
        await anyio.sleep(every)
        sample = Sample.take(batch)
        speed = pace.add(sample)
        console.progress(words.line(sample, speed), **_fields(sample, speed))


def _is_capable(terminal: str) -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and terminal not in ("", "dumb", "unknown")


async def _show(batch: Batch, console: Console, *, heeds_keys: bool) -> None:
    pace = Pace(Sample.take(batch))
    # A run that is over in a blink of an eye needs neither view nor the time that loading it takes.
    await anyio.sleep(_REDRAW)
    from batchsend.cli.keys import pressed_keys  # noqa: PLC0415 - only on a terminal
    from batchsend.monitor.screen import Screen  # noqa: PLC0415 - rich, likewise
    from batchsend.monitor.view import view  # noqa: PLC0415

    wanted = anyio.Event()

    def act_on(key: str) -> None:
        nonlocal wanted
        with suppress(RunError):  # the log cannot be written: the run says so itself as it ends
            press(batch, key)
        wanted.set()
        wanted = anyio.Event()

    with (
        closing(Screen(sys.stderr)) as screen,
        console.through(screen.print),
        pressed_keys(act_on) if heeds_keys else nullcontext(enter_result=False) as has_keys,
    ):
        while True:
            began = time.perf_counter()
            sample = Sample.take(batch)
            width, height = screen.size
            screen.draw(view(sample, pace.add(sample), width=width, height=height, has_keys=has_keys))
            with anyio.move_on_after(max(_REDRAW, _SHARE * (time.perf_counter() - began))):
                await wanted.wait()


def _fields(sample: Sample, speed: Speed) -> dict[str, Any]:
    pool = sample.pool
    return {
        "records": sample.records,
        **{outcome.value: sample.counts[outcome] for outcome in Outcome},
        "waiting": sample.waiting,
        "progress": None if sample.progress is None else round(sample.progress, 4),
        "elapsed": round(speed.elapsed, 3),
        "rate": round(speed.now, 1),
        "left": None if speed.left is None else round(speed.left),
        "asleep": None if pool is None or pool.asleep is None else asdict(pool.asleep),
        "held": sample.held,
        "done": None if sample.done is None else timestamp(sample.done),
        "sessions": 0 if pool is None else len(pool.sessions),
        "slowdown": None if pool is None or pool.slowdown is None else {"rate": pool.rate, **asdict(pool.slowdown)},
    }
