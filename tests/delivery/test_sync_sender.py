"""A sender without an event loop: threads, forks, running loops, and loops that are left early."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend import (
    Delivery,
    Outcome,
    RecordError,
    RunError,
    Sender,
    Server,
    SyncSender,
    UnfinishedError,
    UsageError,
)
from batchsend.sink import SinkOptions, parse_rule
from tests.delivery.harness import message, submissions
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend import DeliveryResult, Submission

ROOT = Path(__file__).resolve().parents[2]


def test_each_call_returns_what_became_of_its_messages() -> None:
    refuse = SinkOptions(rules=(parse_rule("reject", "b@example.com=550"),))
    with SinkThread(refuse) as sink, SyncSender(sink.server) as sender:
        results = sender.send_message(message("a@example.com", "b@example.com"))
        one = sender.send_message(submissions(1)[0])
        several = sender.send_all([message("c@example.com"), *submissions(3)])
        streamed = sorted(sender.send(iter(submissions(300))), key=lambda result: result.record)
    assert [result.status for result in results] == [Outcome.ACCEPTED, Outcome.REJECTED]
    assert one.recipient == "r1@example.com"
    assert [result.recipient for result in several] == [
        *("c@example.com", "r1@example.com", "r2@example.com", "r3@example.com"),
    ]
    assert [result.record for result in streamed] == list(range(1, 301))
    assert len(sink.received) == 1 + 1 + 4 + 300


def test_threads_share_its_sessions_and_each_hears_of_its_own() -> None:
    def call(name: int) -> None:
        for place in range(10):
            [result] = sender.send_message(message(f"t{name}-{place}@example.com"))
            assert (result.recipient, result.status) == (f"t{name}-{place}@example.com", Outcome.ACCEPTED)

    with (
        SinkThread() as sink,
        SyncSender(sink.server, delivery=Delivery(max_connections=3)) as sender,
        ThreadPoolExecutor(20) as threads,
    ):
        list(threads.map(call, range(20)))
    assert len({received.recipients[0] for received in sink.received}) == len(sink.received) == 200
    assert sink.connections <= 4 + 200 // 100


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_it_works_where_a_loop_is_running() -> None:
    with SinkThread() as sink, SyncSender(sink.server) as sender:
        [result] = sender.send_message(message("a@example.com"))
    assert result.status is Outcome.ACCEPTED


IN_A_NOTEBOOK = """
import asyncio, sys
import nest_asyncio
from batchsend import Sender, Server, SyncSender
from tests.delivery.harness import message

server = Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none")
early = SyncSender(server)
early.send_message(message("early@example.com"))  # its loop was made before the standard library was changed


async def asynchronously():
    async with Sender(server) as sender:
        return await sender.send_message(message("nested@example.com"))


async def cell():
    nest_asyncio.apply()
    results = early.send_message(message("late@example.com"))
    early.close()
    with SyncSender(server) as sender:
        results += sender.send_message(message("one@example.com"))
        results += sender.send_all(message(f"all{number}@example.com") for number in range(3))
        results += sender.send(message(f"streamed{number}@example.com") for number in range(3))
    results += asyncio.get_running_loop().run_until_complete(asynchronously())
    results += asyncio.run(asynchronously())
    print(*(result.status.label for result in results))


asyncio.run(cell())
"""


AFTER_THE_MAIN_THREAD = """
import sys, threading
import batchsend.loop
from batchsend import Server, SyncSender
from tests.delivery.harness import message

batchsend.loop.find_spec = lambda name: None  # asyncio's loop looks names up in its executor
# Its loop begins, its log is opened and the name is looked up when the executors of the program take nothing more.
sender = SyncSender(Server(host="localhost", port=int(sys.argv[1]), tls="none"), results=sys.argv[2])


def work():
    threading.main_thread().join()
    print(*(result.status for result in sender.send_all(message(f"to{number}@example.com") for number in range(3))))
    sender.close()


threading.Thread(target=work).start()
"""


@pytest.mark.slow
def test_a_thread_may_begin_to_send_when_the_main_thread_has_ended(tmp_path: Path) -> None:
    with SinkThread() as sink:
        command = [sys.executable, "-c", AFTER_THE_MAIN_THREAD, str(sink.port), str(tmp_path / "mail.jsonl")]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert (ran.stdout.split(), ran.stderr) == (["accepted"] * 3, "")
    assert len(sink.received) == 3


# What gevent and eventlet do to threads: they become greenlets, of which all run in the thread that begins them.
WITH_GREENLETS = """
import sys
import threading

from batchsend import Server, SyncSender, UsageError
from tests.delivery.harness import message

sender = SyncSender(Server(host="localhost", port=int(sys.argv[1]), tls="none"))
threading._start_new_thread = lambda function, arguments: function(*arguments)
try:
    sender.send_message(message("a@example.com"))
except UsageError as error:
    print(error.message)
"""


def test_where_greenlets_are_in_the_place_of_threads_it_is_refused() -> None:
    """It would wait for ever."""
    with SinkThread() as sink:
        command = [sys.executable, "-c", WITH_GREENLETS, str(sink.port)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert "greenlets have taken the place of threads" in ran.stdout, ran.stderr
    assert sink.received == []


@pytest.mark.slow
def test_it_works_under_nest_asyncio() -> None:
    """In a process of its own, for that changes the standard library's event loop for good."""
    pytest.importorskip("nest_asyncio")
    with SinkThread() as sink:
        command = [sys.executable, "-c", IN_A_NOTEBOOK, str(sink.port)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert (ran.stdout.split(), ran.stderr) == (["accepted"] * 10, "")
    assert len(sink.received) == 11


def test_the_callers_messages_are_made_in_its_own_thread_and_no_faster_than_results_are_taken() -> None:
    taken = 0

    def endless() -> Iterator[Submission]:
        nonlocal taken
        for submission in submissions(20_000):
            assert threading.current_thread() is threading.main_thread()
            taken += 1
            yield submission

    unclaimed: list[DeliveryResult] = []
    with SinkThread() as sink, SyncSender(sink.server, unclaimed=unclaimed.append) as sender:
        heard = []
        for result in sender.send(endless()):
            heard.append(result)
            if len(heard) == 50:
                break
        assert taken < 3000
    told = sorted(result.record for result in (*heard, *unclaimed))
    assert told == sorted(int(received.recipients[0][1:].partition("@")[0]) for received in sink.received)


def test_an_error_in_the_callers_messages_comes_after_the_results_of_those_before() -> None:
    def broken() -> Iterator[Submission]:
        yield from submissions(100)
        raise LookupError("no more")

    heard: list[int] = []
    with SinkThread() as sink, SyncSender(sink.server) as sender:
        with pytest.raises(LookupError, match="no more"):
            heard.extend(result.record for result in sender.send(broken()))
        assert len(heard) == 0 or sorted(heard) == list(range(1, 101))
    assert len(sink.received) == 100


def test_a_server_that_is_gone_is_an_error_and_the_next_call_tries_again() -> None:
    with SinkThread() as sink:
        where = sink.server
    with SyncSender(where) as sender:
        with pytest.raises(UnfinishedError, match="cannot connect"):
            sender.send_message(message("a@example.com"))
        with pytest.raises(RunError, match="cannot connect"):
            list(sender.send(submissions(3)))
        with SinkThread(SinkOptions(port=where.port)):
            [result] = sender.send_message(message("a@example.com"))
    assert result.status is Outcome.ACCEPTED


def test_it_is_open_until_it_is_closed_and_can_be_opened_again() -> None:
    before = set(threading.enumerate())  # a test before this one may have one that the process keeps, as Django's does
    with SinkThread() as sink:
        sender = SyncSender(sink.server)
        sender.send_message(message("a@example.com"))
        sender.close()
        sender.close()
        with pytest.raises(UsageError, match="the sender is closed"):
            sender.send_message(message("a@example.com"))
        with pytest.raises(UsageError, match="the sender is closed"):
            list(sender.send([]))
        with sender:
            sender.send_message(message("b@example.com"))
    assert len(sink.received) == 2
    assert set(threading.enumerate()) <= before


@pytest.mark.slow
def test_a_child_process_has_sessions_of_its_own() -> None:
    """In a process of its own: a fork of the process that runs the tests would run them on."""
    program = """
import os, sys
from batchsend import Server, SyncSender
from tests.delivery.test_sync_sender import message
with SyncSender(Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none")) as sender:
    sender.send_message(message("before@example.com"))
    child = os.fork()
    who = "parent" if child else "child"
    for place in range(5):
        [result] = sender.send_message(message(f"{who}{place}@example.com"))
        assert result.status == "accepted", result
    if child:
        assert os.waitpid(child, 0)[1] == 0
        sender.send_message(message("after@example.com"))
"""
    with SinkThread() as sink:
        subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(sink.port)],
            check=True,
            timeout=60,
            cwd=os.getcwd(),  # noqa: PTH109
        )
    sessions = {received.recipients[0].partition("@")[0]: received.session for received in sink.received}
    assert sorted(received.recipients[0] for received in sink.received) == sorted(
        f"{name}@example.com"
        for name in ["before", "after", *(f"{who}{n}" for who in ("parent", "child") for n in range(5))]
    )
    assert sessions["before"] == sessions["parent0"] == sessions["after"] != sessions["child0"]


def test_wrong_use_is_said_at_once() -> None:
    for wrong in ("127.0.0.1", 25):
        with pytest.raises(TypeError, match="a server must be a Server"):
            SyncSender(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no server"):
        SyncSender()
    here = Server(host="127.0.0.1", port=9, tls="none")
    with pytest.raises(TypeError, match="delivery must be a Delivery"):
        SyncSender(here, delivery={})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unclaimed must be callable"):
        Sender(here, unclaimed=3)  # type: ignore[arg-type]
    with SyncSender(here) as sender:
        for iterable in (message("a@example.com"), "text", None):
            with pytest.raises(TypeError, match="expected an iterable"):
                sender.send(iterable)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expected an email"):
            sender.send_message("text")  # type: ignore[call-overload]
        with pytest.raises(RecordError, match="no recipient"):
            sender.send_message(message())


def test_its_own_thread_cannot_wait_for_it() -> None:
    def hear(result: DeliveryResult) -> None:
        with pytest.raises(UsageError) as caught:
            sender.send_message(message("a@example.com"))
        errors.append(caught.value.message)
        heard.set()

    heard = threading.Event()
    errors: list[str] = []
    with SinkThread() as sink, SyncSender(sink.server, unclaimed=hear) as sender:
        results = sender.send(submissions(500))
        next(results)
        results.close()  # type: ignore[attr-defined]  # it is a generator
        assert heard.wait(20)
    assert errors[0] == "the sender's own thread cannot wait for it"
