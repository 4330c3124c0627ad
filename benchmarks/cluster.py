"""What the account of a cluster costs: the same campaign sent by one machine and by workers, in one run.

``python -m benchmarks.cluster [--messages N] [--rounds N]``, from the checkout. PostgreSQL is Debian's, on the disk and
with its own defaults for syncing, which is what ``durability = "power"`` does on one machine. The SMTP server is the
embedded sink in a process of its own, whose count says when the first and the last message came, and that all of them
did. In each round every way to send runs once, and the ratios are those of one round, so that a machine that becomes
slower meanwhile changes none of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.bench.embedded import EmbeddedSink
from benchmarks.machine import machine
from benchmarks.process import ROOT
from tests.cluster.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOK_SECONDS: Final = 0.02
_LONGEST_SECONDS: Final = 240.0
_CONNECTIONS: Final = 8
_CAMPAIGN: Final = """\
recipients = "recipients.csv"
server = {{ host = "127.0.0.1", port = {port}, tls = "none" }}
[message]
from = "from@example.com"
subject = "Order {{{{ batch.record }}}}"
text = "Good day {{{{ name }}}},\\n\\nyour order is on its way.\\n"
[delivery]
max_connections = {connections}
durability = "{durability}"
"""


class Way(NamedTuple):
    """A way to send a campaign.

    Attributes:
        name: What it is called.
        workers: How many workers send; 0 for ``batchsend send``.
        durability: That of ``batchsend send``.
    """

    name: str
    workers: int = 0
    durability: str = "process"


LOCAL: Final = Way("one machine, process")
SAFE: Final = Way("one machine, power", durability="power")
WAYS: Final = (
    LOCAL,
    SAFE,
    Way("cluster, 1 worker", workers=1),
    Way("cluster, 2 workers", workers=2),
)


class Setting:
    """A sink, a database and a folder.

    Args:
        folder: Where campaigns are written.
        sink: Whom they are sent to.
        postgres: The database.
        messages: How many.
    """

    def __init__(self, folder: Path, sink: EmbeddedSink, postgres: Postgres, messages: int) -> None:
        self._folder = folder
        self._sink = sink
        self._environment = dict(os.environ, BATCHSEND_DATABASE=postgres.url, PYTHONPATH=str(ROOT))
        self._messages = messages
        rows = "".join(f"r{number}@example.com,Name {number}\n" for number in range(messages))
        (folder / "recipients.csv").write_text(f"email,name\n{rows}")
        self.command("cluster", "init")

    def pace(self, way: Way, number: int) -> float:
        """Send the campaign; returns the messages a second from the first to the last one at the server.

        Raises:
            RuntimeError: A program failed, or the server did not receive exactly what was to be sent.
        """

        campaign = self._folder / "campaign.toml"
        text = _CAMPAIGN.format(port=self._sink.port, connections=_CONNECTIONS, durability=way.durability)
        campaign.write_text(text)
        name, results = f"round{number}-{way.workers}", self._folder / "results.jsonl"
        if way.workers:
            self.command("cluster", "publish", campaign, "--name", name)
            commands: list[Sequence[str | Path]] = [("cluster", "work", "--until-done")] * way.workers
        else:
            commands = [("send", campaign, "--results", results, "--no-progress")]
        seconds = self._timed(commands)
        if way.workers:
            said = self.command("cluster", "collect", name, "--results", results)
            if not said.startswith(f"{self._messages:,} outcomes"):
                raise RuntimeError(f"{way.name}: {said}")
            self.command("cluster", "drop", name)
        accepted = results.read_text().count('"status":"accepted"')
        results.unlink()
        if accepted != self._messages:
            raise RuntimeError(f"{way.name}: {accepted} of {self._messages} are said to be accepted")
        return self._messages / seconds

    def command(self, *arguments: str | Path) -> str:
        """Run a command to its end; returns what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "batchsend", *map(str, arguments)],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"batchsend {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done.stdout

    def _timed(self, commands: Sequence[Sequence[str | Path]]) -> float:
        """Let programs send; returns the seconds from the first to the last message at the server."""
        before = self._sink.message_count()
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "batchsend", *map(str, command)],
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for command in commands
        ]
        try:
            began = ended = 0.0
            received, until = 0, time.monotonic() + _LONGEST_SECONDS
            while any(process.poll() is None for process in processes) and time.monotonic() < until:
                count = self._sink.message_count() - before
                if count > received:
                    ended = time.monotonic()
                    began = began or ended
                    received = count
                time.sleep(_LOOK_SECONDS)
        finally:
            for process in processes:
                process.kill()
        if any(codes := [process.wait() for process in processes]):
            raise RuntimeError(f"ended with {codes}")
        received = self._sink.message_count() - before
        if received != self._messages:
            raise RuntimeError(f"the server has received {received} of {self._messages}")
        return max(ended - began, _LOOK_SECONDS)


def measure(messages: int, rounds: int) -> list[dict[Way, float]]:
    """The paces of all ways in so many rounds, in messages a second.

    Raises:
        RuntimeError: A program failed, or the server did not receive exactly what was to be sent.
    """
    with (
        tempfile.TemporaryDirectory(prefix="batchsend-bench-") as folder,
        EmbeddedSink() as sink,
        Postgres(on_disk=True) as postgres,
    ):
        setting = Setting(Path(folder), sink, postgres, messages)
        return [{way: setting.pace(way, number) for way in WAYS} for number in range(rounds)]


def lines(paces: Sequence[dict[Way, float]]) -> list[str]:
    """The medians, and those of the ratios of each round, as a table."""

    def ratios(way: Way, to: Way) -> str:
        found = sorted(one[way] / one[to] for one in paces)
        return f"{median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"

    return [
        f"{'':30} messages/s   {'of process':22} of power",
        *(
            f"{way.name:30} {median(one[way] for one in paces):10,.0f}   {ratios(way, LOCAL):22} {ratios(way, SAFE)}"
            for way in WAYS
        ),
    ]


def main() -> int:
    """Measure, and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster")
    parser.add_argument("--messages", type=int, default=20_000, metavar="N", help="of each way to send")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each way is taken")
    options = parser.parse_args()
    try:
        paces = measure(options.messages, options.rounds)
    except RuntimeError as error:
        print(f"broken off: {error}", file=sys.stderr)
        return 1
    print(machine())
    for line in lines(paces):
        print(line)
    print(f"the server has received {options.messages:,} messages each time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
