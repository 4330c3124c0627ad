"""``python -m tests.servers.soak [RECORDS]``: a long campaign; memory, descriptors and tasks as it goes.

A million records, unless it is told otherwise, and 100,000 at least. They go to the embedded server in a process of its
own, which counts the messages of each recipient. A hundred times on the way it is looked how much memory the sending
process has, how many descriptors are open and how many tasks the loop has: after the first minute, or the first fifth
where that is done sooner, none of the three may grow. At the end each record must have one outcome, and the server one
message for it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from array import array
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend import Batch, Outcome, load
from batchsend.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    from batchsend.sink import Received

RECORDS: Final = 1_000_000
FEWEST: Final = 100_000
"""With fewer the first fifth is over before caches and sessions are what they will be."""

LOOKS: Final = 100
SHOWN: Final = 20
"""Rows of the table."""

SETTLING: Final = 60.0
"""Seconds after which nothing may grow."""

MORE_MEMORY: Final = 4.0
"""MiB by which memory may grow from then on: four octets for each of a million records."""

MORE_DESCRIPTORS: Final = 6
MORE_TASKS: Final = 6
"""By how many descriptors and tasks may: a session takes its leave while its successor begins."""

_CAMPAIGN: Final = """\
recipients = "recipients.csv"
server = {{ host = "127.0.0.1", port = {port}, tls = "none" }}
[message]
from = "hello@mail.example.com"
to = "{{{{ name }}}} <{{{{ email }}}}>"
subject = "Welcome, {{{{ name }}}}"
text = "Hello {{{{ name }}}}, your number is {{{{ batch.record }}}}.\\n"
[delivery]
max_connections = 5
"""


class Look(NamedTuple):
    """What the process had at a moment.

    Attributes:
        seconds: Since the beginning.
        settled: Records that had an outcome.
        memory: MiB.
        descriptors: Open ones.
        tasks: Of the loop.
    """

    seconds: float
    settled: int
    memory: float
    descriptors: int
    tasks: int


class Soaked(NamedTuple):
    """What a campaign came to.

    Attributes:
        looks: What was seen on the way.
        accepted: How many times each record was said to be accepted.
        taken: How many messages the server has of each record.
    """

    looks: list[Look]
    accepted: array[int]
    taken: array[int]


def none_yet(records: int) -> array[int]:
    """A count for each record; its memory is taken at once, and does not grow on the way."""
    return array("B", bytes(1) * records)


@contextmanager
def counting(records: int) -> Iterator[tuple[int, Callable[[], array[int]]]]:
    """The embedded server in a process of its own; its port, and what ends it and returns each record's messages."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(theirs, records), daemon=True)
    process.start()

    def end() -> array[int]:
        ours.send("end")
        taken: array[int] = ours.recv()
        process.join()
        return taken

    try:
        yield ours.recv(), end
    finally:
        if process.is_alive():
            process.terminate()
            process.join()


def _serve(pipe: Connection, records: int) -> None:
    """Be the server until the other side says something."""
    taken = none_yet(records)

    def take(message: Received) -> None:
        for recipient in message.recipients:
            number = int(recipient.removeprefix("reader").partition("@")[0])
            taken[number] = min(255, taken[number] + 1)

    async def until_told() -> None:
        async with Sink(on_message=take) as sink:
            pipe.send(sink.port)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(until_told())
    pipe.send(taken)


async def soak(folder: Path, records: int, port: int) -> tuple[list[Look], array[int]]:
    """Run the campaign; what was seen on the way, and how many times each record was accepted."""
    with (folder / "recipients.csv").open("w") as file:
        file.write("email,name\n")
        file.writelines(f"reader{number}@example.com,Reader {number}\n" for number in range(records))
    (folder / "campaign.toml").write_text(_CAMPAIGN.format(port=port))
    batch = Batch(load(folder / "campaign.toml"))
    accepted = none_yet(records)
    looks: list[Look] = []
    began = time.monotonic()
    settled = 0
    async for result in batch.results():
        settled += 1
        if result.status is Outcome.ACCEPTED:
            accepted[result.record - 1] = min(255, accepted[result.record - 1] + 1)
        if settled % max(1, records // LOOKS) == 0:
            looks.append(look(time.monotonic() - began, settled))
            if len(looks) % (LOOKS // SHOWN) == 0:
                print(_row(looks[-1]), flush=True)
    return looks, accepted


def look(seconds: float, settled: int) -> Look:
    """What this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Look(
        seconds,
        settled,
        pages * resource.getpagesize() / 2**20,
        len(list(Path("/proc/self/fd").iterdir())),
        len(asyncio.all_tasks()),
    )


def later(looks: Sequence[Look]) -> Sequence[Look]:
    """Those looks at which nothing may have grown since the first of them."""
    begins = next((number for number, one in enumerate(looks) if one.seconds > SETTLING), len(looks))
    return looks[min(begins, len(looks) // 5) :]


def grown(looks: Sequence[Look]) -> list[str]:
    """What has grown."""
    first, *rest = later(looks)
    bounds = {"memory": MORE_MEMORY, "descriptors": MORE_DESCRIPTORS, "tasks": MORE_TASKS}
    return [
        f"{name}: {getattr(first, name):.0f}, and later {most:.0f}"
        for name, more in bounds.items()
        if (most := max((getattr(one, name) for one in rest), default=0)) > getattr(first, name) + more
    ]


def miscounted(soaked: Soaked) -> list[str]:
    """What was lost, and what was sent or told twice."""
    found = {
        "accepted and not taken": sum(said > had for said, had in zip(soaked.accepted, soaked.taken, strict=True)),
        "taken and not accepted": sum(said < had for said, had in zip(soaked.accepted, soaked.taken, strict=True)),
        "neither": sum(not said and not had for said, had in zip(soaked.accepted, soaked.taken, strict=True)),
        "taken twice": sum(had > 1 for had in soaked.taken),
        "accepted twice": sum(said > 1 for said in soaked.accepted),
    }
    return [f"{count:,} {what}" for what, count in found.items() if count]


def figures(looks: Sequence[Look]) -> str:
    """The most of each, and how memory grows once it may not."""
    some = later(looks)
    slope = statistics.linear_regression([one.settled for one in some], [one.memory for one in some]).slope
    return (
        f"at most {max(one.memory for one in looks):.1f} MiB, {max(one.descriptors for one in looks)} descriptors and "
        f"{max(one.tasks for one in looks)} tasks; from {some[0].seconds:.0f} s on memory goes by "
        f"{slope * 1e6:+.2f} MiB for each million records"
    )


def _row(one: Look) -> str:
    return f"| {one.seconds:.0f} | {one.settled:,} | {one.memory:.1f} | {one.descriptors} | {one.tasks} |"


def main(records: int) -> int:
    """Print the table; returns the exit code."""
    print("| s | records | memory (MiB) | descriptors | tasks |\n| ---: | ---: | ---: | ---: | ---: |", flush=True)
    with counting(records) as (port, end), tempfile.TemporaryDirectory(prefix="batchsend-soak-") as folder:
        looks, accepted = asyncio.run(soak(Path(folder), records, port))
        soaked = Soaked(looks, accepted, end())
    wrong = grown(looks) + miscounted(soaked)
    print(f"{records:,} records, {sum(accepted):,} accepted, {sum(soaked.taken):,} taken by the server")
    print(f"{figures(looks)}\n{'; '.join(wrong) or 'all flat, each record once'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(max(FEWEST, int(sys.argv[1])) if len(sys.argv) > 1 else RECORDS))
