"""``python -m tests.servers.soak [RECORDS]``: a long campaign; memory, descriptors and tasks as it goes.

A million records, unless it is told otherwise, to Postfix's smtp-sink. Twenty times on the way it is looked how much
memory the process has, how many descriptors are open and how many tasks the loop has: from the fifth part on none of
the three may grow. At the end the server's count is held against the log.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from batchsend import Batch, Outcome, load
from tests.servers.smtp_sink import SmtpSink

RECORDS: Final = 1_000_000
LOOKS: Final = 20
MORE_MEMORY: Final = 8.0
"""MiB by which memory may grow after the first fifth: what a process takes and gives back is not even."""

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


async def soak(folder: Path, records: int, port: int) -> tuple[list[Look], int]:
    """Run the campaign; what was seen on the way, and how many were accepted."""
    with (folder / "recipients.csv").open("w") as file:
        file.write("email,name\n")
        file.writelines(f"reader{number}@example.com,Reader {number}\n" for number in range(records))
    (folder / "campaign.toml").write_text(_CAMPAIGN.format(port=port))
    batch = Batch(load(folder / "campaign.toml"))
    looks: list[Look] = []
    began = time.monotonic()
    settled = accepted = 0
    async for result in batch.results():
        settled += 1
        accepted += result.status is Outcome.ACCEPTED
        if settled % max(1, records // LOOKS) == 0:
            looks.append(look(time.monotonic() - began, settled))
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


def grown(looks: list[Look]) -> list[str]:
    """What has grown after the first fifth."""
    first, rest = looks[len(looks) // 5], looks[len(looks) // 5 :]
    bounds = {"memory": MORE_MEMORY, "descriptors": MORE_DESCRIPTORS, "tasks": MORE_TASKS}
    return [
        f"{name}: {getattr(first, name):.0f}, and later {most:.0f}"
        for name, more in bounds.items()
        if (most := max(getattr(one, name) for one in rest)) > getattr(first, name) + more
    ]


def _row(one: Look) -> str:
    return f"| {one.seconds:.0f} | {one.settled:,} | {one.memory:.1f} | {one.descriptors} | {one.tasks} |"


def main(records: int) -> int:
    """Print the table; returns the exit code."""
    print("| s | records | memory (MiB) | descriptors | tasks |\n| ---: | ---: | ---: | ---: | ---: |", flush=True)
    with SmtpSink() as sink, tempfile.TemporaryDirectory(prefix="batchsend-soak-") as folder:
        looks, accepted = asyncio.run(soak(Path(folder), records, sink.port))
        taken = sink.message_count()
    wrong = grown(looks)
    if not accepted == taken == records:
        wrong.append(f"{accepted:,} were accepted, and {taken:,} taken")
    print(
        f"{records:,} records, {accepted:,} accepted, {taken:,} taken by the server: {'; '.join(wrong) or 'all flat'}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS))
