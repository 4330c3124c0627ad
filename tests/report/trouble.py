"""A campaign that meets every kind of trouble, sent for real: the log that the pictures of the report are made of."""

from __future__ import annotations

import random
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from anyio.from_thread import start_blocking_portal

from batchsend.outcome import Stage
from tests.cli.commandline import process
from tests.tools.byte_proxy import ByteProxy
from tests.tools.faulty import ACCEPT, Action, FaultyServer, drop, refuse, say

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES_OF_A_SESSION = 60
_WITHIN = 300.0

# How the recipients are spread over the domains.
_DOMAINS = {
    "example.com": 44,
    "mail.example.com": 18,
    "example.net": 14,
    "students.example.org": 9,
    "example.org": 7,
    "post.example.net": 4,
    "archive.example.org": 2,
    "reading-rooms.example.net": 2,
}
_UNKNOWN = 0.02
_FULL = 0.008
_LOST = 0.001
_DISTRUSTED = 0.004


class Relay:
    """What the server decides, the same for the same messages.

    Args:
        per_second: Messages a second, above which it asks for a slower pace; None for any number.
    """

    def __init__(self, *, per_second: int | None = None) -> None:
        self._per_second = per_second
        self._window = 0
        self._taken = 0
        self._met: set[str] = set()
        self._queued = random.Random(7)

    def decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.MAIL and transaction > MESSAGES_OF_A_SESSION:
            return refuse(421, "4.7.0 Maximum message count per session reached")
        if stage is Stage.RCPT and recipient is not None:
            return self._rcpt(recipient)
        if stage is Stage.CONTENT and recipient is not None:
            return self._content(recipient)
        return ACCEPT

    def _rcpt(self, recipient: str) -> Action:
        if self._is_too_fast():
            return refuse(450, f"4.7.1 Too many messages per second, {self._per_second} are allowed")
        lot = random.Random(recipient).random()
        domain = recipient.partition("@")[2]
        if lot < _UNKNOWN * (5 if domain == "archive.example.org" else 1):
            return refuse(550, f"5.1.1 <{recipient}>: Recipient address rejected: User unknown")
        if lot > 1 - _FULL:
            return refuse(552, f"5.2.2 <{recipient}>: mailbox has exceeded its quota of {5000 + len(recipient)} MB")
        if domain == "students.example.org" and recipient not in self._met:
            self._met.add(recipient)
            return refuse(
                450, f"4.2.0 <{recipient}>: Recipient address rejected: Greylisted for {60 + len(recipient)} s"
            )
        return ACCEPT

    def _content(self, recipient: str) -> Action:
        lot = random.Random(f"content {recipient}").random()
        queued = f"{self._queued.getrandbits(44):011X}"
        if lot < _LOST:
            return drop(succeeds=lot < _LOST / 2)
        domain = recipient.partition("@")[2]
        if domain == "post.example.net" and lot > 0.4:
            return refuse(
                550, f"5.7.26 {queued} Unauthenticated mail from mail.example.com: neither DKIM nor SPF passed"
            )
        if lot > 1 - _DISTRUSTED:
            return refuse(554, f"5.7.1 {queued}: Client host [192.0.2.14] blocked using bl.example.org")
        return say(f"250 2.0.0 Ok: queued as {queued}\r\n".encode())

    def _is_too_fast(self) -> bool:
        if self._per_second is None:
            return False
        window = int(time.monotonic())
        if window != self._window:
            self._window, self._taken = window, 0
        self._taken += 1
        return self._taken > self._per_second


def send(folder: Path, *, records: int, per_second: int | None = None, delay: float = 0.0) -> Path:
    """Send two thirds of a campaign, resume it for the rest, and return its results log.

    Args:
        folder: Where the campaign is made, in a folder of its own.
        records: How many records it has.
        per_second: As for `Relay`.
        delay: Seconds of a round trip.
    """
    campaign = folder / "spring-newsletter" / "campaign.toml"
    campaign.parent.mkdir()
    _write(campaign, records)
    log = campaign.parent / "results.jsonl"
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        server = FaultyServer(Relay(per_second=per_second).decide)
        stack.enter_context(portal.wrap_async_context_manager(server))
        proxy = ByteProxy(server.host, server.port, round_trip=delay)
        stack.enter_context(portal.wrap_async_context_manager(proxy))
        to = ("--server", f"smtp://{proxy.host}:{proxy.port}", "--no-progress")
        for command in (("send", campaign, "--limit", str(records * 2 // 3)), ("resume", log)):
            running = process(*command, *to, stdout=subprocess.DEVNULL)
            _, errors = running.communicate(timeout=_WITHIN)
            assert running.returncode == 1, errors
    return log


def _write(campaign: Path, records: int) -> None:
    lots = random.Random(1)
    rows = ["email,name"]
    for number in range(1, records + 1):
        domain = lots.choices(list(_DOMAINS), list(_DOMAINS.values()))[0]
        rows.append(f"reader{number}@{domain},Reader {number}")
        if number % 450 == 0:
            rows[-1] = f"reader{number} at {domain},Reader {number}"
    (campaign.parent / "recipients.csv").write_text("\n".join(rows) + "\n")
    (campaign.parent / "gone.txt").write_text("".join(f"reader{number}@example.com\n" for number in range(1, 200)))
    campaign.write_text(
        'recipients = "recipients.csv"\nresults = "results.jsonl"\n[server]\nhost = "smtp.example.com"\n'
        '[message]\nfrom = "The Reading Room <hello@mail.example.com>"\nsubject = "Spring, {{ name }}"\n'
        'text = "New in the reading room, {{ name }}."\n'
        '[delivery]\nmax_connections = 4\nretry_after = "200ms"\nsuppress = ["gone.txt"]\n'
    )
