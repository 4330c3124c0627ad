"""The contestants do the work that they are measured by: every recipient gets one message, and it is his own."""

from __future__ import annotations

import shutil
import sys
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest

from batchsend.sink import Received, Sink
from benchmarks.contestants import (
    NOT_COMPILED,
    Batchsend,
    Contestant,
    Imports,
    Nodemailer,
    PhpMailer,
    Program,
    SmtpSource,
)
from benchmarks.distance import far_away
from benchmarks.job import NEVER, Job, Place
from benchmarks.process import execute
from benchmarks.rest import rest_endpoint
from benchmarks.work import CATALOGUE, NEWSLETTER, NOTICE, STATEMENT, Work
from tests.cli.commandline import serving
from tests.servers import requirements

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

MESSAGES = 12

SENDERS = {
    "batchsend": Batchsend(),
    "unlogged": Batchsend(logged=False, running=True),
    "sender": Program("sender"),
    "smtplib_kept": Program("smtplib_kept"),
    "smtplib_each": Program("smtplib_each"),
    "smtplib_threads": Program("smtplib_threads"),
    "aiosmtplib_bytes": Program("aiosmtplib_bytes"),
    "aiosmtplib_email": Program("aiosmtplib_email"),
    "nodemailer": Nodemailer(),
    "phpmailer": PhpMailer(),
}


class Server:
    """A sink, and what it has received."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.sink = Sink(on_message=self.received.append)

    def place(self) -> Place:
        return Place(self.sink.hosts[0], self.sink.port, lambda: len(self.received))

    def messages(self) -> dict[str, EmailMessage]:
        assert all(len(message.recipients) == 1 for message in self.received)
        return {
            message.recipients[0]: message_from_bytes(message.content, policy=policy.default)
            for message in self.received
        }


@pytest.fixture
def server() -> Iterator[Server]:
    here = Server()
    with serving(here.sink):
        yield here


def job(folder: Path, place: Place, work: Work = NOTICE, **options: int) -> Job:
    home = work.write(folder, MESSAGES)
    return Job(work, place, home, MESSAGES, **{"connections": 3, **options})


def require(contestant: Contestant) -> Contestant:
    """A rival need not be there."""
    if (missing := contestant.missing()) is not None:
        requirements.missing(missing)
    return contestant


def bodies(message: EmailMessage) -> tuple[str, str]:
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    return str(text.get_content()), str(html.get_content())


@pytest.mark.parametrize("name", SENDERS)
def test_everybody_gets_a_message_of_his_own(tmp_path: Path, server: Server, name: str) -> None:
    run = require(SENDERS[name]).run(job(tmp_path, server.place()))
    assert run.seconds > 0
    assert len(server.received) == MESSAGES
    messages = server.messages()
    for number in range(1, MESSAGES + 1):
        fields = NOTICE.fields(number)
        message = messages[fields["email"]]
        assert message["Subject"] == f"Your book is due, {fields['name']}"
        for body in bodies(message):
            assert fields["token"] in body
            assert fields["due"] in body
            assert "{{" not in body


def test_unlogged_keeps_no_log_and_no_journal(tmp_path: Path, server: Server) -> None:
    campaign = job(tmp_path, server.place()).write_campaign()
    (kept := tmp_path / "kept").mkdir()
    words = ["send", str(campaign), "--no-progress", "--results", str(kept / "results.jsonl")]
    execute([sys.executable, "-m", "benchmarks.clients.unlogged", *words], NOT_COMPILED)
    assert len(server.received) == MESSAGES
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize("name", ["batchsend", "aiosmtplib_email", "nodemailer"])
def test_what_is_beyond_ascii_arrives_as_it_was(tmp_path: Path, server: Server, name: str) -> None:
    require(SENDERS[name]).run(job(tmp_path, server.place(), STATEMENT))
    message = server.messages()[STATEMENT.fields(1)["email"]]
    text, html = bodies(message)
    assert "Zoë Łęcka 1" in message["Subject"]
    assert "Übersee-Atlas, tome 7" in text
    assert "Übersee-Atlas, tome 12" in html


def test_the_statement_has_as_many_substitutions_as_it_says() -> None:
    assert sum(text.count("{{ ") for text in (STATEMENT.text, STATEMENT.html)) == 57
    fields = STATEMENT.fields(1)
    assert not all(value.isascii() for value in fields.values())
    assert all(value.isascii() for value in STATEMENT.fields(2).values())


@pytest.mark.parametrize(("work", "octets"), [(NOTICE, 2_000), (NEWSLETTER, 20_000), (CATALOGUE, 200_000)])
def test_the_works_have_about_the_size_that_they_say(tmp_path: Path, server: Server, work: Work, octets: int) -> None:
    Program("sender").run(job(tmp_path, server.place(), work, max_messages=NEVER))
    assert all(octets * 0.9 < len(message.content) < octets * 1.1 for message in server.received)


def test_rotation_depth_and_connections_are_batchsends(tmp_path: Path, server: Server) -> None:
    Batchsend().run(job(tmp_path, server.place(), connections=1, depth=4, max_messages=5))
    assert len({message.session for message in server.received}) == 3


@pytest.mark.parametrize("name", ["service_sender", "service_template"])
@pytest.mark.parametrize(("max_messages", "sessions"), [(5, 3), (NEVER, 1)])
def test_a_service_rotates_as_it_is_told(
    tmp_path: Path, server: Server, name: str, max_messages: int, sessions: int
) -> None:
    Program(name).run(job(tmp_path, server.place(), connections=1, max_messages=max_messages))
    assert len(server.messages()) == MESSAGES
    assert len({message.session for message in server.received}) == sessions


def test_far_away_is_the_same_server(tmp_path: Path, server: Server) -> None:
    with far_away(server.sink.hosts[0], server.sink.port, 0.01) as port:
        place = Place("127.0.0.1", port, lambda: len(server.received))
        Batchsend().run(job(tmp_path, place))
    assert len(server.messages()) == MESSAGES


def test_smtp_source_sends_so_many(tmp_path: Path, server: Server) -> None:
    require(SmtpSource(500)).run(job(tmp_path, server.place()))
    assert len(server.received) == MESSAGES


def test_the_imports_alone_send_nothing(tmp_path: Path, server: Server) -> None:
    assert Imports().run(job(tmp_path, server.place())).seconds > 0
    assert server.sink.counts.connections == 0


@pytest.mark.servers
@pytest.mark.parametrize("name", ["aiohttp_posts", "httpx_posts"])
def test_every_post_is_in_the_endpoints_log(tmp_path: Path, name: str) -> None:
    if shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin") is None:
        requirements.missing("there is no nginx")
    client = require(Program(name, name.removesuffix("_posts")))
    with rest_endpoint() as endpoint:
        client.run(job(tmp_path, Place(endpoint.host, endpoint.port, endpoint.accepted)))
        assert endpoint.accepted() == MESSAGES


def test_a_program_that_fails_is_an_error_with_what_it_said() -> None:
    with pytest.raises(RuntimeError, match="sh ended with 3: what is wrong"):
        execute(["sh", "-c", "echo what is wrong >&2; exit 3"])


def test_a_contestant_that_loses_a_message_is_an_error(tmp_path: Path, server: Server) -> None:
    place = server.place()
    with pytest.raises(RuntimeError):
        Batchsend().run(job(tmp_path, Place(place.host, 1, place.received)))
