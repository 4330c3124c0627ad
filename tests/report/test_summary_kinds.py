"""The summary at the end of a run: refusals of one kind are one line, whoever they are about."""

from __future__ import annotations

import re

import pytest

from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.run.summary import Summary


def refusal(record: int, text: str, *, code: int = 550, reason: str | None = None) -> DeliveryResult:
    return DeliveryResult(
        record=record,
        recipient=f"r{record}@example.com",
        status=Outcome.REJECTED if code >= 500 else Outcome.DEFERRED,
        stage=Stage.RCPT,
        code=code,
        reply=text,
        reason=reason,
        attempt=1,
        session=1,
    )


def lines(summary: Summary) -> list[str]:
    return [line.strip() for line in summary.lines()]


def test_refusals_that_differ_in_address_and_id_are_one_line() -> None:
    summary = Summary()
    for record in range(1, 301):
        summary.count(refusal(record, f"<r{record}@example.com>: no such user (queue id 4F{record:06X})"))
    assert "300 rejected: 550 <…@…>: no such user (queue id #)" in lines(summary)
    assert len(summary.kinds) == 1


def test_refusals_with_different_codes_are_not() -> None:
    summary = Summary()
    for record, code in enumerate((550, 550, 551, 551), 1):
        summary.count(refusal(record, f"<r{record}@example.com>: no", code=code))
    assert {"2 rejected: 550 <…@…>: no", "2 rejected: 551 <…@…>: no"} <= set(lines(summary))


def test_what_was_said_once_is_shown_as_it_was_said() -> None:
    summary = Summary()
    summary.count(refusal(1, "<r1@example.com>: no such user"))
    assert "1 rejected: 550 <r1@example.com>: no such user" in lines(summary)


def test_the_one_that_is_left_is_not_shown_in_the_words_of_another() -> None:
    summary = Summary()
    first, second = refusal(1, "<r1@example.com>: later", code=450), refusal(2, "<r2@example.com>: later", code=450)
    summary.count(first)
    summary.count(second)
    accepted = DeliveryResult(record=1, recipient="r1@example.com", status=Outcome.ACCEPTED, code=250, attempt=2)
    summary.count(accepted, first)
    assert "1 deferred: 450 <…@…>: later" in lines(summary)
    assert (summary.counts[Outcome.ACCEPTED], summary.counts[Outcome.DEFERRED]) == (1, 1)


def test_what_was_no_refusal_leaves_none_behind_when_it_is_taken_back() -> None:
    """An outcome that is superseded by in doubt may have been accepted, or deferred and waiting."""
    summary = Summary()
    in_doubt = DeliveryResult(record=1, recipient="r1@example.com", status=Outcome.IN_DOUBT, reason="shifted replies")
    accepted = DeliveryResult(record=1, recipient="r1@example.com", status=Outcome.ACCEPTED, code=250, attempt=1)
    summary.count(accepted)
    summary.count(in_doubt, accepted)
    summary.count(in_doubt, refusal(1, "later", code=450))
    assert dict(summary.kinds) == {(Outcome.IN_DOUBT, "shifted replies"): 2}


def test_a_kind_that_was_taken_back_whole_is_gone() -> None:
    summary = Summary()
    rejected = refusal(1, "no")
    summary.count(rejected)
    summary.count(DeliveryResult(record=1, recipient="r1@example.com", status=Outcome.ACCEPTED, code=250), rejected)
    assert dict(summary.kinds) == {}


def test_a_reason_of_ours_takes_the_place_of_the_text() -> None:
    summary = Summary()
    for record in (1, 2):
        summary.count(refusal(record, f"5.1.1 <r{record}@example.com>", reason="unknown mailbox"))
    assert "2 rejected: 550 unknown mailbox" in lines(summary)


def test_what_a_reason_quotes_of_its_record_is_no_kind_of_its_own() -> None:
    summary = Summary()
    for record in (1, 2):
        reason = f"recipient 'number {record}' is not an address: it contains a space"
        summary.count(DeliveryResult(record=record, recipient=None, status=Outcome.INVALID, reason=reason))
    assert "2 invalid: recipient … is not an address: it contains a space" in lines(summary)


def test_the_name_of_a_missing_variable_is_shown() -> None:
    summary = Summary()
    for record in (1, 2):
        reason = "message.text: 'town' is undefined"
        summary.count(DeliveryResult(record=record, recipient=None, status=Outcome.INVALID, reason=reason))
    assert "2 invalid: message.text: 'town' is undefined" in lines(summary)


def test_it_names_each_outcome_that_there_was_and_the_accepted_in_any_case() -> None:
    summary = Summary()
    for record, code in enumerate((550, 550, 450), 1):
        summary.count(refusal(record, "no", code=code))
    assert "accepted 0 · rejected 2 · deferred 1" in lines(summary)


def test_an_outcome_that_no_record_has_is_not_counted_as_none() -> None:
    summary = Summary()
    summary.give_up_waiting()
    assert dict(summary.counts) == {}
    first = refusal(1, "<r1@example.com>: later", code=450)
    first.server = "one"
    summary.count(first)
    summary.count(
        DeliveryResult(record=1, recipient="r1@example.com", status=Outcome.ACCEPTED, attempt=2, server="two"), first
    )
    assert dict(summary.counts) == {Outcome.ACCEPTED: 1}
    assert {name: dict(counts) for name, counts in summary.servers.items()} == {"two": {Outcome.ACCEPTED: 1}}
    summary.waiting = 2
    summary.give_up_waiting()
    assert dict(summary.counts) == {Outcome.ACCEPTED: 1, Outcome.DEFERRED: 2}


def test_what_was_said_at_length_is_shortened_to_100_characters() -> None:
    summary = Summary()
    for record, length in enumerate((100, 101), 1):
        words = f"{'ab'[record - 1]} {'long ' * 30}"
        summary.count(refusal(record, "5.1.1 no", reason=words[: length - len("550 ") - 1] + "."))
    shown = sorted(line.partition(": ")[2] for line in lines(summary) if "1 rejected: " in line)
    assert [len(said) for said in shown] == [100, 100]
    assert [said[-1] for said in shown] == [".", "…"]


def test_kinds_are_in_the_order_of_their_number_and_then_of_their_words() -> None:
    summary = Summary()
    for record, reason in enumerate(("mailbox full", "spam", "blocked", "spam"), 1):
        summary.count(refusal(record, "no", reason=reason))
    shown = [line for line in lines(summary) if " rejected: " in line]
    assert shown == ["2 rejected: 550 spam", "1 rejected: 550 blocked", "1 rejected: 550 mailbox full"]


def test_no_more_than_a_thousand_kinds_are_told_apart_however_many_there_are() -> None:
    summary = Summary()
    for record in range(1, 1101):
        summary.count(refusal(record, "no", reason=f"reason {record}"))
    assert (len(summary.kinds), summary.records) == (1000, 1100)


def test_a_new_one_is_of_nothing_and_rounds_what_it_has_counted() -> None:
    summary = Summary()
    assert (summary.records, summary.sessions, summary.elapsed) == (0, 0, 0.0)
    assert (summary.rate, summary.complete) == (0.0, True)
    summary.count(refusal(1, "<r1@example.com>: no such user"))
    summary.elapsed = 2.99971
    described = summary.to_json()
    assert (described["records"], described["elapsed"], described["rate"]) == (1, 3.0, 0.3)
    assert not {"servers", "passed_over"} & described.keys(), "there is one relay, and no where"
    (of_two := refusal(2, "<r2@example.com>: no such user")).server = "two"
    summary.count(of_two)
    assert summary.to_json()["servers"] == {"two": {"rejected": 1}}


def test_what_it_is_shown_as_has_what_its_attributes_are_called() -> None:
    summary = Summary()
    summary.count(refusal(1, "<r1@example.com>: no such user"))
    shown = set(re.findall(r"(\w+)=", repr(summary)))
    assert "kinds" in shown
    assert [name for name in shown if name.startswith("_")] == []


def test_of_a_run_without_trouble_there_are_two_lines() -> None:
    summary = Summary(elapsed=0.5)
    for record in (1, 2):
        summary.count(
            DeliveryResult(record=record, recipient="r@example.com", status=Outcome.ACCEPTED, code=250, session=1)
        )
    assert (summary.rate, summary.sessions) == (4.0, 1)
    assert lines(summary) == ["2 records in 0.5 s (4/s) over 1 session", "accepted 2"]


def test_what_a_rehearsal_has_found_is_ready_and_not_accepted() -> None:
    summary = Summary(ready=3, passed_over=4)
    assert (summary.records, summary.complete, summary.to_json()["passed_over"]) == (3, True, 4)
    assert lines(summary)[1:] == ["ready to send 3", "4 passed over: where does not hold for them"]
    summary.count(refusal(4, "no"))
    assert (summary.records, summary.complete) == (4, False)
    summary = Summary(ready=3, stopped="enough")
    assert not summary.complete


@pytest.mark.parametrize(
    ("kinds", "others"), [(7, []), (8, []), (9, ["… and 1 other kind"]), (10, ["… and 2 other kinds"])]
)
def test_eight_kinds_are_shown_and_the_others_counted(kinds: int, others: list[str]) -> None:
    summary = Summary()
    for record in range(1, kinds + 1):
        summary.count(refusal(record, "no", reason=f"reason {record}"))
    shown = lines(summary)
    assert len([line for line in shown if line.startswith("1 rejected: ")]) == min(8, kinds)
    assert [line for line in shown if "other" in line] == others


@pytest.mark.parametrize(
    ("left", "said"),
    [(0, []), (None, []), (1, ["1 record"]), (99_999, ["99,999 records"]), (100_000, ["more than 100,000 records"])],
)
def test_what_a_limit_has_left_is_counted_up_to_a_hundred_thousand(left: int | None, said: list[str]) -> None:
    summary = Summary(left=left, learned={"max_messages": 20.0})
    assert lines(summary)[2:] == [
        *(f"left by --limit: {one}" for one in said),
        "learned from the server: max_messages = 20",
    ]
