"""The command line in this process and in one of its own, and campaigns to call it on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from anyio.from_thread import start_blocking_portal

from batchsend.cli import main
from batchsend.sink import Sink, SinkOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.sink import Received, Rule
    from tests.tools.listener import Listener

Server = TypeVar("Server", bound="Sink | Listener")

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
WITHIN = 30.0
THREE = "email,name\na@example.com,A\nb@example.com,B\nc@example.com,C\n"


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command came to: its exit code, and what it said where."""

    code: int
    output: str
    errors: str


def invoke(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Ended:
    """Run a command in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert isinstance(exit_.value.code, int)
    return Ended(exit_.value.code, said.out, said.err)


def environment(**variables: str) -> dict[str, str]:
    """The environment of a process of its own: it finds this checkout, wherever it is started.

    What this process was told to look at first, such as the compiled modules, comes before the checkout there too.
    """
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    return {**kept, "PYTHONPATH": path, "PYTHONWARNINGS": "error", **variables}


def process(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    command = [sys.executable, "-m", "batchsend", *map(str, arguments)]
    return subprocess.Popen(command, text=True, env=given.pop("env", environment()), **given)


def ended(running: subprocess.Popen[str], given: str | None = None, *, within: float = WITHIN) -> Ended:
    """Wait for a process, no longer than so many seconds."""
    output, errors = running.communicate(given, timeout=within)
    return Ended(running.returncode, output, errors)


def complaint(result: Ended, code: int = 2) -> str:
    """What the command complains of: one or two lines on standard error and nothing else."""
    assert result.code == code, result
    assert result.output == ""
    lines = result.errors.splitlines()
    assert 1 <= len(lines) <= 2, result.errors
    assert lines[0].startswith("batchsend: ")
    assert all(line.startswith("           ") for line in lines[1:])
    assert "Traceback" not in result.errors
    return result.errors


def make_campaign(folder: Path, recipients: str = "", *, text: str = "Hello {{ name }}", **tables: str) -> Path:
    """Write a campaign with three recipients, or those given; ``tables`` adds lines to its tables."""
    (folder / "recipients.csv").write_text(recipients or THREE)
    path = folder / "campaign.toml"
    path.write_text(
        f'recipients = "recipients.csv"\n{tables.get("top", "")}\n'
        f'[server]\nhost = "smtp.example.com"\n{tables.get("server", "")}\n'
        f'[message]\nfrom = "From <from@example.com>"\nsubject = "For {{{{ name }}}}"\ntext = "{text}"\n'
        f"{tables.get('message', '')}\n[delivery]\n{tables.get('delivery', '')}\n"
    )
    return path


def outcomes(log: Path) -> list[dict[str, Any]]:
    """The outcome lines of a results log."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if "record" in line]


def statuses(log: Path) -> dict[int, str]:
    """Each record's last status."""
    return {line["record"]: line["status"] for line in outcomes(log)}


class SinkServer:
    """A sink on a port of its own, and what it has taken."""

    def __init__(self, *rules: Rule) -> None:
        self.received: list[Received] = []
        self.sink = Sink(SinkOptions(rules=rules), on_message=self.received.append)

    @property
    def url(self) -> str:
        return f"smtp://{self.sink.hosts[0]}:{self.sink.port}"

    @property
    def options(self) -> tuple[str, str]:
        """What sends to it."""
        return "--server", self.url

    @property
    def recipients(self) -> list[str]:
        return sorted(recipient for message in self.received for recipient in message.recipients)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """A server on a loop in a thread of its own."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server):
        yield server
