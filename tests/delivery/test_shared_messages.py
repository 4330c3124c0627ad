"""Several recipients of one message: one transaction where the server takes them, and an outcome for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from batchsend import Delivery, Envelope, Outcome, Sender, Server, Submission, UsageError
from tests.delivery.harness import GUARD, MODES, CountingServer, options, serve, server
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse

if TYPE_CHECKING:
    from batchsend import DeliveryResult, Stage
    from tests.tools.virtual import VirtualLoop

CONTENT = b"Subject: x\r\n\r\nText\r\n"


def shared(*names: str) -> Submission:
    """One message for several recipients."""
    first, *further = [f"{name}@example.com" for name in names]
    return Submission(record=7, envelope=Envelope("from@example.com", first, also=tuple(further)), content=CONTENT)


async def send(peer: CountingServer, *names: str, depth: int = 1) -> list[DeliveryResult]:
    """Send one message, and return the results in the order of its recipients."""
    with anyio.fail_after(GUARD):
        async with Sender(server(peer), delivery=options(depth=depth)) as sender:
            return await sender.send_all([shared(*names)])


def outcomes(results: list[DeliveryResult]) -> dict[str, Outcome]:
    assert {result.record for result in results} == {7}
    return {str(result.recipient).partition("@")[0]: result.status for result in results}


@pytest.mark.parametrize("mode", MODES)
async def test_one_transaction_and_an_outcome_for_each(mode: str) -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return {"b@example.com": refuse(550, "5.1.1 No"), "c@example.com": refuse(450, "4.2.1 Later")}.get(
            recipient or "", ACCEPT
        )

    async with serve(decide, mode) as peer:
        results = await send(peer, "a", "b", "c", "d", depth=MODES[mode].depth)
    assert outcomes(results) == {
        "a": Outcome.ACCEPTED,
        "b": Outcome.REJECTED,
        "c": Outcome.DEFERRED,
        "d": Outcome.ACCEPTED,
    }
    assert [one.recipients for one in peer.accepted] == [("a@example.com", "d@example.com")]
    assert peer.begun == [1]


@pytest.mark.parametrize("mode", MODES)
async def test_everybody_refused_costs_no_neighbour(mode: str) -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return refuse(550, "5.1.1 No") if recipient in {"a@example.com", "b@example.com"} else ACCEPT

    async with serve(decide, mode) as peer:
        with anyio.fail_after(GUARD):
            async with Sender(server(peer), delivery=options(depth=MODES[mode].depth)) as sender:
                results = await sender.send_all([shared("a", "b"), shared("c", "d")])
    assert [result.status for result in results] == [Outcome.REJECTED] * 2 + [Outcome.ACCEPTED] * 2
    assert [one.recipients for one in peer.accepted] == [("c@example.com", "d@example.com")]


async def test_the_limit_that_a_server_announces_is_kept() -> None:
    """RFC 9422 §4.2: RCPTMAX; the rest goes with further transactions."""

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return ACCEPT

    async with CountingServer(decide, extensions=("LIMITS RCPTMAX=2",)) as peer:
        results = await send(peer, *"abcde")
    assert set(outcomes(results).values()) == {Outcome.ACCEPTED}
    assert [len(one.recipients) for one in peer.accepted] == [2, 2, 1]


def test_each_recipient_counts_towards_a_quota(loop: VirtualLoop) -> None:
    times: list[float] = []

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage.value == "content":
            times.append(loop.time())
        return ACCEPT

    async def run() -> tuple[list[int], list[DeliveryResult]]:
        async with CountingServer(decide) as peer:
            how = Delivery(quota="3/h", max_wait="forever")
            async with Sender(server(peer), delivery=how) as sender:
                results = await sender.send_all([shared(*"abcde")])
            return [len(one.recipients) for one in peer.accepted], results

    taken, results = loop.run(run)
    assert set(outcomes(results).values()) == {Outcome.ACCEPTED}
    assert taken == [3, 2]
    assert times[1] - times[0] >= 3600


@pytest.mark.parametrize("mode", MODES)
async def test_recipients_that_are_too_many_go_with_the_next_transaction(mode: str) -> None:
    """RFC 5321 §4.5.3.1.10: 452 is about the transaction, and the limit is learned."""
    taken: dict[int, int] = {}

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage.value != "rcpt":
            return ACCEPT
        taken[transaction] = taken.get(transaction, 0) + 1
        return refuse(452, "4.5.3 Too many recipients") if taken[transaction] > 3 else ACCEPT

    async with serve(decide, mode) as peer:
        results = await send(peer, *"abcdefgh", depth=MODES[mode].depth)
    assert set(outcomes(results).values()) == {Outcome.ACCEPTED}
    assert {result.attempt for result in results} == {1}
    assert [len(one.recipients) for one in peer.accepted] == [3, 3, 2]


async def test_a_message_refused_for_its_many_recipients_is_sent_to_fewer() -> None:
    """Some servers count only when the content has come."""
    counted: dict[int, int] = {}

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage.value == "rcpt":
            counted[transaction] = counted.get(transaction, 0) + 1
        if stage.value == "content" and counted[transaction] > 2:
            return refuse(554, "Transaction failed: Recipient count exceeds 2")
        return ACCEPT

    async with CountingServer(decide) as peer:
        results = await send(peer, *"abcde")
    assert set(outcomes(results).values()) == {Outcome.ACCEPTED}
    assert sorted(name for one in peer.accepted for name in one.recipients) == [
        f"{name}@example.com" for name in "abcde"
    ]


async def test_lost_after_the_content_only_those_taken_are_in_doubt() -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if recipient == "b@example.com":
            return refuse(550, "5.1.1 No")
        return drop(Then.CLOSE, succeeds=True) if stage.value == "content" else ACCEPT

    async with CountingServer(decide, chunking=False) as peer:
        results = await send(peer, "a", "b", "c")
    assert outcomes(results) == {"a": Outcome.IN_DOUBT, "b": Outcome.REJECTED, "c": Outcome.IN_DOUBT}


async def test_lost_among_the_recipients_the_others_go_again_together() -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if recipient == "b@example.com":
            return refuse(550, "5.1.1 No")
        return refuse(421, "4.7.0 Too many errors") if connection == 1 and recipient == "c@example.com" else ACCEPT

    async with CountingServer(decide, chunking=False) as peer:
        results = await send(peer, *"abcd")
    assert outcomes(results)["b"] is Outcome.REJECTED
    assert [one.recipients for one in peer.accepted] == [("a@example.com", "c@example.com", "d@example.com")]


async def test_an_address_that_this_server_cannot_take_keeps_nobody_else_back() -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return ACCEPT

    async with CountingServer(decide, extensions=("8BITMIME",)) as peer:
        results = await send(peer, "a", "jürgen", "c")
    assert outcomes(results) == {"a": Outcome.ACCEPTED, "jürgen": Outcome.INVALID, "c": Outcome.ACCEPTED}
    assert [one.recipients for one in peer.accepted] == [("a@example.com", "c@example.com")]


async def test_one_result_cannot_be_that_of_several_recipients() -> None:
    async with Sender(Server(host="127.0.0.1", port=9, tls="none")) as sender:
        with pytest.raises(UsageError, match="several results"):
            await sender.send_message(shared("a", "b"))


def test_a_recipient_that_is_there_twice_counts_once() -> None:
    envelope = Envelope("", "a@example.com", also=("b@example.com", "a@example.com", "b@example.com"))
    assert envelope.recipients == ("a@example.com", "b@example.com")
