"""The index of a run's messages ties as a reading of the whole log does, and reads of the log only what is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchsend.feedback.report import FeedbackKind, FeedbackReport
from batchsend.feedback.tying import Tie, tie
from batchsend.listen import index
from batchsend.listen.index import SentIndex
from batchsend.listen.records import SentRecords
from batchsend.message.verp import Verp, make_key
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.results.line import outcome_line
from batchsend.smtp.replies import MAX_REPLY, Reply
from tests.feedback.letters import RUN, results_log

COUNT = 3000


def line(record: int, *, status: Outcome = Outcome.ACCEPTED, shared: bool = False) -> bytes:
    return outcome_line(
        DeliveryResult(
            record=record,
            recipient="shared@example.org" if shared else f"R{record}@example.org",
            status=status,
            message_id=f"<{RUN}.{record}@mail.example.com>",
            stage=Stage.CONTENT,
            code=250,
            reply=f"2.0.0 Accepted: queued as {record:012x} by relay-of-many.example.net",
        )
    )


def reports(verp: Verp, record: int) -> list[FeedbackReport]:
    """Reports about a record, of each kind that can be tied, and of some that cannot."""

    def report(**fields: object) -> FeedbackReport:
        return FeedbackReport(**{"recipient": None, "kind": FeedbackKind.BOUNCED, **fields})  # type: ignore[arg-type]

    return [
        report(addresses=(f"bounce+{verp.token(record)}@mail.example.com",)),
        report(addresses=("bounce+1-aaaaaaaa-aaaaaaaaaaaaaaaa@mail.example.com",), recipient=f"r{record}@example.org"),
        report(message_id=f"<{RUN}.{record}@mail.example.com>"),
        report(envelope_id=f"{RUN}.{record}@mail.example.com"),
        report(relay_id=f"{record:012X}"),
        report(relay_id="relay-of-many.example.net"),
        report(relay_id="accepted"),
        report(relay_id="as"),
        report(recipient=f"r{record}@EXAMPLE.ORG"),
        report(recipient="shared@example.org"),
        report(recipient="nobody@example.org", message_id="<x@elsewhere.example>", relay_id="0123456789zz"),
    ]


@pytest.fixture(params=[97, index.MOST_RECENT])
def listened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, SentIndex]:
    """A log of a few lines and its index, which keeps few entries in memory or all of them."""
    monkeypatch.setattr(index, "MOST_RECENT", request.param)
    results = results_log(tmp_path, ())
    make_key(results)
    return results, SentIndex(SentRecords(results))


def test_it_ties_as_a_reading_of_the_whole_log_does_while_the_log_grows(listened: tuple[Path, SentIndex]) -> None:
    results, own = listened
    key = make_key(results)
    verp = Verp(RUN, lambda: key)
    written = 0
    for until in (1, 2, 400, COUNT):
        with results.open("ab") as file:
            for record in range(written + 1, until + 1):
                status = Outcome.REJECTED if record % 10 == 0 else Outcome.ACCEPTED
                file.write(line(record, status=status, shared=record in (7, 1999)))
        written = until
        asked = [one for record in (1, 2, 7, 10, 399, 1999, COUNT - 1) for one in reports(verp, record)]
        ties = own.tie(asked, key)
        assert ties == tie(asked, results)
    assert ties[:3] == [
        Tie(1, "R1@example.org", "verp"),
        Tie(None, None, "forged"),
        Tie(1, "R1@example.org", "message_id"),
    ]
    assert len(own.recent) < index.MOST_RECENT


def test_of_the_log_only_what_is_new_is_read(listened: tuple[Path, SentIndex]) -> None:
    results, own = listened
    key = make_key(results)
    asked = reports(Verp(RUN, lambda: key), 5)
    with results.open("ab") as file:
        file.writelines(line(record) for record in range(1, COUNT))
    own.tie(asked, key)
    size = results.stat().st_size
    with results.open("ab") as file:
        file.write(line(COUNT))
    before = octets_read()
    assert own.tie(asked, key)[2] == Tie(5, "R5@example.org", "message_id")
    assert octets_read() - before < size // 4
    assert own.tie(reports(Verp(RUN, lambda: key), COUNT), key)[2].record == COUNT


def octets_read() -> int:
    """What this process has read so far, by the system's own count."""
    fields = Path("/proc/self/io").read_text().split()
    return int(fields[fields.index("rchar:") + 1])


def test_another_log_in_its_place_is_read_anew(listened: tuple[Path, SentIndex]) -> None:
    results, own = listened
    key = make_key(results)
    begin = results.read_bytes()
    with results.open("ab") as file:
        file.writelines(line(record) for record in range(1, 300))
    asked = reports(Verp(RUN, lambda: key), 250)
    assert own.tie(asked, key)[2].record == 250
    other = results.with_name("other.jsonl")
    other.write_bytes(begin + line(249))
    other.replace(results)
    ties = own.tie(asked, key)
    assert ties == tie(asked, results)
    assert ties[2].record is None


def test_a_log_that_was_written_anew_in_its_place_is_read_anew(listened: tuple[Path, SentIndex]) -> None:
    results, own = listened
    run_line = results.read_bytes()
    report = FeedbackReport(recipient="r1@example.org", kind=FeedbackKind.BOUNCED)
    results.write_bytes(run_line + line(1) + line(2))
    assert own.tie([report], None) == tie([report], results)
    with results.open("r+b") as file:  # the same inode, and longer than before
        file.truncate(len(run_line))
        file.seek(len(run_line))
        file.write(b"".join(line(record) for record in range(5, 50)))
    assert own.tie([report], None) == tie([report], results)
    assert own.recipient(1) is None
    assert own.recipient(7) == "R7@example.org"


def test_a_reply_of_any_length_hides_nobody(tmp_path: Path) -> None:
    """A server may say 32 KiB, of which the log escapes each octet; whoever had the message can still unsubscribe."""
    results = results_log(tmp_path, ())
    said = DeliveryResult(
        record=1,
        recipient="r1@example.org",
        status=Outcome.ACCEPTED,
        message_id=f"<{RUN}.1@mail.example.com>",
        stage=Stage.CONTENT,
        code=250,
        reply=Reply(250, b"\x1b" * MAX_REPLY).text,
    )
    with results.open("ab") as file:
        file.write(outcome_line(said) + line(2))
    records = SentRecords(results)
    records.follow()
    assert [records.recipient(record) for record in (1, 2)] == ["r1@example.org", "R2@example.org"]
    report = FeedbackReport(recipient="r1@example.org", kind=FeedbackKind.BOUNCED)
    assert SentIndex(records).tie([report], None) == tie([report], results) == [Tie(1, "r1@example.org", "address")]
