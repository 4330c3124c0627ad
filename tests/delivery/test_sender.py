"""The pool for programs: results as they come, one send after the other, and nothing lost on the way out."""

from __future__ import annotations

from collections import Counter
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from batchsend import Outcome, RunError, Sender, Server, Stage
from batchsend.sender.exchange import Call, Exchange
from tests.delivery.harness import GUARD, CountingServer, address, options, server, submissions, well_behaved
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from batchsend import DeliveryResult, Submission


async def collect(results: AsyncIterator[DeliveryResult]) -> list[DeliveryResult]:
    return [result async for result in results]


async def test_each_submission_has_one_result() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(550) if asked is Stage.RCPT and recipient == address(5) else ACCEPT

    async with CountingServer(decide) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options(max_connections=3, max_messages=20)) as sender:
                results = await collect(sender.send(submissions(2500)))
    assert Counter(result.record for result in results) == Counter(range(1, 2501))
    assert Counter(result.status for result in results) == {Outcome.ACCEPTED: 2499, Outcome.REJECTED: 1}
    assert len(peer.accepted) == 2499


async def test_several_sends_share_their_sessions() -> None:
    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:
                for count in (3, 0, 1, 5):
                    results = await collect(sender.send(submissions(count)))
                    assert sorted(result.record for result in results) == list(range(1, count + 1))
    assert peer.begun == [9]


async def test_an_asynchronous_iterable_is_sent_as_it_comes() -> None:
    """The second submission is only made once the first one's result is known."""
    known = anyio.Event()

    async def one_by_one() -> AsyncIterator[Submission]:
        first, second = submissions(2)
        yield first
        await known.wait()
        yield second

    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:
                records = []
                async for result in sender.send(one_by_one()):
                    records.append(result.record)
                    known.set()
    assert records == [1, 2]


async def test_submissions_are_taken_no_faster_than_results() -> None:
    taken = 0

    def endless() -> Iterator[Submission]:
        nonlocal taken
        for submission in submissions(20_000):
            taken += 1
            yield submission

    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:
                results = sender.send(endless())
                for _ in range(50):
                    await anext(results)
                for _ in range(200):
                    await anyio.lowlevel.checkpoint()
                assert taken < 3000
                await results.aclose()


async def test_a_loop_left_early_does_not_stop_the_next_one() -> None:
    """What was with the pool is sent, and told to `unclaimed`; what was not is not sent; nobody hears of others."""
    unclaimed: list[int] = []
    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(
                server(peer),
                delivery=options(max_connections=2),
                unclaimed=lambda result: unclaimed.append(result.record),
            ) as sender:
                seen = []
                async for result in sender.send(submissions(5000)):
                    seen.append(result.record)
                    if len(seen) == 3:
                        break
                later = submissions(5003)[5000:]
                rest = [result.record for result in await collect(sender.send(later))]
    assert sorted(rest) == [5001, 5002, 5003]
    counts = Counter(seen + unclaimed + rest)
    assert set(counts.values()) == {1}
    assert Counter(message.recipients[0] for message in peer.accepted) == Counter(map(address, counts))


async def test_two_sends_at_a_time_take_turns() -> None:
    async with CountingServer(well_behaved) as peer:
        outcomes: dict[int, list[int]] = {}

        async def send(name: int, work: list[Submission]) -> None:
            outcomes[name] = [result.record async for result in sender.send(work)]

        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender, anyio.create_task_group() as tasks:
                tasks.start_soon(send, 1, submissions(50))
                tasks.start_soon(send, 2, submissions(70)[50:])
    assert sorted(outcomes[1]) == list(range(1, 51))
    assert sorted(outcomes[2]) == list(range(51, 71))


async def test_a_server_that_is_gone_is_an_error_of_the_send() -> None:
    async with CountingServer(well_behaved) as peer:
        gone = server(peer)
    with anyio.fail_after(GUARD):
        async with Sender(gone, delivery=options()) as sender:
            for _ in range(2):
                with pytest.raises(RunError, match="cannot connect"):
                    await collect(sender.send(submissions(3)))


async def test_a_caller_is_told_what_a_caller_can_do() -> None:
    """A run can be gone on with, by an option or a command; a sender's messages are the caller's."""
    full = refuse(550, "5.4.5 Daily user sending limit exceeded")
    async with CountingServer(lambda _, __, stage, ___: full if stage is Stage.MAIL else ACCEPT) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:
                with pytest.raises(RunError, match="sending limit is used up") as caught:
                    await sender.send_all(submissions(3))
    remedy = caught.value.remedy or ""
    assert "send what has no result" in remedy
    assert not any(word in remedy for word in ("--", "resum", "batchsend"))


async def test_an_error_in_the_callers_own_submissions_is_the_callers() -> None:
    """It comes out of the loop as it is, after the results of what was sent."""

    def broken() -> Iterator[Submission]:
        yield from submissions(100)
        raise LookupError("no more")

    results: list[int] = []

    async def send(where: Server) -> None:
        async with Sender(where, delivery=options()) as sender:
            async for result in sender.send(broken()):
                results.append(result.record)  # noqa: PERF401 - it ends with an error

    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD), pytest.raises(LookupError, match="no more"):
            await send(server(peer))
    assert sorted(results) == list(range(1, 101))
    assert len(peer.accepted) == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content", "Subject: x\r\n\r\nText\r\n"),
        ("content", EmailMessage()),
        ("content", None),
        ("content", bytearray(b"x")),
        ("envelope", ("from@example.com", "to@example.com")),
        ("record", "6"),
        ("attempt", None),
        ("message_id", 6),
        ("message_id", b"<6@example.com>"),
        ("message_id", "<\ud800@example.com>"),
        ("canonical", "yes"),
        ("eight_bit", 1),
        ("seven_bit", b"x"),
    ],
)
async def test_a_bad_submission_is_an_error_at_once_and_the_sender_goes_on(name: str, value: object) -> None:
    """What was given before it has its results, and a later send is as if nothing had happened."""
    work = submissions(9)
    setattr(work[5], name, value)
    results: list[int] = []
    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:

                async def send() -> None:
                    async for result in sender.send(work):
                        results.append(result.record)  # noqa: PERF401 - it ends with an error

                with pytest.raises(TypeError, match=name):
                    await send()
                assert sorted(results) == [1, 2, 3, 4, 5]
                assert len(await collect(sender.send(submissions(4)))) == 4
    assert len(peer.accepted) == 9


async def test_an_error_of_what_fills_the_pool_is_everybodys_and_the_sender_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It must not be that nothing more is put in, and whoever waits is never told."""

    def fail(exchange: Exchange) -> list[Submission]:
        monkeypatch.undo()
        raise LookupError("a fault of the program")

    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:
                monkeypatch.setattr(Exchange, "take", fail)
                with pytest.raises(LookupError, match="a fault of the program"):
                    await sender.send_message(submissions(1)[0])
                assert (await sender.send_message(submissions(1)[0])).status is Outcome.ACCEPTED
    assert len(peer.accepted) == 1


async def test_a_sender_can_be_used_again_once_the_server_is_back() -> None:
    refused = True

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(421, "4.3.2 not now") if refused and asked is Stage.GREETING else ACCEPT

    async with CountingServer(decide) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options(give_up_after=0.1)) as sender:
                with pytest.raises(RunError):
                    await collect(sender.send(submissions(3)))
                refused = False
                results = await collect(sender.send(submissions(3)))
    assert [result.status for result in results] == [Outcome.ACCEPTED] * 3
    assert len(peer.accepted) == 3


async def test_leaving_with_an_error_ends_at_once() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return drop(Then.SILENCE) if asked is Stage.CONTENT and transaction == 2 else ACCEPT

    async def send(where: Server) -> None:
        async with Sender(where, delivery=options()) as sender:
            async for _ in sender.send(submissions(10)):
                raise ZeroDivisionError

    async with CountingServer(decide) as peer:
        with anyio.fail_after(GUARD), pytest.raises(ZeroDivisionError):
            await send(server(peer))


async def test_a_doubted_result_is_followed_by_a_second_one() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if (connection, transaction, asked) == (1, 2, Stage.CONTENT):
            return say(b"250 ok\r\n550 and no\r\n", succeeds=True)
        return ACCEPT

    async with CountingServer(decide, chunking=False) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:
                results = await collect(sender.send(submissions(5)))
    by_record: dict[int, list[Outcome]] = {}
    for result in results:
        by_record.setdefault(result.record, []).append(result.status)
    assert by_record[2] == [Outcome.ACCEPTED, Outcome.IN_DOUBT]
    assert all(by_record[record] == [Outcome.ACCEPTED] for record in (1, 3, 4, 5))


async def test_a_sender_that_sends_nothing_connects_to_nobody() -> None:
    async with CountingServer(well_behaved) as peer:
        async with Sender(server(peer)):
            pass
        async with Sender(Server(host=peer.host, port=peer.port, tls="none")) as sender:
            assert await collect(sender.send([])) == []
    assert peer.connections == []


def test_a_caller_hears_why_its_message_could_not_be_taken() -> None:
    """An account may fail just then; the message is neither lost nor does its caller wait for ever."""
    exchange, call, error = Exchange(lambda _: None), Call(), RunError("the account cannot be kept")
    unsound: Any = object()
    exchange.offer(call, [unsound])
    with pytest.raises(AttributeError):
        exchange.take()
    exchange.stopped(error)
    assert call.error is error
    assert call.settled
    assert exchange.is_idle
