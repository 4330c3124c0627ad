"""``where``: what it sees of a record, and that it is as bounded as a template."""

from __future__ import annotations

from typing import Any

import pytest

from batchsend.errors import RecordError, UsageError
from batchsend.message.condition import Condition
from batchsend.recipients import Record


def record(**fields: Any) -> Record:
    return Record(1, 2, fields)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("country == 'DE' and opted_in", True),
        ("country in ('AT', 'CH')", False),
        ("age | int > 17", True),
        ("row['First Name'] == 'Ann'", True),
        ("First_Name | lower == 'ann'", True),
        ("missing is defined and missing", False),
        ("row.get('missing', '') != ''", False),
        ("'' or none", False),
    ],
)
def test_it_sees_what_templates_see(expression: str, holds: bool) -> None:
    fields = {"country": "DE", "opted_in": "yes", "age": "18", "First Name": "Ann"}
    assert Condition(expression).holds(record(**fields)) is holds


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("missing", "where: 'missing' is undefined"),
        ("age > 17", "where: TypeError"),
        ("name * 100000000", "where: the expression "),
        ("().__class__.__bases__", "where: "),
    ],
)
def test_a_record_that_it_fails_with_says_why(expression: str, said: str) -> None:
    with pytest.raises(RecordError, match=said):
        Condition(expression).holds(record(age="18", name="x" * 100))


@pytest.mark.parametrize(
    "expression", ["country ==", "a }} {{ b", "{% if x %}", "x | nothing", "(" * 1000 + ")" * 1000]
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(UsageError, match=r"^where: ") as caught:
        Condition(expression)
    assert caught.value.remedy


def test_it_says_what_no_record_can_be_without() -> None:
    use = Condition("First_Name and country and row['x'] and vip is defined and vip").use
    assert use.needed == dict.fromkeys(("First_Name", "country", "x"), "where")
    assert use.always == {"First_Name"}


def test_batch_is_no_field_of_a_record() -> None:
    with pytest.raises(UsageError, match="batch is the run") as caught:
        Condition("batch == 'a'")
    assert 'row["batch"]' in str(caught.value.remedy)
    assert Condition("row['batch'] == 'a'").holds(record(batch="a"))


def test_a_filter_that_there_is_not_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(UsageError, match="No filter named 'uper'") as caught:
        Condition("name | uper == 'A'")
    assert caught.value.remedy == "did you mean upper?"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "where: there is no expression"),
        ("country ==", "where: the expression ends where something has to follow"),
        ("(country == 'DE'", "where: a bracket is not closed"),
        ("[country", "where: a bracket is not closed"),
        ("country == 'DE", "where: a quotation mark has no second one"),
        ("country == 'DE' & vip", "where: unexpected char '&'"),
        ("country vip", "where: unexpected 'vip'"),
        ("country == )", "where: unexpected ')'"),
    ],
)
def test_what_is_wrong_is_said_of_what_was_written(expression: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Condition(expression)
    assert caught.value.message == said


def test_braces_around_an_expression_are_named() -> None:
    with pytest.raises(UsageError) as caught:
        Condition("{{ country == 'DE' }}")
    assert caught.value.remedy == "no braces stand around it: country == 'DE', not {{ country == 'DE' }}"


@pytest.mark.parametrize(
    "text",
    [
        "off",
        "Nein",
        "NON",
        "nej.",
        "nee",
        "nie",
        "não",
        "tidak",
        "Нет",
        "否",
        "いいえ",
        "0.0",
        "0,00",
        "-",
        "0000-00-00",
        "null",
        "n/a",
        "#N/A",
        "undefined",
        "\u201cno\u201d",
        "no,",
        "(No)",
        "[]",
        "no\u200b",
        "\ufeffno",
        "\u039f\u03a7\u0399",
        " ",
        "\xa0" * 30,
        "unsubscribed",
        "Opted out",
        "declined",
        "no consent",
        "No, thanks!",
        "abgemeldet",
    ],
)
def test_a_text_that_says_no_in_other_words_is_not_taken_for_true(text: str) -> None:
    with pytest.raises(RecordError, match="any text counts as true"):
        Condition("vip").holds(record(vip=text))
    assert Condition("vip == 'yes' or not vip").holds(record(vip="yes"))


@pytest.mark.parametrize("column", ["unsubscribed", "Opted_Out", "unsubscribed_reason"])
def test_a_column_that_says_it_itself_is_filled_in(column: str) -> None:
    assert not Condition(f"not {column}").holds(record(**{column: "unsubscribed"}))


@pytest.mark.parametrize(
    "value", ["yes", "on", "ja", "2026-01-01", "Nora", "-1", "0.5", True, 1, ["no", "yes"], {"no": 0}]
)
def test_what_says_something_else_counts_as_true(value: Any) -> None:
    assert Condition("vip").holds(record(vip=value))


@pytest.mark.parametrize("expression", ["vip.strip", "row.items", "name == 'A' and not vip.isalpha"])
def test_a_method_that_is_not_called_is_not_taken_for_true(expression: str) -> None:
    with pytest.raises(RecordError, match="is not called, and counts as true"):
        Condition(expression).holds(record(vip="", name="A", items="no"))
