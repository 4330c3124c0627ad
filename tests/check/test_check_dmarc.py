"""DMARC policies, where they are found, and what they mean for a campaign; asked of a real DNS server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchsend.check import Severity
from batchsend.check.authentication import Authentication, Compliance
from tests.check.harness import ask, found, kinds
from tests.check.name_server import BROKEN

if TYPE_CHECKING:
    from tests.check.name_server import Zone

NAME = "_dmarc.example.com TXT"
REPORTS = "rua=mailto:d@example.com"


def zone(*records: str, **more: list[str]) -> Zone:
    """A domain with these policies, and everything else as it should be."""
    return {
        "example.com TXT": ["v=spf1 mx -all"],
        "example.com MX": ["10 mail.example.com."],
        "news.example.com TXT": ["v=spf1 mx:example.com -all"],
        "news.example.com MX": ["10 mail.example.com."],
        NAME: list(records),
        "s1._domainkey.example.com TXT": ["x"],
        "s1._domainkey.news.example.com TXT": ["x"],
        **more,
    }


async def dmarc_kinds(*records: str, sender: str = "example.com", more: Zone | None = None) -> set[str]:
    section, _ = await ask({**zone(*records), **(more or {})}, sender=sender)
    return {kind for kind in kinds(section) if kind.startswith("dmarc")}


async def test_a_report_domain_that_does_not_answer_leaves_the_policy_known() -> None:
    silent: Zone = {"example.com._report._dmarc.reports.example.net TXT": [BROKEN]}
    section, authentication = await ask(
        {**zone("v=DMARC1; p=reject; aspf=s; rua=mailto:d@reports.example.net"), **silent},
        returning=("news.example.com",),
    )
    assert authentication.dmarc is Compliance.MET
    assert authentication.spf_aligned is Compliance.UNMET
    assert found("dmarc-report-unanswered", section).severity is Severity.NOTE


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (f"v=DMARC1; p=reject; {REPORTS}", set()),
        (f"v=DMARC1;p=quarantine;{REPORTS};", set()),
        (f"v=DMARC1; p=none; {REPORTS}", {"dmarc-none"}),
        (f"v=DMARC1; {REPORTS}", {"dmarc-none"}),
        ("v=DMARC1; p=reject", {"dmarc-unreported"}),
        ("v=DMARC1; p=refuse", {"dmarc-syntax"}),
        ("v=DMARC1; reject", {"dmarc-syntax"}),
        ("v=DMARC1", {"dmarc-syntax"}),
    ],
)
async def test_a_policy(record: str, expected: set[str]) -> None:
    section, authentication = await ask(zone(record))
    assert {kind for kind in kinds(section) if kind.startswith("dmarc")} == expected
    assert authentication.dmarc is (Compliance.UNMET if "dmarc-syntax" in expected else Compliance.MET)
    assert record in section.facts["DMARC"]


async def test_no_policy_and_what_to_publish() -> None:
    section, authentication = await ask(zone("unrelated"), sender="news.example.com")
    finding = found("dmarc-missing", section)
    assert finding.where == "TXT _dmarc.example.com"
    assert "v=DMARC1; p=none; rua=mailto:dmarc-reports@example.com" in (finding.remedy or "")
    assert authentication.dmarc is Compliance.UNMET


async def test_two_policies_are_none() -> None:
    record = f"v=DMARC1; p=reject; {REPORTS}"
    section, authentication = await ask(zone(record, f"{record};"))
    assert found("dmarc-several", section).severity is Severity.WARNING
    assert authentication.dmarc is Compliance.UNMET


async def test_a_subdomain_is_under_the_policy_of_its_organisation() -> None:
    assert await dmarc_kinds(f"v=DMARC1; p=reject; {REPORTS}", sender="news.example.com") == set()
    assert await dmarc_kinds(f"v=DMARC1; p=reject; sp=none; {REPORTS}", sender="news.example.com") == {"dmarc-none"}
    assert await dmarc_kinds(f"v=DMARC1; p=reject; sp=none; {REPORTS}") == set()


async def test_its_own_policy_comes_first() -> None:
    own = {"_dmarc.news.example.com TXT": [f"v=DMARC1; p=none; {REPORTS}"]}
    assert await dmarc_kinds(f"v=DMARC1; p=reject; {REPORTS}", sender="news.example.com", more=own) == {"dmarc-none"}


async def test_who_gets_reports_elsewhere_has_to_agree() -> None:
    record = "v=DMARC1; p=reject; rua=mailto:d@example.com, mailto:d@reports.example.net!10m"
    section, _ = await ask(zone(record))
    finding = found("dmarc-report-refused", section)
    assert finding.where == "TXT example.com._report._dmarc.reports.example.net"
    agreed = {"example.com._report._dmarc.reports.example.net TXT": ["v=DMARC1"]}
    assert await dmarc_kinds(record, more=agreed) == set()


async def test_a_strict_policy_and_a_return_path_beside_it() -> None:
    record = f"v=DMARC1; p=reject; aspf=s; {REPORTS}"
    section, authentication = await ask(zone(record), returning=("news.example.com",))
    assert found("dmarc-strict", section).severity is Severity.WARNING
    assert authentication.spf_aligned is Compliance.UNMET
    section, authentication = await ask(zone(record.replace("aspf=s; ", "")), returning=("news.example.com",))
    assert "dmarc-strict" not in kinds(section)
    assert authentication.spf_aligned is Compliance.MET


M, U, N = Compliance.MET, Compliance.UNKNOWN, Compliance.UNMET


@pytest.mark.parametrize(
    ("spf", "spf_aligned", "dkim", "dkim_aligned", "aligned"),
    [
        (M, M, N, N, M),
        (M, N, M, M, M),
        (M, N, M, N, N),
        (N, M, U, U, U),
        (N, M, N, M, N),
        (U, M, N, M, U),
        (M, N, U, U, U),
    ],
)
def test_one_way_of_passing_is_enough(
    spf: Compliance,
    spf_aligned: Compliance,
    dkim: Compliance,
    dkim_aligned: Compliance,
    aligned: Compliance,
) -> None:
    assert Authentication(spf, dkim, M, spf_aligned, dkim_aligned).aligned is aligned
