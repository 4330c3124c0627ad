"""A campaign in a directory of its own, a server that keeps its own account, and batchsend in a process beside them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.crash.processes import Launcher, launcher
from tests.tools.faulty import ACCEPT, FaultyServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from batchsend import Stage
    from tests.tools.faulty import Action, Decide

_LIMITED = 'ulimit -n "$1" || exit 99; shift; exec "$@"'

CAMPAIGN = """\
recipients = "recipients.csv"
server = {{ host = "127.0.0.1", port = {port}, tls = "none" }}
[message]
from = "from@example.com"
subject = "Record {{{{ batch.record }}}}"
text = "Hello {{{{ email }}}}"
[delivery]
{delivery}
"""


@dataclass(slots=True)
class House:
    """What a test of the command line needs.

    Attributes:
        directory: Where everything is.
        server: Where the messages go; its ``accepted`` is the truth.
        launched: What runs the commands.
    """

    directory: Path
    server: FaultyServer
    launched: Launcher

    @property
    def campaign(self) -> Path:
        return self.directory / "campaign.toml"

    @property
    def recipients(self) -> Path:
        return self.directory / "recipients.csv"

    @property
    def results(self) -> Path:
        return self.directory / "results.jsonl"

    @property
    def journal(self) -> Path:
        return self.directory / "results.jsonl.inflight"

    @property
    def files(self) -> list[str]:
        """The names of what is there."""
        return sorted(path.name for path in self.directory.iterdir())

    @property
    def output(self) -> str:
        """What the commands have said so far."""
        return (self.directory / "output.txt").read_text()

    async def run(self, *arguments: str | Path) -> int:
        """Run batchsend; its exit code, or minus the signal that ended it."""
        return await self.launched.run([str(argument) for argument in arguments], self.directory / "output.txt")

    async def send(self, *arguments: str | Path) -> int:
        """``batchsend send``."""
        return await self.run("send", self.campaign, *arguments)

    async def resume(self, *arguments: str | Path) -> int:
        """``batchsend resume``."""
        return await self.run("resume", self.results, *arguments)

    async def send_with_open_files(self, files: int) -> tuple[int, str]:
        """``batchsend send`` with so many files that may be open at once: its exit code, and what it said.

        It has ended in order, whatever it came to.
        """
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", _LIMITED, "sh", str(files), sys.executable, "-m", "batchsend", "send", str(self.campaign)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
        assert process.returncode in (0, 2, 3), said
        assert "Traceback" not in said
        return process.returncode, said

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The outcome lines of the log."""
        lines = [json.loads(line) for line in self.results.read_text().splitlines()]
        return [line for line in lines if "record" in line]

    @property
    def last(self) -> dict[int, str]:
        """The status that counts, by record."""
        return {line["record"]: line["status"] for line in self.lines}

    @property
    def taken(self) -> Counter[str]:
        """How often the server has taken a message for each recipient."""
        return Counter(recipient for message in self.server.accepted for recipient in message.recipients)


def address(record: int) -> str:
    """The recipient of a record."""
    return f"r{record}@example.com"


def well_behaved(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
    """Accept everything."""
    return ACCEPT


@asynccontextmanager
async def house(
    directory: Path, *, records: int, decide: Decide = well_behaved, delivery: str = "max_connections = 2"
) -> AsyncIterator[House]:
    """A house with so many records.

    Args:
        directory: Where to build it.
        records: How many recipients.
        decide: What the server does.
        delivery: The campaign's ``[delivery]``.
    """
    async with launcher() as launched, FaultyServer(decide) as server:
        built = House(directory, server, launched)
        rows = "".join(f"{address(record)}\n" for record in range(1, records + 1))
        built.recipients.write_text(f"email\n{rows}")
        built.campaign.write_text(CAMPAIGN.format(port=server.port, delivery=delivery))
        yield built
