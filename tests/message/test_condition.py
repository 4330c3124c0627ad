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
    ],
)
def test_a_record_that_it_fails_with_says_why(expression: str, said: str) -> None:
    with pytest.raises(RecordError, match=said):
        Condition(expression).holds(record(age="18", name="x" * 100))


@pytest.mark.parametrize(
    "expression",
    [
        *("country ==", "a }} {{ b", "{% if x %}", "x | nothing", "(" * 1000 + ")" * 1000, "().__class__.__bases__"),
        *("1 / 0", "country == 'DE' and 1 // 0 > 2", "7 % (3 - 3)", "1 < 'a'"),
    ],
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
        ("{% if country %}", "where: an expression stands there alone, without the marks of a template"),
        ("{{ country }}", "where: an expression stands there alone, without the marks of a template"),
        ('country is "DE"', "where: is asks what kind of value something is, and compares it with none"),
        ("country is not 'DE'", "where: is asks what kind of value something is, and compares it with none"),
        ("1 / 0", "where: nothing can be divided by 0"),
        ("country == 'DE' and 5 / 0.0 > 1", "where: nothing can be divided by 0"),
    ],
)
def test_what_is_wrong_is_said_of_what_was_written(expression: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Condition(expression)
    assert caught.value.message == said


@pytest.mark.parametrize(
    ("expression", "remedy"),
    [
        ("{{ country == 'DE' }}", "no braces stand around it: country == 'DE', not {{ country == 'DE' }}"),
        ("{% if country %}", "no marks stand around it: country == 'DE', not {% if country == 'DE' %}"),
        ("opted_in is 'yes'", "whether two are the same is asked by == : country == 'DE'"),
        ("years is 5", "whether two are the same is asked by == : country == 'DE'"),
        (
            "country | 'DE'",
            "its language is that of Jinja2's expressions, such as: country == 'DE' and opted_in == 'yes'",
        ),
    ],
)
def test_what_was_meant_is_named(expression: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        Condition(expression)
    assert caught.value.remedy == remedy


def test_a_text_that_is_filled_in_is_not_divided() -> None:
    assert Condition("'%d' % 0 == '0'").holds(record())


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
    "value", ["yes", "on", "ja", "2026-01-01", "Nora", "-1", "0.5", True, 1, ["no", "yes"], {"no": 1}]
)
def test_what_says_something_else_counts_as_true(value: Any) -> None:
    assert Condition("vip").holds(record(vip=value))


@pytest.mark.parametrize(
    "value",
    [
        *("yes", "On", "Ja!", "1", "2", "x", "TRUE", "subscribed", "Opted in", "2026-01-01", "01.02.2026 10:00"),
        *("Yes, I want to have the newsletter", "2026-01-01T10:00:00.000+00:00", True, 1, ["yes"], {"email": True}),
    ],
)
def test_a_column_that_asks_whether_somebody_wants_mail_may_say_yes(value: Any) -> None:
    assert Condition("Opted_In").holds(record(**{"Opted In": value}))


@pytest.mark.parametrize("column", ["opted_in", "Opted In", "newsletter", "is_subscribed", "consent", "email_status"])
@pytest.mark.parametrize(
    "value", ["pending", "maybe", "ask me later", "unknown", "I do not want to have any mail of yours", "00", "-1"]
)
def test_what_does_not_say_yes_there_is_not_taken_for_true(column: str, value: str) -> None:
    for expression in (f"row['{column}']", f"not row['{column}']"):
        with pytest.raises(RecordError, match="any text counts as true"):
            Condition(expression).holds(record(**{column: value}))
    assert Condition("state").holds(record(state=value if value.isalpha() else "CA"))


@pytest.mark.parametrize(
    "expression",
    [
        *("opted_in[0]", "opted_in[:3]", "opted_in | first", "opted_in | length", "opted_in | list", "opted_in ~ '!'"),
        *("opted_in | list | length", "opted_in * 2", "[opted_in][0]", "opted_in.upper()", "opted_in | default('x')"),
        *("name == 'A' and opted_in | count", "not opted_in | wordcount", "[opted_in] | map('upper') | list"),
        *("missing | default(opted_in)", "(opted_in if name == 'A' else name) | length", "opted_in.find('e')"),
    ],
)
@pytest.mark.parametrize("value", ["declined", "no thanks", "pending"])
def test_what_is_made_of_a_text_that_says_no_is_not_taken_for_true(expression: str, value: str) -> None:
    with pytest.raises(RecordError, match=r"opted_in is the text '.*', and any text counts as true"):
        Condition(expression).holds(record(opted_in=value, name="A"))


@pytest.mark.parametrize(
    "expression",
    [
        *("opted_in | length", "opted_in[0]", "opted_in | list", "codes[opted_in]", "codes.get(opted_in)"),
        *("country.startswith('N')", "country | length > 1", "(country == 'NO') | int", "country in ['NO']"),
        *("scores | sum", "country | lower == 'no'", "opted_in.endswith('s')"),
    ],
)
def test_what_asks_for_something_else_than_such_a_text_counts_as_it_is(expression: str) -> None:
    fields = {"opted_in": "yes", "codes": {"yes": 3, "x": "no"}, "country": "NO", "scores": [0, 2]}
    assert Condition(expression).holds(record(**fields))


@pytest.mark.parametrize(
    "value",
    [
        {"v": False},
        {"v": "no"},
        {"email": {"wanted": 0, "since": None}},
        [False],
        ["no", ""],
        [[], {"a": []}],
        [{"v": "declined"}, None],
    ],
)
def test_a_value_in_which_everything_says_no_is_not_taken_for_true(value: Any) -> None:
    for expression in ("vip", "not vip", "vip | length", "row.vip and name"):
        with pytest.raises(RecordError, match=r"where: vip is .*counts as true"):
            Condition(expression).holds(record(vip=value, name="A"))


@pytest.mark.parametrize("expression", ["tags | select('equalto', 'x')", "not tags | map('upper')"])
def test_a_list_that_nothing_has_gone_through_is_not_taken_for_true(expression: str) -> None:
    with pytest.raises(RecordError, match=r"counts as true; write \| list behind it"):
        Condition(expression).holds(record(tags=["a"]))
    assert not Condition("tags | select('equalto', 'x') | list").holds(record(tags=["a"]))


@pytest.mark.parametrize("expression", ["vip.strip", "row.items", "name == 'A' and not vip.isalpha"])
def test_a_method_that_is_not_called_is_not_taken_for_true(expression: str) -> None:
    with pytest.raises(RecordError, match="is not called, and counts as true"):
        Condition(expression).holds(record(vip="", name="A", items="no"))
