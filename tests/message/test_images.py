"""Images of the HTML: found beside it, attached once, and nothing else of the folder with them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import RecordError
from batchsend.recipients import Record
from tests.message.composing import ANN, body, compose, composer, parse

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "campaign"
    (path / "images").mkdir(parents=True)
    for name in ("logo.png", "my logo.png", "ä_b.c.gif", "images/7.jpg", "images/a&b.png"):
        (path / name).write_bytes(name.encode())
    (path / "secret.csv").write_bytes(b"secret")
    (tmp_path / "outside.png").write_bytes(b"outside")
    (path / "link.png").symlink_to(tmp_path / "outside.png")
    return path


def images(parsed: EmailMessage) -> dict[str, bytes]:
    """The related parts by their Content-IDs, each of which is there once."""
    parts = [part for part in parsed.walk() if part["Content-ID"] and part.get_content_disposition() == "inline"]
    found = {part["Content-ID"].strip("<>"): part.get_content() for part in parts}
    assert len(found) == len(parts)
    return found


def shown(parsed: EmailMessage) -> list[bytes]:
    """The images that the HTML refers to, in its order."""
    found = images(parsed)
    return [found[one] for one in re.findall(r"cid:([^\"')&> ]+)", body(parsed, "html"))]


def test_a_srcset_that_a_record_makes_is_left_as_it_is(folder: Path) -> None:
    parsed = parse(compose(folder, {**ANN, "offers": "logo.png 1x, big.png 2x"}, html='<img srcset="{{ offers }}">'))
    assert 'srcset="logo.png 1x, big.png 2x"' in body(parsed, "html")
    assert not images(parsed)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<img src="logo.png">', ["logo.png"]),
        ("<IMG alt='a > b' SRC='logo.png'/>", ["logo.png"]),
        ("<img src=logo.png>", ["logo.png"]),
        ('<img src="my%20logo.png"><img src="my logo.png">', ["my logo.png", "my logo.png"]),
        ('<img src="images/a&amp;b.png">', ["images/a&b.png"]),
        ('<img src="ä_b.c.gif">', ["ä_b.c.gif"]),
        ('<img src="cid:logo.png">', ["logo.png"]),
        ('<td background="images/7.jpg">', ["images/7.jpg"]),
        ('<img srcset="images/7.jpg 2x, ./logo.png 1x" src="logo.png">', ["images/7.jpg", "logo.png", "logo.png"]),
        ("<img srcset='images/7.jpg 2x,logo.png'>", ["images/7.jpg", "logo.png"]),
        ("<img srcset=logo.png>", ["logo.png"]),
        ('<picture><source srcset="my%20logo.png 100w"><img src="logo.png"></picture>', ["my logo.png", "logo.png"]),
        ('<img srcset="images/{{ number }}.jpg 2x, {{ picture | urlencode }} 1x">', ["images/7.jpg", "my logo.png"]),
        (
            '<img srcset="{% if number, 1 %}images/7.jpg{% else %}logo.png{% endif %} 2x, logo.png">',
            ["images/7.jpg", "logo.png"],
        ),
        ("<p style=\"background: url('logo.png')\">", ["logo.png"]),
        (
            '<style>p { background: url(logo.png) } q { background: url( "images/7.jpg" ) }</style>',
            ["logo.png", "images/7.jpg"],
        ),
        ('<!--[if mso]><v:fill src="logo.png"/><![endif]-->', ["logo.png"]),
        ('<img src="images/{{ number }}.jpg">', ["images/7.jpg"]),
        ("<img src='{{ picture }}'>", ["my logo.png"]),
        ('<img src="{{ picture | default("x.png") }}">', ["my logo.png"]),
        ('<p style="background: url({{ picture | urlencode }})">', ["my logo.png"]),
        ('{% for n in [7, 7] %}<img src="images/{{ n }}.jpg">{% endfor %}', ["images/7.jpg", "images/7.jpg"]),
        ('{% if number == 7 %}<img src="logo.png">{% else %}<img src="images/7.jpg">{% endif %}', ["logo.png"]),
        ('{% macro m(n) %}<img src="{{ n }}.png">{% endmacro %}{{ m("logo") }}', ["logo.png"]),
    ],
)
def test_an_image_is_found_attached_and_referred_to(folder: Path, html: str, expected: list[str]) -> None:
    parsed = parse(compose(folder, {**ANN, "number": 7, "picture": "my logo.png"}, html=html))
    assert shown(parsed) == [name.encode() for name in expected]
    assert len(images(parsed)) == len(set(expected))


@pytest.mark.parametrize(
    "html",
    [
        '<img src="https://example.com/logo.png">',
        '<img src="//example.com/logo.png">',
        '<img src="/logo.png">',
        '<img src="data:image/png;base64,AA==">',
        '<img src="missing.png"><img src=""><img src="cid:missing.png">',
        '<img src="../outside.png"><img src="link.png">',
        '<img src="secret.csv">',
        '<base href="https://example.com/"><img src="logo.png">',
        '<a href="logo.png">logo.png</a><script src="logo.png"></script>',
        '<img data-src="logo.png">',
        '<img src="{{ url }}"><img src="{{ nothing }}">',
    ],
)
def test_what_is_no_reference_to_an_image_beside_it_stays(folder: Path, html: str) -> None:
    parsed = parse(compose(folder, {**ANN, "url": "https://example.com/x.png", "nothing": ""}, html=html))
    assert body(parsed, "html") == html.replace("{{ url }}", "https://example.com/x.png").replace("{{ nothing }}", "")
    assert not images(parsed)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        ("missing.png", "image 'missing.png': No such file"),
        ("../outside.png", "outside the campaign's folder"),
        ("link.png", "outside the campaign's folder"),
        ("secret.csv", "is not an image, by its name"),
        ("a\r\nb.png", r"U\+000D"),
    ],
)
def test_a_record_shows_images_of_the_folder_only(folder: Path, picture: str, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        compose(folder, {**ANN, "picture": picture}, html='<img src="{{ picture }}">')


def test_a_record_shows_no_image_that_is_elsewhere_under_another_name_here(folder: Path) -> None:
    os.link(folder.parent / "outside.png", folder / "inside.png")
    with pytest.raises(RecordError, match=r"image 'inside\.png' has another name"):
        compose(folder, {**ANN, "picture": "inside.png"}, html='<img src="{{ picture }}">')
    assert shown(parse(compose(folder, html='<img src="inside.png">'))) == [b"outside"], "its author has put it there"


def test_html_that_a_record_brings_shows_nothing_of_the_folder(folder: Path) -> None:
    fields = {**ANN, "html": '<img src="logo.png"><img src="cid:logo.png">'}
    assert not images(parse(compose(folder, fields, html="{{ html | safe }}")))


def test_references_are_relative_to_the_html_also_in_what_it_includes(folder: Path) -> None:
    (folder / "pages").mkdir()
    (folder / "pages" / "page.html").write_text('{% include "pages/foot.html" %}<img src="../logo.png">')
    (folder / "pages" / "foot.html").write_text('<img src="foot.png">')
    (folder / "pages" / "foot.png").write_bytes(b"foot")
    parsed = parse(compose(folder, html_file=folder / "pages" / "page.html"))
    assert shown(parsed) == [b"foot", b"logo.png"]


def test_an_image_is_read_once_where_the_template_names_it_and_as_it_is_where_a_record_does(folder: Path) -> None:
    one = composer(folder, html='<img src="logo.png"><img src="images/{{ number }}.jpg">')
    (folder / "logo.png").unlink()
    (folder / "images" / "7.jpg").write_bytes(b"new")
    assert shown(parse(one.compose(Record(1, 2, {**ANN, "number": 7})))) == [b"logo.png", b"new"]


def test_a_reference_that_is_quoted_from_the_template_language_stays(folder: Path) -> None:
    html = '{% raw %}<img src="{{ x }}.png">{% endraw %}'
    assert body(parse(compose(folder, html=html)), "html") == '<img src="{{ x }}.png">'


def test_a_large_template_is_looked_through_at_once(folder: Path) -> None:
    source = '<p title="a > b">x</p><img src="logo.png" alt="x">\n' * 5_000
    assert shown(parse(compose(folder, html=source))) == [b"logo.png"] * 5_000
