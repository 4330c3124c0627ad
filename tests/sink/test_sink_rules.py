"""Rules: how they are written, whom they meet, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchsend.errors import UsageError
from batchsend.sink import Action, Rule, RuleStage, SinkOptions, parse_rule
from batchsend.sink.received import Maildir

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("action", "text", "expected"),
    [
        ("reject", "*@bounce.example", Rule(pattern="*@bounce.example", action=Action.REJECT)),
        (
            "reject",
            "*@full.example=552 5.2.2 Mailbox full = no room",
            Rule(pattern="*@full.example", action=Action.REJECT, reply="552 5.2.2 Mailbox full = no room"),
        ),
        (
            "reject",
            "a=b@spam.example=content 554 5.7.1 Spam @ sight",
            Rule(
                pattern="a=b@spam.example",
                action=Action.REJECT,
                stage=RuleStage.CONTENT,
                reply="554 5.7.1 Spam @ sight",
            ),
        ),
        ("defer", "*=450", Rule(pattern="*", action=Action.DEFER, reply="450")),
        ("delay", "*@slow.example=2s", Rule(pattern="*@slow.example", action=Action.DELAY, delay=2.0)),
        (
            "delay",
            "*@slow.example=content 250ms",
            Rule(pattern="*@slow.example", action=Action.DELAY, stage=RuleStage.CONTENT, delay=0.25),
        ),
        ("delay", "*@slow.example=1.5m", Rule(pattern="*@slow.example", action=Action.DELAY, delay=90.0)),
        ("drop", "*@gone.example", Rule(pattern="*@gone.example", action=Action.DROP)),
        (
            "drop",
            "*@gone.example=content",
            Rule(pattern="*@gone.example", action=Action.DROP, stage=RuleStage.CONTENT),
        ),
    ],
)
def test_a_rule_is_read_as_it_is_written(action: str, text: str, expected: Rule) -> None:
    assert parse_rule(action, text) == expected


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("reject", ""),
        ("reject", "=550 5.1.1 No"),
        ("reject", "*@a.example="),
        ("reject", "*@a.example=450 4.2.1 Later"),
        ("reject", "*@a.example=55O 5.1.1 No"),
        ("reject", "*@a.example=550 5.1.1 No\r\n250 Yes"),
        ("reject", "*@a.example=550 5.1.1 Né"),
        ("reject", "*@a.example=250 2.0.0 Ok"),
        ("defer", "*@a.example=550 5.1.1 No"),
        ("drop", "*@a.example=451 4.0.0 No"),
        ("delay", "*@a.example"),
        ("delay", "*@a.example=0s"),
        ("delay", "*@a.example=soon"),
        ("delay", "*@a.example=-1s"),
    ],
)
def test_a_rule_that_makes_no_sense_is_an_error_with_a_remedy(action: str, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_rule(action, text)
    assert raised.value.remedy


def test_a_pattern_is_for_the_whole_path_and_case_does_not_count() -> None:
    rule = parse_rule("reject", "*@Bounce.example")
    assert rule.matches("x@bOUNCE.EXAMPLE")
    assert not rule.matches("x@bounce.example.org")
    assert not rule.matches("x@sub.bounce.example")


@pytest.mark.parametrize(
    ("action", "text", "said"),
    [
        ("reject", "*@a.example=", "nothing follows the = of '*@a.example='"),
        ("delay", "*@a.example=soon", "the delay of '*@a.example=soon' is 'soon'"),
        ("delay", "*@a.example=0s", "the rule to delay '*@a.example' needs a delay above 0"),
    ],
)
def test_the_error_says_what_was_found(action: str, text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_rule(action, text)
    assert raised.value.message == said


def test_options_that_contradict_each_other_are_errors() -> None:
    with pytest.raises(UsageError, match=r"^the sink has a password but no user name"):
        SinkOptions(password="p")


def test_a_maildir_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"^cannot make the maildir .*file: "):
        Maildir(tmp_path / "file")
