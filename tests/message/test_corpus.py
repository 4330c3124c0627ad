"""Hundreds of messages of every kind, and three parsers that know nothing of one another: all read what was written."""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from quopri import decodestring
from typing import TYPE_CHECKING

import pytest

from tests.message.corpus import parsers
from tests.message.corpus.cases import STRUCTURES
from tests.message.corpus.composed import Composed, compose
from tests.message.corpus.scripts import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.message.corpus.letter import ParsedMessage

pytestmark = pytest.mark.slow

LONGEST_LINE = 998
LINE = 78
ENCODINGS = (b"7bit", b"8bit", b"quoted-printable", b"base64")

ENCODED_WORD = re.compile(rb"=\?utf-8\?([bq])\?([!->@-~]*)\?=")

Reading = dict[str, Future[list["ParsedMessage"]]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Composed]:
    """Return every case, composed."""
    return compose(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def reading(corpus: list[Composed]) -> Iterator[Reading]:
    """Return what each parser reads, all of them at work at once."""
    files = [one.file for one in corpus]
    with ThreadPoolExecutor() as pool:
        yield {
            read.__name__: pool.submit(read, files) for read in (parsers.mailparser, parsers.email_mime, parsers.python)
        }


def test_there_are_messages_of_every_kind(corpus: list[Composed]) -> None:
    cases = {(one.case.structure.name, one.case.name) for one in corpus}
    assert len(cases) >= 200
    assert {structure for structure, _ in cases} >= {structure.name for structure in STRUCTURES}
    assert {name for _, name in cases} >= {script.name for script in SCRIPTS}
    encodings = Counter[bytes]()
    for one in corpus:
        content = one.file.read_bytes()
        encodings.update(name for name in ENCODINGS if b"Content-Transfer-Encoding: " + name in content)
    assert min(encodings[name] for name in ENCODINGS) >= 30
    assert max(one.file.stat().st_size for one in corpus) > 10_000_000


def test_no_line_is_too_long_and_none_ends_in_half_a_line_end(corpus: list[Composed]) -> None:
    for one in corpus:
        content = one.file.read_bytes()
        assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n"), one.name
        assert max(map(len, content.split(b"\r\n"))) <= LONGEST_LINE, one.name
        header, _, _ = content.partition(b"\r\n\r\n")
        assert header.isascii()
        _require_whole_characters(header)
        for line in header.split(b"\r\n"):
            value = line[1:] if line.startswith(b" ") else line.partition(b": ")[2]
            assert len(line) <= LINE or b" " not in value, (one.name, line)


def _require_whole_characters(header: bytes) -> None:
    """Each encoded-word by itself is text (RFC 2047 §5), although readers may join octets before they decode."""
    for kind, encoded in ENCODED_WORD.findall(header):
        (b64decode(encoded) if kind == b"b" else decodestring(encoded, header=True)).decode()


def test_python_reads_what_was_written(corpus: list[Composed], reading: Reading) -> None:
    _compare(corpus, reading["python"].result())


def test_mailparser_reads_what_was_written(corpus: list[Composed], reading: Reading) -> None:
    _compare(corpus, reading["mailparser"].result(), known=parsers.as_mailparser_has_it)


def test_email_mime_reads_what_was_written(corpus: list[Composed], reading: Reading) -> None:
    _compare(corpus, reading["email_mime"].result())


def _compare(
    corpus: list[Composed],
    found: list[ParsedMessage],
    known: Callable[[ParsedMessage], ParsedMessage] = lambda letter: letter,
) -> None:
    differences = {
        one.name: letter.with_references_named().differences(known(one.expected(letter)))
        for one, letter in zip(corpus, found, strict=True)
    }
    assert not {name: differs for name, differs in differences.items() if differs}
