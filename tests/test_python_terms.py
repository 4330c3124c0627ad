"""What remedies call settings by: their keys where they stand in a campaign file, otherwise classes and arguments."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

import batchsend
from batchsend import Batch, Delivery, Duration, Message, Outcome, RunError, Sender, Server, SyncSender, UsageError
from batchsend.campaign.python_terms import in_python
from tests.delivery.harness import (
    GONE,
    GREETED,
    GUARD,
    OFFERED,
    CountingServer,
    options,
    server,
    submissions,
    well_behaved,
)
from tests.test_batch import campaign
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Expect, ReadContent, ReadToEnd, reply

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("of_a_file", "of_a_program"),
    [
        ('set tls = "starttls" or tls = "implicit"', 'give Server(tls="starttls") or Server(tls="implicit")'),
        ("take require_tls out of [delivery]", "take require_tls out of Delivery(…)"),
        ("set processes = 1 in [delivery], and resume", "give Delivery(processes=1), and resume"),
        ("pipelining = false in [server] does so", "Server(pipelining=False) does so"),
        ('exclude = ["a.jsonl", "b.jsonl"]', 'Delivery(exclude=["a.jsonl", "b.jsonl"])'),
        ('set recipient_field = "mail"', 'give Campaign(recipient_field="mail")'),
        ("key_file in [message.dkim] names a key", "key_file in Dkim(…) names a key"),
        ("set it by the key from of [message]", "give Message(from_=…)"),
        (
            "subject, from and the like belong in [message] of the campaign file.",
            "subject, from and the like belong in Message(…).",
        ),
        ('name it in the campaign file: recipient_field = "…"', 'name it: Campaign(recipient_field="…")'),
        (
            'name it: { file = "…", field = "…" }; the columns are a, b',
            'name it: SuppressionList(file="…", field="…"); the columns are a, b',
        ),
        ("a text, as in name = ada", "a text, as in name = ada"),
    ],
)
def test_keys_are_arguments(of_a_file: str, of_a_program: str) -> None:
    assert in_python(of_a_file) == of_a_program


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (Message, {"dkim": 3}, "expected a list of Dkim(…)"),
        (Message, {"attachments": 3}, "expected a list of paths inside the message's directory, or of Attachment(…)"),
        (Message, {"html_file": 3}, "expected the path of a template inside the message's directory"),
        (Message, {"headers": 3}, "expected a dict of header names and texts"),
        (Message, {"inline_css": "yes"}, "expected True or False"),
        (Delivery, {"suppress": 3}, "expected a list of paths, or of SuppressionList(…)"),
        (Delivery, {"dsn": 3}, "expected a Dsn(…)"),
        (Delivery, {"timeouts": "5m"}, "expected a Timeouts(…)"),
        (Server, {"host": "h", "password_command": 3}, "expected a list of a program and its arguments"),
    ],
)
def test_what_is_expected_of_an_argument_is_what_python_has(kind: Any, given: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        kind(**given)
    assert caught.value.remedy == expected


@pytest.fixture
async def gone() -> Server:
    """A server that was there a moment ago."""
    async with CountingServer(well_behaved) as peer:
        return server(peer)


async def test_a_sender_speaks_to_a_program(gone: Server) -> None:
    async with Sender(gone, delivery=options()) as sender, asyncio.timeout(GUARD):
        for send in (sender.send_all, lambda messages: sender.send_message(next(iter(messages)))):
            with pytest.raises(RunError) as caught:
                await send(submissions(1))
            assert caught.value.remedy == "check host and port in Server(…), and that a server runs there"
        with pytest.raises(RunError, match="cannot connect") as caught:
            async for _ in sender.send(submissions(1)):
                pass
        assert "Server(…)" in (caught.value.remedy or "")


async def test_so_does_a_senders_notice_that_says_what_to_set() -> None:
    """And none that only tells what was set."""
    first = [*GREETED, *OFFERED, reply("250 ok"), ReadToEnd()]
    alone = [
        *GREETED,
        Expect("MAIL"),
        reply("250 ok"),
        Expect("RCPT"),
        reply("250 ok"),
        Expect("DATA"),
        reply("354 go"),
    ]
    told: list[str] = []
    limits = options(depth=4, rcpt=0.2, quit=0.2)
    async with (
        ScriptedServer(first, [*alone, ReadContent(), reply("250 taken"), *GONE]) as peer,
        Sender(server(peer), delivery=limits, notice=told.append) as sender,
        asyncio.timeout(GUARD),
    ):
        [result] = await sender.send_all(submissions(1))
    assert result.status is Outcome.ACCEPTED
    assert any(text.endswith("; Server(pipelining=False) does so from the beginning") for text in told)
    assert any(text.endswith(": depth = 4 is taken as 1") for text in told)


async def test_so_does_a_sync_sender() -> None:
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        with (
            SyncSender(replace(server(peer), tls="starttls"), delivery=options()) as sender,
            pytest.raises(RunError, match="does not offer STARTTLS") as caught,
        ):
            await asyncio.to_thread(sender.send_all, submissions(1))
    assert caught.value.remedy == 'if this port speaks TLS from the start (465), give Server(tls="implicit")'


def test_what_is_wrong_with_a_server_is_said_to_a_program(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate\n")
    for kind in (Sender, SyncSender):
        with pytest.raises(UsageError, match="no certificates") as caught:
            kind(Server(host="127.0.0.1", ca_file=tmp_path / "ca.pem"))
        assert caught.value.remedy == "ca_file in Server(…) names a file of certificates in PEM form"
        assert caught.value.args == (caught.value.message, caught.value.remedy)
        with pytest.raises(UsageError) as caught:
            kind(Server(host="mail.example.com", tls="none", username="u", password="p"))
        assert str(caught.value) == (
            "Server.tls is 'none'\n"
            "credentials are never sent in the clear, except to loopback: use starttls or implicit"
        )


@pytest.mark.parametrize("wrong", [{"from_": "nobody"}, {"headers": {"From": "a@example.com"}}])
def test_so_is_what_is_wrong_with_a_message(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        batchsend.Template(Message(**{"from_": "a@example.com", "subject": "x", "text": "x", **wrong}))
    assert caught.value.remedy in ("Fix this value.", "give Message(from_=…)")


async def test_so_is_what_is_wrong_with_the_message_of_a_batch(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as peer:
        made = campaign(tmp_path, peer)
        made = replace(made, message=replace(made.message, text="Hello, {{ town }}"))
        for results, called in (("one.jsonl", "message.text"), ("two.jsonl", "Message.text")):
            with pytest.raises(UsageError, match=rf"\b{called}: there is no column 'town'"):
                await Batch(replace(made, results=tmp_path / results)).run()
            (tmp_path / "campaign.toml").unlink(missing_ok=True)


async def test_a_batch_speaks_of_the_file_where_there_is_one(
    tmp_path: Path, gone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with CountingServer(well_behaved) as peer:
        made = campaign(tmp_path, peer)
    made = replace(made, servers=(gone,), delivery=replace(made.delivery, give_up_after=Duration(0.1)))
    monkeypatch.chdir("/")
    for results, expected in (("one.jsonl", "in [server]"), ("two.jsonl", "in Server(…)")):
        with pytest.raises(RunError, match="cannot connect") as caught:
            await Batch(replace(made, results=tmp_path / results)).run()
        assert expected in (caught.value.remedy or "")
        (tmp_path / "campaign.toml").unlink(missing_ok=True)
