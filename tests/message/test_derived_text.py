"""The text that is made from HTML once, for all records, is the one that each record's HTML would make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchsend.message import bodies
from batchsend.message.text import text_from_html
from batchsend.recipients import Record
from tests.message.composing import ANN, body, composer, parse
from tests.tools.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

HTML = """<html><body><div style="display:none">{{ name }}</div><h1>Hello</h1><p>Dear {{ name }},<br>{{ x }}</p>
<p>see <a href="https://example.com/?n={{ x }}">your page</a> or <a href="mailto:{{ name }}">{{ name }}</a></p>
<ul><li>{{ x }}</li></ul><table><tr><td>{{ name }}</td></tr></table></body></html>"""
VALUES = [
    "Ann",
    "A & B <i>",
    "*star*",
    "1. one",
    "> quote",
    "C:\\x_y_",
    "",
    " Ann",
    "a  b",
    "a\nb",
    "ä\u200bé",
    "\u00a0x",
    "#x",
]


def text_of(folder: Path, html: str, name: str, x: str) -> tuple[str, str]:
    """The text of a message, and the one that its own HTML makes."""
    submission = composer(folder, subject="x", text=None, html=html).compose(
        Record(1, 2, {**ANN, "name": name, "x": x})
    )
    parsed = parse(submission)
    return body(parsed, "plain"), text_from_html(body(parsed, "html"))


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("x", VALUES)
def test_it_is_the_same(tmp_path: Path, name: str, x: str) -> None:
    made, expected = text_of(tmp_path, HTML, name, x)
    assert made == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(60), deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_it_is_the_same_whatever_the_values_are(tmp_path: Path, name: str, x: str) -> None:
    made, expected = text_of(tmp_path, HTML, name, x)
    assert made == expected


@pytest.mark.parametrize(
    "html",
    [
        "<h1>Hello {{ name }}</h1>",
        "<table><tr><th>who</th></tr><tr><td>{{ name }}</td></tr></table>",
        '<p style="display:{{ x }}">{{ name }}</p>',
        '<p class="{{ x }}">{{ name }}</p>',
        "<p>{{ name }}</p>---<p>{{ x }}</p>",
        "<pre>{{ name }}  {{ x }}</pre>",
    ],
)
@pytest.mark.parametrize("values", [("Ann", "none"), ("A much longer name", "y")])
def test_where_a_value_decides_more_than_a_word(tmp_path: Path, html: str, values: tuple[str, str]) -> None:
    made, expected = text_of(tmp_path, html, *values)
    assert made == expected


def test_most_records_cost_no_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = composer(tmp_path, text=None, html=HTML)
    monkeypatch.setattr(bodies, "text_from_html", lambda _: pytest.fail("converted for a record"))
    assert "Dear Ann,\nx\n" in body(parse(one.compose(Record(1, 2, {**ANN, "name": "Ann", "x": "x"}))), "plain")
