"""Whatever a server does not do, a stated time-out ends it; whatever is large goes through without a deadlock.

The time-outs are options, short ones here. The servers' slowness is what is tested, so they have timers of their own.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from batchsend.delivery import session
from batchsend.delivery.offered_again import MAX_LOSSES
from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import (
    GONE,
    GREETED,
    MODES,
    OFFERED,
    TAKEN,
    deliver,
    options,
    serve,
    submissions,
    well_behaved,
)
from tests.tools.faulty import ACCEPT, Action, Then, drop
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import (
    Dialogue,
    Expect,
    ReadContent,
    ReadOctets,
    ReadToEnd,
    Repeat,
    ResumeReading,
    Send,
    Step,
    StopReading,
    reply,
)

if TYPE_CHECKING:
    from tests.tools.virtual import VirtualLoop


@dataclass(frozen=True, slots=True)
class Pause:
    """A slow server: it does nothing for a while."""

    seconds: float

    async def play(self, dialogue: Dialogue) -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Until:
    """A server that does nothing until something has happened."""

    happened: asyncio.Event

    async def play(self, dialogue: Dialogue) -> None:
        await self.happened.wait()


@dataclass(frozen=True, slots=True)
class Ending:
    """Steps after which something has happened that others wait for, whether or not the client was there for them."""

    steps: list[Step]
    happened: asyncio.Event

    async def play(self, dialogue: Dialogue) -> None:
        try:
            for step in self.steps:
                await step.play(dialogue)
        finally:
            self.happened.set()


@pytest.mark.parametrize(
    ("mode", "stage"),
    [
        (mode, stage)
        for mode in MODES
        for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT)
        if (mode, stage) != ("chunked", Stage.DATA)
    ],
)
async def test_silence_is_ended_by_the_time_out_of_its_stage(mode: str, stage: Stage) -> None:
    depth = MODES[mode].depth

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return drop(Then.SILENCE) if (connection, transaction, asked) == (1, 2, stage) else ACCEPT

    async with serve(decide, mode) as peer:
        account = await deliver(peer, submissions(6), options(depth=depth, limits={stage.value: 0.15}))
    account.check(peer, 6)
    doubtful = [account.last[record] for record, outcome in account.outcomes.items() if outcome is Outcome.IN_DOUBT]
    if mode != "chunked":
        assert [result.record for result in doubtful] == ([2] if stage is Stage.CONTENT else [])
    for result in doubtful:
        assert result.reason == f"no reply at {stage} within 0.15 s"
    assert Outcome.DEFERRED not in account.outcomes.values()


async def test_a_slow_stage_does_not_lengthen_the_time_out_of_the_next() -> None:
    """MAIL has minutes; the silence after it is at DATA, which has not."""
    slow: list[Step] = [*GREETED, *OFFERED, Pause(0.3), reply("250 ok", "250 ok"), ReadToEnd()]
    async with ScriptedServer(slow, [*GREETED, *TAKEN, *GONE]) as peer:
        account = await deliver(peer, submissions(1), options(data=0.1), guard=5)
    assert account.outcomes == {1: Outcome.ACCEPTED}


async def test_an_octet_now_and_then_is_silence() -> None:
    drip: list[Step] = [Send(b"250-and so on\r\n", segment=1), Pause(0.02)]
    async with ScriptedServer([*GREETED, *OFFERED, Repeat(drip)], [*GREETED, *TAKEN, *GONE]) as peer:
        account = await deliver(peer, submissions(1), options(mail=0.2), guard=5)
    assert account.outcomes == {1: Outcome.ACCEPTED}


async def test_a_server_that_keeps_quit_unanswered_does_not_hold_up_the_end() -> None:
    async with ScriptedServer([*GREETED, *TAKEN, Expect("QUIT"), ReadToEnd()]) as peer:
        account = await deliver(peer, submissions(1), options(quit=0.1), guard=5)
        await peer.ended(1)
    assert account.outcomes == {1: Outcome.ACCEPTED}


@pytest.mark.slow
async def test_a_server_that_never_reads_the_content_is_left_and_nothing_is_in_doubt() -> None:
    """The content does not fit into the buffers in between: its end never left, and nothing can have been taken."""
    large = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 200_000
    script: list[Step] = [*GREETED, *OFFERED, reply("250 ok", "250 ok", "354 go"), StopReading(), ReadToEnd()]
    async with ScriptedServer(script, [*GREETED, *TAKEN, *GONE], receive_buffer=4096) as peer:
        account = await deliver(peer, submissions(1, content=large), options(content=1.5))
    assert account.outcomes == {1: Outcome.ACCEPTED}


def test_a_server_that_reads_on_when_it_was_left_gets_no_second_copy(loop: VirtualLoop) -> None:
    """What is still in this machine's buffers when the message goes to another session never leaves them."""
    large = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 60_000
    go_on: list[Step] = [*GREETED, *OFFERED, reply("250 ok", "250 ok", "354 go")]

    async def main() -> None:
        read, over = asyncio.Event(), asyncio.Event()
        late: list[Step] = [Until(read), ResumeReading(), ReadContent(), reply("250 taken")]
        stuck: list[Step] = [*go_on, StopReading(), Ending(late, over)]
        again: list[Step] = [*go_on, Ending([ReadContent()], read), Until(over), reply("250 taken"), *GONE]
        async with ScriptedServer(stuck, again, receive_buffer=4096) as peer:
            account = await deliver(peer, submissions(1, content=large), options(content=30), guard=1000)
            assert [len(connection.messages) for connection in peer.connections] == [0, 1]
        assert account.outcomes == {1: Outcome.ACCEPTED}

    loop.run(main)


@pytest.mark.slow
async def test_a_server_that_reads_slowly_gets_it_all() -> None:
    """Each pause is shorter than the time-out, all together are longer; at their end much is still to be sent."""
    large = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 200_000
    slow: list[Step] = [StopReading(), Pause(0.1), ResumeReading(), Pause(0.02)]
    pauses = _Background([Repeat(slow, times=8)])
    script: list[Step] = [
        *GREETED,
        *OFFERED,
        reply("250 ok", "250 ok", "354 go"),
        pauses,
        ReadContent(),
        reply("250 taken"),
        *GONE,
    ]
    async with ScriptedServer(script, receive_buffer=4096) as peer:
        account = await deliver(peer, submissions(1, content=large), options(content=0.6))
        assert account.outcomes == {1: Outcome.ACCEPTED}
        assert [message.content for message in peer.messages] == [large]


@pytest.mark.slow
@pytest.mark.interpreted
async def test_a_server_that_reads_too_slowly_is_left_and_nothing_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some octets leave all the time, fewer than what counts as reading: here, a gigabyte a second."""
    monkeypatch.setattr(session, "_SLOWEST", 10**9)
    large = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 200_000
    slow: list[Step] = [StopReading(), Pause(0.02), ResumeReading(), Pause(0.02)]
    script: list[Step] = [*GREETED, *OFFERED, reply("250 ok", "250 ok", "354 go"), Repeat(slow)]
    async with ScriptedServer(*[script] * MAX_LOSSES, receive_buffer=4096) as peer:
        account = await deliver(peer, submissions(1, content=large), options(content=0.2))
        assert account.outcomes == {1: Outcome.DEFERRED}
        assert len(peer.connections) == MAX_LOSSES
        assert peer.messages == []


@dataclass(frozen=True, slots=True)
class _Background:
    """Steps that go on beside those that follow."""

    steps: list[Step]
    tasks: set[asyncio.Task[None]]

    def __init__(self, steps: list[Step]) -> None:
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "tasks", set())

    async def play(self, dialogue: Dialogue) -> None:
        async def go_on() -> None:
            for step in self.steps:
                await step.play(dialogue)

        self.tasks.add(asyncio.get_running_loop().create_task(go_on()))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_ten_megabytes_a_message_arrive_as_they_were(mode: str) -> None:
    depth = MODES[mode].depth
    line = b".a line that begins with a dot and has an octet above 127: \xe9\r\n"
    large = b"Subject: x\r\n\r\n" + line * (10_000_000 // len(line))
    async with serve(well_behaved, mode) as peer:
        account = await deliver(peer, submissions(2, content=large), options(max_connections=2, depth=depth))
    account.check(peer, 2)
    assert [message.content for message in peer.accepted] == [large, large]


async def test_replies_are_read_while_content_is_being_written() -> None:
    """The server writes more than the buffers hold before it reads on: who does not read meanwhile, waits for ever."""
    long = b"250-" + b"x" * 500 + b"\r\n"
    wordy = Send(long * 60 + b"250 done\r\n")
    content = b"Subject: x\r\n\r\n" + (b"y" * 76 + b"\r\n") * 20_000
    transaction: list[Step] = [Expect("MAIL"), wordy, Expect("RCPT"), wordy, Expect("BDAT"), ReadOctets(), wordy]
    offer: list[Step] = [reply("220 ready"), Expect("EHLO"), reply("250-x", "250-PIPELINING", "250 CHUNKING")]
    between: list[Step] = [Expect("RSET"), wordy]
    script: list[Step] = [*offer, *transaction, *([*between, *transaction] * 11), *GONE]
    async with ScriptedServer(script, receive_buffer=4096) as peer:
        account = await deliver(peer, submissions(12, content=content), options(depth=6))
        assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
        assert [message.content for message in peer.messages] == [content] * 12


async def test_the_time_in_which_the_process_did_not_run_is_not_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer fires long after it was due, as if nothing had run in between: what has come by then is read first."""
    look, looked = session.Session._look, asyncio.Event()

    def late(self: session.Session) -> None:
        if self.unanswered and self._client.bound and not looked.is_set() and self._left_before:
            self._due -= 10.0
            self._last_progress -= 10.0
            looked.set()
        look(self)

    monkeypatch.setattr(session.Session, "_look", late)
    taken = [*OFFERED, reply("250 ok", "250 ok", "354 go"), ReadContent(), Until(looked), reply("250 taken"), *GONE]
    async with ScriptedServer([*GREETED, *taken]) as peer:
        account = await deliver(peer, submissions(1), options(mail=0.15, rcpt=5, data=5, content=5))
    assert account.outcomes == {1: Outcome.ACCEPTED}
