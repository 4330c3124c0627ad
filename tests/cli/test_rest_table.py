"""The manual's table of what REST APIs are praised for: a yes in each row, whose command does it, on a campaign."""

from __future__ import annotations

import re
import shlex
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.commandline import SinkServer, ended, environment, make_campaign, process, serving
from tests.events.receiver import SECRET, Receiver
from tests.feedback.letters import dsn
from tests.tools.documents import MANUAL

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

TEXT = (MANUAL / "rest.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in TEXT.splitlines() if line.startswith("| ")]
COMMANDS = list(dict.fromkeys(command for row in ROWS[2:] for command in re.findall(r"`(batchsend [^`]+)`", row[2])))
CAME_BACK = ("report", "resume", "feedback", "listen", "events")  # what is asked once the campaign was sent
SERVES = ("listen", "events")  # what goes on until it is interrupted


def test_each_row_has_a_yes_and_a_command() -> None:
    assert len(ROWS) > 12
    for row in ROWS[2:]:
        asked, answer, how = row
        assert answer.startswith("yes"), asked
        assert re.search(r"`batchsend [^`]+`", how), asked
    asked_for = " ".join(row[0] for row in ROWS[2:])
    for lacking in ("structured errors after acceptance", "delivery events", "suppression"):
        assert lacking in asked_for


@pytest.fixture
def sink() -> Iterator[SinkServer]:
    server = SinkServer()
    with serving(server.sink):
        yield server


@pytest.fixture
def campaign(tmp_path: Path, sink: SinkServer) -> Path:
    """A campaign whose relay is on loopback and whose messages have signed return paths and links."""
    path = make_campaign(
        tmp_path,
        message='return_path = "bounce+{{ batch.verp }}@bounces.example.net"\nunsubscribe = "https://lists.example.net/u"',
    )
    server = f'host = "{sink.sink.hosts[0]}"\nport = {sink.sink.port}\ntls = "none"'
    path.write_text(path.read_text().replace('host = "smtp.example.com"', server))
    for folder in ("cur", "new", "tmp"):
        (tmp_path / "Maildir" / folder).mkdir(parents=True)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_does_it(campaign: Path, command: str) -> None:
    folder = campaign.parent
    name, *words = shlex.split(command)[1:]
    with Receiver() as receiver:
        here = {
            "https://app.example.com/hooks/mail": receiver.url,
            "0.0.0.0:25": "127.0.0.1:0",
            "127.0.0.1:8025": "127.0.0.1:0",
            "~/Maildir": str(folder / "Maildir"),
        }
        words = [here.get(word, word) for word in words]
        if name == "bench":
            words += ["--messages", "100"]

        def run(*arguments: str) -> subprocess.Popen[str]:
            return process(*arguments, cwd=folder, env=environment(BATCHSEND_EVENTS_SECRET=SECRET))

        if name in CAME_BACK:
            assert ended(run("send", "campaign.toml")).code == 0
        if name == "feedback":
            (folder / "Maildir" / "new" / "1").write_bytes(dsn("bert@example.org"))
        running = run(name, *words)
        if name in SERVES:
            try:
                if name == "events":
                    assert receiver.arrived.acquire(timeout=30)
                    assert receiver.wrong == []
                else:
                    assert running.stderr is not None
                    assert "listening on 127.0.0.1" in running.stderr.readline()
            finally:
                running.send_signal(signal.SIGTERM)
            assert ended(running).code in (0, 143)
        else:
            said = ended(running)
            # `check` has something to say of a domain that is not in the DNS.
            assert said.code == 0 or (said.code == 1 and name == "check"), said
            assert said.output or said.errors
