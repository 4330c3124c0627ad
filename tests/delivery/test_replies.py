"""What replies mean: the table, the rules for what is not in it, and how much they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchsend.delivery.replies import POLICIES, advice, entries, judge, judge_by_rules, parse, policy_of, usual_stage
from batchsend.delivery.replies.kinds import kind_of
from batchsend.outcome import Outcome, Stage
from batchsend.smtp.replies import Reply
from batchsend.verdict import Reason, Scope, Verdict

if TYPE_CHECKING:
    from batchsend.delivery.replies import Entry

LIMITS = {Verdict.SESSION_FULL, Verdict.CONNECTIONS, Verdict.PACE, Verdict.QUOTA}
GOES_BACK = LIMITS | {Verdict.RELAY}

# Wordings that say so little, or another thing than they mean, that only the table can know them.
ONLY_THE_TABLE_KNOWS = 5


def shown(entry: Entry) -> str:
    return f"{entry.line}-{entry.provider}"


@pytest.mark.parametrize("entry", entries(), ids=shown)
def test_the_table_says_of_each_wording_what_it_means(entry: Entry) -> None:
    judgement = judge(entry.stage, parse(entry.reply))
    assert (judgement.verdict, judgement.reason) == (entry.verdict, entry.reason)
    assert judgement.entry is not None
    assert judgement.provider == judgement.entry.provider


@pytest.mark.parametrize("entry", entries(), ids=shown)
def test_the_table_says_at_which_stage_a_wording_is_heard(entry: Entry) -> None:
    reply = parse(entry.reply)
    assert judge(usual_stage(reply), reply).verdict is entry.verdict


@pytest.mark.parametrize("entry", entries(), ids=shown)
def test_a_limit_in_the_table_is_never_an_outcome(entry: Entry) -> None:
    judgement = judge(entry.stage, parse(entry.reply))
    assert (judgement.outcome is None) == (entry.verdict in GOES_BACK)
    if judgement.outcome is Outcome.REJECTED:
        assert parse(entry.reply).code >= 500


def test_the_table_is_large_enough_and_says_where_it_is_from() -> None:
    table = entries()
    assert len({entry.reply for entry in table}) >= 250
    assert len({entry.provider for entry in table}) >= 40
    assert all(entry.source.startswith(("http", "RFC")) for entry in table)
    assert {entry.verdict for entry in table} == set(Verdict) - {Verdict.ACCEPTED}


def test_the_table_has_no_wording_twice() -> None:
    keys = [(parse(entry.reply).code, kind_of(parse(entry.reply).raw), entry.stage) for entry in entries()]
    assert len(set(keys)) == len(keys)


def test_the_table_speaks_of_nobody() -> None:
    for entry in entries():
        for word in entry.reply.replace("<", " ").replace(">", " ").split():
            if "@" in word and word.strip(".,:()[]"):
                assert "example" in word or word.startswith("@"), entry


def test_the_rules_know_what_they_were_made_for() -> None:
    """Without the table nearly all of it is judged alike: what nobody has seen yet is, too."""
    wrong = [
        entry for entry in entries() if judge_by_rules(entry.stage, parse(entry.reply)).verdict is not entry.verdict
    ]
    assert len(wrong) <= ONLY_THE_TABLE_KNOWS, wrong


def test_each_verdict_has_its_policy_and_each_reason_its_advice() -> None:
    assert set(POLICIES) == set(Verdict)
    for verdict in Verdict:
        assert advice(verdict, None)
        for reason in Reason:
            assert advice(verdict, reason).endswith(".")
    assert policy_of(Verdict.LATER, 421).scope is Scope.SESSION
    assert policy_of(Verdict.LATER, 450).scope is Scope.RECIPIENT


@pytest.mark.parametrize("stage", Stage)
def test_2yz_is_accepted(stage: Stage) -> None:
    judgement = judge(stage, Reply(250, b"2.0.0 Ok: queued; daily quota exceeded"))
    assert (judgement.verdict, judgement.outcome) == (Verdict.ACCEPTED, Outcome.ACCEPTED)
