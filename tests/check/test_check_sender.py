"""Where mail comes back to, and what is said when the DNS says nothing; asked of a real DNS server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from batchsend.check import Severity
from batchsend.check.authentication import Compliance
from batchsend.check.lookup import Lookup, UnansweredError
from batchsend.check.message import Seen
from batchsend.check.sender import SenderCheck
from tests.check.harness import ask, found, kinds
from tests.check.name_server import BROKEN, SILENT, NameServer, Zone


def zone(**more: list[str]) -> Zone:
    """A domain with everything as it should be, but for what is given."""
    return {
        "example.com TXT": ["v=spf1 mx -all"],
        "example.com MX": ["20 backup.example.com.", "10 mail.example.com."],
        "_dmarc.example.com TXT": ["v=DMARC1; p=reject; rua=mailto:d@example.com"],
        "s1._domainkey.example.com TXT": ["x"],
        **more,
    }


async def test_where_mail_goes() -> None:
    section, _ = await ask(zone())
    assert kinds(section) == {"dkim-unknown"}
    assert section.facts["MX (From)"] == "mail.example.com, backup.example.com"


@pytest.mark.parametrize(
    ("records", "kind", "severity"),
    [
        ({"example.com MX": ["0 ."]}, "mx-null", Severity.WARNING),
        ({"example.com MX": [], "example.com A": ["192.0.2.1"]}, "mx-implicit", Severity.NOTE),
        ({"example.com MX": [], "example.com AAAA": ["2001:db8::1"]}, "mx-implicit", Severity.NOTE),
        ({"example.com MX": []}, "mx-missing", Severity.WARNING),
    ],
)
async def test_mail_that_does_not_come_back(records: Zone, kind: str, severity: Severity) -> None:
    section, _ = await ask(zone(**records))
    assert found(kind, section).severity is severity
    assert {one for one in kinds(section) if one.startswith("mx")} == {kind}


async def test_a_domain_that_there_is_not() -> None:
    section, authentication = await ask({"com NS": ["ns.example.net."]}, sender="missing.example.com")
    finding = found("from-missing", section)
    assert finding.severity is Severity.ERROR
    assert "missing.example.com" in finding.what
    assert authentication.aligned is Compliance.UNMET


async def test_a_resolver_that_knows_nothing_is_not_believed() -> None:
    section, authentication = await ask({}, sender="missing.example.com")
    assert found("dns-unanswered", section).severity is Severity.NOTE
    assert kinds(section) == {"dns-unanswered"}
    assert authentication.aligned is Compliance.UNKNOWN


@pytest.mark.parametrize("failure", [SILENT, BROKEN])
async def test_no_answer_is_a_note_and_nothing_more(failure: str) -> None:
    section, authentication = await ask(zone(**{"example.com TXT": [failure]}), seconds=0.5)
    assert found("dns-unanswered", section).severity is Severity.NOTE
    assert kinds(section) == {"dns-unanswered"}
    assert (authentication.spf, authentication.dkim, authentication.dmarc) == (Compliance.UNKNOWN,) * 3


async def test_one_answer_that_is_missing_leaves_the_others() -> None:
    section, authentication = await ask(zone(**{"_dmarc.example.com TXT": [BROKEN], "example.com MX": [BROKEN]}))
    assert "SERVFAIL" in found("dns-unanswered", section).what
    assert (authentication.spf, authentication.dmarc) == (
        Compliance.UNKNOWN,
        Compliance.UNKNOWN,
    )  # SPF says mx
    section, authentication = await ask(zone(**{"_dmarc.example.com TXT": [BROKEN]}))
    assert (authentication.spf, authentication.dmarc) == (Compliance.MET, Compliance.UNKNOWN)


async def test_a_resolver_that_is_not_there() -> None:
    async with NameServer({}) as server:
        address = server.address
    with pytest.raises(UnansweredError):
        await Lookup(address, seconds=0.5).texts("example.com")


async def test_the_time_is_for_all_questions_together() -> None:
    async with NameServer({"a.example.com TXT": [SILENT], "b.example.com TXT": ["b"]}) as server:
        lookup = Lookup(server.address, seconds=0.2)
        with pytest.raises(UnansweredError, match="no answer in time"):
            await lookup.texts("a.example.com")
        with pytest.raises(UnansweredError, match="time for asking the DNS is up"):
            await lookup.texts("b.example.com")
        assert "b.example.com TXT" not in server.asked


async def test_the_same_is_not_asked_twice() -> None:
    async with NameServer(zone()) as server:
        lookup = Lookup(server.address)
        for name in ("example.com", "EXAMPLE.com."):
            assert (await lookup.texts(name)).records == ("v=spf1 mx -all",)
        assert server.asked == ["example.com TXT"]


@pytest.mark.parametrize("name", ["a..example.com", f"{'x' * 64}.example.com", "x." * 200 + "com"])
async def test_a_name_that_is_none_is_not_asked_for(name: str) -> None:
    async with NameServer({}) as server:
        with pytest.raises(UnansweredError):
            await Lookup(server.address).texts(name)
        assert server.asked == []


async def test_what_is_known_of_several_domains_is_what_holds_for_all() -> None:
    records = zone(**{"example.net TXT": ["v=spf1 -all"], "example.net MX": ["10 mail.example.net."]})
    seen = Seen(from_domains=["example.com", "example.net"], return_domains=["example.com"])
    async with NameServer(records) as server:
        sections, authentication = await SenderCheck(seen, (), Lookup(server.address)).run()
    assert [section.title for section in sections] == ["DNS: example.com", "DNS: example.net"]
    assert (authentication.dmarc, authentication.spf_aligned) == (Compliance.UNMET, Compliance.UNMET)


async def test_without_a_return_path_nothing_is_said_of_spf() -> None:
    async with NameServer(zone()) as server:
        check = SenderCheck(Seen(from_domains=["example.com"]), (), Lookup(server.address))
        (section,), authentication = await check.run()
    assert not any(kind.startswith("spf") for kind in kinds(section))
    assert authentication.spf is Compliance.UNKNOWN


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a loop with such a socket could not be closed
async def test_a_question_that_is_cancelled_at_any_moment_leaves_no_socket_open() -> None:
    def open_sockets() -> int:
        # The one that the listing itself is read from is gone by then.
        files = [str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
        return sum(file.startswith("socket:") for file in files)

    async with NameServer({"example.com TXT": [SILENT]}) as resolver:
        before = open_sockets()
        for turns in range(20):
            asking = asyncio.create_task(Lookup(resolver.address).exists("example.com"))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
            for _ in range(5):  # turns in which a transport closes its socket
                await asyncio.sleep(0)
            assert open_sockets() == before, f"cancelled in turn {turns} of the loop, it leaves a socket open"
