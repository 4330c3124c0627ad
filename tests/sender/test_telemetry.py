"""Spans and metrics by OpenTelemetry's own in-memory exporters; and that nothing is done where it is not wanted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from batchsend import Batch, Sender, SyncSender, UnfinishedError
from batchsend.delivery.telemetry import telemetry
from tests.cli.commandline import environment
from tests.delivery.harness import GUARD, CountingServer, message, options, server, well_behaved
from tests.test_batch import campaign
from tests.tools.faulty import ACCEPT, Action, refuse
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend import Stage

ROOT = Path(__file__).resolve().parents[2]
SPANS = InMemorySpanExporter()
READER = InMemoryMetricReader()


@pytest.fixture(scope="session", autouse=True)
def _providers() -> None:
    """Set once for the process, as OpenTelemetry has it, also where its tests come in two parts."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(SPANS))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([READER], shutdown_on_exit=False))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    SPANS.clear()
    yield
    SPANS.clear()


class Figures:
    """What is observed of a server from now on: by instrument, by state or code.

    What is counted is counted for the whole process, and another test's server may have had the same port.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._before = figures(port)

    def now(self) -> dict[str, dict[str, float]]:
        found = figures(self._port)
        for counted in ("replies", "opened"):
            before = self._before.get(counted, {})
            since = {name: number - before.get(name, 0) for name, number in found.get(counted, {}).items()}
            found[counted] = {name: number for name, number in since.items() if number}
        return found


def figures(port: int) -> dict[str, dict[str, float]]:
    """What is observed of all servers that had this port."""
    collected = READER.get_metrics_data()
    found: dict[str, dict[str, float]] = {}
    for resource in [] if collected is None else collected.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    attributes: dict[str, Any] = dict(point.attributes or {})
                    if attributes.pop("server.port") == port:
                        assert attributes.pop("server.address") == "127.0.0.1"
                        named = " ".join(str(value) for value in attributes.values())
                        found.setdefault(metric.name.removeprefix("batchsend."), {})[named] = point.value  # type: ignore[union-attr]
    return found


def refusing(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
    return refuse(550) if recipient == "no@example.com" else ACCEPT


async def test_a_call_is_a_span_with_its_outcomes_and_no_address() -> None:
    tracer = trace.get_tracer("a program")
    async with CountingServer(refusing) as peer, asyncio.timeout(GUARD), Sender(server(peer)) as sender:
        with tracer.start_as_current_span("an order"):
            [result] = await sender.send_message(message("a@example.com"))
        await sender.send_message(message("a@example.com", "no@example.com"))
        await sender.send_all([message("b@example.com"), message("c@example.com")])
        async for _ in sender.send([message("d@example.com")]):
            pass
    one, order, partly, listed, streamed = SPANS.get_finished_spans()
    assert (one.name, one.kind) == ("send", SpanKind.CLIENT)
    assert one.attributes == {
        "messaging.system": "smtp",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.message.id": result.message_id,
        "batchsend.accepted": 1,
        "server.address": "127.0.0.1",
        "server.port": peer.port,
    }
    assert one.parent is not None
    assert one.parent.span_id == order.context.span_id
    assert one.status.status_code is StatusCode.UNSET
    assert partly.attributes is not None
    assert (partly.attributes["batchsend.accepted"], partly.attributes["batchsend.rejected"]) == (1, 1)
    assert (partly.attributes["error.type"], partly.attributes["batchsend.reply_code"]) == ("rejected", 550)
    assert partly.status.status_code is StatusCode.ERROR
    assert [(span.attributes or {})["batchsend.accepted"] for span in (listed, streamed)] == [2, 1]
    counts = [(span.attributes or {}).get("messaging.batch.message_count") for span in (partly, listed, streamed)]
    assert counts == [None, 2, 1], "the conventions count the messages of calls for several, and of no others"
    assert "@example.com" not in str(
        [{**(span.attributes or {}), "messaging.message.id": ""} for span in (one, partly)]
    )


async def test_what_ends_a_call_is_in_its_span() -> None:
    async with CountingServer(well_behaved) as peer:
        gone = server(peer)
    async with asyncio.timeout(GUARD), Sender(gone, delivery=options(give_up_after=0.05)) as sender:
        with pytest.raises(UnfinishedError):
            await sender.send_message(message("a@example.com"))
        with pytest.raises(UnfinishedError):
            await sender.send_all([message("a@example.com")])
    for span in SPANS.get_finished_spans():
        assert span.status.status_code is StatusCode.ERROR
        assert [event.name for event in span.events] == ["exception"]
    assert len(SPANS.get_finished_spans()) == 2


async def test_figures_are_the_pools_and_go_on_counting() -> None:
    async with CountingServer(refusing) as peer, asyncio.timeout(GUARD):
        observed = Figures(peer.port)
        for turn in (1, 2):
            async with Sender(server(peer), delivery=options()) as sender:
                await sender.send_all([message("a@example.com"), message("no@example.com"), message("b@example.com")])
                now = observed.now()
                assert now["replies"] == {"250": 2 * turn, "550": turn}
                assert now["opened"] == {"": turn}
                assert now["sessions"] == {"open": 1, "opening": 0}
                assert (now["in_flight"], now["backlog"]) == ({"": 0}, {"": 0})
        assert observed.now() == {"replies": {"250": 4, "550": 2}, "opened": {"": 2}}


async def test_what_a_pool_has_counted_is_kept_where_two_close_its_sender_at_once() -> None:
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        observed = Figures(peer.port)
        for turns in range(8):
            sender = Sender(server(peer), delivery=options())
            await sender.__aenter__()
            await sender.send_message(message("a@example.com"))
            closing = [asyncio.create_task(sender.__aexit__(ValueError, ValueError(), None))]
            for _ in range(turns):
                await asyncio.sleep(0)
            closing.append(asyncio.create_task(sender.__aexit__(ValueError, ValueError(), None)))
            await asyncio.gather(*closing)
        assert observed.now() == {"replies": {"250": 8}, "opened": {"": 8}}


def test_figures_are_collected_from_another_thread() -> None:
    with SinkThread() as sink, SyncSender(sink.server) as sender:
        observed = Figures(sink.port)
        sender.send_message(message("a@example.com"))
        found: list[dict[str, dict[str, float]]] = []
        thread = threading.Thread(target=lambda: found.append(observed.now()))
        thread.start()
        thread.join()
        assert found[0]["replies"] == {"250": 1}


FORKED = """
import os, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from batchsend import SyncSender
from tests.delivery.harness import message
from tests.tools.sink_thread import SinkThread


def say(name):
    found = {}
    collected = reader.get_metrics_data()
    for resource in collected.resource_metrics if collected is not None else ():
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            found[metric.name] = sum(point.value for point in metric.data.data_points)
    print(name, found.get("batchsend.replies", 0), found.get("batchsend.opened", 0), flush=True)


reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
with SinkThread() as sink, SyncSender(sink.server) as sender:
    with SyncSender(sink.server) as closed:
        closed.send_message(message("a@example.com"))
    sender.send_message(message("b@example.com"))
    say("parent")
    if not (child := os.fork()):
        say("child")
        sender.send_message(message("c@example.com"))
        say("child")
        os._exit(0)
    os.waitpid(child, 0)
    say("parent")
"""


@pytest.mark.slow
def test_a_child_process_observes_what_is_its_own() -> None:
    """What its parent has counted is told by the parent; and it does not wait for loops that do not run in it."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert said.stdout.splitlines() == ["parent 2 2", "child 0 0", "child 1 1", "parent 2 2"], said.stderr


async def test_a_run_is_a_span(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        observed = Figures(peer.port)
        batch = Batch(campaign(tmp_path, peer))
        await batch.run()
        assert observed.now()["replies"] == {"250": 10}
    [span] = SPANS.get_finished_spans()
    assert (span.name, (span.attributes or {})["batchsend.accepted"]) == ("batchsend run", 10)
    assert (span.attributes or {})["batchsend.run"] == batch.id


def test_nothing_is_imported_where_the_program_has_not(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from batchsend import Sender, Server
from batchsend.delivery.telemetry import telemetry
async def main():
    async with Sender(Server(host="127.0.0.1", port=1, tls="none")) as sender:
        return sender._telemetry
print(asyncio.run(main()), telemetry(), [name for name in sys.modules if name.startswith("opentelemetry")])
sys.modules["opentelemetry.trace"] = None
import opentelemetry
print(telemetry())
"""
    said = subprocess.check_output([sys.executable, "-c", program], text=True, env=environment())
    assert said == "None None []\nNone\n"
    assert telemetry() is not None, "this process has imported it"
