"""One run's task, as every contestant gets it: where to, how, with what."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.work import KEY_FILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.work import Work

NEVER = 1_000_000_000
"""More messages than any session will send: no rotation."""

_CAMPAIGN = """\
recipients = "{recipients}"
results = "results.jsonl"
[server]
host = "{host}"
port = {port}
tls = "{tls}"
{trust}
[message]
from = "The Reading Room <hello@mail.example.com>"
to = "{{{{ name }}}} <{{{{ email }}}}>"
subject = "{subject}"
text_file = "message.txt"
html_file = "message.html"
{signature}
[delivery]
max_connections = {connections}
max_messages = {max_messages}
depth = {depth}
{further}
"""
_SIGNATURE = f"""\
[message.dkim]
domain = "mail.example.com"
selector = "bench"
key_file = "{KEY_FILE}"
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A server, or a way to one.

    Attributes:
        host: Its address on loopback.
        port: Its port.
        received: How many messages the server has taken so far.
        settle: Called after each run, so that none has to bear what the one before it left behind.
        tls: ``none``, ``starttls`` or ``implicit``.
        ca_file: What vouches for its certificate; empty without TLS.
        username: For AUTH; empty without.
        password: For AUTH.
    """

    host: str
    port: int
    received: Callable[[], int]
    settle: Callable[[], None] = lambda: None
    tls: str = "none"
    ca_file: str = ""
    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What one run is to do.

    Attributes:
        work: What is sent.
        place: Where to.
        home: The folder with the work's templates and records.
        messages: How many messages.
        connections: How many sessions at once.
        depth: How many messages of a session may be unanswered.
        max_messages: After how many messages a session is rotated.
        processes: How many processes compose; None for what a campaign has that does not say.
        rate: Messages a second that are not to be exceeded; None for no such bound.
    """

    work: Work
    place: Place
    home: Path
    messages: int
    connections: int
    depth: int = 1
    max_messages: int = 100
    processes: int | None = None
    rate: float | None = None

    @property
    def recipients(self) -> Path:
        """The file of records."""
        return self.home / f"recipients-{self.messages}.jsonl"

    def write_campaign(self) -> Path:
        """Write the job as a campaign file, for batchsend."""
        place = self.place
        trust = [f'ca_file = "{place.ca_file}"'] if place.ca_file else []
        if place.username:
            trust += [f'username = "{place.username}"', f'password = "{place.password}"']
        further = [] if self.processes is None else [f"processes = {self.processes}"]
        if self.rate is not None:
            further.append(f'rate = "{self.rate:g}/s"')
        path = self.home / "campaign.toml"
        path.write_text(
            _CAMPAIGN.format(
                recipients=self.recipients.name,
                host=place.host,
                port=place.port,
                tls=place.tls,
                trust="\n".join(trust),
                subject=self.work.subject,
                connections=self.connections,
                max_messages=self.max_messages,
                depth=self.depth,
                signature=_SIGNATURE if self.work.signed else "",
                further="\n".join(further),
            )
        )
        return path

    def write_task(self) -> Path:
        """Write the job as a JSON file, for the programs in ``clients/``."""
        task = {
            "host": self.place.host,
            "port": self.place.port,
            "campaign": str(self.write_campaign()),
            "recipients": str(self.recipients),
            "text": str(self.home / "message.txt"),
            "html": str(self.home / "message.html"),
            "subject": self.work.subject,
            "from_name": "The Reading Room",
            "from_address": "hello@mail.example.com",
            "messages": self.messages,
            "connections": self.connections,
            "max_messages": self.max_messages,
        }
        path = self.home / "task.json"
        path.write_text(json.dumps(task))
        return path
