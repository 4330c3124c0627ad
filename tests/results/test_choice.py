"""What ``--retry`` means."""

from __future__ import annotations

from typing import Any

import pytest

from batchsend.errors import UsageError
from batchsend.outcome import Outcome
from batchsend.results.choice import Choice
from batchsend.results.format import OutcomeLine


def test_deferred_records_are_always_sent_again() -> None:
    assert Choice().statuses == {Outcome.DEFERRED}
    assert Choice(["in_doubt", "rejected"]).statuses == {Outcome.DEFERRED, Outcome.IN_DOUBT, Outcome.REJECTED}


@pytest.mark.parametrize(
    ("wanted", "code", "enhanced", "has"),
    [
        ("550", 550, None, True),
        ("550", 551, "5.5.0", False),
        ("5.7", 550, "5.7.1", True),
        ("5.7", 550, "5.7", True),
        ("5.7", 550, "5.70.1", False),
        ("5.7.1", 550, "5.7.1", True),
        ("5.7.1", 550, "5.7.13", False),
        ("5.7", 557, None, False),
    ],
)
def test_codes_are_compared_whole_and_classes_by_their_parts(
    wanted: str, code: int, enhanced: str | None, has: bool
) -> None:
    choice = Choice([wanted])
    assert choice.asks_for_codes
    assert choice.has_code(OutcomeLine(record=1, status="rejected", attempt=1, code=code, enhanced=enhanced)) is has


def test_a_reason_is_a_word_for_all_that_were_refused_for_it() -> None:
    choice = Choice(["sender"])
    assert choice.asks_for_codes
    assert choice.has_code(OutcomeLine(record=1, status="rejected", attempt=1, code=553, reason="sender"))
    assert not choice.has_code(OutcomeLine(record=1, status="rejected", attempt=1, code=553, reason="content"))


@pytest.mark.parametrize(
    "word", ["accepted", "250", "", "5", "5.", "55", "5500", "2.0.0", "5.7.1.1", "all", "IN_DOUBT"]
)
def test_what_is_neither_is_refused_with_what_there_is(word: str) -> None:
    with pytest.raises(UsageError, match=f"^wanted {word}: ") as caught:
        Choice([word])
    assert "in_doubt" in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"wanted": "550"}, "wanted"),
        ({"option": 3}, "option"),
        ({"always": "deferred"}, "always"),
        ({"never": ["x"]}, "never"),
    ],
)
def test_a_wrong_type_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(TypeError, match=named):
        Choice(**wrong)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (OutcomeLine(record=1, status="deferred", code=451), True),
        (OutcomeLine(record=1, status="rejected", code=550), True),
        (OutcomeLine(record=1, status="rejected", code=554), False),
        (OutcomeLine(record=1, status="accepted", code=250), False),
    ],
)
def test_a_line_is_meant_by_its_outcome_or_by_its_code(line: OutcomeLine, wanted: bool) -> None:
    assert Choice(["550"]).wants(line) is wanted


def test_what_is_no_outcome_is_named() -> None:
    wrong: Any = "accepted"
    for asked in (Choice().wants, Choice(["550"]).has_code):
        with pytest.raises(TypeError, match="line must be"):
            asked(wrong)
