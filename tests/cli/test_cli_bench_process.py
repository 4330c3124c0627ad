"""``batchsend bench`` in a process of its own: interrupts, and the embedded server's end with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from batchsend.bench.embedded import EmbeddedSink
from tests.cli.commandline import ROOT, WITHIN, ended, process, serving
from tests.delivery.harness import CountingServer, well_behaved

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition that another process makes true."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_an_interrupt_ends_it_in_order_with_what_was_measured() -> None:
    with serving(CountingServer(well_behaved)) as server:
        options = ("--server", f"smtp://{server.host}:{server.port}", "--to", "me@example.com", "--messages", "100000")
        running = process("bench", *options, "--json")
        wait_until(lambda: len(server.accepted) > 50)
        running.send_signal(signal.SIGINT)
        result = ended(running)
    assert result.code == 130
    assert "Traceback" not in result.errors
    told = json.loads(result.output)
    assert told["stopped"] == "stopped by SIGINT"
    assert sum(point.get("accepted", 0) for point in told["grid"]) == told["messages"] == len(server.accepted)


@pytest.mark.slow
def test_whoever_read_the_output_may_go_while_it_is_measured() -> None:
    """A line is printed within tasks, and the error of a pipe that is closed comes out of them as a group."""
    running = process("bench", "--duration", "20s")
    assert running.stdout is not None
    assert running.stderr is not None
    while " MB" not in running.stdout.readline():
        pass  # the head of the table is printed before
    running.stdout.close()
    assert (running.wait(WITHIN), running.stderr.read()) == (141, "")
    running.stderr.close()


@pytest.mark.slow
def test_an_interrupt_at_the_embedded_server_ends_both() -> None:
    running = process("bench", "--messages", "1000000", start_new_session=True)
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGTERM)
    result = ended(running)
    assert result.code == 143
    assert "nothing new is sent" in result.errors
    assert "Traceback" not in result.errors


@pytest.mark.slow
def test_the_embedded_server_ends_with_whoever_started_it() -> None:
    """Its standard input is the bond: it holds also when the other side is killed."""
    command = [sys.executable, "-m", "batchsend.bench.serve"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as serving_one:
        assert serving_one.stdin is not None
        assert serving_one.stdout is not None
        assert json.loads(serving_one.stdout.readline())["port"]
        serving_one.stdin.close()
        assert serving_one.wait(WITHIN) == 0


@pytest.mark.slow
def test_the_embedded_server_counts_and_speaks_tls() -> None:
    with EmbeddedSink("implicit") as sink:
        assert sink.message_count() == 0
        assert "BEGIN CERTIFICATE" in sink.ca_pem
        context = sink.client_context()
        assert context is not None
        assert context.get_ca_certs()
    with EmbeddedSink() as sink:
        assert sink.client_context() is None
