"""The pictures in the README are those of the live view as it is now."""

from __future__ import annotations

import re
from html import unescape
from xml.etree import ElementTree as ET

import pytest

from tests.tools.pictures import FOLDER, PICTURES, draw


def words(svg: str) -> str:
    """All that can be read in a picture; how it is drawn may differ with the version of `rich`."""
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", svg, flags=re.DOTALL)).split())


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_up_to_date(name: str) -> None:
    assert words((FOLDER / name).read_text()) == words(draw(name)), "draw them anew: python -m tests.tools.pictures"


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_needs_nothing_from_elsewhere(name: str) -> None:
    text = (FOLDER / name).read_text()
    ET.fromstring(text)
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
