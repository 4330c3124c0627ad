"""What a command loads: a run of a few records is over sooner than what it does not need is loaded."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.cli.commandline import WITHIN, SinkServer, environment, make_campaign, serving, statuses

if TYPE_CHECKING:
    from pathlib import Path

# Runs a command, and writes down what was loaded when it ends.
RUN: Final = """
import atexit, sys
file = open(sys.argv.pop(1), "w")
atexit.register(lambda: print(*sys.modules, file=file, flush=True))
from batchsend.__main__ import main
main()
"""

OF_OTHERS: Final = {
    *("asyncpg", "calamine", "cryptography", "css_inline", "dns", "hdrh", "html_to_markdown", "httpx", "markdown_it"),
    *("multiprocessing", "opentelemetry", "prometheus_client", "publicsuffixlist", "python_calamine", "rich"),
    *("starlette", "uvicorn", "zoneinfo"),
}
"""Libraries that an ordinary run has no use for."""

OF_OURS: Final = {
    *("bench", "check", "cluster", "events", "feedback", "listen", "monitor", "page", "preview", "report", "scaffold"),
    *("sender", "sink", "web"),
    *("cli.progress", "cli.steer", "campaign.presets", "campaign.reference", "delivery.replies", "delivery.traced"),
    *("message.condition", "message.css", "message.derived_text", "message.dkim", "message.eml", "message.markdown"),
    *("message.linked_sheets", "message.text", "recipients.jsonl", "recipients.workbook"),
    *("recipients.number_formats", "recipients.shown_numbers"),
}
"""Parts of the package that are for other commands, other campaigns, or for what goes wrong."""

EVERY_COMMAND: Final = {"asyncio", "anyio", "email", "jinja2", "msgspec", "ssl", "uvloop"}
"""Libraries that a command which sends nothing has no use for."""


def loaded(folder: Path, *arguments: str) -> set[str]:
    """The modules that a process has loaded which ran a command, and the packages that they are in."""
    file = folder / "modules"
    command = [sys.executable, "-c", RUN, str(file), *arguments]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=WITHIN, check=False)
    assert ended.returncode == 0, ended.stderr
    return set(file.read_text().split())


@pytest.mark.parametrize("html", ["", 'html = "<p>Hello {{ name }} &amp; all</p>"'])
def test_a_run_loads_what_it_needs_only(tmp_path: Path, html: str) -> None:
    campaign = make_campaign(tmp_path, "email,name\na@example.com,A\n", message=html)
    server = SinkServer()
    with serving(server.sink):
        modules = loaded(tmp_path, "send", str(campaign), "--results", str(tmp_path / "r.jsonl"), *server.options)
    assert statuses(tmp_path / "r.jsonl") == {1: "accepted"}
    assert "batchsend.delivery.pool" in modules
    assert sorted(modules & (OF_OTHERS | {f"batchsend.{name}" for name in OF_OURS})) == []


def test_the_version_is_said_without_what_sends(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "--version")
    assert "batchsend.cli" in modules
    assert sorted(modules & (OF_OTHERS | EVERY_COMMAND)) == []
    assert not any(name.startswith(("batchsend.campaign", "batchsend.run", "batchsend.delivery")) for name in modules)
