"""A campaign comes back: what real mail systems make of it, through IMAP and by SMTP, each report tied to its record.

The relay delivers to a host that knows some of the recipients, has no room for others, greylists a third part, and
answers for a fourth. The relay makes the bounces. ``BATCHSEND_TEST_BOUNCES=1000`` takes that many records.
"""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from batchsend.feedback.imap import PASSWORD
from batchsend.sink import Sink, SinkOptions
from batchsend.sink.rules import Action, Rule
from tests.cli.commandline import ended, environment, invoke, process, serving, statuses
from tests.feedback.letters import lines_of
from tests.servers.daemon import free_ports, greets
from tests.servers.dovecot import Dovecot
from tests.servers.exim import Exim
from tests.servers.opensmtpd import OpenSmtpd
from tests.servers.postfix import Postfix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchsend.sink.received import Received
    from tests.servers.relay import Relay

pytestmark = pytest.mark.servers

COUNT = int(os.environ.get("BATCHSEND_TEST_BOUNCES", "40"))
BOUNCES = "bounces.example.net"
RELAYS = {"postfix": Postfix, "exim": Exim, "opensmtpd": OpenSmtpd}
WITHIN = 40.0 + COUNT / 5


class Greylisting(Rule):
    """Refuses each recipient for now when it is tried at first: within the first second."""

    first: dict[str, float] = {}  # noqa: RUF012 - one for all rules

    def matches(self, forward_path: str) -> bool:
        """Whether it was tried for the first time less than a second ago."""
        now = time.monotonic()
        return super().matches(forward_path) and now - self.first.setdefault(forward_path, now) < 1.0


class Destination:
    """The host of the recipients: who they are is told by their names.

    Attributes:
        delivered: Whom it has taken mail for.
        senders: The return paths of what was taken for recipients whose mailbox answers by itself.
    """

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.senders: list[tuple[str, str]] = []
        rules = (
            Rule(pattern="unknown*", action=Action.REJECT, reply="550 5.1.1 User unknown in virtual mailbox table"),
            Rule(pattern="full*", action=Action.REJECT, reply="552 5.2.2 Mailbox full"),
            Greylisting(pattern="grey*", action=Action.DEFER, reply="450 4.7.1 Greylisted, try again later"),
        )
        self.sink = Sink(SinkOptions(rules=rules), on_message=self._take)

    def _take(self, message: Received) -> None:
        for recipient in message.recipients:
            self.delivered.append(recipient)
            if recipient.startswith("auto"):
                self.senders.append((recipient, message.reverse_path))

    def require_delivered(self) -> None:
        """All that it takes mail for have theirs, once, also those whom it greylisted."""
        wanted = ("known", "grey", "auto")
        expected = [f"{kind}{record}@dest.example.org" for record, kind in kinds().items() if kind in wanted]
        assert sorted(self.delivered) == sorted(expected)
        grey = {f"grey{record}@dest.example.org" for record, kind in kinds().items() if kind == "grey"}
        assert set(Greylisting.first) == grey

    def answer(self, port: int) -> None:
        """Answer for those who are away (RFC 3834), to the return path, at a port of its host."""
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            for recipient, return_path in self.senders:
                text = (
                    f"From: {recipient}\r\nTo: {return_path}\r\nSubject: Auto: News\r\n"
                    "Auto-Submitted: auto-replied\r\n\r\nI am away until Monday.\r\n"
                )
                client.sendmail("", [return_path], text)


def kinds() -> dict[int, str]:
    """What each record's recipient is."""
    names = ("known", "unknown", "full", "grey", "auto")
    return {record: names[(record - 1) % len(names)] for record in range(1, COUNT + 1)}


def written(folder: Path, relay: Relay) -> Path:
    """The campaign."""
    rows = "".join(f"{kind}{record}@dest.example.org\n" for record, kind in kinds().items())
    (folder / "recipients.csv").write_text(f"email\n{rows}")
    path = folder / "campaign.toml"
    port = relay.plain_port  # type: ignore[attr-defined]  # each of them has it
    path.write_text(
        f"""recipients = "recipients.csv"
[server]
host = "127.0.0.1"
port = {port}
tls = "none"
[message]
from = "News <news@example.net>"
return_path = "bounce+{{{{ batch.verp }}}}@{BOUNCES}"
subject = "News"
text = "Hello"
"""
    )
    return path


def require_all_tied(log: Path, source: str) -> None:
    """Each record has what must come back of it, once, and no other has anything."""
    found: dict[int, tuple[object, object]] = {}
    for line in lines_of(log):
        if line["kind"] == "delayed":
            continue  # some tell that they are trying
        record = line["record"]
        assert isinstance(record, int), line
        assert record not in found, line
        assert line["recipient"] == f"{kinds()[record]}{record}@dest.example.org"
        assert str(line["source"]).startswith(source)
        found[record] = (line["kind"], line["reason"] if line["kind"] == "bounced" else line["hard"])
        assert line["hard"] is (kinds()[record] == "unknown")
    expected = {
        "unknown": ("bounced", "unknown_mailbox"),
        "full": ("bounced", "mailbox_full"),
        "auto": ("auto_reply", False),
    }
    assert found == {record: expected[kind] for record, kind in kinds().items() if kind in expected}


@pytest.fixture(params=sorted(RELAYS))
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    Greylisting.first.clear()
    return request.param  # type: ignore[no-any-return]


def test_through_imap(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = Destination()
    with Dovecot() as dovecot, serving(destination.sink) as sink:
        inbox = Sink(SinkOptions(maildir=dovecot.directory / "mail"))
        with serving(inbox) as host, RELAYS[name](routes={BOUNCES: host.port, "*": sink.port}) as relay:
            assert ended(process("send", written(tmp_path, relay)), within=WITHIN).code == 0
            relay.wait_idle(within=WITHIN)
            destination.require_delivered()
            destination.answer(host.port)
        for folder, _, files in os.walk(dovecot.directory / "mail"):
            for path in (folder, *(f"{folder}/{file}" for file in files)):
                shutil.chown(path, "nobody", "nogroup")
        results, log = tmp_path / "results.jsonl", tmp_path / "results.feedback.jsonl"
        monkeypatch.setenv("SSL_CERT_FILE", str(dovecot.ca_file))
        monkeypatch.setenv(PASSWORD, dovecot.password)
        url = f"imaps://bounces@localhost:{dovecot.port}/INBOX"
        said = invoke(capsys, "feedback", url, "--results", results)
        assert said.code == 0, said
        require_all_tied(log, "imaps://")
        assert set(statuses(results).values()) == {"accepted"}
        before = log.read_bytes()
        assert "0 new in" in invoke(capsys, "feedback", dovecot.directory / "mail", "--results", results).output
        assert log.read_bytes() == before


def test_by_smtp(tmp_path: Path, name: str) -> None:
    destination = Destination()
    (port,) = free_ports(1)
    with serving(destination.sink) as sink, RELAYS[name](routes={BOUNCES: port, "*": sink.port}) as relay:
        path, results = written(tmp_path, relay), tmp_path / "results.jsonl"
        # The log is there once one record was sent, of which nothing comes back; then the listener finds it.
        assert ended(process("send", path, "--limit", "1")).code in (0, 1)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        listener = process("listen", results, "--smtp", f"127.0.0.1:{port}", env=environment(), **quiet)
        try:
            while not greets(port, b"220"):
                assert listener.poll() is None
            assert ended(process("resume", results), within=WITHIN).code == 0
            relay.wait_idle(within=WITHIN)
            destination.require_delivered()
            destination.answer(port)
            require_all_tied(tmp_path / "results.feedback.jsonl", "smtp")
        finally:
            listener.terminate()
            listener.wait(30)
