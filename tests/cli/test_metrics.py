"""Metrics over HTTP while a run goes on, as Prometheus would read them."""

from __future__ import annotations

import signal
import socket
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batchsend.outcome import Stage
from tests.cli.commandline import complaint, ended, environment, invoke, make_campaign, process, serving
from tests.cli.test_cli_process import MANY, wait_until
from tests.delivery.harness import CountingServer, well_behaved
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

Metrics = dict[tuple[str, str], float]


def scrape(url: str) -> Metrics:
    """Every sample by its name and the value of its label, if it has one."""
    with urllib.request.urlopen(url, timeout=10) as response:
        text = response.read().decode()
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def announced(running: subprocess.Popen[str]) -> str:
    """The URL that the run names first of all."""
    assert running.stderr is not None
    line = running.stderr.readline()
    assert line.startswith("batchsend: metrics: http://127.0.0.1:"), line
    return line.split()[-1]


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def held(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
    """Refuses two recipients, and falls silent at the tenth message of a session."""
    if stage is Stage.RCPT and recipient is not None and recipient.startswith("gone"):
        return refuse(550, "5.1.1 no such user")
    if stage is Stage.RCPT and recipient is not None and recipient.startswith("later"):
        return refuse(450, "4.2.0 try again later")
    return drop(Then.SILENCE) if transaction == 10 and stage is Stage.CONTENT else ACCEPT


def test_a_run_can_be_scraped_from_this_machine_while_it_goes_on(tmp_path: Path) -> None:
    names = ["gone1", "gone2", "later1", "not valid", *(f"r{number}" for number in range(30))]
    recipients = "email,name\n" + "".join(f"{name}@example.com,N\n" for name in names)
    with serving(CountingServer(held)) as server:
        campaign = make_campaign(tmp_path, recipients, delivery="max_connections = 1")
        options = ("--server", f"smtp://{server.host}:{server.port}", "--metrics-port", "0")
        running = process("send", campaign, *options)
        try:
            url = announced(running)
            wait_until(lambda: scrape(url)["batchsend_records_total", "accepted"] == 6)
            found = scrape(url)
            # Bound to all addresses, it would answer at every one of 127/8.
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", port_of(url)))
            running.send_signal(signal.SIGINT)
            running.send_signal(signal.SIGINT)
        finally:
            running.terminate()
            ended(running)
    assert found["batchsend_records_total", "rejected"] == 2
    assert found["batchsend_records_total", "invalid"] == 1
    assert found["batchsend_records_total", "in_doubt"] == 0
    assert found["batchsend_replies_total", "250"] == 6
    assert found["batchsend_replies_total", "550"] == 2
    assert found["batchsend_replies_total", "450"] == 1
    assert found["batchsend_waiting", ""] == 1
    assert found["batchsend_sessions", "sending"] == 1
    assert found["batchsend_sessions", "opening"] == 0
    assert found["batchsend_sessions_opened_total", ""] == 1
    assert found["batchsend_in_flight", ""] == 2, "the one that is not answered, and the one begun with its content"
    assert found["batchsend_backlog", ""] == 22
    assert found["batchsend_progress_ratio", ""] == pytest.approx(9 / 34)
    assert found["batchsend_rate", ""] >= 0
    assert ("batchsend_rate_limit", "") not in found
    assert found["process_resident_memory_bytes", ""] > 0


@pytest.mark.slow
def test_it_ends_with_the_run_and_costs_it_nothing(tmp_path: Path) -> None:
    """A run that is over does not wait for whoever scrapes."""
    with serving(CountingServer(well_behaved)) as server:
        options = ("--server", f"smtp://{server.host}:{server.port}", "--rate", "30/s", "--metrics-port", "0")
        running = process("send", make_campaign(tmp_path, MANY), *options)
        url = announced(running)
        port = port_of(url)
        with socket.create_connection(("127.0.0.1", port)) as silent:
            wait_until(lambda: len(server.accepted) > 0)
            assert scrape(url)["batchsend_rate_limit", ""] == 30.0
            running.send_signal(signal.SIGTERM)
            result = ended(running)
            silent.close()
    assert result.code == 143
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = complaint(invoke(capsys, "send", make_campaign(tmp_path), "--sandbox", "--metrics-port", str(port)))
    assert f"metrics on 127.0.0.1:{port}: Address already in use" in said
    assert "another port" in said
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.slow
def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "hidden" / "prometheus_client").mkdir(parents=True)
    (tmp_path / "hidden" / "prometheus_client" / "__init__.py").write_text("raise ImportError")
    env = environment()
    env["PYTHONPATH"] = f"{tmp_path / 'hidden'}:{env['PYTHONPATH']}"
    result = ended(process("send", make_campaign(tmp_path), "--sandbox", "--metrics-port", "0", env=env))
    said = complaint(result)
    assert "metrics need the library prometheus_client, which is not installed" in said
    assert "pip install 'batchsend-smtp[metrics]'" in said
    assert not (tmp_path / "results.jsonl").exists()
