"""Style sheets in style attributes: once where that is right for every record, otherwise record by record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batchsend.errors import RecordError
from batchsend.message import css, css_skeleton
from batchsend.message.css import inlined, inlined_source
from batchsend.message.templates import Templates
from batchsend.recipients import Record
from tests.message.composing import ANN, body, compose, composer, parse
from tests.message.newsletters import NEWSLETTERS

if TYPE_CHECKING:
    from pathlib import Path

STYLE = "<style>p { color: red } .big { font-size: 2em } @media (max-width: 9px) { p { color: blue } }</style>"


def html(directory: Path, source: str, **fields: Any) -> str:
    return body(parse(compose(directory, {**ANN, **fields}, html=source, inline_css=True)), "html")


@pytest.mark.parametrize(
    ("source", "once"),
    [
        ("<p>{{ name }}</p>", True),
        (
            '<p title="{{ name }}"><a href="https://example.com/{{ name }}?a=1&amp;b={{ name }}">{{ name }}</a></p>',
            True,
        ),
        ("<table><tr><td>{{ name }}</td></tr></table>{{ name }}{{ name }}", True),
        ("<p>no data at all</p>", True),
        ('<p class="{{ name }}">x</p>', False),
        ('<p style="width: {{ name }}">x</p>', False),
        ("<p {{ name }}>x</p>", False),
        ("<{{ name }}>x", False),
        ("<style>p { width: {{ name }} }</style><p>x</p>", False),
        ("<style>p:empty { width: 1px }</style><p>{{ name }}</p>", False),
        ("<style>p[title=Ann] { width: 1px }</style><p title='{{ name }}'>x</p>", False),
        ("<!--[if mso]><p>{{ name }}</p><![endif]-->", False),
        ("<p>{{ name | upper }}</p>", True),
        ("<p>{{ name | safe }}</p>", False),
        ("{% for i in [1, 2] %}<p>{{ i }}</p>{% endfor %}", True),
        ("{% if name %}<p>{% endif %}<b>{{ name }}</b></p>", False),
        ("<style>p + p { color: red }</style>{% for i in [1, 2] %}<p>{{ i }}</p>{% endfor %}", False),
        ("{% macro m() %}<p>x</p>{% endmacro %}{{ m() }}", False),
        ("{% raw %}{{ name }}{% endraw %}{{ name }}", True),
    ],
)
def test_the_result_is_that_of_the_rendered_document(tmp_path: Path, source: str, once: bool) -> None:
    """Whether it is done once or for each record, the style is what a browser would have applied."""
    source = STYLE + source
    templates = Templates(tmp_path)
    assert once == (inlined_source(source, templates.fills_in_escaped_values) is not None)
    rendered = body(parse(compose(tmp_path, {**ANN, "name": "big"}, html=source)), "html")
    assert html(tmp_path, source, name="big") == inlined(rendered).replace("\r\n", "\n")


def test_style_sheets_are_inlined_once_where_they_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = composer(tmp_path, html=f"{STYLE}<p class='big'>{{{{ name }}}}</p>", inline_css=True)
    monkeypatch.setattr(css, "inlined", lambda _: pytest.fail("inlined for a record"))
    found = body(parse(one.compose(Record(1, 2, ANN))), "html")
    assert "<p class='big' style=\"color: red; font-size: 2em\">Ann</p>" in found
    assert "@media" in found


def test_data_stays_data(tmp_path: Path) -> None:
    name = "<style>p { color: black }</style>{{ 7*7 }} \"'&"
    found = html(tmp_path, f"{STYLE}<p title='{{{{ name }}}}'>{{{{ name }}}}</p>", name=name)
    assert "color: black" not in found.partition("<p")[0]
    assert 'style="color: red"' in found
    assert "{{ 7*7 }}" in found
    assert "<style>p { color: black" not in found


def test_images_are_found_as_well(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"logo")
    for source in ('<img src="logo.png"><p>{{ name }}</p>', "<p style=\"background: url('logo.png')\">{{ name }}</p>"):
        parsed = parse(compose(tmp_path, html=STYLE + source, inline_css=True))
        (image,) = [part for part in parsed.walk() if part.get_content_type() == "image/png"]
        assert f"cid:{image['Content-ID'].strip('<>')}" in body(parsed, "html")


def test_nothing_is_read_or_fetched(tmp_path: Path) -> None:
    (tmp_path / "own.css").write_text("p { color: green }")
    links = f'<link rel="stylesheet" href="{tmp_path}/own.css"><link rel="stylesheet" href="http://127.0.0.1:9/x.css">'
    for source in (links + "<p>{{ name }}</p>", "{{ name | safe }}<p>x</p>"):
        assert "green" not in html(tmp_path, source, name=links)


def test_a_sheet_in_the_folder_is_inlined_too(tmp_path: Path) -> None:
    (tmp_path / "own.css").write_text("p { color: green } @media print{#x{color:red}}")
    link = '<link href="own.css" rel="stylesheet" media="screen">'
    found = html(tmp_path, f"{link}<p>{{{{ name }}}}</p>")
    assert '<p style="color: green">Ann</p>' in found
    assert "own.css" not in found
    outside = tmp_path / "inside"
    outside.mkdir()
    (outside / "page.html").write_text('<link href="../own.css" rel="stylesheet"><p>{{ name }}</p>')
    parsed = parse(compose(tmp_path, ANN, html_file=outside / "page.html", inline_css=True))
    assert "green" not in body(parsed, "html")


@pytest.mark.parametrize("inline_css", [True, False])
def test_a_selector_is_no_comment(tmp_path: Path, inline_css: bool) -> None:
    """Minified sheets have ``{#`` before an id; everything up to the next ``#}`` would vanish."""
    sheet = "@media print{#outlook a{padding:0}#x{color:red}}p{color:green}{# a comment #}{#c#}"
    source = f"<style>{sheet}</style><p>{{{{ name }}}}</p><p>#}}</p>"
    parsed = parse(compose(tmp_path, ANN, html=source, inline_css=inline_css))
    found = body(parsed, "html")
    assert "@media print{ #outlook a{padding:0}#x{color:red}}p{color:green}</style>" in found
    assert "Ann</p><p" in found


@pytest.mark.parametrize("inline_css", [True, False])
@pytest.mark.parametrize(
    ("last", "shown"),
    [
        ("<p>item #}</p>", "item #}"),
        ("{# a real comment #}<p>item</p>", "item"),
        ("<p>item</p>", "item"),
    ],
)
@pytest.mark.parametrize("tags", ["<style>{}</style>", '<STYLE type="text/css">{}</STYLE >', "<style>{}"])
def test_a_selector_in_a_sheet_for_outlook_is_no_comment(
    tmp_path: Path, tags: str, last: str, shown: str, inline_css: bool
) -> None:
    sheet = tags.format("@media x{#q{a:b}}{# none #}")
    source = f"<!--[if mso]>{sheet}<![endif]--><p>Dear {{{{ name }}}}, PAY</p>{last}"
    parsed = parse(compose(tmp_path, ANN, text=None, html=source, inline_css=inline_css))
    found = body(parsed, "html")
    assert f"<!--[if mso]>{tags.format('@media x{ #q{a:b}}')}<![endif]-->" in found
    assert "a real comment" not in found
    assert body(parsed, "plain").split() == f"Dear Ann, PAY {shown}".split()


def test_what_is_no_sheet_in_a_comment_has_comments_as_everywhere(tmp_path: Path) -> None:
    source = "<!--[if mso]><p>{#gone {x}#}here</p><styled>{#gone {x}#}</styled><![endif]--><p>{{ name }}</p>"
    assert "<!--[if mso]><p>here</p><styled></styled><![endif]-->" in body(
        parse(compose(tmp_path, ANN, html=source)), "html"
    )


def test_marks_that_are_text_stay_text(tmp_path: Path) -> None:
    source = "<style>p{color:red}</style><p>{{ name }} writes &#123;&#123; code }} &#123;# text #} End</p>"
    parsed = parse(compose(tmp_path, {**ANN, "code": "secret"}, text=None, html=source, inline_css=True))
    assert body(parsed, "plain") == "Ann writes {{ code }} {# text #} End\n"
    assert "secret" not in body(parsed, "html")


def test_what_is_for_small_screens_is_for_no_other(tmp_path: Path) -> None:
    sheet = '<style media="only screen and (max-width:480px)">.hide{display:none!important}</style>'
    parsed = parse(compose(tmp_path, ANN, text=None, html=f'{sheet}<p class="hide">Desktop only</p>', inline_css=True))
    assert body(parsed, "plain") == "Desktop only\n"
    assert sheet in body(parsed, "html")


@pytest.mark.slow
def test_html_within_html_without_end_is_refused_and_ends_no_process() -> None:
    with pytest.raises(RecordError, match="more than 2,000 elements within each other"):
        inlined("<style>b { color: red }</style>" + "<div>" * 100_000)
    assert inlined("<style>b { color: red }</style>" + "<table><tr><td></td></tr></table>" * 3_000)


@pytest.mark.parametrize("name", NEWSLETTERS)
def test_what_is_known_of_one_record_is_right_for_the_next(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents that differ in texts and addresses only are not asked about twice."""
    source = NEWSLETTERS[name]

    varied = source.replace('#"', 'https://example.com/1?a=b"').replace(">x<", ">y &lt; <")
    titled = varied.replace("<p>", "<p title='t'>")
    expected = []
    for html in (source, varied, titled):
        monkeypatch.setattr(css, "KNOWN", css_skeleton.SkeletonCache())
        expected.append(inlined(html))
    monkeypatch.setattr(css, "KNOWN", css_skeleton.SkeletonCache())
    assert [inlined(html) for html in (source, varied, titled, varied, source)] == [*expected, *expected[1::-1]]


def test_another_record_with_the_same_skeleton_costs_no_look_at_its_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = "<style>p { color: red } a { color: blue } @media print { p { color: black } }</style>"
    inlined(f"{sheet}<p>one <a href='1'>x</a></p>")
    monkeypatch.setattr(css, "cascade_of", lambda *_: pytest.fail("looked at again"))
    assert "<a href='2' style=\"color: blue\">y</a>" in inlined(f"{sheet}<p>two <a href='2'>y</a></p>")


def test_the_text_is_derived_from_it_too(tmp_path: Path) -> None:
    parsed = parse(compose(tmp_path, text=None, html=f"{STYLE}<p>Hi {{{{ name }}}}</p>", inline_css=True))
    assert body(parsed, "plain") == "Hi Ann\n"
