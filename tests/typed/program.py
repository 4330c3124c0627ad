# pyright: strict
"""A program that uses every public name as its types promise; read by type checkers, and never run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable  # noqa: TC003 - a program imports what it uses
from email.message import EmailMessage  # noqa: TC003 - a program imports what it uses
from pathlib import Path
from typing import Any, assert_type

import batchsend
from batchsend import (
    Batch,
    BatchsendError,
    Campaign,
    Choice,
    Delivery,
    DeliveryResult,
    Duration,
    Envelope,
    Message,
    Outcome,
    Rate,
    RecordError,
    RecordErrorKind,
    Resumption,
    RunError,
    Secret,
    Sender,
    Server,
    SessionError,
    Stage,
    Submission,
    Summary,
    SyncSender,
    Template,
    Timeouts,
    UnfinishedError,
    UsageError,
    __version__,
    load,
    send,
)
from batchsend.campaign import Attachment, Dkim
from batchsend.delivery.statistics import PoolStatistics
from batchsend.results.format import OutcomeLine  # noqa: TC001 - likewise

server = Server(host="smtp.example.com", username="u", password="p", rate="14/s", quota="500/h")
by_preset = Server(preset="sendgrid", password="p", rate="14/s")
assert_type(by_preset.host, str)
delivery = Delivery(rate="5/s", retry_after="30s", timeouts=Timeouts(connect=5, data="2m"), suppress=["a.txt"])
message = Message(from_="shop@example.com", subject="Hello, {{ name }}", text="It is on its way.")
from_files = Message(
    from_="shop@example.com",
    subject="Hello",
    text_file="order.txt",
    attachments=["terms.pdf", Attachment(file="a.pdf", name="b.pdf")],
    dkim=[Dkim(domain="example.com", selector="s", key_file="dkim.pem")],
)
assert_type(from_files.text_file, Path | None)
assert_type(from_files.dkim, tuple[Dkim, ...])
assert_type(delivery.rate, Rate | None)
assert_type(delivery.retry_after, Duration)
assert_type(server.password, Secret | None)

submission = Submission(
    record=1, envelope=Envelope("a@example.com", "b@example.com", also=("c@example.com",)), content=b""
)
assert_type(submission.envelope.recipients, tuple[str, ...])
assert_type(Template(message).render({"email": "ada@example.com", "name": "Ada"}), Submission)


def named(one: EmailMessage) -> str | None:
    """What a message is called."""
    return str(one["X-Order"])


def version() -> str:
    """Of the library."""
    return __version__


async def service(mail: EmailMessage) -> list[DeliveryResult]:
    """One sender, used in each way there is."""
    async with Sender(server, delivery=delivery, results=Path("mail.jsonl"), retry=Choice(["in_doubt"])) as sender:
        assert_type(await sender.send_message(mail, key="order 17"), list[DeliveryResult])
        assert_type(await sender.send_message(submission), DeliveryResult)
        assert_type(await sender.send_message(mail, sender="", recipients=["a@example.com"]), list[DeliveryResult])
        async for result in sender.send([mail, submission], key=named):
            assert_type(result.status, Outcome)
            assert_type(result.stage, Stage | None)
        if (now := sender.statistics) is not None:
            assert_type(now.goodput, float)
        return await sender.send_all([mail])


def script(mail: EmailMessage) -> None:
    """The same without a loop."""
    with SyncSender(server, delivery=delivery, results="mail.jsonl") as sender:
        assert_type(sender.send_message(mail), list[DeliveryResult])
        assert_type(sender.send_message(submission), DeliveryResult)
        assert_type(sender.send_all([mail, submission]), list[DeliveryResult])
        for result in sender.send([mail], key=named):
            assert_type(result, DeliveryResult)


async def campaign() -> Summary:
    """A campaign, from its file to its end."""
    loaded = load("campaign.toml")
    assert_type(loaded, Campaign)
    async for result in Batch(loaded, recipients=[{"email": "ada@example.com"}]).results():
        assert_type(result, DeliveryResult)
    with Resumption(loaded.results, Choice()) as past:
        batch = Batch(loaded, resumption=past)
        assert_type(batch.progress, float | None)
        return await batch.run()


async def looked_into(batch: Batch, past: Resumption, choice: Choice) -> None:
    """What else a run, a log and a choice say of themselves."""
    await batch.prepare()
    assert_type(await batch.rehearse(), Summary)
    batch.stop("it is enough")
    assert_type(batch.id, str)
    assert_type(batch.complete, bool)
    assert_type(batch.left, int | None)
    assert_type(batch.counts, Counter[Outcome])
    assert_type(batch.summary, Summary)
    print(batch.meters, batch.outlook, batch.rest, batch.steering, past.account, past.in_flight)
    assert_type(past.path, Path)
    assert_type(past.counts, Counter[Outcome])
    assert_type(past.distrusted, bool)
    assert_type(past.is_open, bool)
    assert_type(past.hand_over_file(), int)
    assert_type(past.sends(Outcome.DEFERRED), bool)
    assert_type(Outcome.DEFERRED.is_failure, bool)
    assert_type(past.next_attempt(1), int)
    assert_type(past.was_offered(1), bool)
    assert_type(choice.statuses, frozenset[Outcome])
    assert_type(choice.asks_for_codes, bool)
    chosen: Callable[[OutcomeLine], bool] = choice.wants
    print(chosen)


def values(result: DeliveryResult, choice: Choice, summary: Summary, blocking: SyncSender) -> None:
    """What small things say of themselves."""
    assert_type(result.status.label, str)
    assert_type(choice.has_code(result), bool)
    assert_type(Rate(5, 1).checked(), Rate)
    assert_type((Rate(5, 1).count, Rate(5, 1).seconds, Rate(5, 1).per_second), tuple[float, float, float])
    assert_type(Duration(5).checked(), Duration)
    assert_type((summary.complete, summary.records), tuple[bool, int])
    assert_type(summary.to_json(), dict[str, Any])
    assert_type(list(summary.lines()), list[str])
    summary.count(result)
    summary.give_up_waiting()
    assert_type(blocking.statistics, PoolStatistics | None)
    blocking.open()
    blocking.close()
    Sender(server).unclaimed(result)
    print(delivery.schedule)


def errors() -> None:
    """Each is what it says."""
    try:
        assert_type(send("campaign.toml", limit=3), Summary)
    except UnfinishedError as error:
        assert_type(error.results, list[DeliveryResult])
    except RecordError as error:
        assert_type(error.kind, RecordErrorKind)
    except (RunError, SessionError, UsageError) as error:
        assert_type(error.remedy, str | None)
    except BatchsendError as error:
        print(error.message, batchsend.Rate.parse("5/s"), Duration.parse("30s"))
