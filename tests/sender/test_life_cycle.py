"""Opening and closing where it is not expected: from iterables and callbacks, in forks, signal handlers and threads."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from contextlib import aclosing
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from batchsend import Delivery, Outcome, RunError, Sender, SyncSender, UnfinishedError, UsageError
from batchsend.sender.background import Background
from tests.delivery.harness import GUARD, CountingServer, message, options, server, submissions, well_behaved
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from batchsend import DeliveryResult, Submission
    from batchsend.delivery.statistics import PoolStatistics
    from batchsend.sink import Received

ROOT = Path(__file__).resolve().parents[2]


def recipients(sink: SinkThread) -> list[str]:
    return sorted(received.recipients[0].partition("@")[0] for received in sink.received)


# --- wrong messages ---------------------------------------------------------------------------------------------------


def test_what_is_no_message_ends_the_loop_with_an_error_and_is_not_taken_for_its_end() -> None:
    """As with a `Sender`: what was given before has its results, and the error follows."""
    for wrong in (None, 3, object()):
        given: Any = [message("a@example.com"), wrong, message("b@example.com")]
        heard: list[str | None] = []
        with SinkThread() as sink, SyncSender(sink.server) as sender:
            with pytest.raises(TypeError, match=f"EmailMessage, not {type(wrong).__name__}"):
                heard.extend(result.recipient for result in sender.send(given))
            with pytest.raises(TypeError, match="expected an email"):
                sender.send_all(given)
        assert heard == ["a@example.com"]


def test_send_refuses_a_closed_sender_and_a_key_without_a_log_where_it_is_called() -> None:
    with SinkThread() as sink:
        with SyncSender(sink.server) as sender, pytest.raises(UsageError, match="a key needs a results log"):
            sender.send([], key=str)
        with pytest.raises(UsageError, match="the sender is closed"):
            sender.send([])


# --- closing from where it would wait for itself ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["in the iterable", "in a task that it awaits"])
async def test_an_iterable_cannot_close_the_sender_that_takes_its_messages(how: str) -> None:
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        sender = Sender(server(peer), delivery=options())

        async def closing() -> AsyncIterator[Submission]:
            yield submissions(1)[0]
            close = sender.__aexit__(None, None, None)
            await (close if how == "in the iterable" else asyncio.create_task(close))

        async with sender:
            with pytest.raises(UsageError, match="an iterable of messages cannot close the sender"):
                await sender.send_all(closing())
            async with aclosing(sender.send(closing())) as results:
                assert (await anext(results)).status is Outcome.ACCEPTED
                with pytest.raises(UsageError, match="an iterable of messages cannot close the sender"):
                    await anext(results)
            [result] = await sender.send_message(message("after@example.com"))
            assert result.status is Outcome.ACCEPTED, "it has stayed open"
    assert len(peer.accepted) == 3


async def test_an_iterable_may_close_another_sender_and_whoever_takes_results_its_own() -> None:
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        one, other = Sender(server(peer), delivery=options()), Sender(server(peer), delivery=options())

        async def closing() -> AsyncIterator[Submission]:
            async with other:
                await other.send_message(message("other@example.com"))
            for submission in submissions(2000):
                yield submission

        heard: list[DeliveryResult] = []

        async def take() -> None:
            async with one:
                async for result in one.send(closing()):
                    heard.append(result)
                    await one.__aexit__(None, None, None)

        with pytest.raises(RunError, match="closed before everything was sent"):
            await take()
    assert len(heard) + 1 == len(peer.accepted) < 2000


async def test_an_iterable_that_waits_for_the_task_that_closes_ends_it_at_once() -> None:
    """Neither of the two can go on: the close cancels the iterable, and the iterable the close that it waits for."""
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        sender = Sender(server(peer), delivery=options())
        await sender.__aenter__()
        wanted = asyncio.Event()

        async def close() -> None:
            await wanted.wait()
            await sender.__aexit__(None, None, None)

        closer = asyncio.create_task(close())

        async def waiting() -> AsyncIterator[Submission]:
            wanted.set()
            await closer
            yield submissions(1)[0]

        with pytest.raises(UnfinishedError, match="the sender was closed"):
            await sender.send_all(waiting())
        with pytest.raises(asyncio.CancelledError):
            await closer
        async with sender:
            await sender.send_message(message("again@example.com"))
    assert len(peer.accepted) == 1


async def test_an_iterable_that_goes_on_when_it_is_cancelled_is_taken_nothing_from() -> None:
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        sender = Sender(server(peer), delivery=options())
        first = asyncio.Event()

        async def stubborn() -> AsyncIterator[Submission]:
            yield submissions(1)[0]
            first.set()
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                yield submissions(2)[1]

        async with sender:
            sending = asyncio.create_task(sender.send_all(stubborn()))
            await first.wait()
        with pytest.raises(UnfinishedError, match="the sender was closed"):
            await sending
    assert [received.recipients[0] for received in peer.accepted] == ["r1@example.com"]


async def test_a_sender_is_closed_whole_by_whoever_is_cancelled_again_and_again(tmp_path: Path) -> None:
    """Its log can be opened by the next one at once, and nothing of it is left on the loop."""
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        sender = Sender(server(peer), delivery=Delivery(durability="power"), results=tmp_path / "mail.jsonl")
        for _ in range(5):
            before = asyncio.all_tasks()
            await sender.__aenter__()
            sending = asyncio.create_task(sender.send_all(submissions(50)))
            await asyncio.sleep(0)
            closing = asyncio.create_task(sender.__aexit__(ValueError, ValueError(), None))
            while not closing.done():
                await asyncio.sleep(0)
                closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await asyncio.wait([sending])
            assert isinstance(sending.exception(), UnfinishedError)
            while extra := {task for task in asyncio.all_tasks() - before if task.get_name().startswith("peer")}:
                await asyncio.wait(extra)
        async with sender:
            await sender.send_message(message("again@example.com"))


async def test_two_tasks_may_close_a_sender_at_once() -> None:
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        sender = Sender(server(peer), delivery=options())
        for _ in range(3):
            await sender.__aenter__()
            sending = asyncio.create_task(sender.send_all(submissions(50)))
            await asyncio.sleep(0)
            close = [asyncio.create_task(sender.__aexit__(None, None, None)) for _ in range(2)]
            await asyncio.gather(*close)
            await asyncio.wait([sending])


async def test_a_sender_is_not_closed_from_another_loop() -> None:
    async with asyncio.timeout(GUARD), CountingServer(well_behaved) as peer, Sender(server(peer)) as sender:
        with pytest.raises(UsageError, match="opened in another event loop"):
            await asyncio.to_thread(asyncio.run, sender.__aexit__(None, None, None))
        await sender.send_message(message("a@example.com"))
    assert len(peer.accepted) == 1


@pytest.mark.parametrize("callback", ["unclaimed", "key"])
def test_a_close_that_is_refused_changes_nothing(callback: str, tmp_path: Path) -> None:
    errors: list[str] = []
    called = threading.Event()

    def close(_: object) -> str:
        for refused in (sender.close, lambda: sender.send_message(message("b@example.com"))):
            try:
                refused()
            except UsageError as error:
                errors.append(error.message)
        called.set()
        return f"key {len(errors)}"

    def unclaimed(result: DeliveryResult) -> None:
        close(result)

    with SinkThread() as sink:
        sender = SyncSender(sink.server, unclaimed=unclaimed, results=tmp_path / "mail.jsonl")
        if callback == "key":
            sender.send_all([message("a@example.com")], key=close)
        else:
            results = sender.send(submissions(500))
            next(results)
            results.close()  # type: ignore[attr-defined]  # it is a generator
        assert called.wait(GUARD)
        [result] = sender.send_message(message("after@example.com"))
        sender.close()
    assert result.status is Outcome.ACCEPTED
    assert set(errors) == {"the sender's own thread cannot wait for it"}


@pytest.mark.parametrize("count", [3, 3000])
def test_an_iterable_may_close_a_sync_sender_and_the_loop_ends_with_an_error(count: int) -> None:
    def closing() -> Iterator[Submission]:
        for place, submission in enumerate(submissions(count)):
            if place == 2:
                sender.close()
            yield submission

    heard: list[int] = []
    with SinkThread() as sink:
        sender = SyncSender(sink.server)
        with pytest.raises(RunError, match="the sender was closed before everything was sent"):
            heard.extend(result.record for result in sender.send(closing()))
        with pytest.raises(UsageError, match="the sender is closed"):
            sender.send_message(message("a@example.com"))
    assert sorted(heard) == sorted(int(name[1:]) for name in recipients(sink))


def test_a_thread_that_closes_ends_the_loops_of_others_with_an_error() -> None:
    def endless() -> Iterator[Submission]:
        while True:
            yield from submissions(50)

    errors: list[Exception] = []
    heard: list[DeliveryResult] = []

    def use() -> None:
        try:
            for result in sender.send(endless()):
                heard.append(result)
                going.set()
        except Exception as error:
            errors.append(error)

    with SinkThread() as sink:
        for _ in range(5):
            going = threading.Event()
            sender = SyncSender(sink.server)
            threads = [threading.Thread(target=use) for _ in range(3)]
            for thread in threads:
                thread.start()
            assert going.wait(GUARD)
            sender.close()
            for thread in threads:
                thread.join(GUARD)
                assert not thread.is_alive()
    assert {type(error) for error in errors} <= {RunError, UsageError}, errors
    assert len(errors) == 15
    assert len(heard) == len(sink.received)


def test_close_waits_also_where_another_thread_is_closing() -> None:
    """Whoever comes second, too, has nothing under way behind it."""
    heard: list[DeliveryResult] = []

    def use(sender: SyncSender) -> None:
        try:
            heard.extend(sender.send_all(submissions(300)))
        except UnfinishedError as error:
            heard.extend(error.results)

    with SinkThread() as sink:
        for _ in range(5):
            sender = SyncSender(sink.server)
            began = len(sink.received)
            heard.clear()
            sending = threading.Thread(target=use, args=(sender,))
            sending.start()
            while len(sink.received) == began:
                assert sending.is_alive()
            counts: list[int] = []

            def close() -> None:
                sender.close()  # noqa: B023 - joined below
                counts.append(len(sink.received))  # noqa: B023 - likewise

            closing = [threading.Thread(target=close) for _ in range(2)]
            for thread in closing:
                thread.start()
            for thread in (*closing, sending):
                thread.join()
            assert [count - began for count in counts] == [len(heard)] * 2


@pytest.mark.parametrize("kept", [False, True])
def test_a_sender_may_be_opened_again_while_another_thread_closes_it(kept: bool, tmp_path: Path) -> None:
    """What is sent then waits for the end of the loop before, which has the results log."""
    taken, answer = threading.Event(), threading.Event()

    def take(received: Received) -> None:
        if received.recipients[0].startswith("held"):
            taken.set()
            answer.wait(GUARD)

    outcomes: list[Outcome] = []
    with SinkThread(on_message=take) as sink:
        sender = SyncSender(sink.server, results=tmp_path / "mail.jsonl" if kept else None)

        def send(name: str) -> None:
            outcomes.extend(result.status for result in sender.send_message(message(f"{name}@example.com")))

        threads = [threading.Thread(target=send, args=("held",)), threading.Thread(target=sender.close)]
        threads[0].start()
        assert taken.wait(GUARD)
        threads[1].start()
        while not refuses(sender):
            assert threads[1].is_alive()
        sender.open()
        threads.append(threading.Thread(target=send, args=("again",)))
        threads[2].start()
        answer.set()
        for thread in threads:
            thread.join(GUARD)
        sender.close()
    assert outcomes == [Outcome.ACCEPTED] * 2
    assert recipients(sink) == ["again", "held"]


def test_it_waits_for_each_loop_that_is_closed_before_it_has_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While one is waited for, other threads may use the sender, and close it again."""
    taken: SimpleQueue[str] = SimpleQueue()
    answers = {"first": threading.Event(), "second": threading.Event()}
    waited: list[Background] = []
    whole = Background.wait

    def take(received: Received) -> None:
        name = received.recipients[0].partition("@")[0]
        if name in answers:
            taken.put(name)
            answers[name].wait(GUARD)

    def wait(background: Background) -> None:
        if threading.current_thread() is not threading.main_thread():
            return whole(background)
        waited.append(background)
        if len(waited) == 1:
            answers["first"].set()
            whole(background)
            close_while_sending("second")
            return None
        answers["second"].set()
        return whole(background)

    monkeypatch.setattr(Background, "wait", wait)
    threads: list[threading.Thread] = []

    def begin(function: Callable[..., object], *arguments: object) -> threading.Thread:
        threads.append(threading.Thread(target=function, args=arguments))
        threads[-1].start()
        return threads[-1]

    with SinkThread(on_message=take) as sink:
        sender = SyncSender(sink.server, results=tmp_path / "mail.jsonl")

        def close_while_sending(name: str) -> None:
            begin(sender.send_message, message(f"{name}@example.com"))
            assert taken.get(timeout=GUARD) == name
            closing = begin(sender.close)
            while not refuses(sender):
                assert closing.is_alive()
            sender.open()

        close_while_sending("first")
        try:
            [result] = sender.send_message(message("again@example.com"))
        finally:
            answers["second"].set()
            for thread in threads:
                thread.join(GUARD)
        sender.close()
    assert result.status is Outcome.ACCEPTED
    assert recipients(sink) == ["again", "first", "second"]


def refuses(sender: SyncSender) -> bool:
    """Whether it is closed."""
    try:
        sender.send([])
    except UsageError:
        return True
    return False


WITHOUT_ROOM = """
import os, resource, sys, threading
from batchsend import RunError, Server, SyncSender
from tests.delivery.harness import message

sender = SyncSender(Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none"))
sender.send_message(message("first@example.com"))
sender.close()
sender.open()
if sys.argv[2] == "threads":
    threading.stack_size(1 << 30)
    pages = int(open("/proc/self/statm").read().split()[0])
    limited, most = resource.RLIMIT_AS, pages * resource.getpagesize() + (1 << 24)
else:
    limited, most = resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd"))
before = resource.getrlimit(limited)
resource.setrlimit(limited, (most, before[1]))
try:
    sender.send_message(message("never@example.com"))
except RunError as error:
    print(error)
resource.setrlimit(limited, before)
threading.stack_size(0)
[result] = sender.send_message(message("last@example.com"))
print(result.status.value)
sender.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["threads", "files"])
def test_where_its_loop_cannot_be_started_it_says_so_and_the_next_call_tries_again(what: str) -> None:
    with SinkThread() as sink:
        program = [sys.executable, "-c", WITHOUT_ROOM, str(sink.port), what]
        # uvloop complains on standard error of a loop that it could not make.
        said = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    wrong, remedy, outcome = said.stdout.splitlines()
    assert wrong.startswith("the sender's event loop cannot be started in a thread of this process: ")
    assert (
        remedy == {"threads": "let it have more threads or memory", "files": "let it have more: ulimit -n 1024"}[what]
    )
    assert outcome == "accepted"
    assert recipients(sink) == ["first", "last"]


WITHOUT_A_THREAD_FOR_THE_DISK = """
import asyncio, resource, sys, threading
from batchsend import Delivery, RunError, Sender, Server
from tests.delivery.harness import message

server = Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none")
sender = Sender(server, results=sys.argv[2], delivery=Delivery(durability="power"))


async def send(name):
    try:
        [result] = await sender.send_message(message(name + "@example.com"))
    except RunError as error:
        print(error.message)
    else:
        print(result.status.value)


def leave_room(room):
    pages = int(open("/proc/self/statm").read().split()[0])
    most = before[0] if room else pages * resource.getpagesize() + (1 << 24)
    threading.stack_size(0 if room else 1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))


async def main():
    leave_room(False)
    try:
        await sender.__aenter__()
    except RunError as error:
        print(error.message.replace(sys.argv[2], "LOG"))
    leave_room(True)
    async with sender:
        leave_room(False)
        await send("never")
        leave_room(True)
    async with sender:
        await send("last")


before = resource.getrlimit(resource.RLIMIT_AS)
asyncio.run(main())
"""


@pytest.mark.slow
def test_where_nothing_can_wait_for_the_disk_nobody_waits_for_ever(tmp_path: Path) -> None:
    with SinkThread() as sink:
        said = ran(WITHOUT_A_THREAD_FOR_THE_DISK, str(sink.port), str(tmp_path / "mail.jsonl")).splitlines()
    assert said == [
        "LOG: the results log cannot be opened: can't start new thread",
        "the account cannot be brought to the disk: can't start new thread",
        "accepted",
    ]
    assert recipients(sink) == ["last"]


def test_results_that_are_not_taken_are_unclaimed_also_where_all_was_sent_by_then() -> None:
    unclaimed: list[DeliveryResult] = []
    with SinkThread() as sink:
        sender = SyncSender(sink.server, unclaimed=unclaimed.append)
        results = sender.send(submissions(20))
        heard = [next(results)]
        sender.close()  # everything that was taken is sent now
        results.close()  # type: ignore[attr-defined]  # it is a generator
    told = sorted(str(result.recipient) for result in (*heard, *unclaimed))
    assert told == sorted(received.recipients[0] for received in sink.received)
    assert len(told) > 1


# --- a loop that ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [False, True])
def test_a_sender_that_its_loop_did_not_close_says_so_and_opens_again(kept: bool, tmp_path: Path) -> None:
    told: list[str] = []
    with SinkThread() as sink:
        sender = Sender(sink.server, notice=told.append, results=tmp_path / "mail.jsonl" if kept else None)

        async def leave_open() -> None:
            await sender.__aenter__()
            await sender.send_message(message("first@example.com"))

        async def use() -> None:
            for call in (
                lambda: sender.send_message(message("late@example.com")),
                lambda: sender.send_all([]),
                lambda: sender.__aexit__(None, None, None),
            ):
                with pytest.raises(
                    UsageError, match="the event loop that the sender was opened in has ended"
                ) as caught:
                    await call()
                assert caught.value.remedy == "open it again, and close it before its loop ends: async with sender:"

        async def open_again() -> Outcome:
            async with sender:
                [result] = await sender.send_message(message("again@example.com"))
            return result.status

        asyncio.run(leave_open())
        asyncio.run(use())
        with pytest.raises(UsageError, match="has ended and did not close it"):
            sender.send([])
        assert asyncio.run(open_again()) is Outcome.ACCEPTED
    assert recipients(sink) == ["again", "first"]
    assert told == [], "nothing was under way"


LEFT_BY_A_LOOP = """
import asyncio, logging, sys, threading
from batchsend import Sender
from tests.delivery.harness import message
from tests.tools.sink_thread import SinkThread

# What the loop has left complains when it is taken apart, and finds no loop then.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)
sys.unraisablehook = lambda _: None

taken, answer = threading.Event(), threading.Event()


def take(received):
    taken.set()
    answer.wait()


with SinkThread(on_message=take) as sink:
    sender = Sender(sink.server, results=sys.argv[1], notice=print)

    async def use():
        await sender.__aenter__()
        sending = asyncio.create_task(sender.send_message(message("first@example.com"), key="first"))
        await asyncio.to_thread(taken.wait)
        assert not sending.done()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    loop.close()
    answer.set()

    async def again():
        async with sender:
            for name in ("first", "second"):
                [result] = await sender.send_message(message(name + "@example.com"), key=name)
                print(result.recipient, result.status.value)

    asyncio.run(again())
print(*(received.recipients[0] for received in sink.received))
"""


def test_what_was_under_way_in_a_loop_that_was_closed_is_in_doubt(tmp_path: Path) -> None:
    """The loop has not even ended its tasks: what a process that is killed leaves behind, but with the files open."""
    log = tmp_path / "mail.jsonl"
    ended = "the event loop that the sender was opened in has ended and did not close it"
    assert ran(LEFT_BY_A_LOOP, str(log)).splitlines() == [
        f"{ended}: what was under way there has no result",
        "in flight when the event loop ended, so now in doubt: 1 (first, to first@example.com)",
        "they may have been delivered, and are not sent again unless retry says so",
        "first@example.com in_doubt",
        "second@example.com accepted",
        "first@example.com second@example.com",
    ]
    assert "the event loop ended before the server answered" in log.read_text()


@pytest.mark.parametrize("name", ["mail.jsonl", "link.jsonl"])
def test_a_log_that_an_ended_loop_has_left_open_is_another_senders_to_open(name: str, tmp_path: Path) -> None:
    """Whoever has lost the one that is open can neither close it nor open it again."""
    (tmp_path / "link.jsonl").symlink_to("mail.jsonl")
    told: list[str] = []
    with SinkThread() as sink:

        def sender(name: str = "mail.jsonl") -> Sender:
            return Sender(sink.server, notice=told.append, results=tmp_path / name)

        async def leave_open(left: Sender) -> None:
            await left.__aenter__()
            await left.send_message(message("first@example.com"), key="first")

        async def use(other: Sender) -> list[Outcome]:
            async with other:
                results = await other.send_message(message("first@example.com"), key="first")
                results += await other.send_message(message("second@example.com"), key="second")
            return [result.status for result in results]

        asyncio.run(leave_open(left := sender()))
        assert asyncio.run(use(sender(name))) == [Outcome.ACCEPTED] * 2
        assert asyncio.run(use(left)) == [Outcome.ACCEPTED] * 2, "it opens again as well"
    assert recipients(sink) == ["first", "second"]
    assert told == [], "nothing was under way"


def test_a_log_that_a_loop_may_still_go_on_with_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """A loop that does not run may run again: whether it has ended, only its closing says."""

    async def use(sender: Sender) -> None:
        async with sender:
            await sender.send_message(message("b@example.com"))

    with SinkThread() as sink:
        left, other = (Sender(sink.server, results=tmp_path / "mail.jsonl") for _ in range(2))
        loop = asyncio.new_event_loop()
        loop.run_until_complete(left.__aenter__())
        with pytest.raises(UsageError, match="another sender of this process has it open") as caught:
            asyncio.run(use(other))
        assert "when that loop is closed" in (caught.value.remedy or "")
        loop.run_until_complete(left.send_message(message("a@example.com")))
        loop.run_until_complete(left.__aexit__(None, None, None))
        loop.close()
        asyncio.run(use(other))
    assert recipients(sink) == ["a", "b"]


async def test_a_sender_is_not_opened_in_a_second_loop() -> None:
    async with asyncio.timeout(GUARD), CountingServer(well_behaved) as peer, Sender(server(peer)) as sender:
        with pytest.raises(UsageError, match="opened in another event loop") as caught:
            await asyncio.to_thread(asyncio.run, sender.__aenter__())
        assert caught.value.remedy == "Threads share a batchsend.SyncSender."


# --- cancelled --------------------------------------------------------------------------------------------------------


async def test_a_cancelled_error_of_the_iterable_is_told_and_cancels_nobody() -> None:
    async def cancelled() -> AsyncIterator[Submission]:
        yield submissions(1)[0]
        task = asyncio.create_task(asyncio.sleep(1000))
        await asyncio.sleep(0)
        task.cancel()
        await task

    def cancelled_too() -> Iterator[Submission]:
        yield submissions(1)[0]
        raise asyncio.CancelledError

    async with asyncio.timeout(GUARD), CountingServer(well_behaved) as peer, Sender(server(peer)) as sender:
        for iterable in (cancelled, cancelled_too):
            with pytest.raises(UnfinishedError, match="the iterable of messages was cancelled") as caught:
                await sender.send_all(iterable())
            assert [result.record for result in caught.value.results] == [1]
            async with aclosing(sender.send(iterable())) as results:
                assert (await anext(results)).record == 1
                with pytest.raises(RunError, match="the iterable of messages was cancelled"):
                    await anext(results)
    assert len(peer.accepted) == 4


async def test_many_cancelled_callers_leave_nothing_in_the_pool() -> None:
    """What was with it is sent; then nothing waits, nothing is under way, and no task is left."""
    unclaimed: list[DeliveryResult] = []
    async with (
        asyncio.timeout(3 * GUARD),
        CountingServer(well_behaved) as peer,
        Sender(server(peer), delivery=options(max_connections=2), unclaimed=unclaimed.append) as sender,
    ):
        heard = len(await sender.send_all(submissions(1)))
        before = callers_tasks()
        for turns in range(60):
            callers = [
                asyncio.create_task(sender.send_all(submissions(40))),
                asyncio.create_task(sender.send_message(message("a@example.com", "b@example.com"))),
                asyncio.create_task(collected(sender)),
            ]
            for _ in range(turns):
                await asyncio.sleep(0)
            for caller in callers:
                caller.cancel()
            for outcome in await asyncio.gather(*callers, return_exceptions=True):
                heard += len(outcome) if isinstance(outcome, list) else 0
        while True:  # the pool ends what it has
            heard += len(await sender.send_all(submissions(1)))
            statistics = sender.statistics
            assert statistics is not None
            if not statistics.in_flight and not statistics.backlog:
                break
        assert callers_tasks() == before
    taken = sum(len(received.recipients) for received in peer.accepted)
    assert taken == heard + len(unclaimed) > 60


def callers_tasks() -> set[asyncio.Task[Any]]:
    """The tasks that a sender has for its callers, and its own."""
    return {task for task in asyncio.all_tasks() if "batchsend/sender/" in repr(task.get_coro())}


async def collected(sender: Sender) -> list[DeliveryResult]:
    return [result async for result in sender.send(submissions(40))]


async def test_a_sender_whose_opening_was_cancelled_has_let_go_of_its_log(tmp_path: Path) -> None:
    """Wherever that was: a thread reads the log, which nothing cancels."""
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        sender = Sender(server(peer), results=tmp_path / "mail.jsonl")
        async with sender:
            await sender.send_message(message("first@example.com"))
        for turns in range(20):
            opening = asyncio.create_task(sender.__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            try:
                await opening
            except asyncio.CancelledError:
                pass
            else:
                await sender.__aexit__(None, None, None)
            async with Sender(server(peer), results=tmp_path / "mail.jsonl"):
                pass
    assert len(peer.accepted) == 1


# --- statistics -------------------------------------------------------------------------------------------------------


def test_a_sync_sender_says_how_its_pool_is_doing() -> None:
    asked: list[PoolStatistics | None] = []
    unclaimed = threading.Event()

    def ask(_: object) -> None:
        asked.append(sender.statistics)
        unclaimed.set()

    with SinkThread() as sink, SyncSender(sink.server, unclaimed=ask) as sender:
        before = sender.statistics
        results = sender.send(submissions(500))
        next(results)
        results.close()  # type: ignore[attr-defined]  # it is a generator
        assert unclaimed.wait(GUARD)
        assert asked[0] is not None, "the loop's own thread may ask, too"
        sender.close()
        sender.open()
        sender.send_all(submissions(20))
        statistics = sender.statistics
        assert statistics is not None
        assert (statistics.replies, statistics.backlog, statistics.in_flight) == ({250: 20}, 0, 0)
        sender.close()
        assert before is sender.statistics is None, "nothing was to be sent yet, and is any more"


LEFT_AT_THE_END = """
import os, sys
from batchsend import Server, SyncSender
from tests.delivery.harness import message, submissions


class Told:
    # The last results are told when the names of modules are gone already.
    write = staticmethod(os.write)

    def __call__(self, result):
        self.write(1, str(result.recipient).encode() + b" ")


server = Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none")
sender = SyncSender(server, unclaimed=Told(), results=sys.argv[2] or None)
results = sender.send(submissions(500))
Told()(next(results))
if sys.argv[3] == "left":
    results.close()
elif sys.argv[3] == "forgotten":
    del sender, results
elif sys.argv[3] == "raised":
    raise SystemExit
"""


@pytest.mark.slow
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("how", ["left", "suspended", "forgotten", "raised"])
def test_what_was_taken_is_sent_and_told_at_the_end_of_the_program(how: str, kept: bool, tmp_path: Path) -> None:
    with SinkThread() as sink:
        log = tmp_path / "mail.jsonl"
        told = ran(LEFT_AT_THE_END, str(sink.port), str(log) if kept else "", how)
    assert sorted(told.split()) == sorted(received.recipients[0] for received in sink.received)
    assert len(sink.received) > 1
    if kept:
        assert '"ended"' in log.read_text()


INTERRUPTED_AT_THE_END = """
import sys
from batchsend import Delivery, Server, SyncSender
from tests.delivery.harness import message


def tell(result):
    print(result.recipient, result.status.value, flush=True)


server = Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none")
sender = SyncSender(server, delivery=Delivery(max_connections=1, depth=1), notice=print, unclaimed=tell)
try:
    sender.send_all(message(name + "@example.com") for name in ("held", "second", "third"))
except KeyboardInterrupt:
    pass
"""


@pytest.mark.slow
def test_a_program_ends_where_the_server_does_not_answer_and_says_what_is_in_doubt_and_what_was_not_begun() -> None:
    taken, answer = threading.Event(), threading.Event()

    def take(received: Received) -> None:
        taken.set()
        answer.wait(3 * GUARD)

    with SinkThread(on_message=take) as sink:
        command = [sys.executable, "-c", INTERRUPTED_AT_THE_END, str(sink.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
            assert taken.wait(3 * GUARD)
            program.send_signal(signal.SIGINT)
            said, _ = program.communicate(timeout=3 * GUARD)
        assert not answer.is_set()
        answer.set()
    counted = "2 messages that the sender had taken were not begun, and are not sent"
    assert said.splitlines() == [
        "held@example.com in_doubt",
        f"{counted}: the sender was closed before everything was sent",
    ]
    assert program.returncode == 0


# --- forks and signals ------------------------------------------------------------------------------------------------


def ran(program: str, *arguments: str) -> str:
    """What a program says that is run in a process of its own, which may fork and hang."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


OPENED_BY_A_NOTICE = """
import asyncio, logging, sys, threading
from batchsend import Sender, SyncSender, UsageError
from tests.delivery.harness import message
from tests.tools.sink_thread import SinkThread

logging.getLogger("asyncio").setLevel(logging.CRITICAL)
sys.unraisablehook = lambda _: None

taken, answer = threading.Event(), threading.Event()


def take(received):
    taken.set()
    answer.wait()


def notice(text):
    try:
        with sender:
            sender.send_message(message("never@example.com"))
    except UsageError as error:
        print(error.message)


with SinkThread(on_message=take) as sink:
    left = Sender(sink.server, results=sys.argv[1])

    async def use():
        await left.__aenter__()
        sending = asyncio.create_task(left.send_message(message("first@example.com"), key="first"))
        await asyncio.to_thread(taken.wait)
        assert not sending.done()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    loop.close()
    answer.set()
    sender = SyncSender(sink.server, results=sys.argv[1], notice=notice)
    [result] = sender.send_message(message("second@example.com"), key="second")
    print(result.status.value)
    sender.close()
"""


def test_a_notice_of_what_is_in_doubt_cannot_open_the_sender_that_waits_for_it(tmp_path: Path) -> None:
    """Whoever sends first has the sender's lock until its log is open."""
    assert ran(OPENED_BY_A_NOTICE, str(tmp_path / "mail.jsonl")).splitlines() == [
        "the sender's own thread cannot wait for it",
        "the sender's own thread cannot wait for it",
        "accepted",
    ]


FORKED_WITHIN_A_LOOP = """
import os, sys
from batchsend import Server, SyncSender, UsageError
from tests.delivery.harness import message, submissions

sender = SyncSender(Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none"))
child = None


def forking():
    global child
    for submission in submissions(300):
        if sys.argv[2] == "iterable" and submission.record == 100:
            child = os.fork()
        yield submission


heard = []
try:
    for result in sender.send(forking()):
        heard.append(result)
        if sys.argv[2] == "loop" and len(heard) == 10:
            child = os.fork()
except UsageError as error:
    assert child == 0 and error.message == "the process was forked while results were taken: they are its parent's"
    [result] = sender.send_message(message("child@example.com"))
    assert result.status == "accepted"
    sender.close()
    os._exit(7)
print(len(heard), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
sender.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["loop", "iterable"])
def test_a_fork_while_results_are_taken_is_an_error_in_the_child_and_the_parent_goes_on(where: str) -> None:
    with SinkThread() as sink:
        assert ran(FORKED_WITHIN_A_LOOP, str(sink.port), where) == "300 7\n"
    assert recipients(sink) == sorted(["child", *(f"r{number}" for number in range(1, 301))])


FORKED_WHILE_A_LOG_IS_OPENED = """
import os, signal, sys, threading
from batchsend import Server, SyncSender
from batchsend.results import mapping
from tests.delivery.harness import message

server = Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none")
codes = set()


def send(name):
    with SyncSender(server, results=f"{sys.argv[2]}/{name}.jsonl") as sender:
        [result] = sender.send_message(message(name + "@example.com"))
        return result.status.value


def trace(frame, event, argument):
    if frame.f_code.co_filename != mapping.__file__:
        return None
    if event == "line" and codes <= {0}:
        if not (child := os.fork()):
            sys.settrace(None)
            threading.settrace(None)
            signal.alarm(20)
            os._exit(send(f"child{os.getpid()}") != "accepted")
        codes.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return trace


threading.settrace(trace)
print(send("parent"), codes <= {0})
"""


@pytest.mark.slow
def test_a_child_that_is_forked_while_its_parent_opens_a_log_opens_its_own(tmp_path: Path) -> None:
    """A lock that a thread of the parent's has at that moment is nobody's in the child."""
    with SinkThread() as sink:
        assert ran(FORKED_WHILE_A_LOG_IS_OPENED, str(sink.port), str(tmp_path)) == "accepted True\n"


FORKED_WITH_A_LOG = """
import os, sys
from batchsend import Server, SyncSender, UsageError
from tests.delivery.harness import message

server = Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none")
sender = SyncSender(server, results=sys.argv[2])


def send(by, name):
    [result] = by.send_message(message(name + "@example.com"), key=name)
    print(name, result.status.value, flush=True)


send(sender, "parent")
tried, closed = os.pipe(), os.pipe()
if not (child := os.fork()):
    for pipe in (tried[0], closed[1]):
        os.close(pipe)
    try:
        send(sender, "early")
    except UsageError as error:
        print(error.message.replace(str(os.getppid()), "PARENT"), flush=True)
    os.write(tried[1], b".")
    os.read(closed[0], 1)
    send(sender, "child")
    sender.close()
    os._exit(7)
os.read(tried[0], 1)
send(sender, "afterwards")
sender.close()
with SyncSender(server, results=sys.argv[2]) as another:
    send(another, "another")
os.close(closed[1])
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_a_child_does_not_keep_its_parents_log_locked(tmp_path: Path) -> None:
    """It has the open file, and the lock with it; the parent's lock is to end with the parent's sender."""
    log = tmp_path / "mail.jsonl"
    with SinkThread() as sink:
        assert ran(FORKED_WITH_A_LOG, str(sink.port), str(log)).splitlines() == [
            "parent accepted",
            f"{log}: process PARENT is at work on it",
            "afterwards accepted",
            "another accepted",
            "child accepted",
            "7",
        ]
    assert sorted(recipients(sink)) == ["afterwards", "another", "child", "parent"]


FORKED_AROUND_A_LOG = """
import os, sys, threading
from batchsend import Server, SyncSender
from batchsend.sender import kept_log
from tests.delivery.harness import message

server = Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none")
read, write = os.pipe()
children = []


def trace(frame, event, argument):
    if frame.f_code.co_filename != kept_log.__file__:
        return None
    if event == "line":
        if not (child := os.fork()):
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        children.append(child)
    return trace


threading.settrace(trace)
for name in ("first", "second"):
    with SyncSender(server, results=sys.argv[2]) as sender:
        [result] = sender.send_message(message(name + "@example.com"))
        print(name, result.status.value)
    threading.settrace(None)
os.close(write)
for child in children:
    os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_a_child_does_not_keep_a_log_locked_that_its_parent_was_opening_or_closing(tmp_path: Path) -> None:
    """Then the child does not know of it, and has a copy of the open file."""
    with SinkThread() as sink:
        said = ran(FORKED_AROUND_A_LOG, str(sink.port), str(tmp_path / "mail.jsonl"))
    assert said.splitlines() == ["first accepted", "second accepted"]


FORKED_WHERE_A_LOOP_RUNS = """
import asyncio, multiprocessing, sys
from batchsend import Sender, Server, UsageError
from tests.delivery.harness import message

sender = Sender(Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none"), results=sys.argv[2] or None)


async def send(name):
    [result] = await sender.send_message(message(name + "@example.com"))
    print(name, result.status.value, flush=True)


async def use(name):
    async with sender:
        await send(name)


def work():
    try:
        asyncio.run(send("early"))
    except UsageError as error:
        print(error.message, flush=True)
    try:
        asyncio.run(use("child"))
    except UsageError as error:
        print(error.message.rpartition(": ")[2].split()[0], flush=True)


async def main():
    async with sender:
        await send("before")
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        await asyncio.to_thread(child.join)
        await send("after")
    print(child.exitcode)


asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("kept", [False, True])
def test_a_child_opens_a_sender_that_its_parent_has_open_anew(kept: bool, tmp_path: Path) -> None:
    with SinkThread() as sink:
        said = ran(FORKED_WHERE_A_LOOP_RUNS, str(sink.port), str(tmp_path / "mail.jsonl") if kept else "").splitlines()
    forked = "the process was forked since the sender was opened, and this is the child"
    # A log is one process's at a time, and the parent has it.
    child = "process" if kept else "child accepted"
    assert said == ["before accepted", forked, child, "after accepted", "0"]
    assert recipients(sink) == sorted(["before", "after", *([] if kept else ["child"])])


INTERRUPTED_ANYWHERE = """
import signal, sys, threading
from batchsend import Server, SyncSender, UsageError
from tests.delivery.harness import message

server = Server(host="127.0.0.1", port=int(sys.argv[1]), tls="none")
accepted = interrupted = refused = 0
messages = {name: message(name + "@example.com") for name in ("outer1", "outer2", "outer3", "inner")}


def send(to, name):
    global accepted
    [result] = to.send_message(messages[name])
    assert result.status == "accepted", result
    accepted += 1


def use(to):
    send(to, "outer1")
    send(to, "outer2")
    to.close()
    to.open()
    send(to, "outer3")
    to.close()


def interrupted_at(place, use):
    # Use a sender; at one of the calls of a function, or returns from one, a signal arrives.
    global refused
    sender = SyncSender(server)
    count = 0

    def handle(number, frame):
        global interrupted, refused
        interrupted += 1
        try:
            send(sender, "inner")
        except UsageError:
            refused += 1

    def count_calls(frame, event, argument):
        nonlocal count
        count += 1
        if count == place:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGUSR1)

    signal.signal(signal.SIGUSR1, handle)
    sys.setprofile(count_calls)
    try:
        use(sender)
    finally:
        sys.setprofile(None)
    sender.close()
    assert threading.active_count() == 1, place
    return count


interrupted_at(0, use)
places = interrupted_at(0, use)  # when all is imported
tried = range(1, places, int(sys.argv[2]))
for place in tried:
    interrupted_at(place, use)
print(accepted, interrupted, refused, len(tried))
"""


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_a_signal_handler_may_send_wherever_it_interrupts_the_sender(step: int) -> None:
    """Or it is refused at once; it never waits for what it has interrupted, and no message is lost."""
    with SinkThread() as sink:
        accepted, interrupted, refused, tried = map(int, ran(INTERRUPTED_ANYWHERE, str(sink.port), str(step)).split())
    assert accepted == len(sink.received) == 3 * (tried + 2) + interrupted - refused
    assert refused < interrupted / 2 > tried / 3
