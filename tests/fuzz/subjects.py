"""What is fuzzed: for each kind of foreign input, sound examples of it, and what reads it.

A subject raises nothing but the errors that its reader documents, which it takes itself; what it finds wrong is an
`AssertionError`. Everything that it needs is in a folder of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from batchsend.campaign import Message, load
from batchsend.control.protocol import ControlRequest, answer_of, encoded, request_of
from batchsend.errors import RecordError, UsageError
from batchsend.feedback.log import as_fields
from batchsend.feedback.understanding import understand
from batchsend.feedback.webhooks import RELAYS, reports_of
from batchsend.message.composer import Composer
from batchsend.message.verp import Verp, record_of, record_of_link
from batchsend.recipients import Record, open_records
from batchsend.recipients.addresses import forward_path, mailbox
from batchsend.results.choice import Choice
from batchsend.results.journal import journal_path
from batchsend.results.resumption import Resumption
from batchsend.smtp import commands
from batchsend.smtp.client import Client
from batchsend.smtp.client_state import State
from batchsend.smtp.replies import ReplyParser
from batchsend.smtp.transaction import Transaction
from tests.feedback.letters import complaint, dsn, letter, results_log
from tests.listen.test_webhooks import BOUNCES
from tests.recipients.sheets import Formatted, ods, xlsx
from tests.results.account import killed, ledger, result

if TYPE_CHECKING:
    from batchsend.feedback.report import FeedbackReport

_KEY: Final = b"k" * 32
_RUN: Final = "20261127T080000.abcdef012345"
_ROWS: Final = 200


class Subject(NamedTuple):
    """One kind of input.

    Attributes:
        examples: Sound ones.
        read: Reads one, in a folder in which it may do as it likes.
    """

    examples: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], object]


def _replies(octets: bytes, _: Path) -> None:
    """The stream says the same in any pieces, and a client takes it to its end."""
    whole, pieces = ReplyParser(), ReplyParser()
    found = whole.feed(octets)
    step = len(octets) % 7 + 1
    cuts = [*range(0, len(octets), step), len(octets)]
    again = [reply for begin, end in pairwise(cuts) for reply in pieces.feed(octets[begin:end])]
    assert found == again, "other replies in pieces"
    assert whole.error == pieces.error, "another error in pieces"
    for depth in (1, 3):
        client: Client[int] = Client(pipelining=depth > 1 or step % 2 == 0, depth=depth)
        handed: list[int] = []
        for begin, end in pairwise(cuts):
            while client.room and client.begun < 5:
                number = client.begun + 1
                content = b"Subject: x\r\n\r\nx\r\n"
                rcpt = commands.rcpt(f"r{number}@example.com")
                client.begin(Transaction(number, mail=commands.mail("f@example.com"), rcpt=rcpt, content=content))
            client.committing()
            client.data_to_send()
            handed += [one.key for one in client.receive(octets[begin:end])]
            if client.state is State.CLOSED:
                break
        begun = client.begun
        handed += [one.key for one in client.abandon()]
        assert sorted(handed) == list(range(1, begun + 1)), "a transaction is lost, or handed back twice"


def _list(name: str) -> Callable[[bytes, Path], None]:
    def read(octets: bytes, folder: Path) -> None:
        (folder / name).write_bytes(octets)
        with suppress(UsageError), open_records(folder / name) as reader:
            rows = 0
            while rows < _ROWS and (found := reader.read(50)):
                rows += len(found)

    return read


def _campaign_file(octets: bytes, folder: Path) -> None:
    (folder / "campaign.toml").write_bytes(octets)
    (folder / "list.csv").write_text("email\na@example.com\n")
    with suppress(UsageError):
        campaign = load(folder / "campaign.toml")
        Composer(campaign.message, directory=campaign.directory, batch_id="b1")


def _account(which: Callable[[Path], Path]) -> Callable[[bytes, Path], None]:
    """The log, or the journal, of a run that was killed; the other one is sound."""

    def read(octets: bytes, folder: Path) -> None:
        for name, content in _killed_account().items():
            (folder / name).write_bytes(content)
        log = folder / "results.jsonl"
        which(log).write_bytes(octets)
        with suppress(UsageError), Resumption(log, Choice()) as past:
            assert sum(past.counts.values()) >= 0

    return read


@cache
def _killed_account() -> dict[str, bytes]:
    """The files of a run that was killed with two messages under way."""
    with TemporaryDirectory(prefix="batchsend-fuzz-") as made:
        log = Path(made) / "results.jsonl"
        with ledger(log) as account:
            for record in (1, 2, 3, 4):
                account.commit(record, 1)
            account.append(result(1))
            account.append(result(3))
            copy = killed(log, Path(made) / "killed")
        return {path.name: path.read_bytes() for path in copy.parent.iterdir()}


def _address(octets: bytes, _: Path) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    with suppress(RecordError):
        path = forward_path(text)
        assert forward_path(path) == path, "another address the second time"
        assert not set(path) & set("\r\n\0<>"), path
    with suppress(RecordError):
        mailbox(text, "sender")


@cache
def _composer_of_names() -> Composer:
    message = Message(
        from_="{{ name }} <from@example.com>",
        to="{{ name }} <{{ email }}>",
        subject="{{ name }}",
        text="x",
        headers={"X-Name": "{{ name }}"},
    )
    return Composer(message, directory=Path("/"), batch_id="b1")


def _headers(octets: bytes, _: Path) -> None:
    """A header of data has no line of its own."""
    composer = _composer_of_names()
    text = octets.decode("utf-8", "replace")
    with suppress(RecordError):
        content = composer.compose(Record(1, 2, {"email": "a@example.com", "name": text})).content
        head = content.partition(b"\r\n\r\n")[0]
        names = [line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
        known = {b"Date", b"Message-ID", b"From", b"To", b"Subject", b"X-Name", b"MIME-Version"}
        assert all(name in known or name.startswith(b"Content-") for name in names), names
        assert len(names) == len(set(names)), names


def _whole_message(octets: bytes, folder: Path) -> None:
    (folder / "message.eml").write_bytes(octets)
    with suppress(UsageError, RecordError):
        composer = Composer(Message(eml_file=folder / "message.eml"), directory=folder, batch_id="b1")
        content = composer.compose(Record(1, 2, {"email": "a@example.com", "name": "A"})).content
        assert content.endswith(b"\r\n"), content[-20:]


def _written(reports: list[FeedbackReport]) -> None:
    for report in reports:
        line = orjson.dumps(as_fields(report, record=None, recipient=report.recipient, source="s"))
        assert b"\n" not in line, line


def _feedback(octets: bytes, _: Path) -> None:
    _written(understand(octets))


def _webhook(octets: bytes, _: Path) -> None:
    with suppress(orjson.JSONDecodeError):
        document = orjson.loads(octets)
        for relay in RELAYS:
            _written(reports_of(relay, document))


def _tokens(octets: bytes, _: Path) -> None:
    """None but a genuine one is taken for one."""
    text = octets.decode("utf-8", "replace")
    number = record_of([f"bounce+{text}@example.com", text], [_RUN], _KEY)[1]
    verp = Verp(_RUN, lambda: _KEY)
    assert number is None or verp.token(number).lower() in text.lower(), text
    linked = record_of_link(text, _RUN, _KEY)
    assert linked is None or verp.link(linked) == text, text


def _control(octets: bytes, _: Path) -> None:
    with suppress(UsageError):
        request = request_of(octets)
        assert request_of(encoded(request)) == request
    with suppress(UsageError):
        answer_of(octets)


def _tokens_of_a_run() -> list[bytes]:
    verp = Verp(_RUN, lambda: _KEY)
    return [one.encode() for record in (1, 99, 10**7) for one in (verp.token(record), verp.link(record))]


def _feedback_log() -> list[bytes]:
    with TemporaryDirectory(prefix="batchsend-fuzz-") as made:
        return [results_log(Path(made)).read_bytes()]


_ALICE: Final = (
    b'email,name\nann@example.com,"Ann, of X"\nbob@example.com,Bob\n',
    "email;Naïve\nann@example.com;ö\r\n".encode("utf-16"),
)
_TOML: Final = b"""\
recipients = "list.csv"
[server]
host = "smtp.example.com"
rate = "14/s"
quota = ["500/h", "50000/day"]
[message]
from = "App <hello@mail.example.com>"
to = "{{ name }} <{{ email }}>"
subject = "Hello, {{ name }}"
html = "<p>{% if name %}{{ name }}{% endif %}</p>"
[message.headers]
X-A = "{{ a }}"
[delivery]
window = ["Mon-Fri 08:00-18:00"]
timezone = "Europe/Berlin"
max_wait = "15m"
"""
_EML: Final = b"""\
From: App <hello@example.com>
To: {{ name }} <{{ email }}>
Subject: =?utf-8?q?Hello_=C3=B6?=
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="b1"

--b1
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Hello {{ name }} =C3=B6
--b1
Content-Type: text/html; charset=iso-8859-1

<p>{{ name }}</p>
--b1--
"""
_REPLIES: Final = (
    b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n250 2.0.0 queued\r\n" * 5,
    b"250-2.1.0 a\r\n250 2.1.0 b\r\n550-5.1.1 No\r\n550 5.1.1 such user\r\n503 5.5.1 no\r\n421 4.3.2 bye\r\n",
)

SUBJECTS: Final = {
    "replies": Subject(lambda: list(_REPLIES), _replies),
    "csv": Subject(lambda: list(_ALICE), _list("list.csv")),
    "jsonl": Subject(lambda: [b'{"email": "a@example.com", "n": [1, {"x": null}]}\n' * 3], _list("list.jsonl")),
    "xlsx": Subject(
        lambda: [xlsx(A=[["email", "n"], ["a@example.com", Formatted(1.5, "0.0%;[Red](0)", "150.0%")]])],
        _list("list.xlsx"),
    ),
    "ods": Subject(
        lambda: [ods(A=[["email", "n"], ["a@example.com", Formatted(1.5, "0%", "150%")]])], _list("list.ods")
    ),
    "campaign": Subject(lambda: [_TOML], _campaign_file),
    "log": Subject(lambda: [_killed_account()["results.jsonl"], *_feedback_log()], _account(lambda log: log)),
    "journal": Subject(lambda: [_killed_account()[journal_path(Path("results.jsonl")).name]], _account(journal_path)),
    "addresses": Subject(
        lambda: [b"ann@example.com", b'"a b"@example.com', "jörg@bücher.example".encode(), b"x@[192.0.2.1]"], _address
    ),
    "headers": Subject(lambda: [b"Ann", "Jörg, von \u202eX".encode(), b"=?utf-8?q?x?= \r\nBcc: x@y"], _headers),
    "eml": Subject(lambda: [_EML], _whole_message),
    "feedback": Subject(lambda: [dsn(), complaint(), letter("unsubscribe")], _feedback),
    "tokens": Subject(_tokens_of_a_run, _tokens),
    "control": Subject(
        lambda: [encoded(ControlRequest("rate", "5/s")), encoded(ControlRequest("connections", 3))], _control
    ),
    "webhooks": Subject(lambda: [json.dumps(one).encode() for one in BOUNCES.values()], _webhook),
}
"""The subjects, by name."""
