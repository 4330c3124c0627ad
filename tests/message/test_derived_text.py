"""The text that is made from HTML once, for all records, is the one that each record's HTML would make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchsend.errors import RecordError, UsageError
from batchsend.message import derived_text
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
    "1 &copy=2",
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


SHOWN = st.sampled_from(
    ["{{ name }}", "{{ x }}", "{{ name|urlencode }}", "{{ x|upper }}", "{{ x|safe }}", "{{ name ~ x }}", "{{ row.x }}"]
)
CONSTANT = st.sampled_from(
    [
        *("word ", ".", "- ", "1. ", "* ", "&", "&amp;", "&#", "&nbsp;", "<", ">", "</", "<!--", "-->", '"'),
        *("===", "---", "https://", "<br>", "<hr>", "\t", "\n", "{% for one in [1, 2] %}", "{% endfor %}"),
    ]
)
AROUND = st.sampled_from(
    [
        *(f"<{tag}>%s</{tag}>" for tag in ("p", "div", "h1", "h2", "h4", "li", "td", "b", "q", "pre", "blockquote")),
        *('<a href="https://example.com/?n=%s">%s</a>', '<a href="%s">%s</a>', '<a href="mailto:%s">write</a>'),
        *('<a href="tel:+1 %s">call</a>', '<a href="https://example.com/?a&copy=%s %s">x</a>'),
        *('<p style="color:%s">%s</p>', '<p style="display:%s">x</p>', '<p class="%s">x</p>', "<p title=%s>x</p>"),
        *("<!-- %s -->", "<!--[if mso]>%s<![endif]-->", "<title>%s</title>", '<img alt="%s">', "<style>%s</style>"),
        *(
            "{%% if name %%}%s{%% endif %%}",
            "{%% for one in [1, 2] %%}%s{%% endfor %%}",
            "{%% set y %%}%s{%% endset %%}",
        ),
        *("{%% filter upper %%}%s{%% endfilter %%}", "{%% autoescape false %%}%s{%% endautoescape %%}"),
        "<table><tr><th>%s</th><th>B</th></tr><tr><td>%s</td><td>%s</td></tr></table>",
        "{%% macro m(a, b='') %%}<p>%s{{ a }}{{ b }}</p>{%% endmacro %%}{{ m(name) }}%s{{ m(x, name) }}",
        "{%% macro m(a) %%}{{ a }}{{ caller() }}{%% endmacro %%}{%% call m(x) %%}%s{%% endcall %%}",
        "{%% set z %%}%s{%% endset %%}<p>{{ z }}</p>{{ z|length }}%s",
        "{%% set z %%}%s{%% endset %%}<h2>{{ z }}</h2>",
        *("<label><h2>%s</h2></label>%s", "<var><h1>%s</h1></var>%s", "<button>%s</button>", "<sup>%s</sup>"),
        *("<ul><li>%s<h2>%s</h2></li><li><table><tr><th>%s</th></tr></table></li></ul>", "<dl><dt>%s<dd>%s</dl>"),
        *('<div style="display:none">%s</div>', '<a href="https://%s"><img alt="%s"></a>', "<td>%s<td>%s", "%s</p>"),
    ]
)
TEMPLATES = st.recursive(
    st.one_of(SHOWN, SHOWN, CONSTANT),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.tuples(AROUND, inner, inner, inner).map(lambda of: of[0] % of[1 : 1 + of[0].replace("%%", "").count("%s")]),
    ),
    max_leaves=10,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(150), deadline=None)
@given(TEMPLATES, st.lists(st.sampled_from(VALUES) | st.text(max_size=4), min_size=4, max_size=4))
def test_it_is_the_same_whatever_the_template_is(tmp_path: Path, html: str, values: list[str]) -> None:
    """The second record of a kind is the first whose text is not made from its HTML."""
    try:
        one = composer(tmp_path, subject="x", text=None, html=html)
    except (UsageError, RecordError):
        return
    for name, x in (values[:2], values[:2], values[2:], values[1:3]):
        try:
            parsed = parse(one.compose(Record(1, 2, {**ANN, "name": name, "x": x})))
        except RecordError:
            continue
        assert body(parsed, "plain") == text_from_html(body(parsed, "html"))


@pytest.mark.parametrize(
    ("html", "values", "said"),
    [
        ("<h1>Hello {{ name }}</h1>", ("Jörg *1*", "x"), "Hello Jörg *1*\n==============\n"),
        (
            "<table><tr><th>who</th><th>x</th></tr><tr><td>{{ name }}</td><td>{{ x }}</td></tr></table>",
            ("Ann|Bob", "1"),
            "| who     | x   |\n| ------- | --- |\n| Ann|Bob | 1   |\n",
        ),
        ('<p><a href="https://{{ x }}/">{{ name }}</a></p>', ("Shop", "a.example"), "Shop <https://a.example/>\n"),
        ('<p><a href="https://a.example/?n={{ name }}">x</a></p>', ("A B", "y"), "x <https://a.example/?n=A%20B>\n"),
        ('<p style="color: {{ x }}">{{ name }}</p>', ("Ann", "red"), "Ann\n"),
        ("{% if x == 'y' %}<h2>{{ name|upper }}</h2>{% endif %}<p>.</p>", ("Ann", "y"), "ANN\n---\n\n.\n"),
    ],
)
def test_what_is_as_long_as_a_value_is_measured_for_each_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, html: str, values: tuple[str, str], said: str
) -> None:
    one = composer(tmp_path, text=None, html=html)
    record = Record(1, 2, {**ANN, "name": values[0], "x": values[1]})
    one.compose(record)
    one.compose(record)
    monkeypatch.setattr(derived_text, "text_from_html", lambda _: pytest.fail("converted for a record"))
    assert body(parse(one.compose(record)), "plain") == said


@pytest.mark.parametrize(
    ("html", "said"),
    [
        (
            "{% macro b(u, s) %}<a href='{{ u }}'>{{ s }}</a>{% endmacro %}<p>{{ b('https://a.example/' ~ x, name) }}",
            "Ann <https://a.example/7>\n",
        ),
        ("{% import 'parts.html' as parts %}<p>{{ parts.line(name) }}{{ parts.rule() }}", "> Ann\n---\n"),
        ("{% from 'parts.html' import line as l %}{{ l(name) }}<p>{{ l(x) }}", "> Ann\n> 7\n"),
        ("{% macro m() %}<h2>{{ caller() }}</h2>{% endmacro %}{% call m() %}{{ name }}{% endcall %}", "Ann\n---\n"),
        ("{% set z %}{{ name }} {{ x }}{% endset %}<p>{{ z }}</p>", "Ann 7\n"),
        ("{% extends 'base.html' %}{% block b %}{{ super() }}<p>{{ name }}</p>{% endblock %}", "7\n\nAnn\n"),
        ("{% for i in [[[]], []] recursive %}<p>{{ name }}{{ loop(i) }}</p>{% endfor %}", "Ann\n\nAnn\n\nAnn\n"),
        ("<p>{{ nothing }}</p><p>{{ name }}</p>", "Ann\n"),
        ("<p>{{ name }}</p>{{ markup|safe }}", "Ann\n\n- b\n"),
    ],
)
def test_what_macros_and_blocks_show_is_converted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, html: str, said: str
) -> None:
    (tmp_path / "parts.html").write_text(
        "{% macro line(s) %}<blockquote>{{ s }}</blockquote>{% endmacro %}{% macro rule() %}<hr>{% endmacro %}"
    )
    (tmp_path / "base.html").write_text("{% block b %}<p>{{ x }}</p>{% endblock %}")
    one = composer(tmp_path, text=None, html=html)
    record = Record(1, 2, {**ANN, "name": "Ann", "x": "7", "nothing": None, "markup": "<ul><li>b</ul>"})
    assert body(parse(one.compose(record)), "plain") == said
    one.compose(record)
    monkeypatch.setattr(derived_text, "text_from_html", lambda _: pytest.fail("converted for a record"))
    assert body(parse(one.compose(record)), "plain") == said


@pytest.mark.parametrize(
    "html",
    [
        "{% macro m(a) %}{{ a }}{% endmacro %}<p>{{ m(name)|length }} {{ m(name)|upper }} {{ m(name) ~ x }}</p>",
        "{% set z %}{{ name }}{% endset %}<p>{{ z|length }}</p>",
        "{% set z %}{{ name }}{% endset %}<p>{% if z == 'Ann' %}yes{% endif %}</p>",
        "{% set z %}{{ name }}{% endset %}{% set y = z %}<p>{{ y|length }}</p>",
        "{% set z | upper %}{{ name }}{% endset %}<p>{{ z }}</p>",
        "{% set z %}{{ name }}{% endset %}{% include 'length.html' %}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{% macro n(a) %}{{ a|length }}{% endmacro %}<p>{{ n(m(name)) }}</p>",
        "{% import 'length.html' as parts with context %}{{ parts.z|length }}",
        "{% for i in [[[]], []] recursive %}<p>{{ name }}{{ loop(i)|length }}</p>{% endfor %}",
        "{% filter upper %}<p>{{ name }}</p>{% endfilter %}",
        "{% block b %}{{ name }}{% endblock %}<p>{{ self.b()|length }}</p>",
    ],
)
def test_what_is_done_with_the_text_of_macros_and_blocks_is_done_with_that(tmp_path: Path, html: str) -> None:
    """And not with marks that tell values from the template's own text."""
    (tmp_path / "length.html").write_text("{% set z %}{{ name }}{% endset %}<p>{{ z|length }}</p>")
    one = composer(tmp_path, text=None, html=html)
    plain = composer(tmp_path, text="x", html=html)
    for name in ("Ann", "Joanna", "Ann"):
        record = Record(1, 2, {**ANN, "name": name, "x": "7"})
        parsed = parse(one.compose(record))
        assert body(parsed, "html") == body(parse(plain.compose(record)), "html")
        assert body(parsed, "plain") == text_from_html(body(parsed, "html"))


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


def test_an_address_that_a_record_says_itself_is_not_said_twice(tmp_path: Path) -> None:
    html = '<p><a href="https://{{ x }}/">{{ name }}</a></p>'
    assert text_of(tmp_path, html, "a.example", "a.example") == ("a.example\n", "a.example\n")
    assert text_of(tmp_path, html, "Shop", "a.example")[0] == "Shop <https://a.example/>\n"


def test_most_records_cost_no_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = composer(tmp_path, text=None, html=HTML)
    monkeypatch.setattr(derived_text, "text_from_html", lambda _: pytest.fail("converted for a record"))
    assert "Dear Ann,\nx\n" in body(parse(one.compose(Record(1, 2, {**ANN, "name": "Ann", "x": "x"}))), "plain")
