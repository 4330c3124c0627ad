"""What replies mean: the table, the rules for what is not in it, and how much they cost."""

from __future__ import annotations

import re
import tracemalloc
from itertools import product
from pathlib import Path
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.delivery.replies import (
    POLICIES,
    advice,
    entries,
    judge,
    judge_by_rules,
    kinds,
    parse,
    phrases,
    refusals,
    rules,
    table,
    usual_stage,
    waiting,
)
from batchsend.delivery.replies.family import WordFamily
from batchsend.outcome import Outcome, Stage
from batchsend.smtp.replies import Reply
from batchsend.verdict import Reason, Scope, Verdict

if TYPE_CHECKING:
    from batchsend.delivery.replies import Judgement, WordingEntry

LIMITS = {Verdict.SESSION_FULL, Verdict.CONNECTIONS, Verdict.PACE, Verdict.QUOTA}
GOES_BACK = LIMITS | {Verdict.RELAY}

# Wordings that say so little, or another thing than they mean, that only the table can know them.
ONLY_THE_TABLE_KNOWS = 7


def shown(entry: WordingEntry) -> str:
    return f"{entry.line}-{entry.provider}"


def judged() -> list[tuple[WordingEntry, Judgement]]:
    """Each wording of the table, and what it is judged to mean."""
    return [(entry, judge(entry.stage, parse(entry.reply))) for entry in entries()]


def test_the_table_says_of_each_wording_what_it_means() -> None:
    wrong = {
        shown(entry): judgement
        for entry, judgement in judged()
        if (judgement.verdict, judgement.reason) != (entry.verdict, entry.reason)
        or judgement.entry is None
        or judgement.provider != judgement.entry.provider
    }
    assert wrong == {}


def test_the_table_says_at_which_stage_a_wording_is_heard() -> None:
    said = [(entry, parse(entry.reply)) for entry in entries()]
    wrong = [shown(entry) for entry, reply in said if judge(usual_stage(reply), reply).verdict is not entry.verdict]
    assert wrong == []


def test_a_limit_in_the_table_is_never_an_outcome() -> None:
    wrong = {
        shown(entry): judgement
        for entry, judgement in judged()
        if (judgement.outcome is None) != (entry.verdict in GOES_BACK or judgement.scope is Scope.SESSION)
        or (judgement.outcome is Outcome.REJECTED and parse(entry.reply).code < 500)
    }
    assert wrong == {}


def test_the_table_is_large_enough_and_says_where_it_is_from() -> None:
    known = entries()
    assert len({entry.reply for entry in known}) >= 250
    assert len({entry.provider for entry in known}) >= 40
    assert all(entry.source.startswith(("http", "RFC")) for entry in known)
    assert {entry.verdict for entry in known} == set(Verdict) - {Verdict.ACCEPTED}


def test_the_table_has_no_wording_twice() -> None:
    keys = [(parse(entry.reply).code, kinds.kind_of(parse(entry.reply).raw), entry.stage) for entry in entries()]
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


def test_a_number_of_four_digits_is_a_number_as_any_other() -> None:
    assert kinds.kind_of(b"2500 of 2500 sent, see RFC 5322") == kinds.kind_of(b"250 of 250 sent, see RFC 5322")


@pytest.mark.parametrize("unit", ["hour", "1h", "24 hours", "day", "min", "month"])
def test_a_rate_is_not_the_end_of_a_line(unit: str) -> None:
    assert parse(f"550 limited to 100 messages / {unit}").text == f"limited to 100 messages / {unit}"


def test_each_verdict_has_its_policy_and_each_reason_its_advice() -> None:
    assert set(POLICIES) == set(Verdict)
    for verdict in Verdict:
        assert advice(verdict, None)
        for reason in Reason:
            assert advice(verdict, reason).endswith(".")


@pytest.mark.parametrize("stage", Stage)
def test_2yz_is_accepted(stage: Stage) -> None:
    judgement = judge(stage, Reply(250, b"2.0.0 Ok: queued; daily quota exceeded"))
    assert (judgement.verdict, judgement.outcome) == (Verdict.ACCEPTED, Outcome.ACCEPTED)


WORDINGS = Path(__file__).parent / "wordings"
"""Invented wordings, one a line: of each family of limits, and look-alikes about one message or recipient."""


ENHANCED = re.compile(r"^[245](\.\d+\.\d+) ")
CODES = (421, 450, 451, 452, 454, 550, 552, 554)


def in_other_codes(said: str) -> list[Reply]:
    """A wording as servers say it with other codes, with and without its enhanced code."""
    reply = parse(said)
    texts = {reply.text, ENHANCED.sub("", reply.text)}
    return [
        Reply(code, ENHANCED.sub(lambda found, code=code: f"{code // 100}{found[1]} ", text).encode())  # type: ignore[misc]
        for code in CODES
        for text in texts
    ]


def wordings(name: str) -> list[str]:
    return (WORDINGS / f"{name}.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT])
@pytest.mark.parametrize("family", sorted(GOES_BACK))
def test_a_limit_is_never_a_rejection_however_it_is_put(family: Verdict, stage: Stage) -> None:
    found = [(said, judge_by_rules(stage, parse(said))) for said in wordings(family.value)]
    assert found
    assert [one for one in found if one[1].outcome is not None or one[1].verdict is not family] == []


@pytest.mark.parametrize("family", sorted(LIMITS))
def test_a_limit_is_no_rejection_whatever_its_code(family: Verdict) -> None:
    found = [
        (stage, reply, judge_by_rules(stage, reply))
        for said in wordings(family.value)
        for reply in in_other_codes(said)
        for stage in (Stage.MAIL, Stage.RCPT, Stage.CONTENT)
    ]
    assert [one for one in found if one[2].outcome is Outcome.REJECTED] == []


def test_what_is_about_one_is_about_nobody_else_whatever_its_code() -> None:
    found = [
        (reply, judge_by_rules(Stage(stage), reply))
        for said, stage in (line.split("|") for line in wordings("one"))
        for reply in in_other_codes(said)
    ]
    assert [one for one in found if one[1].verdict in GOES_BACK] == []


@pytest.mark.parametrize("line", wordings("one"))
def test_what_is_about_one_message_or_recipient_is_never_about_the_relay(line: str) -> None:
    said, stage = line.split("|")
    judgement = judge_by_rules(Stage(stage), parse(said))
    assert judgement.verdict not in GOES_BACK, judgement
    assert judgement.scope in (Scope.RECIPIENT, Scope.MESSAGE), judgement


@pytest.mark.parametrize(
    "family", [Verdict.QUOTA, Verdict.PACE, Verdict.CONNECTIONS, Verdict.SESSION_FULL, Verdict.RELAY]
)
def test_there_are_enough_wordings_to_mean_something(family: Verdict) -> None:
    assert len(set(wordings(family.value))) >= 60
    assert len(set(wordings("one"))) >= 60


@pytest.mark.parametrize(
    ("said", "stage", "verdict", "reason"),
    [line.split("|") for line in wordings("mixed")],
)
def test_other_wordings_that_are_not_in_the_table(said: str, stage: str, verdict: str, reason: str) -> None:
    judgement = judge_by_rules(Stage(stage), parse(said))
    assert (judgement.verdict, judgement.reason or "") == (verdict, reason)


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.CONTENT])
@pytest.mark.parametrize(
    "said",
    [
        "450 Requested mail action not taken: mailbox unavailable",
        "450 4.2.0 Mailbox unavailable, try again later",
        "451 4.1.1 User unknown for now",
        "450 4.1.1 <u1@example.com>: Recipient address rejected: unverified address",
        "450 4.2.1 Mailbox disabled",
    ],
)
def test_a_mailbox_that_is_unavailable_for_now_stays_on_the_list(said: str, stage: Stage) -> None:
    judgement = judge(stage, parse(said))
    assert (judgement.verdict, judgement.outcome) == (Verdict.LATER, Outcome.DEFERRED)
    assert judgement.reason is Reason.MAILBOX_UNAVAILABLE
    assert "off the list" not in advice(judgement.verdict, judgement.reason)


def test_microsofts_access_denied_is_an_unknown_recipient() -> None:
    judgement = judge(
        Stage.RCPT, parse("550 5.4.1 [u9@example.net]: Recipient address rejected: Access denied. AS(201806281)")
    )
    assert (judgement.verdict, judgement.reason) == (Verdict.REFUSED, Reason.UNKNOWN_MAILBOX)


def test_an_enhanced_code_of_another_class_is_not_believed() -> None:
    """RFC 2034 §4: its class is the code's first digit."""
    assert judge_by_rules(Stage.RCPT, parse("450 5.1.1 no")).reason is None
    assert judge_by_rules(Stage.RCPT, parse("550 4.2.2 no")).verdict is Verdict.REFUSED
    assert judge_by_rules(Stage.RCPT, parse("550 5.1.1 no")).verdict is Verdict.MAILBOX


def test_552_to_rcpt_without_words_is_452() -> None:
    """RFC 5321 §4.5.3.1.10."""
    assert judge(Stage.RCPT, parse("552 no")).outcome is Outcome.DEFERRED
    assert judge(Stage.RCPT, parse("552 Too many recipients")).outcome is Outcome.DEFERRED


def test_421_says_what_its_words_say_and_without_them_ends_a_session() -> None:
    assert judge(Stage.RCPT, parse("421 closing")).scope is Scope.SESSION
    assert judge(Stage.RCPT, parse("421 closing")).verdict is Verdict.LATER
    assert judge(Stage.RCPT, parse("421 closing")).outcome is None
    of_one = judge(Stage.RCPT, parse("421 4.2.1 The recipient is receiving mail too quickly"))
    assert (of_one.verdict, of_one.outcome, of_one.scope) == (Verdict.LATER, Outcome.DEFERRED, Scope.RECIPIENT)
    for said, verdict in (
        ("421 daily quota exceeded", Verdict.QUOTA),
        ("421 slow down", Verdict.PACE),
        ("421 too many connections", Verdict.CONNECTIONS),
        ("421 your account is suspended", Verdict.RELAY),
    ):
        for stage in (Stage.GREETING, Stage.MAIL, Stage.RCPT, Stage.CONTENT):
            assert judge(stage, parse(said)).verdict is verdict


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.AUTH])
@pytest.mark.parametrize("code", [530, 534, 535, 538])
def test_a_code_of_logins_is_about_ours_whatever_is_said_with_it_and_wherever(code: int, stage: Stage) -> None:
    """RFC 4954 §6: some servers find out at MAIL or later only, and no record is rejected for that."""
    judgement = judge(stage, Reply(code, b"5.7.9 That is not strong enough here"))
    assert (judgement.verdict, judgement.reason) == (Verdict.RELAY, Reason.CREDENTIALS)


@pytest.mark.parametrize("code", [534, 535, 538])
def test_a_code_of_logins_is_one_of_auth_where_nobody_says_of_what_it_is(code: int) -> None:
    assert usual_stage(Reply(code, b"5.7.9 That is not strong enough here")) is Stage.AUTH


@pytest.mark.parametrize("said", ["503 5.5.1 BDAT command not allowed here", "502 CHUNKING is not implemented"])
def test_a_refused_bdat_says_nothing_of_the_message(said: str) -> None:
    assert judge(Stage.CONTENT, parse(said)).outcome is None
    assert judge(Stage.RCPT, parse(said)).outcome is Outcome.REJECTED, "no BDAT has been sent by then"


def test_530_to_one_recipient_may_be_a_group_of_its_own_people() -> None:
    said = parse("530 5.7.1 Client was not authenticated")
    assert judge(Stage.RCPT, said).verdict is Verdict.REFUSED
    assert judge(Stage.MAIL, said).verdict is Verdict.RELAY
    assert judge(Stage.RCPT, parse("530 5.7.0 Authentication required")).verdict is Verdict.RELAY


@given(st.integers(400, 599), st.binary(max_size=1500), st.sampled_from(Stage))
def test_any_reply_has_a_verdict_and_no_4yz_is_a_rejection(code: int, raw: bytes, stage: Stage) -> None:
    judgement = judge(stage, Reply(code, raw.replace(b"\r", b" ")))
    assert (judgement.outcome is None) == (judgement.verdict in GOES_BACK or judgement.scope is Scope.SESSION)
    if code < 500:
        assert judgement.outcome is not Outcome.REJECTED
    assert judgement.verdict is not Verdict.ACCEPTED


@given(st.lists(st.sampled_from(["too many", "limit", "exceeded", "0", "mailbox", "@", "connection", ".", "sender"])))
def test_the_same_kind_means_the_same(words: list[str]) -> None:
    """Ids, addresses and numbers change nothing."""
    text = " ".join(words)
    one, other = (
        text.replace("@", address).replace("0", number)
        for address, number in (("a@b.example", "7"), ("c@d.example", "4711"))
    )
    assert judge(Stage.RCPT, Reply(550, one.encode())) == judge(Stage.RCPT, Reply(550, other.encode()))


def test_replies_that_differ_in_ids_are_one_kind() -> None:
    found = {
        kinds.kind_of(
            f"5.1.1 <u{n}@example{n}.com>: unknown at mx{n}.example.net (192.0.2.{n % 256}) id q{n:012x}".encode()
        )
        for n in range(1000, 2000)
    }
    assert len(found) == 1


@pytest.mark.parametrize("digit", ["", "7"])
def test_the_hosts_that_replies_name_are_not_kept(digit: str) -> None:
    replies = [f"blocked by {''.join(name)}{digit}.example.net".encode() for name in product("ab", repeat=11)]
    for _ in replies:  # Python keeps up to 2000 tuples of a length for later
        kinds.kind_of(replies[0])
    tracemalloc.start()
    try:
        found = {kinds.kind_of(one) for one in replies}
        kept = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    assert len(found) == 1
    # What other threads of this process allocate meanwhile is not counted.
    here = kept.filter_traces(
        [tracemalloc.Filter(inclusive=True, filename_pattern=name) for name in (kinds.__file__, __file__)]
    )
    octets = sum(trace.size for trace in here.traces)
    assert octets < 20 * len(replies), "less than the hosts themselves"


def expressions() -> list[tuple[str, str]]:
    """Every expression that a reply's text is looked at with: of a family all of its alternatives together."""
    found: list[tuple[str, str]] = []
    for module in (kinds, phrases, refusals, rules, table, waiting):
        for name, value in dict[str, Any](vars(module)).items():
            if callable(getattr(value, "fullmatch", None)) and not isinstance(value, type | ModuleType):
                text = value.pattern.pattern if isinstance(value, WordFamily) else value.pattern
                found.append(
                    (f"{module.__name__.rpartition('.')[2]}.{name}", text.decode() if isinstance(text, bytes) else text)
                )
    return found


def test_every_expression_is_looked_at() -> None:
    assert len(expressions()) > 80


@pytest.mark.parametrize(("name", "expression"), expressions())
def test_no_expression_repeats_what_repeats(name: str, expression: str) -> None:
    """A repeat without a bound never holds another one: the steps grow with the text, not with a power of it."""
    assert not nested(parser.parse(expression)), name


def nested(parsed: Any, *, inside: bool = False) -> bool:
    """Whether a repeat without a bound is within one that can go on for long."""
    for operation, argument in parsed:
        if str(operation) in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            _, most, body = argument
            if inside and most == parser.MAXREPEAT:
                return True
            if nested(body, inside=inside or most == parser.MAXREPEAT):
                return True
        elif any(nested(inner, inside=inside) for inner in parts(argument)):
            return True
    return False


def parts(argument: Any) -> list[Any]:
    """The sequences within an operation's argument: of a group, a branch, a look-ahead."""
    if isinstance(argument, parser.SubPattern):
        return [argument]
    if isinstance(argument, tuple | list):
        return [inner for piece in argument for inner in parts(piece)]
    return []


@given(st.binary(max_size=20_000))
def test_what_is_looked_at_has_a_bound(raw: bytes) -> None:
    """Words and text are bounded, so that a gap between two words is, too."""
    words = kinds.kind_of(raw)
    assert sum(map(len, words)) <= 4 * kinds.READ
    assert all(len(word) <= 4 * 64 for word in words)
    assert words == kinds.kind_of(raw[: kinds.READ])


def test_a_nested_repeat_would_be_found() -> None:
    assert nested(parser.parse(r"(?:a|(?:b+c)*)"))
    assert not nested(parser.parse(r"(?:[a-z]+ ){0,5}x"))
