"""What a session can tell of a server, and what is wrong with it; real sessions, and nothing is sent."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import anyio
import pytest
import trustme

from batchsend.campaign import Campaign, Delivery, Message, Secret, Server
from batchsend.campaign.model import Dsn
from batchsend.check import Section, Severity
from batchsend.check.server import ServerCheck
from batchsend.sink import Sink, SinkOptions
from tests.check.harness import GUARD, counted, found, kinds
from tests.tools.byte_proxy import ByteProxy
from tests.tools.certificates import Certificates, issue
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, Expect, ReadToEnd, Send, StartTls, Step, reply

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.campaign import Tls
    from batchsend.check.records import Counted

USER, PASSWORD = Secret("user"), Secret("secret")
TALK: list[Step] = [
    *[step for _ in range(5) for step in (Expect("NOOP"), reply("250 here"))],
    *(Expect("QUIT"), reply("221 bye")),
]


def greeted(*offers: str) -> list[Step]:
    """The steps up to the reply to EHLO."""
    lines = [f"250-{line}" for line in ("scripted.example.org", *offers)]
    return [reply("220 ready"), Expect("EHLO"), reply(*lines[:-1], lines[-1].replace("250-", "250 "))]


async def look(
    folder: Path, *servers: Server, delivery: Delivery | None = None, to_send: Counted | None = None
) -> list[Section]:
    campaign = Campaign(
        path=folder / "campaign.toml",
        directory=folder,
        recipients="-",
        results=folder / "results.jsonl",
        servers=servers,
        message=Message(from_="from@example.com", subject="", text="x"),
        delivery=delivery or Delivery(),
    )
    with anyio.fail_after(GUARD):
        return await ServerCheck(campaign, to_send or counted()).run()


async def look_at(folder: Path, script: list[Step], **options: Delivery | Counted) -> Section:
    async with ScriptedServer(script) as peer:
        server = Server(host=peer.host, port=peer.port, tls="none")
        (section,) = await look(folder, server, **options)  # type: ignore[arg-type]  # each goes where it belongs
    return section


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_server_with_nothing_wrong(tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchsend.check.server._FAR_SECONDS", 0.0)
    options = SinkOptions(tls=tls, require_tls=True, require_auth=True, username=USER, password=PASSWORD)
    async with Sink(options) as sink:
        sink.write_ca(tmp_path / "ca.pem")
        server = Server(
            host="127.0.0.1", port=sink.port, tls=tls, ca_file=tmp_path / "ca.pem", username=USER, password=PASSWORD
        )
        (section,) = await look(tmp_path, server)
        assert sink.counts.messages == 0
    assert kinds(section) == {"server-depth"}
    assert "depth = 16" in found("server-depth", section).what
    facts = section.facts
    assert facts["reached"] == "127.0.0.1"
    assert facts["TLS"].startswith("TLSv1.")
    assert facts["TLS"].endswith(f"({tls})")
    assert facts["certificate"] == "batchsend sink, by batchsend sink authority, 364 days left"
    assert facts["AUTH"] == "accepted"
    assert facts["offers"].startswith("PIPELINING CHUNKING 8BITMIME SMTPUTF8")
    assert "SIZE 52,428,800" in facts["offers"]
    assert facts["round trip"].endswith(" ms")
    assert "messages/s over 5 sessions" in facts["at most"]


async def test_a_server_next_door_needs_no_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchsend.check.server._FAR_SECONDS", GUARD)
    section = await look_at(tmp_path, [*greeted("PIPELINING", "CHUNKING"), *TALK])
    assert kinds(section) == set()
    assert "at most" not in section.facts


async def test_the_round_trip_of_a_server_far_away(tmp_path: Path) -> None:
    async with Sink() as sink, ByteProxy(sink.hosts[0], sink.port, round_trip=0.02) as proxy:
        (section,) = await look(tmp_path, Server(host=proxy.host, port=proxy.port, tls="none"))
    assert float(section.facts["round trip"].removesuffix(" ms")) > 10
    assert "server-depth" in kinds(section)


async def test_nothing_is_sent_and_leave_is_taken(tmp_path: Path) -> None:
    async with ScriptedServer([*greeted("PIPELINING"), *TALK]) as peer:
        await look(tmp_path, Server(host=peer.host, port=peer.port, tls="none"))
        await peer.ended(1)
    (connection,) = peer.connections
    assert [command[:4] for command in connection.commands] == [b"EHLO", *[b"NOOP"] * 5, b"QUIT"]


async def test_credentials_that_are_refused(tmp_path: Path) -> None:
    async with Sink(SinkOptions(require_auth=True, username="user", password="another")) as sink:
        server = Server(host="127.0.0.1", port=sink.port, tls="none", username=USER, password=PASSWORD)
        (section,) = await look(tmp_path, server)
    finding = found("server-auth", section)
    assert finding.severity is Severity.ERROR
    assert "credentials were refused" in finding.what
    assert "secret" not in str(section)


async def test_credentials_that_are_not_used(tmp_path: Path) -> None:
    section = await look_at(tmp_path, [*greeted("PIPELINING", "AUTH PLAIN"), *TALK])
    assert "no username" in section.facts["AUTH"]
    assert "AUTH" not in (await look_at(tmp_path, [*greeted("PIPELINING"), *TALK])).facts


async def test_nobody_listens(tmp_path: Path) -> None:
    async with Sink() as sink:
        port = sink.port
    (section,) = await look(tmp_path, Server(host="127.0.0.1", port=port, tls="none"))
    finding = found("server-connect", section)
    assert finding.severity is Severity.ERROR
    assert finding.where == f"127.0.0.1:{port} (127.0.0.1)"
    assert "Connection refused" in finding.what


async def test_every_address_is_tried_and_one_that_works_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sink(SinkOptions(chunking=False)) as sink:
        loop_addresses = [(2, 1, 6, "", (host, sink.port)) for host in ("127.0.0.2", "127.0.0.1")]

        async def addresses(_: object) -> object:
            return loop_addresses

        monkeypatch.setattr("batchsend.delivery.connector.Connector.addresses", addresses)
        (section,) = await look(tmp_path, Server(host="localhost", port=sink.port, tls="none"))
    finding = found("server-connect", section)
    assert (finding.severity, finding.where) == (Severity.NOTE, f"localhost:{sink.port} (127.0.0.2)")
    assert section.facts["reached"] == "127.0.0.1"


async def test_a_second_server_that_works_makes_it_a_warning(tmp_path: Path) -> None:
    async with Sink() as sink, ScriptedServer([reply("554 not here"), ReadToEnd()]) as peer:
        first = Server(host=peer.host, port=peer.port, tls="none")
        sections = await look(tmp_path, first, Server(host="127.0.0.1", port=sink.port, tls="none"))
    assert found("server-greeting", sections[0]).severity is Severity.WARNING
    assert sections[1].facts["reached"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ([reply("554 no"), ReadToEnd()], "server-greeting"),
        ([reply("220 hi"), Expect("EHLO"), reply("421 no"), ReadToEnd()], "server-ehlo"),
        ([*greeted("PIPELINING"), Expect("STARTTLS"), reply("454 no"), ReadToEnd()], "server-starttls"),
    ],
)
async def test_how_far_it_came(tmp_path: Path, script: list[Step], kind: str) -> None:
    async with ScriptedServer(script) as peer:
        tls: Tls = "starttls" if kind == "server-starttls" else "none"
        (section,) = await look(tmp_path, Server(host=peer.host, port=peer.port, tls=tls))
    assert found(kind, section).severity is Severity.ERROR


def certificates(folder: Path, days: float) -> Certificates:
    """A certificate of a trusted authority that expires in so many days."""
    made = issue(folder)
    authority = trustme.CA()
    now = dt.datetime.now(tz=dt.UTC)
    server = authority.issue_cert(
        "127.0.0.1",
        common_name="relay",
        not_before=now - dt.timedelta(days=400),
        not_after=now + dt.timedelta(days=days),
    )
    authority.cert_pem.write_to_path(made.ca_file)
    made.cert_file.write_bytes(b"".join(part.bytes() for part in server.cert_chain_pems))
    server.private_key_pem.write_to_path(made.key_file)
    return made


@pytest.mark.parametrize(("days", "kind"), [(20.5, "certificate-expires"), (21.5, None), (-1, "server-greeting")])
async def test_the_days_that_a_certificate_has_left(tmp_path: Path, days: float, kind: str | None) -> None:
    made = certificates(tmp_path, days)
    async with ScriptedServer([*greeted("PIPELINING"), *TALK], tls=made.server_context()) as peer:
        server = Server(host=peer.host, port=peer.port, tls="implicit", ca_file=made.ca_file)
        (section,) = await look(tmp_path, server)
    assert kinds(section) == ({kind} if kind else set())
    if days > 0:
        assert section.facts["certificate"].startswith("relay, by trustme")
        assert f"{int(days)} days left" in section.facts["certificate"]
    else:
        assert "certificate has expired" in found("server-greeting", section).what


async def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    script = [*greeted("STARTTLS"), Expect("STARTTLS"), reply("220 go"), StartTls(issue(tmp_path).server_context())]
    async with ScriptedServer([*script, ReadToEnd()]) as peer:
        (section,) = await look(tmp_path, Server(host=peer.host, port=peer.port))
        await peer.ended(1)
    finding = found("server-starttls", section)
    assert finding.severity is Severity.ERROR
    assert "not trusted" in finding.what


async def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    (section,) = await look(tmp_path, Server(host="127.0.0.1", ca_file=tmp_path / "ca.pem"))
    assert found("server-settings", section).severity is Severity.ERROR


async def test_port_25_and_no_tls(tmp_path: Path) -> None:
    (section,) = await look(tmp_path, Server(host="192.0.2.1.invalid", port=25, tls="none"))
    assert {"server-port", "server-clear"} <= kinds(section)


async def test_a_name_that_the_dns_does_not_say_anything_about_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket  # noqa: PLC0415 - the one thing that cannot be had on loopback is a resolver that is cut off

    def cut_off(*_: object) -> object:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", cut_off)
    (section,) = await look(tmp_path, Server(host="smtp.example.com"))
    finding = found("server-unanswered", section)
    assert (finding.severity, kinds(section)) == (Severity.NOTE, {"server-unanswered"})
    assert "Temporary failure" in finding.what


async def test_a_name_that_there_is_not_stands_once_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket  # noqa: PLC0415 - likewise

    def unknown(*_: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (section,) = await look(tmp_path, Server(host="smtp.example.com"))
    finding = found("server-connect", section)
    assert (finding.severity, finding.where) == (Severity.ERROR, "smtp.example.com:587")


async def test_a_message_that_is_too_large(tmp_path: Path) -> None:
    script = [*greeted("PIPELINING", "SIZE 5000"), *TALK]
    finding = found("server-size", await look_at(tmp_path, script, to_send=counted(largest=(5001, 7))))
    assert "record 7" in finding.what
    for size in ("SIZE 5001", "SIZE 0", "SIZE"):
        section = await look_at(tmp_path, [*greeted("PIPELINING", size), *TALK], to_send=counted(largest=(5001, 7)))
        assert kinds(section) == set()


async def test_addresses_that_the_server_cannot_take(tmp_path: Path) -> None:
    script = [*greeted("PIPELINING"), *TALK]
    assert "2 addresses" in found("server-utf8", await look_at(tmp_path, script, to_send=counted(need_utf8=2))).what
    script = [*greeted("PIPELINING", "SMTPUTF8"), *TALK]
    assert kinds(await look_at(tmp_path, script, to_send=counted(need_utf8=2))) == set()


async def test_reports_that_the_server_does_not_make(tmp_path: Path) -> None:
    delivery = Delivery(dsn=Dsn())
    section = await look_at(tmp_path, [*greeted("PIPELINING"), *TALK], delivery=delivery)
    assert found("server-dsn", section).severity is Severity.NOTE
    assert kinds(await look_at(tmp_path, [*greeted("PIPELINING", "DSN"), *TALK], delivery=delivery)) == set()


async def test_a_limit_that_the_server_announces(tmp_path: Path) -> None:
    section = await look_at(tmp_path, [*greeted("PIPELINING", "LIMITS MAILMAX=10"), *TALK])
    assert "10 messages, not 100" in found("server-limit", section).what
    assert "LIMITS MAILMAX=10" in section.facts["offers"]
    delivery = Delivery(max_messages=10)
    script = [*greeted("PIPELINING", "LIMITS MAILMAX=10"), *TALK]
    assert kinds(await look_at(tmp_path, script, delivery=delivery)) == set()


async def test_without_pipelining_each_message_costs_four_round_trips(tmp_path: Path) -> None:
    section = await look_at(tmp_path, [*greeted("SIZE 0"), *TALK])
    assert found("server-lockstep", section).severity is Severity.WARNING
    assert "max_connections = 20" in (found("server-lockstep", section).remedy or "")


async def test_depth_without_chunking(tmp_path: Path) -> None:
    delivery = Delivery(depth=8)
    section = await look_at(tmp_path, [*greeted("PIPELINING"), *TALK], delivery=delivery)
    assert "depth = 8 has no effect" in found("server-depth", section).what
    assert kinds(await look_at(tmp_path, [*greeted("PIPELINING", "CHUNKING"), *TALK], delivery=delivery)) == set()


@pytest.mark.parametrize(
    "answer",
    [
        [Expect("NOOP"), Close()],
        [Expect("NOOP"), reply("502 what?"), ReadToEnd()],
        [Expect("NOOP"), Send(b"\x1b[31mno reply\r\n"), ReadToEnd()],
        [*TALK[:-2], Expect("QUIT"), Close()],
        [Close()],
    ],
)
async def test_a_session_that_goes_wrong_after_its_opening(tmp_path: Path, answer: list[Step]) -> None:
    section = await look_at(tmp_path, [*greeted("PIPELINING"), *answer])
    assert kinds(section) <= {"server-session", "server-ehlo"}
    assert kinds(section)


async def test_silence_after_the_opening_is_waited_for_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchsend.check.server._SECONDS", 0.3)
    section = await look_at(tmp_path, [*greeted("PIPELINING"), Expect("NOOP"), ReadToEnd()])
    assert "no answer" in found("server-session", section).what


async def test_a_server_that_never_comes_to_the_point_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchsend.check.server._ALL_SECONDS", 0.3)
    section = await look_at(tmp_path, [ReadToEnd()])
    assert found("server-slow", section).severity is Severity.ERROR
