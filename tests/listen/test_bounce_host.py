"""`listen --smtp`: only what carries a signed return path is taken, and 250 means that it is in the feedback log."""

from __future__ import annotations

import asyncio
import random
import smtplib
from typing import TYPE_CHECKING

import anyio.to_thread
import pytest

from batchsend.errors import RunError
from batchsend.listen.bounces import bounce_host
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.results.line import outcome_line
from tests.feedback.letters import dsn, lines_of
from tests.listen.signed import SignedRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.tools.virtual import VirtualLoop


async def with_host(signed: SignedRun, talk: Callable[[smtplib.SMTP], None]) -> list[str]:
    """What the host has said to its operator while a client talked to it."""
    said: list[str] = []

    def connect(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="mx.example.org", timeout=10) as client:
            talk(client)

    async with bounce_host([signed.listened()], "127.0.0.1", 0, notice=said.append) as host:
        await anyio.to_thread.run_sync(connect, host.port)
    return said


@pytest.fixture
def signed(tmp_path: Path) -> SignedRun:
    return SignedRun(tmp_path)


async def test_a_bounce_to_a_signed_return_path_is_in_the_log_once(signed: SignedRun) -> None:
    def talk(client: smtplib.SMTP) -> None:
        for _ in range(2):
            # The header need not say whom it is for: the envelope does.
            assert client.sendmail("", [signed.return_path(2)], dsn("bert@example.org", to="undisclosed")) == {}

    assert await with_host(signed, talk) == []
    (line,) = lines_of(signed.log)
    assert (line["record"], line["recipient"], line["kind"], line["hard"]) == (2, "bert@example.org", "bounced", True)
    assert line["source"] == "smtp"


async def test_others_are_refused_at_rcpt(signed: SignedRun, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = SignedRun(tmp_path / "other")

    def talk(client: smtplib.SMTP) -> None:
        client.ehlo()
        assert not client.has_extn("auth")
        client.mail("")
        for refused in ("bounce@mail.example.com", "postmaster@mail.example.com", other.return_path(2)):
            assert client.rcpt(refused)[0] == 550
        assert client.docmd("DATA")[0] == 554
        assert client.docmd("AUTH PLAIN AGEAYg==")[0] == 502

    await with_host(signed, talk)
    assert lines_of(signed.log) == []


@pytest.mark.slow
async def test_ten_thousand_forged_ones_are_refused(signed: SignedRun) -> None:
    generator = random.Random(18)
    genuine = signed.return_path(2)
    head, mac = genuine.partition("@")[0][:-16], genuine.partition("@")[0][-16:]

    def talk(client: smtplib.SMTP) -> None:
        client.ehlo()
        client.mail("")
        for _ in range(10_000):
            forged = "".join(generator.choices("abcdefghijklmnopqrstuvwxyz234567", k=16))
            if forged != mac:
                assert client.rcpt(f"{head}{forged}@mail.example.com")[0] == 550
        assert client.rcpt(genuine)[0] == 250

    await with_host(signed, talk)
    assert lines_of(signed.log) == []


async def test_what_cannot_be_kept_comes_again(signed: SignedRun) -> None:
    def talk(client: smtplib.SMTP) -> None:
        with pytest.raises(smtplib.SMTPDataError) as refused:  # record 6 was sent, and the log does not say it yet
            client.sendmail("", [signed.return_path(6)], dsn("emil@example.org"))
        assert refused.value.smtp_code == 452
        with signed.results.open("ab") as file:
            file.write(outcome_line(DeliveryResult(record=6, recipient="emil@example.org", status=Outcome.ACCEPTED)))
        client.sendmail("", [signed.return_path(6)], dsn("emil@example.org"))

    said = await with_host(signed, talk)
    assert [line["recipient"] for line in lines_of(signed.log)] == ["emil@example.org"]
    assert said == [f"a bounce could not be kept, it will come again: {signed.results}: record 6 has no outcome yet"]


def test_a_bounce_of_a_record_without_an_outcome_is_an_error_and_in_no_log(signed: SignedRun) -> None:
    """A line that names nobody would suppress nobody: the bounce is refused until the log says whose it is."""
    with pytest.raises(RunError, match=r"results\.jsonl: record 6 has no outcome yet"):
        signed.listened().take_bounce(dsn("emil@example.org"), [signed.return_path(6)])
    assert lines_of(signed.log) == []


async def test_what_is_no_report_is_taken_and_not_logged(signed: SignedRun) -> None:
    def talk(client: smtplib.SMTP) -> None:
        client.sendmail("x@example.org", [signed.return_path(2)], b"Subject: Hello\r\n\r\nNothing of interest\r\n")

    await with_host(signed, talk)
    assert lines_of(signed.log) == []


async def test_more_sessions_than_it_has_room_for_are_told_to_come_again(signed: SignedRun) -> None:
    def connect(port: int) -> None:
        clients = [smtplib.SMTP("127.0.0.1", port, timeout=10) for _ in range(100)]
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            smtplib.SMTP("127.0.0.1", port, timeout=10)
        assert refused.value.smtp_code == 421
        for client in clients:
            client.close()

    async with bounce_host([signed.listened()], "127.0.0.1", 0, notice=print) as host:
        await anyio.to_thread.run_sync(connect, host.port)


async def test_what_all_sessions_hold_has_a_bound(signed: SignedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has had one message knows a signed return path. A message for which there is no room comes again."""
    monkeypatch.setattr("batchsend.listen.bounces.MOST_HELD", 100_000)
    letter = b"Subject: Hello\r\n\r\n" + (b"x" * 70 + b"\r\n") * 1000

    def begin(client: smtplib.SMTP) -> None:
        client.ehlo()
        assert client.mail("")[0] == client.rcpt(signed.return_path(2))[0] == 250

    def connect(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as first, smtplib.SMTP("127.0.0.1", port, timeout=10) as other:
            begin(first)
            first.send(b"BDAT 60000\r\n" + b"x" * 60_000)
            assert first.getreply()[0] == 250
            begin(other)
            assert other.data(letter)[0] == 452
            assert first.rset()[0] == 250
            begin(other)
            assert other.data(letter)[0] == 250

    async with bounce_host([signed.listened()], "127.0.0.1", 0, notice=print) as host:
        await anyio.to_thread.run_sync(connect, host.port)


async def test_what_is_too_large_is_refused_before_it_is_sent(signed: SignedRun) -> None:
    def talk(client: smtplib.SMTP) -> None:
        client.ehlo()
        most = 16 * 1024 * 1024
        assert client.esmtp_features["size"] == str(most)
        assert client.mail("", [f"SIZE={most + 1}"])[0] == 552

    await with_host(signed, talk)


def test_an_octet_now_and_then_keeps_no_session_open(signed: SignedRun, loop: VirtualLoop) -> None:
    """Nor does anything else: a hundred that went on for ever would leave no room for bounces."""

    async def talk() -> list[bytes]:
        said = []
        async with bounce_host([signed.listened()], "127.0.0.1", 0, notice=print) as host:
            reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
            for _ in range(50):
                try:
                    said.append(await asyncio.wait_for(reader.readline(), 200.0))
                except TimeoutError:
                    writer.write(b"N")
            writer.close()
        return said

    said = loop.run(talk)
    assert said[0].startswith(b"220 ")
    assert said[1].startswith(b"421 4.4.2 ")
    assert set(said[2:]) == {b""}, "that is the end of the session"
