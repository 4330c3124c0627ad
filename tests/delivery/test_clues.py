"""Words without which an expression cannot match: they hide no match, and keep most expressions from being compiled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsend.delivery.replies import entries, kinds, parse, phrases, refusals, rules
from batchsend.delivery.replies.clues import branches
from batchsend.delivery.replies.family import WordFamily
from batchsend.outcome import Stage

WORDINGS = Path(__file__).parent / "wordings"


def families() -> dict[str, WordFamily]:
    """Every family by its name."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in (phrases, refusals)
        for name, value in vars(module).items()
        if isinstance(value, WordFamily)
    }


def texts() -> list[str]:
    """The words of every reply that the table and the tests know, as the expressions read them."""
    replies = [entry.reply for entry in entries()]
    for file in sorted(WORDINGS.glob("*.txt")):
        replies += [line.split("|")[0] for line in file.read_text(encoding="utf-8").splitlines()]
    return sorted({rules.plain(kinds.kind_of(parse(reply).raw)) for reply in replies if reply})


def test_no_clue_hides_a_match_in_what_servers_say() -> None:
    known = texts()
    hidden = [
        (name, text)
        for name, family in families().items()
        for text in known
        if (family.search(text) is None) != (family.pattern.search(text) is None)
    ]
    assert len(known) > 500
    assert hidden == []


@pytest.mark.slow
@pytest.mark.parametrize("name", families())
def test_no_clue_hides_what_an_expression_was_made_for(name: str) -> None:
    family = families()[name]

    @settings(max_examples=25, database=None)
    @given(st.from_regex(family.pattern, fullmatch=True))
    def every_match_is_found(text: str) -> None:
        assert family.search(text) is not None

    every_match_is_found()


@pytest.mark.parametrize(
    ("expression", "clues"),
    [
        ("mailbox full", [[("mailbox full",)]]),
        ("mails?", [[("mail",)]]),
        ("no|mails", [[("no",)], [("mails",)]]),
        ("user (?:is )?unknown", [[("user ",), ("unknown",)]]),
        ("(?:user|mail ?box) full", [[("user", "mail"), (" full",)]]),
        ("(?:user|x?) full", [[(" full",)]]),
        ("(?:user )+full", [[("user ",), ("full",)]]),
        ("(?:user )*full", [[("full",)]]),
        ("(?:user ){2}full", [[("user ",), ("full",)]]),
        ("(?:user ){0,2}full", [[("full",)]]),
        (r"\bful+\b", [[("ful",)]]),
        (r"a\.b\d[xy]cd", [[("a.b",), ("cd",)]]),
        ("(?<!not )listed(?! here)", [[("listed",)]]),
        ("(?:a|bc)d", [[]]),
        ("^(?:ab(?:cd|e)|fg)$", [[("ab", "fg")]]),
    ],
)
def test_the_clues_of_an_expression(expression: str, clues: list[list[tuple[str, ...]]]) -> None:
    assert [list(branch.clues) for branch in branches(expression)] == clues


@pytest.mark.parametrize("expression", ["(?:a", "a)", "(?P<name>a)", "[a", "+a"])
def test_what_is_not_understood_is_an_error_and_no_clue(expression: str) -> None:
    with pytest.raises(ValueError, match=r"bracket|clues"):
        branches(expression)


@pytest.mark.parametrize(
    "said",
    [
        "550 5.1.1 <u1@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
        "550 No such user u1@example.com here",
        "450 4.2.0 try again later",
    ],
)
def test_a_refusal_has_few_expressions_compiled(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them take longer to compile than the rest of a start takes."""
    for module in (phrases, refusals):
        for name, family in list(vars(module).items()):
            if isinstance(family, WordFamily):
                monkeypatch.setattr(module, name, WordFamily(*family.alternatives))
    reply = parse(said)
    text = rules.plain(kinds.kind_of(reply.raw))
    rules.ruling(rules.Said(Stage.RCPT, reply.code, "", text))
    every = [branch for family in families().values() for branch in family.branches]
    compiled = [branch for branch in every if branch.is_compiled]
    assert 0 < len(compiled) < len(every) / 20, compiled


def test_nothing_is_replaced_where_nothing_matches() -> None:
    family = WordFamily("retry in 0 minutes", "later")
    assert family.sub(" ", "try in 0 minutes") == "try in 0 minutes"
    assert family.sub("", "retry in 0 minutes or later") == " or "
    assert isinstance(family.pattern, re.Pattern)
