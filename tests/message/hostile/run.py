"""A campaign of hostile records sent by the command line to a server that keeps what it gets, and the comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.message.hostile import campaign
from tests.message.hostile.oracle import Oracle

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.message.hostile.rows import Row
    from tests.message.hostile.servers import Keeper


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to.

    Attributes:
        complaints: What is at the server and was not asked for, what is missing, what is not accounted for.
        counts: Records by outcome.
        received: How many messages the server has.
    """

    complaints: list[str]
    counts: Counter[str]
    received: int


def send(path: Path, server: AbstractContextManager[Keeper], rows: Sequence[Row], *options: str) -> Result:
    """Send rows and compare.

    Args:
        path: An empty folder for the campaign.
        server: What it is sent to.
        rows: The records.
        *options: Of ``batchsend send``.
    """
    with server as keeper:
        folder = campaign.write(path, "127.0.0.1", keeper.port, rows)
        with folder.start("--no-progress", *options) as process:
            _, errors = process.communicate()
        assert process.returncode in {0, 1}, errors
        assert "Traceback" not in errors, errors
        oracle = Oracle(rows, folder.account().outcomes, eight_bit=keeper.eight_bit)
        received = 0
        for message in keeper.finish():
            received += 1
            oracle.receive(message)
    return Result(oracle.finish(), oracle.counts, received)
