"""The servers of the scenarios: each place takes what is sent there, encrypted where it says so, and counts it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from benchmarks.contestants import Batchsend
from benchmarks.job import Job
from benchmarks.settings import UnavailableError, embedded_sinks, postfix_at, smtp_sink_and_rest
from benchmarks.work import NOTICE
from tests.cli.commandline import WITHIN
from tests.servers import requirements

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.job import Place

MESSAGES = 5


def send(folder: Path, place: Place) -> int:
    """Send a few messages; how many the server says it took, once it has said so of all."""
    before = place.received()
    Batchsend().run(Job(NOTICE, place, NOTICE.write(folder, MESSAGES), MESSAGES, connections=2))
    deadline = time.monotonic() + WITHIN
    while (taken := place.received() - before) < MESSAGES and time.monotonic() < deadline:
        time.sleep(0.005)  # its log is written by another process
    place.settle()
    return taken


def test_the_embedded_sinks_with_and_without_tls(tmp_path: Path) -> None:
    with embedded_sinks() as places:
        assert (places["server"].tls, places["tls"].tls) == ("none", "implicit")
        assert [send(tmp_path, place) for place in places.values()] == [MESSAGES, MESSAGES]


@pytest.mark.servers
def test_a_postfix_near_far_and_with_credentials(tmp_path: Path) -> None:
    requirements.namespaces()
    with postfix_at(0.005)() as places:
        assert set(places) == {"near", "server", "secure"}
        assert (places["secure"].tls, bool(places["secure"].username)) == ("starttls", True)
        assert [send(tmp_path, place) for place in places.values()] == [MESSAGES] * 3


def test_without_the_servers_the_scenario_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would skip a test says here that there is nothing to measure."""
    monkeypatch.setattr("tests.servers.requirements.os.geteuid", lambda: 1000)
    for setting in (smtp_sink_and_rest, postfix_at(0.01)):
        with pytest.raises(UnavailableError), setting():
            pass
