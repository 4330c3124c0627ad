"""The text that is derived from HTML reads as text."""

from __future__ import annotations

from html import escape

import pytest

from batchsend.message.text import text_from_html

HTML = """<!doctype html><html><head><title>Title</title><meta name="description" content="Meta">
<style>p { color: red }</style></head><body>
<div style="display:none; max-height:0">Preheader</div><span hidden>Hidden</span><!-- Comment -->
<header>Heading</header><nav>Ways on</nav>
<table role="presentation" width="100%"><tr><td>
  <table><tr><td><h1>Hello, J&ouml;rg &amp; Co</h1><p>Thank you,<br>you *know*.</p>
  <p><a href="https://example.com/u?a=1&amp;b=2">Confirm</a></p></td><td>Right</td></tr></table>
</td></tr></table>
<ul><li>one</li><li>two</li></ul>
<img src="https://example.com/pixel.png" alt="">
<table><tr><th>Item</th><th>Price</th></tr><tr><td>Book</td><td>3 &euro;</td></tr></table>
<script>alert(1)</script><p>1 &lt; 2, snake_case</p>
<footer><a href="https://example.com/unsubscribe">Unsubscribe</a></footer></body></html>"""


@pytest.fixture(scope="module")
def text() -> str:
    return text_from_html(HTML)


@pytest.mark.parametrize(
    "said",
    [
        "Heading\n",
        "Ways on\n",
        "Hello, Jörg & Co\n",
        "Thank you,\nyou *know*.\n",
        "Right\n",
        "- one\n- two\n",
        "1 < 2, snake_case\n",
        "Unsubscribe",
    ],
)
def test_what_is_shown_is_said(text: str, said: str) -> None:
    assert said in text


@pytest.mark.parametrize("url", ["https://example.com/u?a=1&b=2", "https://example.com/unsubscribe"])
def test_links_keep_their_addresses(text: str, url: str) -> None:
    assert url in text


@pytest.mark.parametrize(
    "hidden", ["Preheader", "Hidden", "Comment", "Title", "Meta", "color", "alert", "pixel", "<p", "&amp;"]
)
def test_what_is_not_shown_is_not_said(text: str, hidden: str) -> None:
    assert hidden not in text


@pytest.mark.parametrize(
    "said",
    [
        "* star",
        "1. one",
        "> quote",
        "C:\\path\\_x",
        "# no heading",
        "a_b *c* [d](e) `f` | g",
        "- dash",
        "~~~",
        "1 < 2 & 3",
        "{{ x }}",
    ],
)
def test_what_stands_there_is_not_escaped(said: str) -> None:
    assert text_from_html(f"<p>{escape(said)}</p><p>x</p>") == f"{said}\n\nx\n"


@pytest.mark.parametrize(
    ("html", "said"),
    [
        (
            '<a href="https://example.com/?a=1&amp;b=_2_"><img src="x.png" alt="Shop now"></a>',
            "Shop now <https://example.com/?a=1&b=_2_>",
        ),
        ('See <a href="https://example.com">the page</a>.', "See the page <https://example.com>."),
        ('<a href="https://example.com/">https://example.com</a>', "https://example.com"),
        ('<a href="https://example.com/">example.com</a>', "example.com"),
        ('<a href="mailto:a@example.com">a@example.com</a>', "a@example.com"),
        ('<a href="#top">Up</a> <a name="x">here</a>', "Up here"),
        ('x<a href="https://example.com/pixel"><img src="x.png" alt=""></a>', "x"),
        ("<b>bold</b>, <i>italic</i> and <code>code</code>", "bold, italic and code"),
        ("<h3>Third</h3>", "Third\n-----"),
        ("x <var>n</var> <dfn>term</dfn>", "x n term"),
        ("a\tb\fc&#9;d", "a b c d"),
        ("<pre>a\tb</pre>\tc", "    a\tb\n\nc"),
        ("<ul><li>x<h2>Two</h2></li><li><h1>One</h1>y</li></ul>", "- x\n\n  Two\n  ---\n- One\n  ===\n  y"),
        ("<blockquote>x<h2>Two</h2></blockquote>", "> x\n>\n> Two\n> ---"),
        ("<label><h2>Two</h2></label>x", "Twox\n----"),
        ("<label><h2>A</h2></label><h1># B</h1>", "A\n-\n\n# B\n==="),
        (
            "<ul><li>x<h2>T</h2></li><li><table><tr><th>A<tr><td>1</table></li></ul>",
            "- x\n\n  T\n  -\n-\n    | A   |\n    | --- |\n    | 1   |",
        ),
        # Foundation for Emails places columns by header cells; and a role says that a table only places things.
        (
            (
                '<table class="row"><tr><th><table><tr><th><p>Left</p></th><th class="expander"></th></tr>'
                "</table></th><th><table><tr><th><p>Right</p><p>Two</p></th></tr></table></th></tr></table>"
            ),
            "Left\n\nRight\n\nTwo",
        ),
        ('<table role="presentation"><tr><th>Left</th><td>Right</td></tr></table>', "Left\n\nRight"),
        # Blocks that only leave space.
        (
            (
                "<table><tr><td>&nbsp;</td></tr></table><p>a</p><table><tr><td>&nbsp;</td></tr><tr><td>&nbsp;</td></tr>"
                "</table><p>b</p>c<br>&nbsp;<br>d<p>&nbsp;</p>"
            ),
            "a\n\nb\n\nc\n\nd",
        ),
        ("<pre>a\n\n\nb</pre><p>c&nbsp;d</p>", "    a\n\n\n    b\n\nc d"),
        # An address as a browser takes it: in an attribute, a name without a semicolon may be no character reference.
        (
            '<a href="https://example.com/?a=1&section=2&timestamp=3&copy=4&amp;b=5&reg&#61;6">x</a>',
            "x <https://example.com/?a=1&section=2&timestamp=3&copy=4&b=5\xae=6>",
        ),
        ("<a title=x href='https://example.com/?a&copy=4&notit;'>x</a>", "x <https://example.com/?a&copy=4&notit;>"),
        ('<a href=" https://example.com/an\n other ">x</a>', "x <https://example.com/an%20other>"),
        ('<a href="tel:+1 234">call</a>', "call <tel:+1234>"),
        (
            '<a href="https://example.com/a">Terms</a>\n   \t<a href="https://example.com/b">Privacy</a>\n',
            "Terms <https://example.com/a> Privacy <https://example.com/b>",
        ),
        (
            "<table><tr>\n  <td>\n\t<center>\n  <span>Terms</span>\n  <b>Privacy</b>\n</td>\n</tr></table>",
            "Terms Privacy",
        ),
        ('<a href="https://example.com">\n  <b>Shop</b>\n</a>\n<br>now', "Shop <https://example.com>\nnow"),
        (
            "<h3 style='display:none'>Not</h3><b hidden>this</b><em style='font-size:0'> nor this</em><p>but this</p>",
            "but this",
        ),
        ("<b style='font-size:14px;display:block'>this</b> <code>too</code>", "this too"),
        ("<div style='font-size:0px'><p style='color:red;font-size:14px'>shown</p></div>", "shown"),
        ("<blockquote cite='https://example.com/source'>said</blockquote>", "> said"),
        ("<ol start='5' class='list'><li>five</li>\n<li>six</li></ol>", "5. five\n6. six"),
        ("<Pre>a  b\n\n<b>c</b>\n\t<i>d</i></Pre>", "    a  b\n\n    c\n    \td"),
        (
            "a" + "&zwnj;&nbsp;" * 30 + "&amp;nbsp; &lt;b&gt; &copy&nbsp;c",
            "a" + "\u200c " * 30 + "&nbsp; <b> \xa9 c",
        ),
    ],
)
def test_it_reads_as_a_person_would_write_it(html: str, said: str) -> None:
    assert text_from_html(f"<div>{html}</div>") == f"{said}\n"


def test_a_layout_table_is_no_table_and_a_table_of_data_is_one(text: str) -> None:
    assert "| Item | Price |" in text
    assert "|" not in text.partition("| Item")[0]


def test_lines_have_nothing_blank_at_their_ends(text: str) -> None:
    assert all(line == line.rstrip() for line in text.splitlines())
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize(
    "html",
    ["", "   ", "<", "<table><th>", "<p>\0</p>", "<table>" * 3_000, "<div>" * 20_000 + "x", "<table><th>" * 3_000],
)
def test_broken_html_is_read_all_the_same(html: str) -> None:
    assert text_from_html(html).endswith("\n")


def test_numbered_lists_one_after_another_are_numbered_alike() -> None:
    html = "<ol><li>one</li></ol><ol start=5><li>five) of six</li></ol><p>7) seven</p>"
    assert text_from_html(html) == "1. one\n\n5. five) of six\n\n7) seven\n"
