"""A message written in Markdown: HTML with a style of its own, text as it was written, template marks in both."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

import jinja2
import pytest

from batchsend.campaign import Campaign, Message, Server, check_objects
from batchsend.errors import RecordError, UsageError
from batchsend.message.markdown import html_from_markdown
from tests.message.composing import ANN, body, compose, parse

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """\
# Dear {{ name | default("you, *all*") }}

**{{ name }}**, see [your page](https://example.com/?n={{ name }}&x=1).

{% if member %}
Only *members* read this.
{% else %}
Others read {{ other }}.
{% endif %}

{% for item in items %}
- {{ item }}
{% endfor %}

| what | price |
|------|------:|
| book | {{ price }} |

```
{% raw %}{{ code }}{% endraw %}
```
"""
FIELDS = {**ANN, "name": "A & B", "member": True, "items": ["one", "<two>"], "price": "3 €"}


def parts(folder: Path, source: str = SOURCE, **keys: Any) -> tuple[str, str]:
    parsed = parse(compose(folder, FIELDS, text=None, html=None, markdown=source, **keys))
    return body(parsed, "plain"), body(parsed, "html")


def test_the_html_says_it_with_a_style(tmp_path: Path) -> None:
    _, html = parts(tmp_path)
    for said in (
        ">Dear A &amp; B</h1>",
        ">A &amp; B</strong>, see <a ",
        'href="https://example.com/?n=A &amp; B&amp;x=1"',
        "Only <em>members</em> read this.",
        "&lt;two&gt;</li>",
        ">3 €</td>",
        "{{ code }}",
    ):
        assert said in html
    assert "Others" not in html
    assert html.count("<li ") == 2
    assert "<p></p>" not in html
    assert 'class="message" style="max-width: 38em' in html
    assert html.startswith("<!doctype html>")


def test_the_text_is_the_source(tmp_path: Path) -> None:
    text, _ = parts(tmp_path)
    assert text.startswith("# Dear A & B\n\n**A & B**, see [your page](https://example.com/?n=A & B&x=1).\n")
    assert "- one\n" in text
    assert "| book | 3 € |" in text
    assert "{{ code }}" in text


def test_the_style_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "own.css").write_text("h1 { color: #123456 }")
    _, html = parts(tmp_path, style_file=tmp_path / "own.css")
    assert '<h1 style="color: #123456">' in html
    assert "38em" not in html


def test_pictures_beside_it_are_attached(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"logo")
    (tmp_path / "message.md").write_text("![Logo](logo.png)\n")
    message = compose(tmp_path, FIELDS, text=None, html=None, markdown_file=tmp_path / "message.md")
    assert "image/png" in [part.get_content_type() for part in parse(message).walk()]


def test_a_mark_in_angle_brackets_is_text(tmp_path: Path) -> None:
    text, html = parts(tmp_path, "Write to <{{ email }}>.")
    assert "Write to <ann@example.com>." in text.replace(ANN["email"], "ann@example.com")
    assert "&lt;" in html


def test_data_is_no_markdown(tmp_path: Path) -> None:
    _, html = parts(tmp_path, "Hello {{ items[1] }} *x*")
    assert "&lt;two&gt; <em>x</em>" in html


def test_a_mark_that_is_none_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "message.md").write_text("Hello {% if %}\n")
    with pytest.raises(UsageError, match=r"message\.md"):
        compose(tmp_path, FIELDS, text=None, html=None, markdown_file=tmp_path / "message.md")
    with pytest.raises(RecordError, match="'nobody' is undefined"):
        parts(tmp_path, "Hello {{ nobody }}")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"text": "x"}, "Message.text is there besides markdown"),
        ({"html": "x"}, "Message.html is there besides markdown"),
        ({"markdown_file": "x.md"}, "Message has both markdown and markdown_file"),
        ({"markdown": None, "text": "x", "style_file": "x.css"}, "Message.style_file is for Markdown only"),
    ],
)
def test_html_and_text_are_made_from_it_alone(tmp_path: Path, keys: dict[str, Any], says: str) -> None:
    campaign = Campaign(
        path=tmp_path / "c.toml",
        directory=tmp_path,
        recipients="-",
        results=tmp_path / "r.jsonl",
        servers=(Server(host="127.0.0.1", tls="none"),),
        message=Message(**{"from_": "a@example.com", "subject": "x", "markdown": "x", **keys}),
    )
    with pytest.raises(UsageError) as caught:
        check_objects(campaign)
    assert caught.value.message.startswith(says)


def test_a_line_of_statements_within_code_is_code() -> None:
    assert "<code>{% if x %}\n" in html_from_markdown("```\n{% if x %}\n```\n")


@pytest.mark.parametrize(
    "source",
    [
        "---\nsubject: Hi\n---\n# Hello\n",
        "---\r\ntitle: x\r\ntags:\r\n  - a\r\n- b\r\n\r\n# why\r\n---\r\nHello",
        '+++\ntitle = "x"\n+++\nHello',
    ],
)
def test_front_matter_of_a_page_is_not_sent_to_everybody(tmp_path: Path, source: str) -> None:
    with pytest.raises(UsageError, match="begins with front matter"):
        compose(tmp_path, text=None, markdown=source)


@pytest.mark.parametrize(
    "source", ["---\n\n---\nHello", "---\nHello, you\n---\n", "---\nDear: x", "---", "", "Re: x\n---\n"]
)
def test_a_line_above_the_text_is_no_front_matter(tmp_path: Path, source: str) -> None:
    assert body(parse(compose(tmp_path, text=None, markdown=f"{source}\n")), "plain").startswith(source[:3])


@pytest.mark.parametrize(
    "mark", ["&#123;&#123; name }}", "&#123;{ name }}", "\\{\\{ name }}", "&#123;% raw %}", "&#123;# x #}"]
)
def test_marks_written_as_character_references_are_text(mark: str) -> None:
    """As they are in HTML: no field takes their place, and nothing of them vanishes."""
    html = html_from_markdown(f"Before {mark} after")
    shown = jinja2.Environment(autoescape=True).from_string(html).render(name="Ann")
    assert "Ann" not in shown
    assert re.search(r"Before \{[{%#].*[}] after", unescape(shown))
