"""Whatever is put into a message comes out of it, in lines that every server takes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchsend.campaign import Message
from batchsend.message import Composer
from batchsend.recipients import Record
from tests.message.corpus import python_parser
from tests.message.corpus.letter import Attached, Mailbox, shown
from tests.message.corpus.oddities import FILENAMES, HEADER_TEXTS, TEXTS
from tests.tools.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGE: dict[str, Any] = {
    "from_": "{{ name }} <hello@mail.example.com>",
    "to": "{{ name }} <{{ email }}>",
    "reply_to": "{{ name }} <reply@example.com>, {{ title }} <desk@example.com>",
    "subject": "{{ title }}",
    "text": "{{ text }}",
    "html": "{{ html | safe }}",
    "attachments": ("{{ file }}",),
    "headers": {"List-Unsubscribe": "<https://example.com/u/{{ name | urlencode }}>", "X-Note": "{{ note }}"},
}

# What a header's text may hold, and what else a body may: everything but half of a character.
READABLE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
HEADER_TEXT = st.sampled_from(HEADER_TEXTS) | st.text(READABLE, max_size=120) | st.text('aé =?_",<>\\', max_size=200)
TEXT = st.sampled_from(TEXTS) | st.text(max_size=200) | st.text("aé=. \t\r\n-_", max_size=300)
# A file's name has at most 255 octets; Python's get_filename() takes white space off both ends.
FILENAME = st.sampled_from(FILENAMES) | st.text(READABLE, min_size=1, max_size=60).filter(
    lambda name: "/" not in name and name.strip() == name and name not in {".", ".."}
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a campaign's folder that all examples use."""
    with TemporaryDirectory() as directory:
        yield Path(directory)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(80), deadline=None)
@given(name=HEADER_TEXT, title=HEADER_TEXT, note=HEADER_TEXT, text=TEXT, html=TEXT, file=FILENAME, content=st.binary())
@example(name="", title="", note="", text="", html="", file="x", content=b"")
@example(name=" x ", title="é ", note=" é", text="\r\n\r", html="\r", file="x" * 255, content=bytes(range(256)) * 10)
def test_what_goes_in_comes_out(
    folder: Path, name: str, title: str, note: str, text: str, html: str, file: str, content: bytes
) -> None:
    (folder / file).write_bytes(content)
    record = {"email": "a@example.com", "name": name, "title": title, "note": note}
    composer = Composer(Message(**MESSAGE), directory=folder, batch_id="b1")
    submission = composer.compose(Record(1, 2, record | {"text": text, "html": html, "file": file}))
    forms = [submission.content] if submission.seven_bit is None else [submission.content, submission.seven_bit()]
    assert forms[-1].isascii()

    for composed in forms:
        _require_fit(composed)
        letter = python_parser.read(composed)
        assert letter.sender == (Mailbox(_stripped(name), "hello@mail.example.com"),)
        assert letter.to == (Mailbox(_stripped(name), "a@example.com"),)
        assert letter.reply_to == (
            Mailbox(_stripped(name), "reply@example.com"),
            Mailbox(_stripped(title), "desk@example.com"),
        )
        assert letter.subject == _stripped(title)
        assert letter.note == _stripped(note)
        assert letter.text == shown(_lines(text))
        assert letter.html == shown(_lines(html))
        assert letter.attachments == (Attached.of(file, content),)


def _require_fit(composed: bytes) -> None:
    """In lines that every server takes, the header in such as RFC 5322 §2.1.1 wants."""
    assert composed.count(b"\r") == composed.count(b"\n") == composed.count(b"\r\n")
    assert max(map(len, composed.split(b"\r\n"))) <= 998
    for line in composed.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        value = line[1:] if line.startswith(b" ") else line.partition(b": ")[2]
        assert len(line) <= 78 or b" " not in value


def _stripped(text: str) -> str:
    return text.replace("\t", " ").strip(" ")


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
