"""The parsers that read the corpus: Python's, Nodemailer's and Perl's, which have nothing in common but the RFCs."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from tests.message.corpus import python_parser
from tests.message.corpus.letter import ParsedMessage
from tests.servers import requirements

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HERE = Path(__file__).parent
_MODULES = requirements.unpacked() / "npm" / "node_modules"
_WITHIN = 120.0
_Q_WORD = re.compile(r"=\?utf-8\?q\?([^?=_]*)\?=")  # with nothing encoded in it


def python(files: Iterable[Path]) -> list[ParsedMessage]:
    """Read messages with Python's ``email``."""
    return [python_parser.read(file.read_bytes()) for file in files]


def mailparser(files: Sequence[Path]) -> list[ParsedMessage]:
    """Read messages with Nodemailer's mailparser, all in one process."""
    if not (_MODULES / "mailparser").is_dir():
        requirements.missing("npm's mailparser is not on this machine")
    return _run(["node", str(_HERE / "mailparser.js")], files, {"NODE_PATH": str(_MODULES)})


def email_mime(files: Sequence[Path]) -> list[ParsedMessage]:
    """Read messages with Perl's Email::MIME, all in one process."""
    perl = str(requirements.program("perl"))
    if subprocess.run([perl, "-MEmail::MIME", "-e", "1"], stderr=subprocess.DEVNULL, check=False).returncode:
        requirements.missing("Perl's Email::MIME is not on this machine")
    return _run([perl, str(_HERE / "email_mime.pl")], files, {})


def as_mailparser_has_it(letter: ParsedMessage) -> ParsedMessage:
    """What mailparser 3.7 makes of a message that says this.

    Where a text part is empty it takes the line end before the boundary, which belongs to the boundary (RFC 2046
    §5.1.1), for the text. It decodes what looks like an encoded-word in a file's name, where none may stand (RFC 2047
    §5).
    """
    attachments = tuple(one._replace(filename=_Q_WORD.sub(r"\1", one.filename)) for one in letter.attachments)
    is_empty_part = not letter.text and "content-transfer-encoding" not in letter.names
    return replace(letter, attachments=attachments, text="\n" if is_empty_part else letter.text)


def _run(command: list[str], files: Sequence[Path], variables: dict[str, str]) -> list[ParsedMessage]:
    names = "".join(f"{file}\n" for file in files).encode()
    environment = {**os.environ, **variables}
    done = subprocess.run(command, input=names, stdout=subprocess.PIPE, env=environment, check=True, timeout=_WITHIN)
    return [ParsedMessage.from_json(orjson.loads(line)) for line in done.stdout.split(b"\n") if line]
