"""The preview's page in a real browser: the message is there, nothing of it runs, and it fits a telephone."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from batchsend.preview.page import page
from tests.preview.test_shown import letter, message, with_picture
from tests.report.browser import DESKTOP, PHONE, Browser, Scheme

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.message.parsed import ParsedMessage

pytestmark = pytest.mark.slow

BREAKS_OUT = (
    "<script>top.document.title='ran'; alert(1)</script>",
    "<img src=x onerror=\"top.document.title='ran'; alert(1)\">",
    "</iframe><script>document.title='ran'</script>",
    "'\"></iframe><svg onload=\"document.title='ran'\"></svg>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
)


def written(folder: Path, of: ParsedMessage) -> str:
    path = folder / "preview.html"
    path.write_text(page(of))
    return path.as_uri()


@pytest.mark.parametrize("hostile", BREAKS_OUT)
def test_nothing_in_a_message_runs(tmp_path: Path, browser: Browser, hostile: str) -> None:
    built = message(text="x\n", html=f"<p>{hostile}</p>")
    built.replace_header("Subject", hostile)
    with browser.page() as opened:
        opened.show(written(tmp_path, letter(built)))
        assert opened.evaluate("document.title") == "Record 7"
        assert opened.evaluate("document.querySelectorAll('script, svg').length") == 0
        assert hostile in opened.evaluate("document.querySelector('header').textContent")
        assert opened.dialogs == []


@pytest.mark.parametrize("scheme", get_args(Scheme))
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_it_fits_and_the_message_has_the_room_that_is_left(
    tmp_path: Path, browser: Browser, width: int, scheme: Scheme
) -> None:
    built = with_picture()
    built.replace_header("Subject", "x" * 300)
    with browser.page() as opened:
        opened.show(written(tmp_path, letter(built)), width=width, scheme=scheme)
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
        height = opened.evaluate("document.querySelector('iframe').clientHeight")
        assert height > 400
        assert opened.evaluate("document.documentElement.scrollHeight <= innerHeight")
        ground = opened.evaluate("getComputedStyle(document.querySelector('iframe')).backgroundColor")
        assert ground == "rgb(255, 255, 255)", "messages are written for white paper"


DARK = """<style>p { color: rgb(1, 1, 1) } @media (prefers-color-scheme: dark) { p { color: rgb(250, 250, 250) } }
@media (max-width: 500px) { p { font-size: 30px } }</style><p>x</p>"""


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_narrow_and_dark_stand_beside_wide(tmp_path: Path, browser: Browser, scheme: Scheme) -> None:
    """Whatever the colours are that the browser's user prefers."""
    with browser.page() as opened:
        opened.show(written(tmp_path, letter(message(text="x\n", html=DARK))), scheme=scheme)
        style = "getComputedStyle(document.querySelector('p'))"
        seen = [frame.evaluate(f"[innerWidth, {style}.fontSize, {style}.color]") for frame in browser.frames()]
    narrow = [(size, color) for width, size, color in seen if width == 375]
    wide = [(size, color) for width, size, color in seen if width > 450]
    assert wide == [("16px", "rgb(1, 1, 1)")]
    assert sorted(narrow) == [("30px", "rgb(1, 1, 1)"), ("30px", "rgb(250, 250, 250)")]
