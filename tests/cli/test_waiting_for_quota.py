"""A command that waits for a quota is a process like any other: signals are heeded, and a kill loses nothing."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from batchsend import Stage
from tests.cli.commandline import ended, make_campaign, outcomes, process, serving, statuses
from tests.delivery.harness import CountingServer
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

COUNT, TAKEN = 30, 10


class Rationed(CountingServer):
    """Takes ten messages, then none until ``lifted``."""

    lifted = False

    def __init__(self) -> None:
        super().__init__(self._decide)

    @property
    def taken(self) -> Counter[str]:
        return Counter(message.recipients[0] for message in self.accepted)

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and len(self.accepted) >= TAKEN and not self.lifted:
            return refuse(550, "5.4.5 Daily user sending limit exceeded")
        return ACCEPT


def campaign(folder: Path, relay: Rationed) -> Path:
    rows = "".join(f"r{number}@example.com,N\n" for number in range(1, COUNT + 1))
    path = make_campaign(folder, f"email,name\n{rows}", server=f'port = {relay.port}\ntls = "none"')
    path.write_text(path.read_text().replace("smtp.example.com", relay.host))
    return path


def until_it_waits(running: subprocess.Popen[str]) -> None:
    """Read what it says until it says that it waits."""
    assert running.stderr is not None
    for line in running.stderr:
        if "sending limit until" in line:
            return
    pytest.fail("it ended instead of waiting")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_a_command_that_waits_can_be_ended_and_nothing_is_lost(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    log = tmp_path / "results.jsonl"
    with serving(Rationed()) as relay:
        running = process("send", campaign(tmp_path, relay), "--results", log, "--wait")
        until_it_waits(running)
        running.send_signal(number)
        assert ended(running).code == code
        assert Counter(statuses(log).values()) == {"accepted": TAKEN}
        relay.lifted = True
        resumed = ended(process("resume", log))
        assert resumed.code == 0, resumed
        assert relay.taken == {f"r{record}@example.com": 1 for record in range(1, COUNT + 1)}
        assert {line["attempt"] for line in outcomes(log)} == {1}
