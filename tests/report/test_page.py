"""The page: what it says, that all of the log in it is text, and that it asks for nothing."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from batchsend.outcome import Outcome
from batchsend.report.html import render
from tests.report.logs import begin, end, everything, invalid, outcome, rejected, report_of

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br", "hr", "img", "link", "input", "wbr"}
HOSTILE = "<script>alert(1)</script><img src=//example.net/x onerror=alert(2)>\"'&</title></style></svg>{{7*7}}"


class Structure(HTMLParser):
    """The elements of a page, each closed in its turn, their attributes and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(folder: Path, *lines: bytes) -> str:
    return render(report_of(folder, *lines), version="0.1.0")


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Structure(page).text))


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """The page of a log in which everything that others may have written is hostile."""
    lines = [
        begin(campaign=f"/{HOSTILE}/campaign.toml"),
        rejected(1, recipient=f"a@{HOSTILE}", reply=f"5.7.1 {HOSTILE}", reason=HOSTILE, enhanced=HOSTILE),
        rejected(2, recipient=f"a@{HOSTILE}", reply=f"5.7.1 {HOSTILE}", reason=HOSTILE, enhanced=HOSTILE),
        invalid(3, f"recipient {HOSTILE} is not an address", recipient=HOSTILE),
        end(stopped=HOSTILE, learned={HOSTILE: 1}),
        begin(after=100, campaign=HOSTILE),
        outcome(4, after=101, reply=HOSTILE, recipient=HOSTILE),
        end(after=102, stopped=HOSTILE),
    ]
    return page_of(tmp_path, *lines)


def test_it_says_what_became_of_the_campaign(tmp_path: Path) -> None:
    text = text_of(page_of(tmp_path, *everything()))
    for said in (
        *("spring", "2026-11-22 07:00:00", "in 2 runs", "smtp.example.com:587", "124 of 139 records"),
        *("Unknown mailbox", "Take them off the list", "550 5.1.1 <…@…>: User unknown", "gone.example.net (10)"),
        *("Greylisted", "In doubt", "Invalid record", "2 attempts", "20 messages", "stopped by SIGINT"),
        *("250 2.0.0 Ok: queued as #", "It ends a session after 20 messages; it takes 40.5 messages a second"),
        *("max_messages = 20", 'rate = "40.5/s"'),
    ):
        assert said in text, said
    for outcome_ in Outcome:
        assert f"{outcome_.value.replace('_', ' ')} " in text


def test_its_charts_can_be_read_without_seeing_them(tmp_path: Path) -> None:
    """Each picture has a role and a name, the large ones a description in words; what only decorates is hidden."""
    page = page_of(tmp_path, *everything())
    structure = Structure(page)
    ids = {attributes["id"] for _, attributes in structure.elements if "id" in attributes}
    pictures = [attributes for tag, attributes in structure.elements if tag == "svg" and "y" not in attributes]
    assert len(pictures) > 5
    for attributes in pictures:
        if attributes.get("aria-hidden") != "true":
            assert attributes["role"] == "img"
            named = (attributes.get("aria-labelledby") or "").split()
            assert attributes.get("aria-label") or (named and set(named) <= ids)
    assert "143 attempts in 25.0 s" in text_of(page)
    assert re.search(r"median within \d+ ms; 90 % within \d+ ms", text_of(page))


def test_all_that_a_log_holds_is_text(hostile: str) -> None:
    structure = Structure(hostile)
    assert {"script", "img", "iframe", "object", "embed", "link", "form", "base", "a"}.isdisjoint(
        tag for tag, _ in structure.elements
    )
    assert not any(name.startswith("on") for _, attributes in structure.elements for name in attributes)
    assert "<script>alert(1)</script>" in text_of(hostile)
    assert "{{7*7}}" in text_of(hostile)


def test_it_asks_for_nothing(tmp_path: Path, hostile: str) -> None:
    for page in (page_of(tmp_path, *everything()), hostile):
        structure = Structure(page)
        for _, attributes in structure.elements:
            assert {"src", "href", "xlink:href", "srcset", "action", "style", "background"}.isdisjoint(attributes)
        style = re.search("<style>(.*?)</style>", page, re.DOTALL)
        assert style is not None
        assert not re.search(r"@import|url\(|@font-face|expression", style[1])


def test_its_policy_allows_its_own_style_and_nothing_else(tmp_path: Path) -> None:
    page = page_of(tmp_path, *everything())
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    policies = [a["content"] for tag, a in Structure(page).elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [invalid(1, "2 fields where the header has 4")],
        [outcome(1, elapsed=0.0, after=0.0)],
        [outcome(1, elapsed=None, session=None)],
        [outcome(record, after=record * 86_400.0) for record in range(1, 40)],
    ],
    ids=["nothing", "nothing offered", "in no time", "no figures", "over weeks"],
)
def test_whatever_there_is_to_tell_there_is_a_page(tmp_path: Path, lines: list[bytes]) -> None:
    page = page_of(tmp_path, begin(), *lines)
    assert "This is not the end of it" in text_of(page)
    assert "nan" not in page
    assert "inf" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


@pytest.mark.slow
def test_it_stays_small(tmp_path: Path) -> None:
    """Of many domains and replies the most frequent are shown; how many there are besides is said."""
    lines = [
        rejected(
            record, recipient=f"a@d{record}.example.com", reply=f"5.1.1 {'x' * (record % 97)} {'y' * (record % 89)}"
        )
        for record in range(1, 3000)
    ]
    page = page_of(tmp_path, begin(), *lines, end())
    assert len(page) < 150_000
    assert "2,984 other domains" in text_of(page)
