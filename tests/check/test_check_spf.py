"""SPF records that receivers cannot use, and what is said of them; asked of a real DNS server."""

from __future__ import annotations

import pytest

from batchsend.check.authentication import Compliance
from tests.check.harness import ask, found, kinds
from tests.check.name_server import BROKEN, Zone

MAIL = {"example.com MX": ["10 mail.example.com."], "mail.example.com A": ["192.0.2.1"]}
DMARC = {
    "_dmarc.example.com TXT": ["v=DMARC1; p=reject; rua=mailto:d@example.com"],
    "s._domainkey.example.com TXT": ["x"],
}
RELAY = {"relay.example.net TXT": ["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"]}


def zone(*records: str, **more: list[str]) -> Zone:
    """A domain with these TXT records, and everything else as it should be."""
    return {"example.com TXT": list(records), **MAIL, **DMARC, **RELAY, **more}


async def spf_kinds(*records: str, **more: list[str]) -> set[str]:
    section, _ = await ask(zone(*records, **more))
    return {kind for kind in kinds(section) if kind.startswith("spf")}


async def test_a_record_that_is_right() -> None:
    section, authentication = await ask(zone("something else", "v=spf1 a mx include:relay.example.net ~all"))
    assert kinds(section) == {"dkim-unknown", "spf-void"} - {"spf-void"}
    assert section.facts["SPF"].endswith("~all (3 of 10 look-ups)")
    assert authentication.spf is Compliance.MET
    assert authentication.spf_aligned is Compliance.MET


@pytest.mark.parametrize("returning", [("example.com", "example.net"), ("example.net", "example.com")])
async def test_spf_aligns_only_where_it_does_by_every_return_path(returning: tuple[str, ...]) -> None:
    """One in a hundred messages with another return path is one that DMARC can refuse."""
    elsewhere = {"example.net TXT": ["v=spf1 ip4:192.0.2.1 -all"], "example.net MX": ["10 mail.example.com."]}
    _, authentication = await ask(zone("v=spf1 a mx -all", **elsewhere), returning=returning)
    assert authentication.spf is Compliance.MET
    assert authentication.spf_aligned is Compliance.UNMET


async def test_a_record_that_nobody_reads_to_its_end() -> None:
    assert await spf_kinds(f"v=spf1 {'ip4:192.0.2.1 ' * 300}-all") == {"spf-long"}


async def test_of_a_record_of_nonsense_a_few_terms_are_named() -> None:
    section, _ = await ask(zone(f"v=spf1 {'x! ' * 500}-all"))
    assert 0 < sum(finding.kind == "spf-syntax" for finding in section.findings) <= 10


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ("v=spf1 include:relay.example.net", "spf-neutral"),
        ("v=spf1 include:relay.example.net ?all", "spf-neutral"),
        ("v=spf1 include:relay.example.net +all", "spf-open"),
        ("v=spf1 include:relay.example.net all", "spf-open"),
        ("v=spf1 ptr -all", "spf-ptr"),
        ("v=spf1 -all", "spf-nobody"),
        ("v=spf1 ipv4:192.0.2.1 -all", "spf-syntax"),
        ("v=spf1 ip4:192.0.2.256 -all", "spf-syntax"),
        ("v=spf1 ip6:192.0.2.1 -all", "spf-syntax"),
        ("v=spf1 include: -all", "spf-syntax"),
        ("v=spf1 include -all", "spf-syntax"),
        ("v=spf1 redirect=", "spf-syntax"),
        ("v=spf1 -all, include:relay.example.net", "spf-syntax"),
        ("v=spf1 include:nowhere.example.net -all", "spf-syntax"),
        ("v=spf1 redirect=relay.example.net", None),
        ("v=spf1 redirect=nowhere.example.net ~all", None),
        ("v=spf1 exists:%{i}._spf.example.net exp=why.example.net -all", None),
        ("V=SPF1 A:mail.example.com/28 -ALL", None),
    ],
)
async def test_what_is_wrong_in_a_record(record: str, kind: str | None) -> None:
    assert await spf_kinds(record) - {"spf-neutral" if "all," in record or record.endswith("=") else ""} == (
        {kind} if kind else set()
    )


async def test_no_record() -> None:
    section, authentication = await ask(zone("v=spf10 -all"))
    assert "v=spf1" in (found("spf-missing", section).remedy or "")
    assert authentication.spf is Compliance.UNMET


async def test_two_records() -> None:
    section, authentication = await ask(zone("v=spf1 -all", "v=spf1 mx -all"))
    assert "2 SPF records" in found("spf-several", section).what
    assert authentication.spf is Compliance.UNMET


def chain(length: int) -> dict[str, list[str]]:
    """Records that include one another."""
    return {
        f"s{number}.example.net TXT": [f"v=spf1 include:s{number + 1}.example.net -all"] for number in range(length)
    } | {f"s{length}.example.net TXT": ["v=spf1 ip4:192.0.2.1 -all"]}


@pytest.mark.parametrize(("length", "too_many"), [(9, False), (10, True)])
async def test_the_limit_of_ten_look_ups_counts_what_is_included(length: int, *, too_many: bool) -> None:
    section, authentication = await ask(zone("v=spf1 include:s0.example.net -all", **chain(length)))
    assert ("spf-lookups" in kinds(section)) is too_many
    assert f"({length + 1} of 10 look-ups)" in section.facts["SPF"]
    assert authentication.spf is (Compliance.UNMET if too_many else Compliance.MET)


async def test_records_that_include_each_other_come_to_an_end() -> None:
    more = {
        "a.example.net TXT": ["v=spf1 include:b.example.net -all"],
        "b.example.net TXT": ["v=spf1 include:a.example.net -all"],
    }
    assert await spf_kinds("v=spf1 include:a.example.net include:example.com -all", **more) == set()


async def test_names_that_do_not_exist() -> None:
    assert await spf_kinds("v=spf1 a:x.example.net mx:y.example.net -all") == set()
    section, authentication = await ask(zone("v=spf1 a:x.example.net mx:y.example.net exists:z.example.net -all"))
    assert "z.example.net" in found("spf-void", section).what
    assert authentication.spf is Compliance.UNMET


async def test_what_an_included_record_gets_wrong_is_said_of_it() -> None:
    section, _ = await ask(
        zone("v=spf1 include:bad.example.net -all", **{"bad.example.net TXT": ["v=spf1 bogus -all"]})
    )
    assert found("spf-syntax", section).where == "TXT bad.example.net"


async def test_an_include_that_cannot_be_looked_up_is_not_known() -> None:
    section, authentication = await ask(zone("v=spf1 include:b.example.net -all", **{"b.example.net TXT": [BROKEN]}))
    assert "SERVFAIL" in found("spf-unanswered", section).what
    assert authentication.spf is Compliance.UNKNOWN


async def test_a_record_in_several_strings_is_one() -> None:
    networks = " ".join(f"ip4:192.0.2.{number}" for number in range(40))
    section, _ = await ask(zone(f"v=spf1 {networks} -all"))
    assert section.facts["SPF"].startswith(f"v=spf1 {networks} -all")


async def test_spf_is_about_the_return_path() -> None:
    records = zone("v=spf1 -all", **{"bounce.example.com TXT": ["v=spf1 include:relay.example.net -all"]})
    section, authentication = await ask(records, returning=("bounce.example.com",))
    assert not any(kind.startswith("spf") for kind in kinds(section))
    assert (authentication.spf, authentication.spf_aligned) == (Compliance.MET, Compliance.MET)
    assert found("mx-missing", section).where == "MX bounce.example.com"
