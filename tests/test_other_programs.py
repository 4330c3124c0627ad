"""Inside somebody else's program: its event loop was started by asyncio, and `sniffio` is installed.

Many libraries bring `sniffio`, which anyio then asks which event loop runs. It knows by the current task where asyncio
started the loop, and a protocol's callback has none: an interface of anyio's that needs a task must not be called from
there. `make test-sniffio` and `make test-all` run these tests, and all others, with sniffio.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import batchsend
from batchsend import Batch, Delivery, Outcome, Sender, Server
from batchsend.sink import Sink
from tests.delivery.harness import submissions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

RECORDS = 20
# The next session is asked for by the task that opened the last one, or by the callback that reads its replies.
PER_SESSION = pytest.mark.parametrize("per_session", [2, 5])
WITHIN = 10.0


@pytest.fixture(autouse=True)
def _sniffio_is_there() -> None:
    pytest.importorskip("sniffio", reason="sniffio is not installed: make test-sniffio")


def run_as_a_program_does(main: Callable[[], Awaitable[int]]) -> int:
    async def within() -> int:
        async with asyncio.timeout(WITHIN):
            return await main()

    return asyncio.run(within())


@PER_SESSION
def test_a_batch_in_a_callers_loop_rotates_its_sessions_and_ends(tmp_path: Path, per_session: int) -> None:
    rows = "".join(f"r{number}@example.com\n" for number in range(RECORDS))
    (tmp_path / "recipients.csv").write_text(f"email\n{rows}")

    async def main() -> int:
        async with Sink() as sink:
            (tmp_path / "campaign.toml").write_text(
                f'recipients = "recipients.csv"\n[server]\nhost = "{sink.hosts[0]}"\nport = {sink.port}\ntls = "none"\n'
                '[message]\nfrom = "from@example.com"\nsubject = "Hello"\ntext = "Hello"\n'
                f"[delivery]\nmax_messages = {per_session}\nmax_connections = 1\n"
            )
            summary = await Batch(batchsend.load(tmp_path / "campaign.toml")).run()
            assert sink.counts.messages == RECORDS
        return summary.counts[Outcome.ACCEPTED]

    assert run_as_a_program_does(main) == RECORDS


@PER_SESSION
def test_a_sender_in_a_callers_loop_rotates_its_sessions_and_ends(per_session: int) -> None:
    async def main() -> int:
        async with Sink() as sink:
            relay = Server(host=sink.hosts[0], port=sink.port, tls="none")
            async with Sender(relay, delivery=Delivery(max_messages=per_session, max_connections=1)) as sender:
                results = [result async for result in sender.send(submissions(RECORDS))]
            assert sink.counts.messages == RECORDS
        return sum(result.status is Outcome.ACCEPTED for result in results)

    assert run_as_a_program_does(main) == RECORDS
