"""The corpus composed: each case by a real campaign, from its file and its recipients file to the message's octets.

What is composed with octets above 127 is also there in its other form, for servers without 8BITMIME.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import orjson

from batchsend.campaign import load
from batchsend.message import Composer
from batchsend.recipients import Record, open_records
from tests.message.corpus.cases import cases
from tests.message.corpus.letter import ParsedMessage
from tests.message.corpus.structures import COMMON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.message.corpus.cases import Case
    from tests.message.corpus.structures import Structure

LARGE = 5_000_000
"""Octets of a message that is composed in one form only: parsers take a second for each such."""

HEADER_NAMES = (
    *("date", "message-id", "from", "to", "reply-to", "subject"),
    *("list-unsubscribe", "list-unsubscribe-post", "x-note", "mime-version", "content-type"),
)


@dataclass(frozen=True, slots=True)
class Composed:
    """A case and the message that was made of it.

    Attributes:
        case: The case.
        file: Where the message is.
        message_id: Its Message-ID.
        since: When it was composed at the earliest, in whole seconds since the epoch.
        until: And at the latest.
    """

    case: Case
    file: Path
    message_id: str
    since: int
    until: int

    @property
    def name(self) -> str:
        """The case's name with its campaign's."""
        return f"{self.case.structure.name}: {self.case.name} ({self.file.name})"

    def expected(self, found: ParsedMessage) -> ParsedMessage:
        """What the message must say, where a parser found this.

        Two things are taken from what was found where it is right: the date, if it lies in the time of composition, and
        the last field's name, which only a text without parts has.
        """
        values: dict[str, Any] = self.case.says()
        single = (*HEADER_NAMES, "content-transfer-encoding")
        return ParsedMessage(
            **values,
            message_id=self.message_id,
            names=single if found.names == single else HEADER_NAMES,
            date=found.date if self.since <= found.date <= self.until else self.since,
        )


def compose(directory: Path) -> list[Composed]:
    """Compose every case, each message in a file of its own."""
    composed: list[Composed] = []
    for number, (structure, group) in enumerate(groupby(by_structure(), lambda case: case.structure)):
        folder = directory / f"{number:02}-{structure.name}"
        composed += _campaign(folder, f"corpus{number}", structure, list(group))
    return composed


def by_structure() -> list[Case]:
    """All cases, those of one campaign in a row."""
    return sorted(cases(), key=lambda case: case.structure.name)


def _campaign(path: Path, batch_id: str, structure: Structure, wanted: list[Case]) -> Iterator[Composed]:
    path.mkdir()
    top = {"recipients": "recipients.jsonl", "server": {"host": "smtp.example.com"}}
    message = structure.message if "eml_file" in structure.message else COMMON | structure.message
    keys = top | {"message": message}
    (path / "campaign.toml").write_text("".join(f"{key} = {_toml(value)}\n" for key, value in keys.items()))
    for name, content in structure.files.items() | {
        (name, octets) for case in wanted for name, octets in case.files.items()
    }:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    lines = [orjson.dumps(case.fields, option=orjson.OPT_APPEND_NEWLINE) for case in wanted]
    (path / "recipients.jsonl").write_bytes(b"".join(lines))
    campaign = load(path / "campaign.toml")
    composer = Composer(campaign.message, directory=campaign.directory, batch_id=batch_id)
    with open_records(path / "recipients.jsonl") as reader:
        for case in wanted:
            (record,) = reader.read(1)
            assert isinstance(record, Record)
            since = int(time.time())
            submission = composer.compose(record)
            until = int(time.time())
            contents = [submission.content]
            assert submission.eight_bit == (not submission.content.isascii())
            if submission.seven_bit is not None and len(submission.content) < LARGE:
                contents.append(submission.seven_bit())
                assert contents[-1].isascii()
            for form, content in enumerate(contents):
                file = path / f"{record.number}-{form}.eml"
                file.write_bytes(content)
                message_id = f"<{batch_id}.{record.number}@mail.example.com>"
                yield Composed(case, file, message_id, since, until)


def _toml(value: object) -> str:
    """A value as TOML has it on one line; texts and numbers are those of JSON."""
    match value:
        case dict():
            return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)
