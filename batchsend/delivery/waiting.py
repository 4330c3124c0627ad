"""The coroutines of the pool: they wait, and the pool, which is compiled, decides.

None of them may stand in a compiled module, nor may any other coroutine (tests/test_architecture.py sees to it). mypyc
keeps the exception that a coroutine is handling where the whole thread has its own, and leaves it there while the
coroutine waits. What runs meanwhile puts another one in its place, or none: a bare ``raise``, the end of a ``finally``
or of an ``async with`` then raises somebody else's exception, or one that asyncio cannot set, and the task never ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from batchsend.delivery.signal import Signal
    from batchsend.errors import RunError
    from batchsend.message.submission import Submission


class TakesSubmissions(Protocol):
    """As much of a pool as `put` needs."""

    def room(self) -> Coroutine[Any, Any, bool]:
        """Wait until it wants more; False where it never will."""

    def add(self, submissions: Iterable[Submission]) -> None:
        """Take them in."""


async def answer(question: Callable[[], bool | None], changed: Signal) -> bool:
    """Wait until a question has an answer.

    Args:
        question: Gives it, or None as long as there is none.
        changed: Tells when to ask again.
    """
    while (said := question()) is None:
        await changed.wait()
    return said


async def put(pool: TakesSubmissions, submissions: Iterable[Submission]) -> bool:
    """Give a pool submissions as soon as there is room; False where it has stopped and takes none."""
    if not await pool.room():
        return False
    pool.add(submissions)
    return True


async def run(
    slots: Iterable[Callable[[], Coroutine[Any, Any, None]]],
    look: Callable[[], float | None],
    changed: Signal,
    over: asyncio.Event,
    end: Callable[[], RunError | None],
) -> None:
    """Run the sessions of every relay, and look after them, until the pool is over.

    Args:
        slots: What runs the sessions, for each relay.
        look: Looks after them, and gives the seconds after which to look again; None for not before `changed`.
        changed: There is something to look at.
        over: The pool is over.
        end: Called at the end, unless the loop was closed before it; gives why the run had to stop, if it had to.

    Raises:
        RunError: What `end` gave.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            for one in slots:
                tasks.create_task(one())
            tasks.create_task(_look_after(look, changed, over))
    except GeneratorExit:
        # The loop was closed under it, and it is taken apart, perhaps as the process ends. Nothing can be ended without
        # the loop, and a compiled function that raises then crashes the process: its module is gone already.
        raise
    except BaseException:
        end()
        raise
    if (failure := end()) is not None:
        raise failure


async def _look_after(look: Callable[[], float | None], changed: Signal, over: asyncio.Event) -> None:
    while not over.is_set():
        await changed.wait(look())
