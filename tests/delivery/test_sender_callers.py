"""Many callers of one sender: each hears only of its own, nothing is lost, and what is left early is accounted for."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio
import pytest

from batchsend import Outcome, RecordError, RunError, Sender, Server, Stage, Submission, UnfinishedError, UsageError
from batchsend.sink import Sink, SinkOptions
from tests.delivery.callers import Callers
from tests.delivery.harness import GUARD, CountingServer, message, options, server, submissions, well_behaved
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import Message

    from batchsend import DeliveryResult
    from batchsend.sink import Received


async def test_each_recipient_of_a_message_has_a_result() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(550) if recipient == "b@example.com" else ACCEPT

    async with CountingServer(decide) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:
                results = await sender.send_message(message("a@example.com", "b@example.com", "a@example.com"))
                other = await sender.send_message(message("x@example.com"), sender="", recipients=["c@example.com"])
    assert [(result.recipient, result.status) for result in results] == [
        ("a@example.com", Outcome.ACCEPTED),
        ("b@example.com", Outcome.REJECTED),
    ]
    assert results[0].message_id == results[1].message_id is not None
    assert [result.recipient for result in other] == ["c@example.com"]


async def test_a_submission_with_several_recipients_is_not_sent_by_what_returns_one_result() -> None:
    """Its other outcomes would be lost; `send_all` has them all."""
    given = submissions(1)[0]
    given.envelope = type(given.envelope)("from@example.com", "a@example.com", also=("b@example.com",))
    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:
                with pytest.raises(
                    UsageError, match="a Submission with several recipients has several results"
                ) as error:
                    await sender.send_message(given)
                assert error.value.remedy == "Use send_all([submission])."
                assert peer.accepted == []
                results = await sender.send_all([given])
    assert [result.recipient for result in results] == ["a@example.com", "b@example.com"]
    assert {result.status for result in results} == {Outcome.ACCEPTED}


async def test_a_sender_says_how_its_pool_is_doing() -> None:
    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options(max_connections=2)) as sender:
                before = sender.statistics
                await sender.send_all(submissions(20))
                statistics = sender.statistics
                assert statistics is not None
                assert (statistics.replies, statistics.backlog, statistics.in_flight) == ({250: 20}, 0, 0)
                assert 1 <= statistics.opened <= 2
            assert before is sender.statistics is None, "nothing was to be sent yet, and is any more"


@pytest.mark.parametrize(("callers", "each"), [(100, 3), pytest.param(200, 50, marks=pytest.mark.slow)])
async def test_hundreds_of_callers_each_hear_of_their_own(callers: int, each: int) -> None:
    """They number their messages alike, and the pool has none mixed up."""
    async with (
        CountingServer(well_behaved) as peer,
        Sender(server(peer), delivery=options(max_connections=4)) as sender,
    ):

        async def call(name: int) -> None:
            for place in range(each):
                recipient = f"c{name}-{place}@example.com"
                if name % 2:
                    [result] = await sender.send_message(message(recipient))
                else:
                    given = submissions(1)[0]
                    given.envelope = type(given.envelope)("from@example.com", recipient)
                    result = await sender.send_message(given)
                assert (result.record, result.recipient, result.status) == (1, recipient, Outcome.ACCEPTED)

        with anyio.fail_after(3 * GUARD):
            async with asyncio.TaskGroup() as tasks:
                for name in range(callers):
                    tasks.create_task(call(name))
    assert len(peer.accepted) == callers * each
    assert len({received.recipients[0] for received in peer.accepted}) == callers * each


async def test_a_long_send_does_not_keep_others_waiting() -> None:
    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with (
                Sender(server(peer), delivery=options()) as sender,
                aclosing(sender.send(submissions(3000))) as long,
            ):
                await anext(long)
                await sender.send_message(message("urgent@example.com"))
                assert len(peer.accepted) < 500


async def test_a_stream_takes_messages_of_both_kinds() -> None:
    given: list[Submission | Message] = [
        submissions(9)[8],
        message("a@example.com", "b@example.com"),
        message(),
        message("c@example.com"),
    ]
    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:
                streamed = [result async for result in sender.send(given)]
                together = await sender.send_all(given)
    expected = [
        (9, "r9@example.com", Outcome.ACCEPTED),
        (2, "a@example.com", Outcome.ACCEPTED),
        (2, "b@example.com", Outcome.ACCEPTED),
        (3, None, Outcome.INVALID),
        (4, "c@example.com", Outcome.ACCEPTED),
    ]
    assert [(result.record, result.recipient, result.status) for result in together] == expected
    assert sorted((result.record, result.recipient or "", result.status) for result in streamed) == sorted(
        (record, recipient or "", status) for record, recipient, status in expected
    )
    assert next(result.reason for result in together if result.record == 3) == "the message has no recipient"


async def test_a_cancelled_caller_takes_nothing_along() -> None:
    """What was with the pool is sent and told to `unclaimed`; what waited is not sent."""
    unclaimed: list[DeliveryResult] = []
    begun = asyncio.Event()
    go_on = asyncio.Event()

    async def held() -> AsyncIterator[Submission]:
        yield submissions(1)[0]
        begun.set()
        await go_on.wait()
        yield submissions(2)[1]

    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options(), unclaimed=unclaimed.append) as sender:
                waiting = asyncio.create_task(sender.send_message(message("early@example.com")))
                await asyncio.sleep(0)  # it waits now, and the pool has had no turn to take it
                waiting.cancel()
                stream = asyncio.create_task(sender.send_all(held()))
                await begun.wait()
                [result] = await sender.send_message(message("other@example.com"))
                stream.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await stream
                with pytest.raises(asyncio.CancelledError):
                    await waiting
    assert result.status is Outcome.ACCEPTED
    accepted = Counter(received.recipients[0] for received in peer.accepted)
    assert accepted == {"other@example.com": 1, "r1@example.com": 1}
    assert {result.recipient for result in unclaimed} <= {"r1@example.com"}


async def test_a_correction_after_the_call_is_unclaimed() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return say(b"250 ok\r\n550 and no\r\n", succeeds=True) if (connection, transaction) == (1, 2) else ACCEPT

    async with CountingServer(
        lambda c, t, asked, r: decide(c, t, asked, r) if str(asked) == "content" else ACCEPT, chunking=False
    ) as peer:
        corrected = asyncio.Event()
        unclaimed: list[DeliveryResult] = []

        def hear(result: DeliveryResult) -> None:
            unclaimed.append(result)
            corrected.set()

        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options(), unclaimed=hear) as sender:
                await sender.send_message(message("a@example.com"))
                [result] = await sender.send_message(message("b@example.com"))
                if result.status is not Outcome.IN_DOUBT:
                    await corrected.wait()
    told = [result, *unclaimed]
    assert [(one.record, one.recipient, one.status) for one in told][-1] == (1, "b@example.com", Outcome.IN_DOUBT)


async def test_those_who_wait_are_told_that_the_server_is_gone_and_the_next_call_tries_again() -> None:
    async with Sink() as sink:
        where = Server(host="127.0.0.1", port=sink.port, tls="none")
    with anyio.fail_after(GUARD):
        async with Sender(where, delivery=options()) as sender:
            outcomes = await asyncio.gather(
                *(sender.send_message(message(f"a{number}@example.com")) for number in range(20)),
                sender.send_all(submissions(3)),
                return_exceptions=True,
            )
            assert all(isinstance(outcome, UnfinishedError) and outcome.results == [] for outcome in outcomes)
            async with Sink(SinkOptions(port=where.port)):
                [result] = await sender.send_message(message("b@example.com"))
            assert result.status is Outcome.ACCEPTED


async def test_leaving_waits_for_what_was_taken_and_takes_no_more() -> None:
    taken = 0
    first = asyncio.Event()

    async def endless() -> AsyncIterator[Submission]:
        nonlocal taken
        for submission in submissions(100_000):
            taken += 1
            yield submission

    async def use(sender: Sender) -> list[DeliveryResult]:
        heard = []
        try:
            async for result in sender.send(endless()):
                heard.append(result)
                first.set()
        except RunError as error:
            assert "closed before" in error.message  # noqa: PT017
            return heard
        raise AssertionError("it has not sent everything, and does not say so")

    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options()) as sender:
                user = asyncio.create_task(use(sender))
                await first.wait()
            heard = await user
    assert len(heard) == len(peer.accepted)
    assert taken - len(heard) <= 1, "the one that was taken when there was no room is not sent"
    with pytest.raises(UsageError, match="the sender is closed"):
        await sender.send_message(message("a@example.com"))


async def test_an_error_ends_at_once_and_those_who_wait_are_told() -> None:
    reached = asyncio.Event()

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if str(asked) != "content":
            return ACCEPT
        reached.set()
        return drop(Then.SILENCE)

    async def fail(where: Server, waiting: list[asyncio.Task[list[DeliveryResult]]]) -> None:
        async with Sender(where, delivery=options()) as sender:
            waiting += [asyncio.create_task(sender.send_message(message(f"a{n}@example.com"))) for n in range(2)]
            await reached.wait()
            raise ZeroDivisionError

    async with CountingServer(decide, chunking=False) as peer:
        waiting: list[asyncio.Task[list[DeliveryResult]]] = []
        with anyio.fail_after(GUARD):
            with pytest.raises(ZeroDivisionError):
                await fail(server(peer), waiting)
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(outcomes[0], list)
    assert outcomes[0][0].status is Outcome.IN_DOUBT
    assert isinstance(outcomes[1], UnfinishedError)


async def test_a_sender_can_be_opened_again_but_not_twice() -> None:
    async with CountingServer(well_behaved) as peer:
        sender = Sender(server(peer), delivery=options())
        with anyio.fail_after(GUARD):
            for _ in range(3):
                with pytest.raises(UsageError, match="closed"):
                    sender.send([])
                async with sender:
                    with pytest.raises(UsageError, match="open already"):
                        await sender.__aenter__()
                    await sender.send_message(message("a@example.com"))
    assert len(peer.accepted) == 3


async def test_wrong_use_is_said_at_once() -> None:
    async with Sender(Server(host="127.0.0.1", port=9, tls="none")) as sender:
        for wrong in (message("a@example.com"), "text", 3, None):
            with pytest.raises(TypeError, match="expected an iterable of messages"):
                sender.send(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expected an email"):
            await sender.send_message("text")  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="envelope of its own"):
            await sender.send_message(submissions(1)[0], sender="a@example.com")  # type: ignore[call-overload]
        with pytest.raises(RecordError, match="no recipient"):
            await sender.send_message(message())
        with pytest.raises(RecordError, match="return path"):
            await sender.send_message(message("a@example.com"), sender="nobody")

        async def elsewhere() -> None:
            with pytest.raises(UsageError, match="another event loop"):
                await sender.send_message(message("a@example.com"))

        await asyncio.to_thread(asyncio.run, elsewhere())


async def test_what_unclaimed_raises_is_reported_and_harms_nobody() -> None:
    reported: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def fail(result: DeliveryResult) -> None:
        raise LookupError(result.recipient)

    async with CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options(), unclaimed=fail) as sender:
                async with aclosing(sender.send(submissions(300))) as results:
                    await anext(results)
                [result] = await sender.send_message(message("a@example.com"))
    assert result.status is Outcome.ACCEPTED
    assert len(reported) == len(peer.accepted) - 2


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.slow) for seed in range(3)])
async def test_callers_that_cancel_raise_and_reopen_lose_nothing_and_mix_nothing_up(seed: int) -> None:
    """Every message that the server took was told to its own caller or to `unclaimed`, once; and no other one was."""
    received: list[Received] = []
    callers = Callers(seed)
    async with Sink(SinkOptions(), on_message=received.append) as sink:
        here = Server(host="127.0.0.1", port=sink.port, tls="none")
        sender = Sender(here, delivery=options(max_connections=3, max_messages=15), unclaimed=callers.unclaimed)
        with anyio.fail_after(3 * GUARD):
            for number in range(4):
                await callers.session(number, sender)
    assert callers.told == {one.recipients[0]: [Outcome.ACCEPTED] for one in received}
    assert len(callers.told) == len(received) > 100


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
@pytest.mark.slow
async def test_nor_do_they_where_the_server_refuses_and_loses_connections(seed: int) -> None:
    """Each outcome is told once, to its own caller or to `unclaimed`, and is what became of the message."""
    choose = random.Random(f"server {seed}")

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        drawn = choose.random()
        if stage is Stage.RCPT and drawn < 0.05:
            return refuse(550)
        if stage is Stage.CONTENT and drawn < 0.05:
            return refuse(554) if drawn < 0.03 else drop(succeeds=drawn < 0.04)
        return ACCEPT

    callers = Callers(seed)
    async with CountingServer(decide) as peer:
        sender = Sender(server(peer), delivery=options(max_connections=3, max_messages=15), unclaimed=callers.unclaimed)
        with anyio.fail_after(3 * GUARD):
            for number in range(4):
                await callers.session(number, sender)
    taken = Counter(one.recipients[0] for one in peer.accepted)
    possible = {
        Outcome.ACCEPTED: {1},
        Outcome.REJECTED: {0},
        Outcome.DEFERRED: {0},
        Outcome.IN_DOUBT: {0, 1},
    }
    for recipient, [outcome] in callers.told.items():
        assert taken[recipient] in possible[outcome], (recipient, outcome)
    assert taken.keys() <= callers.told.keys()
    assert {Outcome.ACCEPTED, Outcome.REJECTED} <= {outcome for [outcome] in callers.told.values()}
    assert len(callers.told) > 50


BLOCKED = "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using list.example.org"


async def test_a_notice_that_raises_is_reported_and_stops_nothing() -> None:
    """It is called while a refusal is settled: what the program's own function raises must not get into that."""
    reported: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(554, BLOCKED) if str(asked) == "content" else ACCEPT

    def notice(text: str) -> None:
        raise BrokenPipeError(text)

    async with CountingServer(decide) as suspended, CountingServer(well_behaved) as peer:
        with anyio.fail_after(GUARD):
            relays = server(suspended), server(peer)
            async with Sender(*relays, delivery=options(), notice=notice) as sender:
                results = await sender.send_all(submissions(20))
    assert [result.status for result in results] == [Outcome.ACCEPTED] * 20
    assert reported
    assert {type(error) for error in reported} == {BrokenPipeError}
