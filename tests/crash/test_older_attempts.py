"""What an older attempt turns out to have been, in a whole run: it never speaks over a newer one, nor takes its place.

Session A refuses a record for now, and breaks while, or after, session B takes it. What A said of it is not to be
believed then; what B said is.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchsend import Stage
from batchsend.results.journal import read_journal
from tests.crash.house import House, address, house
from tests.delivery.harness import GREETED, OFFERED, TAKEN
from tests.tools.faulty import ACCEPT, Action, FaultyServer, refuse
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Await, Dialogue, Expect, ReadContent, ReadToEnd, Signal, Step, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.tools.wire import Wire


@dataclass(frozen=True, slots=True)
class ServeWell:
    """Take everything until the client says QUIT."""

    async def play(self, dialogue: Dialogue) -> None:
        wire = dialogue.wire
        while True:
            command = await wire.read_command()
            dialogue.note(command)
            match command[:4]:
                case b"DATA":
                    await wire.send(b"354 go\r\n")
                    dialogue.finish(await wire.read_content())
                    await wire.send(b"250 taken\r\n")
                case b"QUIT":
                    await wire.send(b"221 bye\r\n")
                    return
                case _:
                    await wire.send(b"250 ok\r\n")


@dataclass(frozen=True, slots=True)
class Call:
    """Do something of the test's."""

    what: Callable[[], None]

    async def play(self, dialogue: Dialogue) -> None:
        del dialogue
        self.what()


@dataclass(slots=True)
class Run:
    """A campaign of three records, and a server that plays scripts to its two sessions."""

    built: House
    peer: ScriptedServer

    @property
    def of_first(self) -> list[tuple[int, str]]:
        """What the log says of the first record: attempt and status."""
        return [(line["attempt"], line["status"]) for line in self.built.lines if line["record"] == 1]

    @property
    def taken(self) -> list[bytes]:
        """The recipients whose messages arrived whole, once for each time."""
        return sorted(message.recipients[0] for message in self.peer.messages)


@asynccontextmanager
async def run(directory: Path, *scripts: list[Step]) -> AsyncIterator[Run]:
    """Three records through two sessions, which play the scripts."""
    delivery = 'max_connections = 2\nmax_attempts = 2\nretry_after = "10ms"'
    async with house(directory, records=3, delivery=delivery) as built, ScriptedServer(*scripts) as peer:
        text = built.campaign.read_text()
        built.campaign.write_text(text.replace(f"port = {built.server.port}", f"port = {peer.port}"))
        yield Run(built, peer)


async def test_the_last_line_is_the_newer_attempts(tmp_path: Path) -> None:
    """Refused on A, accepted on B; then A's replies are found not to be its own."""
    accepted = asyncio.Event()
    breaks: list[Step] = [
        *(*GREETED, *OFFERED, reply("250 ok", "450 4.7.1 greylisted", "503 no recipient"), Expect("RSET"), *OFFERED),
        *(Await(accepted), reply("354 go"), ReadToEnd()),
    ]
    other: list[Step] = [*GREETED, *TAKEN, *TAKEN, Signal(accepted), ServeWell()]
    async with run(tmp_path, breaks, other, [*GREETED, ServeWell()]) as under_way:
        built = under_way.built
        assert await built.send() == 0
        assert under_way.of_first == [(1, "deferred"), (2, "accepted")]
        assert set(built.last.values()) == {"accepted"}
        before = built.lines
        assert await built.resume() == 0
        assert built.lines == before
        assert under_way.taken == [f"r{record}@example.com".encode() for record in (1, 2, 3)]


def content_refused(under_way: asyncio.Event, broken: asyncio.Event) -> list[Step]:
    """A takes the first message, refuses it for now, and breaks once its retry is under way on B."""
    return [
        *(*GREETED, *OFFERED, reply("250 ok", "250 ok", "354 go"), ReadContent(), *OFFERED, reply("451 4.3.0 later")),
        *(Await(under_way), reply("354 go"), ReadToEnd(), Signal(broken)),
    ]


async def test_a_retry_that_is_under_way_when_the_older_attempt_becomes_doubtful_has_one_outcome(
    tmp_path: Path,
) -> None:
    retried, broken = asyncio.Event(), asyncio.Event()
    other: list[Step] = [
        *(*GREETED, *TAKEN, *OFFERED, reply("250 ok", "250 ok", "354 go"), ReadContent()),
        *(Signal(retried), Await(broken), reply("250 taken"), ServeWell()),
    ]
    async with run(tmp_path, content_refused(retried, broken), other, [*GREETED, ServeWell()]) as under_way:
        built = under_way.built
        assert await built.send() == 0
        assert under_way.of_first[-1] == (2, "accepted")
        assert "record 1 may have been delivered twice" in built.output
        before = built.lines
        assert await built.resume() == 0
        assert built.lines == before
        assert under_way.taken.count(address(1).encode()) == 2  # once by A, which said that it did not


async def test_killed_while_the_retry_is_committed_its_place_is_in_the_journal(tmp_path: Path) -> None:
    """What the older attempt turns out to have been does not free the retry's place."""
    retried, broken, killed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def kill() -> None:
        under_way.built.launched.kill()
        killed.set()

    other: list[Step] = [
        *(*GREETED, *TAKEN, *OFFERED, reply("250 ok", "250 ok", "354 go"), ReadContent()),
        *(Signal(retried), Await(broken), Call(kill), ReadToEnd()),
    ]
    async with run(tmp_path, content_refused(retried, broken), other, [*GREETED, ServeWell()]) as under_way:
        built = under_way.built
        assert await built.send() == -9
        left = read_journal(built.results)
        assert left is not None
        assert [(entry.attempt, entry.status) for entry in left.entries if entry.record == 1] == [(2, None)]
        assert await built.resume() == 1
        assert built.last[1] == "in_doubt"
        assert under_way.taken.count(address(1).encode()) == 2  # once by A and once by B, and not again
        assert {built.last[2], built.last[3]} == {"accepted"}


class ImpatientServer(FaultyServer):
    """Ends sessions that say nothing for a moment, as some do after three seconds."""

    async def play(self, wire: Wire) -> None:
        serving = asyncio.create_task(super().play(wire))
        while not serving.done():
            before = len(wire.connection.received), len(wire.connection.sent)
            await asyncio.wait((serving,), timeout=0.1)
            if not serving.done() and before == (len(wire.connection.received), len(wire.connection.sent)):
                serving.cancel()
                await asyncio.wait((serving,))
                await wire.send(b"451 timeout (#4.4.2)\r\n")
                return
        serving.result()


async def test_greylisting_by_an_impatient_server_sends_to_everybody_once(tmp_path: Path) -> None:
    """At a low rate every session is idle between two messages, and everybody needs two attempts."""
    attempts: dict[str, int] = {}

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is not Stage.RCPT or recipient is None:
            return ACCEPT
        attempts[recipient] = attempts.get(recipient, 0) + 1
        return refuse(450, "4.7.1 Greylisted, please try again") if attempts[recipient] == 1 else ACCEPT

    delivery = 'max_connections = 2\nmax_attempts = 3\nretry_after = "50ms"\nrate = "6/s"'
    async with house(tmp_path, records=12, delivery=delivery) as built, ImpatientServer(decide) as peer:
        text = built.campaign.read_text()
        built.campaign.write_text(text.replace(f"port = {built.server.port}", f"port = {peer.port}"))
        assert await built.send() == 0
        assert sorted(message.recipients[0] for message in peer.accepted) == sorted(map(address, range(1, 13)))
        assert len(peer.connections) > 4, "no session was ended for idleness"
        assert set(built.last.values()) == {"accepted"}
        assert [line["status"] for line in built.lines].count("in_doubt") == 0
