"""What `inline_css` makes of a newsletter looks the same in a browser: every pixel, on wide and narrow screens."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, get_args

import pytest

from batchsend.message.css import inlined
from tests.message.newsletters import NEWSLETTERS
from tests.report.browser import Browser, Page, Scheme

if TYPE_CHECKING:
    from pathlib import Path

WIDE, NARROW = 900, 500


def picture(page: Page, html: str, folder: Path, width: int, scheme: Scheme) -> bytes:
    """All of a document as a browser shows it at this width, as PNG."""
    document, shot = folder / "document.html", folder / "shot.png"
    document.write_text(html)
    page.show(document.as_uri(), scheme=scheme)
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    page.picture(shot)
    return shot.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", NEWSLETTERS)
def test_it_looks_the_same(tmp_path: Path, browser: Browser, name: str) -> None:
    before = NEWSLETTERS[name]
    after = inlined(before)
    with browser.page() as page:
        for scheme in get_args(Scheme):
            for width in (WIDE, NARROW):
                pictures = [picture(page, html, tmp_path, width, scheme) for html in (before, after)]
                first, second = [hashlib.sha256(one).hexdigest() for one in pictures]
                assert first == second, f"at {width} pixels, {scheme}:\n{after}"


def test_there_are_enough_of_them_and_most_have_something_to_inline() -> None:
    assert len(NEWSLETTERS) >= 25
    assert sum(inlined(html) != html for html in NEWSLETTERS.values()) >= 25


@pytest.mark.slow
def test_the_pictures_show_a_difference(tmp_path: Path, browser: Browser) -> None:
    """Otherwise the same pictures would say nothing."""
    with browser.page() as page:
        shown = {
            picture(page, f"<style>p {{ color: {colour} }}</style><p>x</p>", tmp_path, WIDE, "light")
            for colour in ("red", "#fe0000")
        }
        source = "<style>p { color: red } @media (max-width: 600px) { p { color: blue } }</style><p>x</p>"
        shown |= {picture(page, source, tmp_path, width, "light") for width in (WIDE, NARROW)}
    assert len(shown) == 3


@pytest.mark.parametrize("name", NEWSLETTERS)
def test_nothing_but_style_attributes_is_written(name: str) -> None:
    """And ``!important`` in sheets; without these, the source is what it was."""
    before = NEWSLETTERS[name]
    after = inlined(before)

    def bare(html: str) -> str:
        return re.sub(r"\s*!important|\s+style=(?:\"[^\"]*\"|'[^']*'|[^\s>]+)", "", html, flags=re.IGNORECASE)

    assert bare(after) == bare(before)
