"""A sender with a results log: what it knows a message by, what it sends again, and when it may send nothing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import (
    Batch,
    Choice,
    Delivery,
    Envelope,
    Outcome,
    RunError,
    Sender,
    Stage,
    Submission,
    SyncSender,
    UnfinishedError,
    UsageError,
    load,
)
from batchsend.campaign import Overrides
from tests.cli.commandline import invoke
from tests.delivery.harness import GUARD, CountingServer, message, options, server, well_behaved
from tests.tools.faulty import ACCEPT, Action, FaultyServer, drop, refuse, say
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend import DeliveryResult
    from tests.tools.faulty import Decide


def lines(log: Path) -> list[dict[str, Any]]:
    """The outcomes of a log, in its order."""
    return [said for line in log.read_bytes().splitlines() if "record" in (said := json.loads(line))]


async def send_until_told(sender: Sender) -> None:
    """Send as long as that is taken."""
    while True:
        await sender.send_message(message("a@example.com"))


def answering(answers: dict[str, Action]) -> Decide:
    """A server that answers the content for these recipients otherwise, each once."""

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient in answers:
            return answers.pop(recipient)
        return ACCEPT

    return decide


async def test_another_process_sends_only_what_was_not_decided(tmp_path: Path) -> None:
    log = tmp_path / "mail.jsonl"
    answers = {
        "rejected@example.com": refuse(550),
        "deferred@example.com": refuse(451),
        "doubtful@example.com": drop(succeeds=True),
    }
    names = ["accepted", "rejected", "deferred", "doubtful"]
    async with FaultyServer(answering(answers)) as peer, asyncio.timeout(GUARD):
        async with Sender(server(peer), delivery=options(), results=log) as sender:
            first = [(await sender.send_message(message(f"{name}@example.com"), key=name))[0] for name in names]
        async with Sender(server(peer), delivery=options(), results=log) as sender:
            again = [(await sender.send_message(message(f"{name}@example.com"), key=name))[0] for name in names]
            [new] = await sender.send_message(message("accepted@example.com"), key="another")
    assert [result.status for result in first] == ["accepted", "rejected", "deferred", "in_doubt"]
    assert [result.status for result in again] == ["accepted", "rejected", "accepted", "in_doubt"]
    assert [result.attempt for result in again] == [1, 1, 2, 1]
    assert [result.key for result in again] == names
    assert [result.reason is None for result in again] == [False, False, True, False], "who was not sent is told why"
    assert again[0].message_id == first[0].message_id
    assert new.status is Outcome.ACCEPTED
    taken = Counter(recipient for accepted in peer.accepted for recipient in accepted.recipients)
    assert taken == {"accepted@example.com": 2, "deferred@example.com": 1, "doubtful@example.com": 1}
    assert [(line["record"], line["key"], line["status"]) for line in lines(log)] == [
        (1, "accepted", "accepted"),
        (2, "rejected", "rejected"),
        (3, "deferred", "deferred"),
        (4, "doubtful", "in_doubt"),
        (3, "deferred", "accepted"),
        (5, "another", "accepted"),
    ]


async def test_the_users_word_sends_again(tmp_path: Path) -> None:
    log = tmp_path / "mail.jsonl"
    answers = {"a@example.com": refuse(550), "b@example.com": drop(), "c@example.com": refuse(554)}
    async with FaultyServer(answering(answers)) as peer, asyncio.timeout(GUARD):
        async with Sender(server(peer), delivery=options(), results=log) as sender:
            for name in "abc":
                await sender.send_message(message(f"{name}@example.com"), key=name)
        retry = Choice(["in_doubt", "550"])
        async with Sender(server(peer), delivery=options(), results=log, retry=retry) as sender:
            again = [(await sender.send_message(message(f"{name}@example.com"), key=name))[0] for name in "abc"]
            [once_more] = await sender.send_message(message("a@example.com"), key="a")
    assert [result.status for result in (*again, once_more)] == ["accepted", "accepted", "rejected", "accepted"]
    assert len(peer.accepted) == 2


async def test_of_several_recipients_those_get_it_who_have_not(tmp_path: Path) -> None:
    log = tmp_path / "mail.jsonl"
    refused = {"b@example.com"}

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.RCPT and recipient in refused:
            refused.discard(recipient)
            return refuse(450)
        return ACCEPT

    everybody = message("a@example.com", "b@example.com", "C@example.com")
    async with FaultyServer(decide) as peer, asyncio.timeout(GUARD):
        async with Sender(server(peer), results=log) as sender:
            first = await sender.send_message(everybody, key="k")
        async with Sender(server(peer), results=log) as sender:
            again = await sender.send_message(message("a@example.com", "b@example.com", "c@example.com"), key="k")
    assert [(one.recipient, one.status) for one in first] == [
        ("a@example.com", "accepted"),
        ("b@example.com", "deferred"),
        ("C@example.com", "accepted"),
    ]
    assert [(one.recipient, one.status, one.attempt) for one in again] == [
        ("a@example.com", "accepted", 1),
        ("b@example.com", "accepted", 2),
        ("C@example.com", "accepted", 1),
    ]
    assert [one.recipients for one in peer.accepted] == [("a@example.com", "C@example.com"), ("b@example.com",)]


async def test_without_a_key_the_message_id_is_what_it_is_known_by(tmp_path: Path) -> None:
    log = tmp_path / "mail.jsonl"
    named = message("a@example.com")
    named["Message-ID"] = "<order-17@example.com>"
    envelope = Envelope("shop@example.com", "b@example.com")
    submission = Submission(record=9, envelope=envelope, content=b"Subject: x\r\n\r\n", message_id="<18@example.com>")
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        for _ in range(2):
            async with Sender(server(peer), results=log) as sender:
                [result] = await sender.send_message(named)
                assert (result.status, result.key) == ("accepted", "<order-17@example.com>")
                told = await sender.send_message(submission)
                assert (told.status, told.key, told.record) == ("accepted", "<18@example.com>", 9)
                [result] = await sender.send_message(message("c@example.com"))
                assert (result.status, result.key) == ("accepted", None)
    taken = Counter(recipient for accepted in peer.accepted for recipient in accepted.recipients)
    assert taken == {"a@example.com": 1, "b@example.com": 1, "c@example.com": 2}


async def test_callers_with_one_key_at_once_all_hear_of_one_message(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(GUARD),
        CountingServer(well_behaved) as peer,
        Sender(server(peer), results=tmp_path / "mail.jsonl") as sender,
    ):
        calls = [sender.send_message(message("a@example.com"), key="k") for _ in range(20)]
        results = await asyncio.gather(*calls)
    assert [result.status for [result] in results] == ["accepted"] * 20
    assert len(peer.accepted) == 1


async def test_and_all_hear_that_its_outcome_proves_unbelievable(tmp_path: Path) -> None:
    """As the result of the call where it has not returned yet, and otherwise by `unclaimed`."""
    unclaimed: list[DeliveryResult] = []

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if (connection, transaction, asked) == (1, 2, Stage.CONTENT):
            return say(b"250 ok\r\n550 and no\r\n", succeeds=True)
        return ACCEPT

    log = tmp_path / "mail.jsonl"
    async with (
        asyncio.timeout(GUARD),
        CountingServer(decide, chunking=False) as peer,
        Sender(server(peer), delivery=options(), unclaimed=unclaimed.append, results=log) as sender,
    ):
        await sender.send_message(message("a@example.com"))
        calls = [sender.send_message(message("b@example.com"), key="k") for _ in range(3)]
        results = [result for [result] in await asyncio.gather(*calls)]
    assert [result.status for result in (*results, *unclaimed)].count(Outcome.IN_DOUBT) == 3
    assert sum(received.recipients == ("b@example.com",) for received in peer.accepted) == 1


async def test_a_stream_is_gone_on_with(tmp_path: Path) -> None:
    """What was sent is told at once, and the pool sends the rest; what cannot be sent is in the log, too."""
    log = tmp_path / "mail.jsonl"

    def numbered(count: int) -> list[EmailMessage]:
        return [message(f"r{number}@example.com") if number != 7 else EmailMessage() for number in range(1, count + 1)]

    def key(one: EmailMessage) -> str:
        return str(one["To"])

    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        async with Sender(server(peer), delivery=options(), results=log) as sender:
            first = await sender.send_all(numbered(100), key=key)
        assert len(peer.accepted) == 99
        async with Sender(server(peer), delivery=options(), results=log) as sender:
            again = await sender.send_all(numbered(150), key=key)
    assert len(peer.accepted) == 149
    assert Counter(result.status for result in first) == {Outcome.ACCEPTED: 99, Outcome.INVALID: 1}
    assert [result.record for result in again] == list(range(1, 151))
    assert Counter(result.status for result in again) == {Outcome.ACCEPTED: 149, Outcome.INVALID: 1}


async def test_a_key_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        async with Sender(server(peer)) as sender:
            with pytest.raises(UsageError, match="a key needs a results log"):
                await sender.send_message(message("a@example.com"), key="k")
            with pytest.raises(UsageError, match="a key needs a results log"):
                sender.send([message("a@example.com")], key=str)
        async with Sender(server(peer), results=tmp_path / "mail.jsonl") as sender:
            for wrong in ("", "k" * 1001, "\ud800"):
                with pytest.raises(UsageError, match="key is "):
                    await sender.send_message(message("a@example.com"), key=wrong)
            with pytest.raises(TypeError, match="key must be a str, not int"):
                await sender.send_message(message("a@example.com"), key=7)  # type: ignore[call-overload]
            with pytest.raises(TypeError, match="key must be callable, not str"):
                sender.send([], key="k")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="retry needs results"):
            Sender(server(peer), retry=Choice())
    assert peer.accepted == []


async def test_a_log_is_one_processs_and_no_campaigns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "mail.jsonl"
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        async with Sender(server(peer), results=log) as sender:
            with pytest.raises(UsageError, match="another sender of this process has it open"):
                await Sender(server(peer), results=log).__aenter__()
            await sender.send_message(message("a@example.com"), key="k")
        resumed = invoke(capsys, "resume", log)
        assert (resumed.code, "is the log of a program's Sender" in resumed.errors) == (2, True)
        reported = invoke(capsys, "report", log, "--json")
        assert (reported.code, json.loads(reported.output)["accepted"]) == (0, 1)
        overrides = Overrides(server=f"smtp://127.0.0.1:{peer.port}", results=str(tmp_path / "campaign.jsonl"))
        campaign = load("samples/welcome/campaign.toml", overrides=overrides, resolve_credentials=False)
        await Batch(campaign).run()
        with pytest.raises(UsageError, match="holds the results of a campaign"):
            await Sender(server(peer), results=campaign.results).__aenter__()


@pytest.mark.parametrize("damage", ["shorter", "another", "gone", "no log"])
async def test_a_list_that_is_not_what_it_was_is_not_gone_on_with(tmp_path: Path, damage: str) -> None:
    log, listed = tmp_path / "mail.jsonl", tmp_path / "mail.messages.jsonl"
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        async with Sender(server(peer), results=log) as sender:
            for name in "abc":
                await sender.send_message(message("a@example.com"), key=name)
        kept = listed.read_bytes().splitlines(keepends=True)
        if damage == "no log":
            log.unlink()
        else:
            damaged = {"shorter": kept[:2], "another": [kept[0], kept[2]], "gone": []}[damage]
            listed.write_bytes(b"".join(damaged))
        with pytest.raises(UsageError, match=r"mail\.messages\.jsonl"):
            await Sender(server(peer), results=log).__aenter__()
        assert listed.read_bytes() == b"".join(kept) or damage != "no log"


@pytest.mark.slow
async def test_nothing_is_sent_while_the_account_cannot_be_kept(tmp_path: Path) -> None:
    """The log was moved away: callers are told, and are served again when it is back."""
    log, away = tmp_path / "mail.jsonl", tmp_path / "mail.jsonl.1"
    async with (
        asyncio.timeout(GUARD),
        CountingServer(well_behaved) as peer,
        Sender(server(peer), results=log) as sender,
    ):
        await sender.send_message(message("a@example.com"), key="1")
        log.rename(away)
        with pytest.raises(UnfinishedError, match="was moved or replaced"):
            await send_until_told(sender)
        sent = len(peer.accepted)
        with pytest.raises(RunError, match="was moved or replaced"):
            await sender.send_all([message("a@example.com")])
        away.rename(log)
        [result] = await sender.send_message(message("a@example.com"), key="2")
        assert result.status is Outcome.ACCEPTED
        assert len(peer.accepted) == sent + 1
    assert len(lines(log)) == sent + 1


async def test_quotas_are_counted_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "mail.jsonl"
    delivery = Delivery(quota="3/day", max_wait="1s")
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        async with Sender(server(peer), delivery=delivery, results=log) as sender:
            await sender.send_all([message("a@example.com"), message("b@example.com")])
        async with Sender(server(peer), delivery=delivery, results=log) as sender:
            [result] = await sender.send_message(message("c@example.com"))
            assert result.status is Outcome.ACCEPTED
            with pytest.raises(UnfinishedError, match="quota"):
                await sender.send_message(message("d@example.com"))
    assert len(peer.accepted) == 3


def test_message_ids_that_differ_at_their_end_only_are_two(tmp_path: Path) -> None:
    start = "a" * 1200
    with SinkThread() as sink:
        for _ in range(2):
            with SyncSender(sink.server, results=tmp_path / "mail.jsonl") as sender:
                given = [
                    Submission(
                        record=1,
                        envelope=Envelope("shop@example.com", f"r{number}@example.com"),
                        content=b"Subject: x\r\n\r\n",
                        message_id=f"<{start}{number}@example.com>",
                    )
                    for number in range(2)
                ]
                assert [one.status for one in sender.send_all(given)] == ["accepted"] * 2
        assert len(sink.received) == 2


def test_threads_have_a_log_by_the_blocking_sender(tmp_path: Path) -> None:
    log = tmp_path / "mail.jsonl"
    with SinkThread() as sink:
        for _ in range(2):
            with SyncSender(sink.server, results=str(log)) as sender:
                [result] = sender.send_message(message("a@example.com"), key="1")
                streamed = list(sender.send([message("b@example.com")], key=lambda _: "2"))
                listed = sender.send_all([message("c@example.com")], key=lambda _: "3")
                assert [one.status for one in (result, *streamed, *listed)] == ["accepted"] * 3
        assert len(sink.received) == 3


@pytest.mark.parametrize("kept", [False, True])
async def test_a_header_that_cannot_be_read_is_its_messages_own_trouble(kept: bool, tmp_path: Path) -> None:
    """With and without a log, whose keys are Message-IDs."""
    heads = [
        b"To: a@example.com\nMessage-ID: <1@example.com>",
        b"To: @@, foo@\nMessage-ID: <[",
        b"To: b@example.com\nMessage-ID: <[",
        b"To: c@example.com\nMessage-ID: <\xfe@example.com>",
        b"To: c@example.com\nMessage-ID: <\xff@example.com>",
    ]
    letters = [message_from_bytes(b"From: shop@example.com\n" + head + b"\n\nText\n", policy=default) for head in heads]
    log = tmp_path / "mail.jsonl" if kept else None
    async with (
        asyncio.timeout(GUARD),
        FaultyServer(well_behaved) as peer,
        Sender(server(peer), delivery=options(), results=log) as sender,
    ):
        results = await sender.send_all(letters)
    assert [result.status for result in results] == [
        *(Outcome.ACCEPTED, Outcome.INVALID, Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.ACCEPTED)
    ]
    assert "header To '@@, foo@' cannot be read" in (results[1].reason or "")
    assert len(results if log is None else lines(log)) == 5
