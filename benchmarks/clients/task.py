"""What the programs written in Python share: the task, its records and templates, and the clock."""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend import Submission

Fields = dict[str, str]

_MARK = re.compile(r"\{\{ (\w+) \}\}")


def _template(text: str) -> str:
    """The template for Python's own formatting with ``%``, the fastest there is."""
    return _MARK.sub(r"%(\1)s", text.replace("%", "%%"))


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's parts, filled in."""

    address: str
    to: str
    subject: str
    text: str
    html: str


class Task:
    """The task of one run.

    Attributes:
        host: The server's address.
        port: Its port.
        connections: How many sessions at once.
        max_messages: After how many messages a session is rotated.
        sender: The mailbox in From.
        sender_address: Its address.
        messages: How many messages.
    """

    def __init__(self, path: Path) -> None:
        told = json.loads(path.read_text())
        self.host: str = told["host"]
        self.port: int = told["port"]
        self.connections: int = told["connections"]
        self.max_messages: int = told["max_messages"]
        self.messages: int = told["messages"]
        self.sender = f"{told['from_name']} <{told['from_address']}>"
        self.sender_address: str = told["from_address"]
        self.campaign: str = told["campaign"]
        self._recipients = Path(told["recipients"])
        self._subject = _template(told["subject"])
        self._text = _template(Path(told["text"]).read_text())
        self._html = _template(Path(told["html"]).read_text())

    def records(self) -> Iterator[Fields]:
        """The records, one after the other."""
        with self._recipients.open() as file:
            for line in file:
                yield json.loads(line)

    def rendered(self) -> Iterator[Rendered]:
        """Every message's parts, filled in without any escaping: less work than a campaign should do."""
        for fields in self.records():
            address = fields["email"]
            yield Rendered(
                address,
                f"{fields['name']} <{address}>",
                self._subject % fields,
                self._text % fields,
                self._html % fields,
            )

    def ready_made(self) -> list[Submission]:
        """Every message as batchsend composes it, before the clock runs."""
        from batchsend import load  # noqa: PLC0415 - only where it is asked for
        from batchsend.message import Composer  # noqa: PLC0415
        from batchsend.recipients import Record  # noqa: PLC0415

        campaign = load(Path(self.campaign))
        composer = Composer(campaign.message, directory=campaign.directory, batch_id="bench")
        return [
            composer.compose(Record(number, number, dict(fields))) for number, fields in enumerate(self.records(), 1)
        ]


def given() -> Task:
    """The task named on the command line."""
    return Task(Path(sys.argv[1]))


@contextmanager
def clock() -> Iterator[None]:
    """Measure what happens within, and say so in a line of JSON, as the last thing."""
    began = time.monotonic()
    yield
    print(json.dumps({"seconds": time.monotonic() - began}))
