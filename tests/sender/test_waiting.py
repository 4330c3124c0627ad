"""Whoever waits for a sender is told, however loop, process or program end; and no result is told to nobody."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from batchsend import Outcome, RunError, Sender, Server, SyncSender
from batchsend.sender.background import Background, Pending
from tests.delivery.harness import GUARD, CountingServer, message, options, server, submissions, well_behaved
from tests.tools.faulty import ACCEPT, Action, refuse
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from batchsend import DeliveryResult, Stage, Submission
    from batchsend.sink import Received

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = Server(host="127.0.0.1", port=9, tls="none")


# --- a loop that ends -------------------------------------------------------------------------------------------------


def test_a_call_that_the_end_of_the_loop_comes_before_is_told_so() -> None:
    """An error ends the loop when it has taken the call, and before that has had a turn; it waited for ever."""
    before = set(threading.enumerate())
    held, go_on, asked = threading.Event(), threading.Event(), threading.Event()
    told: list[DeliveryResult] = []
    errors: list[BaseException] = []

    def unclaimed(result: DeliveryResult) -> None:
        told.append(result)
        if len(told) > 1:
            raise SystemExit
        held.set()
        go_on.wait(GUARD)

    def asking() -> Iterator[Submission]:
        asked.set()  # the call has been given to the loop
        yield from submissions(1)

    def ask() -> None:
        try:
            list(sender.send(asking()))
        except BaseException as error:
            errors.append(error)

    with SinkThread() as sink:
        sender = SyncSender(sink.server, delivery=options(), unclaimed=unclaimed)
        left = [sender.send(submissions(2)) for _ in range(2)]
        for results in left:
            next(results)
        sender.send_message(message("after@example.com"))  # all results are known by now
        left[0].close()  # type: ignore[attr-defined]  # it is a generator
        assert held.wait(GUARD)
        left[1].close()  # type: ignore[attr-defined]  # likewise
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        assert asked.wait(GUARD)
        go_on.set()
        thread.join(GUARD)
        assert not thread.is_alive()
        for loop in threading.enumerate():
            if loop.name == "batchsend" and loop not in before:
                loop.join(GUARD)
        [result] = sender.send_message(message("again@example.com"))
        sender.close()
    assert [type(error) for error in errors] == [RunError]
    assert result.status is Outcome.ACCEPTED


def test_whatever_a_loop_is_given_while_it_ends_is_answered() -> None:
    async def nothing(_: Sender) -> None:
        pass

    waited = 0

    def give_and_wait() -> None:
        nonlocal waited
        for _ in range(3):
            background = Background(Sender(NOWHERE), object())
            background.stop()
            given: list[Pending[None]] = []
            with suppress(RunError):
                while True:
                    given.append(Pending())
                    background.submit(given[-1], nothing)
            for answer in given[:-1]:
                with suppress(RunError):
                    answer.wait()
            background.wait()
            waited += 1

    thread = threading.Thread(target=give_and_wait, daemon=True)
    thread.start()
    thread.join(GUARD)
    assert waited == 3


class NotReadable(Sender):
    """A sender whose log lies where something is wrong with the system."""

    async def __aenter__(self) -> Self:
        raise PermissionError(13, "Permission denied", "mail.jsonl")


def test_what_keeps_the_sender_from_being_opened_is_not_taken_for_a_lack_of_files() -> None:
    with pytest.raises(PermissionError):
        Background(NotReadable(NOWHERE), object())


# --- results that nobody would hear of --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["a message", "a list"])
def test_a_result_that_is_there_when_its_wait_is_interrupted_is_unclaimed(how: str) -> None:
    taken, answer, told = threading.Event(), threading.Event(), threading.Event()
    unclaimed: list[DeliveryResult] = []

    def take(_: Received) -> None:
        taken.set()
        answer.wait(GUARD)

    def hear(result: DeliveryResult) -> None:
        unclaimed.append(result)
        told.set()

    def interrupt(_: int, __: FrameType | None) -> None:
        answer.set()
        while (statistics := sender.statistics) is None or not statistics.replies[250]:
            pass
        for _turn in range(20):  # of the loop: the result is on its way to this thread
            assert sender.statistics is not None
        raise KeyboardInterrupt

    def strike() -> None:
        if taken.wait(GUARD):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    with SinkThread(on_message=take) as sink, SyncSender(sink.server, unclaimed=hear) as sender:
        calls: dict[str, Callable[[], object]] = {
            "a message": lambda: sender.send_message(message("a@example.com")),
            "a list": lambda: sender.send_all([message("a@example.com")]),
        }
        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            thread = threading.Thread(target=strike)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                calls[how]()
            thread.join()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert told.wait(GUARD)
    assert [(result.recipient, result.status) for result in unclaimed] == [("a@example.com", Outcome.ACCEPTED)]


INTERRUPTED_ANYWHERE = """
import os, signal, sys
from batchsend import Server, SyncSender
from tests.delivery.harness import message

sender = SyncSender(Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none"), unclaimed=lambda one: tell([one]))


def tell(results):
    for result in results:
        os.write(1, f"{result.recipient} {result.status.value}\\n".encode())


def interrupt(number, frame):
    raise KeyboardInterrupt


def interrupted_at(place, name):
    # Send; at one of the calls of a function a signal arrives.
    one, count = message(name + "@example.com"), 0

    def count_calls(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")
        if count == place and event in ("call", "c_call"):
            sys.setprofile(None)
            signal.raise_signal(signal.SIGUSR1)

    results = []
    sys.setprofile(count_calls)
    try:
        results = sender.send_message(one)
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    tell(results)
    return count


signal.signal(signal.SIGUSR1, interrupt)
tell(sender.send_message(message("first@example.com")))
places = interrupted_at(0, "second")
for place in range(1, places):
    interrupted_at(place, f"r{place}")
sender.close()
"""


@pytest.mark.slow
def test_wherever_an_interrupt_ends_a_call_its_result_is_told_to_somebody() -> None:
    with SinkThread() as sink:
        command = [sys.executable, "-c", INTERRUPTED_ANYWHERE, str(sink.port)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=3 * GUARD, check=True, cwd=ROOT)
        taken = sorted(f"{received.recipients[0]} accepted" for received in sink.received)
    assert sorted(said.stdout.splitlines()) == taken
    assert len(taken) > 5


BLOCKED = "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using list.example.org"


async def test_messages_that_are_not_sent_and_whose_callers_have_left_are_spoken_of() -> None:
    """The pool has taken it, so that its caller was told that it would be sent."""
    notices: list[str] = []
    callers: list[asyncio.Task[list[DeliveryResult]]] = []
    heard = asyncio.Event()

    def hear(text: str) -> None:
        notices.append(text)
        if "not begun" in text:
            heard.set()

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if str(asked) != "content":
            return ACCEPT
        callers[0].cancel()
        return refuse(554, BLOCKED)

    async with (
        asyncio.timeout(GUARD),
        CountingServer(decide) as peer,
        Sender(server(peer), delivery=options(), notice=hear) as sender,
    ):
        callers.append(asyncio.create_task(sender.send_message(message("a@example.com", "b@example.com"))))
        await asyncio.wait(callers)
        await heard.wait()
    assert callers[0].cancelled()
    assert notices[-1].startswith("2 messages that the sender had taken were not begun, and are not sent: ")


@pytest.mark.parametrize("count", [1, 3])
async def test_messages_that_an_error_at_the_close_leaves_are_counted(count: int) -> None:
    notices: list[str] = []

    async with asyncio.timeout(GUARD), CountingServer(well_behaved) as peer:
        sender = Sender(server(peer), delivery=options(), notice=notices.append)
        await sender.__aenter__()
        sending = asyncio.create_task(sender.send_all(submissions(count)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await sender.__aexit__(ValueError, ValueError(), None)
        with pytest.raises(RunError):
            await sending
    assert peer.accepted == []
    counted = "1 message that the sender had taken was not begun, and is"
    if count > 1:
        counted = f"{count} messages that the sender had taken were not begun, and are"
    assert notices == [f"{counted} not sent: the sender was closed before everything was sent"]


# --- forks and the program's end --------------------------------------------------------------------------------------


FORKED_IN_A_HANDLER = """
import os, signal, sys
from batchsend import Server, SyncSender, UsageError
from tests.delivery.harness import message

sender = SyncSender(Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none"))
child = None


def fork(number, frame):
    global child
    child = os.fork()
    if child:
        os.write(1, b"forked\\n")


signal.signal(signal.SIGUSR1, fork)
held = message("held@example.com")
try:
    [result] = sender.send_message(held) if sys.argv[2] == "message" else sender.send([held])
except UsageError as error:
    assert child == 0 and error.message.startswith("the process was forked while results were taken"), error
    [result] = sender.send_message(message("child@example.com"))
    sender.close()
    os._exit(7 if result.status == "accepted" else 1)
sender.close()
print(result.status.value, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["message", "stream"])
def test_a_child_that_is_forked_by_a_signal_handler_does_not_wait_for_its_parents_loop(how: str) -> None:
    taken, answer = threading.Event(), threading.Event()

    def take(_: Received) -> None:
        taken.set()
        answer.wait()

    with SinkThread(on_message=take) as sink:
        command = [sys.executable, "-W", "ignore", "-c", FORKED_IN_A_HANDLER, str(sink.port), how]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
            assert program.stdout is not None
            try:
                assert taken.wait(3 * GUARD)
                program.send_signal(signal.SIGUSR1)
                assert program.stdout.readline() == "forked\n"
                answer.set()
                said, _ = program.communicate(timeout=3 * GUARD)
            finally:
                answer.set()
                program.kill()
    assert said == "accepted 7\n"
    assert sorted(received.recipients[0] for received in sink.received) == ["child@example.com", "held@example.com"]


IMPORTED_AT_FIRST_USE = """
import sys
from email.message import EmailMessage
from batchsend import Server, SyncSender

message = EmailMessage()
message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.com", "Hello"
message.set_content("Hello")
message.as_bytes()
before = set(sys.modules)
with SyncSender(Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none"), results=sys.argv[2]) as sender:
    sender.send_message(message, key="1")
print(sorted(set(sys.modules) - before - {"gc"}))
"""


def test_nothing_is_imported_when_the_first_message_is_sent(tmp_path: Path) -> None:
    """A child that another thread forks meanwhile would find the modules locked, and wait for ever."""
    with SinkThread() as sink:
        command = [sys.executable, "-c", IMPORTED_AT_FIRST_USE, str(sink.port), str(tmp_path / "results.jsonl")]
        said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=3 * GUARD)
    assert said.stdout == "[]\n"


HELD_UP_AT_THE_END = """
import logging, sys, threading
from batchsend import Server, SyncSender
from tests.delivery.harness import submissions

logging.basicConfig(stream=sys.stdout, format="%(message)s")
server = Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none")
sender = SyncSender(server, unclaimed=lambda _: threading.Event().wait())
results = sender.send(submissions(500))
next(results)
results.close()
"""


@pytest.mark.slow
def test_a_program_ends_where_a_function_that_it_has_given_does_not_return() -> None:
    with SinkThread() as sink:
        command = [sys.executable, "-c", HELD_UP_AT_THE_END, str(sink.port)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=3 * GUARD, check=True, cwd=ROOT)
    assert said.stdout.startswith("the program ends, and a sender's event loop does not: ")
    assert said.stderr == ""


# --- what nobody has any more -----------------------------------------------------------------------------------------


def test_a_sender_that_nobody_has_any_more_is_closed(tmp_path: Path) -> None:
    """Its thread and its sessions would stay until the end of the program, and its log would be locked."""
    before = set(threading.enumerate())
    log = tmp_path / "mail.jsonl"
    with SinkThread() as sink:
        ours = set(threading.enumerate())
        for name in ("first", "second"):
            [result] = SyncSender(sink.server, results=log).send_message(message(f"{name}@example.com"))
            assert result.status is Outcome.ACCEPTED
            gc.collect()
            deadline = time.monotonic() + GUARD
            while not set(threading.enumerate()) <= ours:  # some may be about to start, which cannot be joined
                assert time.monotonic() < deadline
                time.sleep(0.001)
    assert set(threading.enumerate()) <= before
    assert log.read_text().count('"ended"') == 2
