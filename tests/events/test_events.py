"""Events: everything, in order, signed, whatever the receiver does; and an endpoint that is gone is given up."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from batchsend.campaign.model import feedback_path
from batchsend.errors import RunError, UsageError
from batchsend.events.cursor import Cursor, EventBatch, cursor_path, locked, read_cursor, write_cursor
from batchsend.events.source import MOST_EVENTS, MOST_OCTETS, EventSource
from batchsend.events.telling import WITHIN, Endpoint, Receipt, Teller, require_endpoint
from batchsend.feedback.log import FeedbackLog, as_fields
from batchsend.feedback.report import FeedbackKind, FeedbackReport
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.results.line import outcome_line
from tests.events.receiver import SECRET, Receiver
from tests.feedback.letters import results_log
from tests.tools.certificates import issue
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, Expect, ReadToEnd, reply

if TYPE_CHECKING:
    from pathlib import Path

MANY = tuple(f"r{number}@example.org" for number in range(1, 251))


def bounced(results: Path, *records: int) -> None:
    """Bounces of records in the feedback log."""
    with FeedbackLog(feedback_path(results)) as log:
        log.add(
            [
                as_fields(
                    FeedbackReport(recipient=MANY[record - 1], kind=FeedbackKind.BOUNCED),
                    record=record,
                    recipient=MANY[record - 1],
                    source="x",
                )
                for record in records
            ]
        )


def accepted(results: Path, *records: int) -> None:
    """Further outcomes in a results log."""
    with results.open("ab") as file:
        for record in records:
            file.write(outcome_line(DeliveryResult(record=record, recipient="x@example.org", status=Outcome.ACCEPTED)))


async def tell(
    results: Path, url: str, *, again: bool = False, give_up_after: float = 60.0, within: float = WITHIN
) -> tuple[bool, list[str]]:
    """Whether the endpoint has taken everything, and what was said."""
    said: list[str] = []
    endpoint = Endpoint(url, SECRET, within=within)
    teller = Teller(results, endpoint, notice=said.append, first_pause=0.001, give_up_after=give_up_after)
    try:
        return await teller.run(follow=False, again=again), said
    finally:
        await endpoint.aclose()


async def test_everything_is_told_once_in_order_and_signed(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY)
    bounced(results, 3, 1)
    with Receiver() as receiver:
        assert await tell(results, receiver.url) == (True, [])
        assert await tell(results, receiver.url) == (True, [])  # nothing is new
        told = [(event["type"], event["data"]["record"]) for event in receiver.events]
        assert told == [
            *(("message.accepted", record) for record in range(1, 251)),
            ("message.bounced", 3),
            ("message.bounced", 1),
        ]
        assert receiver.wrong == []
        assert len(receiver.requests) == 4  # of 100 lines at most
        assert len({event["id"] for event in receiver.events}) == 252
        accepted(results, 251)
        assert await tell(results, receiver.url) == (True, [])
        assert receiver.events[-1]["data"]["record"] == 251


@pytest.mark.parametrize("answer", [None, 301, 400, 404, 429, 500, 503])
async def test_what_is_not_taken_is_posted_again_as_it_was(tmp_path: Path, answer: int | None) -> None:
    results = results_log(tmp_path, MANY[:150])
    with Receiver() as receiver:
        receiver.answers = [answer, answer, 200, answer, 204]
        done, said = await tell(results, receiver.url)
    assert done
    assert [event["data"]["record"] for event in receiver.events] == list(range(1, 151))
    first, second = receiver.requests
    assert receiver.seen == [first, first, first, second, second]
    assert len(said) == 2  # once a batch


async def test_a_receiver_that_is_down_loses_nothing(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY[:5])
    with Receiver() as receiver:
        port, url = receiver.port, receiver.url
    with pytest.raises(RunError, match="has taken no events for days: ConnectError"):
        await tell(results, url, give_up_after=0.0)
    with Receiver(port) as receiver:
        assert (await tell(results, url))[0]
        assert len(receiver.events) == 5


async def test_a_slow_receiver_is_waited_for(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY)
    with Receiver() as receiver:
        receiver.before_answer = partial(time.sleep, 0.05)
        assert await tell(results, receiver.url) == (True, [])
        assert receiver.seen == receiver.requests
        assert [event["data"]["record"] for event in receiver.events] == list(range(1, 251))


async def test_a_receiver_whose_answer_has_no_end_is_asked_again_and_holds_nobody_up(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY[:5])
    with Receiver() as receiver:
        receiver.trickles.set()
        with pytest.raises(RunError, match=r"has taken no events for days: (?:TimeoutError|RemoteProtocolError)"):
            await tell(results, receiver.url, give_up_after=0.0, within=0.1)
        receiver.trickles.clear()
        assert await tell(results, receiver.url) == (True, [])
        first, second = receiver.seen
        assert first == second
        assert [event["data"]["record"] for event in receiver.events[-5:]] == [1, 2, 3, 4, 5]


async def test_who_answers_410_is_given_up_until_somebody_says_otherwise(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY[:5])
    with Receiver() as receiver:
        receiver.answers = [410]
        done, said = await tell(results, receiver.url)
        assert not done
        assert said == [f"{receiver.url} answered 410 Gone: it is given up, and gets no more events"]
        with pytest.raises(UsageError, match=r"answered 410 at .*: it was given up"):
            await tell(results, receiver.url)
        assert len(receiver.seen) == 1
        assert await tell(results, receiver.url, again=True) == (True, [])
        assert len(receiver.events) == 5


async def test_each_endpoint_has_a_cursor_of_its_own(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY[:5])
    with Receiver() as one, Receiver() as other:
        await tell(results, one.url)
        await tell(results, other.url)
        assert len(one.events) == len(other.events) == 5
        assert cursor_path(results, one.url) != cursor_path(results, other.url)


async def test_a_request_that_was_under_way_is_repeated_as_it_was(tmp_path: Path) -> None:
    """The process was killed after it had been taken, and the log has grown."""
    results = results_log(tmp_path, MANY[:5])
    with Receiver() as receiver:
        await tell(results, receiver.url)
        path = cursor_path(results, receiver.url)
        done = read_cursor(path)
        write_cursor(path, Cursor(under_way=EventBatch("results", 0, done.results)))
        accepted(results, 6)
        await tell(results, receiver.url)
        assert receiver.requests[0] == receiver.requests[1]
        assert [event["data"]["record"] for event in receiver.events] == [*range(1, 6), *range(1, 6), 6]


async def test_nothing_is_told_to_an_endpoint_whose_certificate_does_not_verify(tmp_path: Path) -> None:
    certificates = issue(tmp_path)
    async with ScriptedServer([Expect("POST"), Close()], tls=certificates.server_context()) as peer:
        receipt, said, _ = await post(f"https://127.0.0.1:{peer.port}/")
    assert receipt is Receipt.NOT_YET
    assert "certificate verify failed" in said
    assert peer.connections == []


async def test_nothing_is_told_to_whom_an_endpoint_refers() -> None:
    taken = reply("HTTP/1.1 200 OK", "Content-Length: 0", "")
    async with ScriptedServer([Expect(""), taken, ReadToEnd()]) as other:
        refers = f"Location: http://127.0.0.1:{other.port}/"
        found = reply("HTTP/1.1 307 Temporary Redirect", refers, "Content-Length: 0", "")
        async with ScriptedServer([Expect("POST"), found, ReadToEnd()]) as peer:
            receipt, said, _ = await post(f"http://127.0.0.1:{peer.port}/")
    assert receipt is Receipt.NOT_YET
    assert said.startswith("307")
    assert other.connections == []


async def post(url: str) -> tuple[Receipt, str, float]:
    """Post a batch to an endpoint, once."""
    endpoint = Endpoint(url, SECRET)
    try:
        return await endpoint.post("msg_1", b"{}")
    finally:
        await endpoint.aclose()


def test_what_came_back_is_told_after_what_became_of_it(tmp_path: Path) -> None:
    """However the two logs grow while they are read."""
    results = results_log(tmp_path, MANY[:1])
    source, cursor = EventSource(results), Cursor()
    told: list[tuple[str, int]] = []

    def step() -> bool:
        batch = source.next(cursor)
        if batch is not None:
            told.extend((event["type"], event["data"]["record"]) for event in source.events(batch))
            cursor.acknowledge(batch)
        return batch is not None

    for record in range(2, 40):
        accepted(results, record)
        bounced(results, record)
        if record % 3:
            step()
    while step():
        pass
    assert len(told) == 39 + 38
    for record in range(2, 40):
        assert told.index(("message.accepted", record)) < told.index(("message.bounced", record))


def test_a_line_that_is_being_written_is_told_when_it_is_whole(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY[:1])
    source, cursor = EventSource(results), Cursor()
    batch = source.next(cursor)
    assert batch is not None
    cursor.acknowledge(batch)
    line = outcome_line(DeliveryResult(record=2, recipient="x@example.org", status=Outcome.REJECTED))
    with results.open("ab") as file:
        file.write(line[:30])
    assert source.next(cursor) is None
    with results.open("ab") as file:
        file.write(line[30:])
    batch = source.next(cursor)
    assert batch is not None
    assert [event["type"] for event in source.events(batch)] == ["message.rejected"]


@pytest.mark.parametrize("octets", [MOST_OCTETS // 2, 2 * MOST_OCTETS])
def test_batches_are_bounded_and_a_longer_line_is_one(tmp_path: Path, octets: int) -> None:
    results = results_log(tmp_path, ())
    with results.open("ab") as file:
        for record in (1, 2, 3):
            result = DeliveryResult(
                record=record, recipient="x@example.org", status=Outcome.REJECTED, reply="x" * octets
            )
            file.write(outcome_line(result))
    source, cursor = EventSource(results), Cursor()
    counts = []
    while (batch := source.next(cursor)) is not None:
        counts.append(len(source.events(batch)))
        cursor.acknowledge(batch)
    assert sum(counts) == 3
    assert max(counts) == 1
    assert MOST_EVENTS == 100


def test_another_log_in_the_place_of_the_one_that_was_told_is_noticed(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY[:5])
    with pytest.raises(UsageError, match="is shorter than what was told of it"):
        EventSource(results).next(Cursor(results=10**6))
    with pytest.raises(UsageError, match=r"is the log of run .*, and another is what was told of"):
        EventSource(results).require(Cursor(results=10, run="another"))
    EventSource(results).require(Cursor(results=10))  # of a version that did not write the run down


def test_two_processes_do_not_tell_one_endpoint(tmp_path: Path) -> None:
    path = cursor_path(tmp_path / "results.jsonl", "https://example.com/")
    with locked(path), pytest.raises(UsageError, match="another process tells this endpoint"), locked(path):
        pass


def test_a_cursor_that_is_none_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "results.events-1.json"
    path.write_text("{")
    with pytest.raises(UsageError, match="the cursor of the events cannot be read"):
        read_cursor(path)


@pytest.mark.parametrize(
    "url", ["http://example.com/", "ftp://example.com/", "example.com", "https://", "https://a b/"]
)
def test_events_are_not_posted_just_anywhere(url: str) -> None:
    with pytest.raises(UsageError, match=r"URL that events|over HTTPS only"):
        require_endpoint(url, SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", f"{SECRET} whsec_x"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(UsageError, match="the secret of the events is none"):
        Endpoint("https://example.com/", secret)
