"""kill -9 of a program whose sender keeps a log: the next process sends the rest, and the server's account says so."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend import Stage
from tests.tools.faulty import ACCEPT, Action, FaultyServer, Then, drop, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.crash

COUNT = 250
CONNECTIONS = 3
RECIPIENTS = [f"r{number}@example.com" for number in range(1, COUNT + 1)] + [
    f"s{number}@example.com" for number in range(10, COUNT + 1, 10)
]


class Killing:
    """Decides as a good server does, with a few faults, and kills the program after so many events."""

    def __init__(self, moments: random.Random) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self.left = 0
        kinds = (
            refuse(550, "5.1.1 no such user"),
            refuse(451, "4.3.0 later"),
            drop(succeeds=True),
            drop(succeeds=False),
            drop(Then.RESET, succeeds=True),
        )
        self._faults = {
            recipient: (moments.choice((Stage.RCPT, Stage.CONTENT)), moments.choice(kinds))
            for recipient in moments.sample(RECIPIENTS, 20)
        }

    def __call__(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        self.left -= 1
        if self.left == 0 and self.process is not None and self.process.returncode is None:
            self.process.kill()
        if recipient is not None and self._faults.get(recipient, (None,))[0] is stage:
            return self._faults.pop(recipient)[1]
        return ACCEPT


def outcomes(log: Path) -> Iterator[dict[str, object]]:
    for line in log.read_bytes().splitlines():
        if "record" in (said := json.loads(line)):
            yield said


async def run(peer: FaultyServer, killing: Killing, log: Path, durability: str) -> tuple[int, str]:
    """Run the program to its end, or until it is killed."""
    killing.process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.sender.program", str(peer.port), str(log), str(COUNT), str(CONNECTIONS)),
        durability,
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await killing.process.communicate()
    assert killing.process.returncode is not None
    return killing.process.returncode, said.decode()


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize(("durability", "seed"), [("process", 1), ("process", 2), ("power", 3)])
async def test_nothing_is_lost_and_nothing_is_sent_twice(tmp_path: Path, durability: str, seed: int) -> None:
    moments = random.Random(seed)
    killing = Killing(moments)
    log = tmp_path / "mail.jsonl"
    kills = 0
    async with asyncio.timeout(120):
        async with FaultyServer(killing, chunking=False) as peer:
            while True:
                killing.left = moments.randint(20, 200) if kills < 6 else 0
                code, said = await run(peer, killing, log, durability)
                if code == 0:
                    break
                assert code == -9, said
                kills += 1
            before = len(peer.accepted)
            code, said = await run(peer, killing, log, durability)  # all is done: once more sends nothing but deferred
            assert code == 0, said
    assert kills >= 3
    taken = Counter(recipient for accepted in peer.accepted for recipient in accepted.recipients)
    last = {str(line["recipient"]): line for line in outcomes(log)}
    assert sorted(last) == sorted(RECIPIENTS), "each has an outcome"
    assert {recipient: count for recipient, count in taken.items() if count > 1} == {}, "nobody got it twice"
    accepted = {recipient for recipient, line in last.items() if line["status"] == "accepted"}
    assert accepted <= set(taken), "what is called accepted was taken"
    doubtful = {recipient for recipient, line in last.items() if line["status"] == "in_doubt"}
    assert set(taken) <= accepted | doubtful, "what was taken is accepted, or named"
    assert len(doubtful) <= 20 + kills * (CONNECTIONS + 1) * 2, "no more than was unanswered"
    assert all(line["key"] == f"Order\n{str(line['recipient'])[1:].partition('@')[0]}" for line in last.values())
    assert len(peer.accepted) - before <= 20


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("durability", ["process", "power"])
async def test_what_nobody_has_answered_is_named(tmp_path: Path, durability: str) -> None:
    """The program is killed as the server has the first content, before a line of any outcome was written."""
    log = tmp_path / "mail.jsonl"
    killing = Killing(random.Random(1))

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and killing.process is not None and killing.process.returncode is None and not killed:
            killed.append(str(recipient))
            killing.process.kill()
        return ACCEPT

    killed: list[str] = []
    async with asyncio.timeout(60), FaultyServer(decide, chunking=False) as peer:
        code, said = await run(peer, killing, log, durability)
        assert (code, list(outcomes(log))) == (-9, []), said
        code, said = await run(peer, killing, log, durability)
        assert code == 0, said
    doubtful = [line for line in outcomes(log) if line["status"] == "in_doubt"]
    assert killed[0] in [line["recipient"] for line in doubtful]
    assert f"now in doubt: {len(doubtful)} (" in said
    assert f"Order\\n{killed[0][1:].partition('@')[0]}, to {killed[0]}" in said
    taken = Counter(recipient for accepted in peer.accepted for recipient in accepted.recipients)
    assert set(taken.values()) == {1}
    assert set(RECIPIENTS) - set(taken) <= {str(line["recipient"]) for line in doubtful}
