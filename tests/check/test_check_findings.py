"""What findings come to: exit codes, JSON, the providers' demands, and that none of them is without a test."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import batchsend.check
from batchsend.check import Report, Section, Severity
from batchsend.check.authentication import Authentication, Compliance
from batchsend.check.gathering import Gathering
from batchsend.check.message import Seen
from batchsend.check.providers import judge, provider_of, requirements
from batchsend.recipients import BadRecord
from tests.check.harness import found, kinds

ROOM = Path(batchsend.check.__file__).parent
TESTS = Path(__file__).parent
ADDING = {"error", "warning", "note", "add", "_warn"}
STAGES = {f"server-{stage}" for stage in ("connect", "greeting", "ehlo", "starttls", "auth")}


def section_with(*severities: Severity) -> Section:
    section = Section("x")
    for severity in severities:
        section.add("kind", severity, "what", where="where", remedy="remedy")
    return section


@pytest.mark.parametrize(
    ("severities", "code"),
    [
        ([], 0),
        ([Severity.NOTE], 0),
        ([Severity.NOTE, Severity.WARNING], 1),
        ([Severity.ERROR, Severity.WARNING], 2),
    ],
)
def test_the_worst_finding_decides_the_exit_code(severities: list[Severity], code: int) -> None:
    assert Report("campaign.toml", [Section("y"), section_with(*severities)]).exit_code == code


def test_the_report_as_json() -> None:
    report = Report("campaign.toml", [section_with(Severity.WARNING, Severity.NOTE)])
    report.sections[0].facts["rate"] = "1/s"
    told = json.loads(json.dumps(report.to_json()))
    assert (told["exit_code"], told["errors"], told["warnings"], told["notes"]) == (1, 0, 1, 1)
    assert told["sections"][0]["facts"] == {"rate": "1/s"}
    assert told["sections"][0]["findings"][0] == {
        "kind": "kind",
        "severity": "warning",
        "what": "what",
        "where": "where",
        "remedy": "remedy",
        "count": 1,
        "lines": [],
    }


def test_what_differs_in_quoted_values_only_is_one_finding() -> None:
    gathering = Gathering("list.csv")
    for number, what in enumerate(["'a' is bad", '"b\'s" is bad', r"'c\'' is bad", "'name' is undefined"], 1):
        gathering.add("kind", Severity.WARNING, what, BadRecord(number, number + 1, "", None), remedy="mend")
    gathering.add("kind", Severity.ERROR, "'city' is undefined", BadRecord(5, 6, "", None), remedy="mend")
    section = Section("x")
    gathering.conclude(section)
    assert [(finding.what, finding.lines) for finding in section.findings] == [
        ("'city' is undefined", (6,)),
        ("… is bad", (2, 3, 4)),
        ("'name' is undefined", (5,)),
    ]


M, U, N = Compliance.MET, Compliance.UNKNOWN, Compliance.UNMET


def demands(authentication: Authentication, *, one_click: bool = True, tls: Compliance = M) -> dict[str, Compliance]:
    asked = requirements(authentication, Seen(one_click=one_click), tls)
    return {requirement.name: requirement.state for requirement in asked}


def test_what_providers_ask_for() -> None:
    assert set(demands(Authentication(M, M, M, M, M)).values()) == {M}
    assert demands(Authentication(N, U, M, M, U), one_click=False, tls=N) == {
        "SPF": N,
        "DKIM": U,
        "DMARC": M,
        "alignment": U,
        "one-click unsubscribe": N,
        "TLS": N,
    }


def test_what_is_not_met_is_a_warning_for_who_sends_much() -> None:
    asked = requirements(Authentication(M, N, M, M, U), Seen(), M)
    few, many = judge(asked, 4999), judge(asked, 5000)
    assert found("provider-requirements", few).severity is Severity.NOTE
    assert found("provider-requirements", many).severity is Severity.WARNING
    assert found("provider-requirements", many).where == "DKIM"
    assert many.facts["DKIM"] == "not met; asked for by Gmail, Yahoo, Outlook.com"
    assert kinds(judge(requirements(Authentication(M, M, M, M, M), Seen(), M), 5000)) == set()


@pytest.mark.parametrize(
    ("domain", "provider"),
    [
        ("gmail.com", "Gmail"),
        ("yahoo.co.jp", "Yahoo"),
        ("aol.com", "Yahoo"),
        ("live.nl", "Outlook.com"),
        ("hotmail.com", "Outlook.com"),
        ("live.example.com", None),
        ("yahoo.example", None),
        ("example.com", None),
    ],
)
def test_whose_mailboxes_a_domain_has(domain: str, provider: str | None) -> None:
    assert provider_of(domain) == provider


def test_every_kind_of_finding_has_a_test() -> None:
    """The kinds are the first arguments of the calls that add a finding; a test says each one's name."""
    named = set(STAGES)
    for file in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ADDING:
                kind = node.args[0] if node.args else None
                if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
                    named.add(kind.value)
    assert len(named) > 60
    tests = "".join(path.read_text() for path in TESTS.rglob("test_*.py")) + "".join(
        path.read_text() for path in (TESTS.parent / "cli").glob("test_cli_check*.py")
    )
    assert {kind for kind in named if f'"{kind}"' not in tests} == set()
