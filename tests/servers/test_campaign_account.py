"""Whatever is in the file and whatever the server refuses: every record is accounted for once, the good ones arrive."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.servers.command import CampaignFolder
from tests.servers.delivered import delivered
from tests.servers.postfix import Postfix
from tests.servers.relay_tables import credentials, plain, starttls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.command import Account
    from tests.servers.exim import Exim
    from tests.servers.opensmtpd import OpenSmtpd
    from tests.servers.relay import Relay
    from tests.servers.stored import Stored

# What follows the header email,name,share; and what the log must say about it.
BAD_CSV_ROWS = (
    (b"two@example.com,Two", "2 fields where the header has 3"),
    (b"four@example.com,Four,4,more", "4 fields where the header has 3"),
    (b",Nobody,1", "it is empty"),
    (b"<>,Null,1", "null path"),
    (b"no address,Joseph,1", "contains a space"),
    (b"at.example.com,At,1", "has no @"),
    (b"a@b@example.com,Twice,1", "more than one @"),
    (b'"a@example.com, b@example.com",Both,1', "only one address"),
    (b"Eve <eve@example.com>,Eve,1", "without name and angle brackets"),
    (b"eve(here)@example.com,Eve,1", "comments"),
    (b"@relay.example.com:eve@example.com,Eve,1", "source routes"),
    (b"eve@example.com> SIZE=1,Eve,1", "angle brackets"),
    (b'"eve@example.com\r\nRCPT TO:<victim@example.net>",Eve,1', "looks like a row of its own"),
    (b'"eve@example.com\r\nDATA",Eve,1', "control character"),
    (b'mallory@example.com,"Mallory\r\nBcc: victim@example.net",1', "control character"),
    ("zero\u200bwidth@example.com,Zero,1".encode(), "invisible character"),
    ("wide@example\uff0ecom,Wide,1".encode(), "FULLWIDTH FULL STOP"),
    (b"l" * 65 + b"@example.com,Long,1", "64 is the most"),
    (b"dots..dots@example.com,Dots,1", "a dot"),
    (b"literal@[127.0.0.256],Literal,1", "not an address literal"),
    (b"nul@example.com,N\0ul,1", "NUL"),
    (b"latin@example.com,Andr\xe9,1", "not UTF-8: byte 0xE9"),
    (b'quote@example.com,"Quote"d,1', "text after a closing quote"),
    (b'open@example.com,"Open,1', "not closed"),
    (b"none@example.com,None,0", "ZeroDivisionError"),
)
BAD_JSON_LINES = (
    (b'["list@example.com"]', "an array where a JSON object belongs"),
    (b'"text@example.com"', "a text where"),
    (b"42", "a number where"),
    (b"null", "true, false or null where"),
    (b'{"email": "cut@example.com", "name": "C', "breaks off"),
    (b'{"email": "nan@example.com", "name": "N", "share": NaN}', "NaN is not JSON"),
    (b'{"email": "a@example.com", "email": "b@example.com", "name": "T", "share": 1}', "stands twice"),
    (b'{"email": "latin@example.com", "name": "Andr\xe9", "share": 1}', "not UTF-8: byte 0xE9"),
    (b'{"email": "deep@example.com", "name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    (b"{'email': 'single@example.com'}", "not JSON"),
    (b'{"email": "comma@example.com",}', "not JSON"),
    (b'{"name": "Nobody", "share": 1}', "no recipient"),
    (b'{"email": 7, "name": "Seven", "share": 1}', "holds no address but int"),
    (b'{"email": null, "name": "Null", "share": 1}', "holds no address but NoneType"),
    (b'{"email": ["a@example.com"], "name": "List", "share": 1}', "holds no address but list"),
    (b'{"email": "missing@example.com", "share": 1}', "'name' is undefined"),
    (b'{"email": "half@example.com", "name": "\\ud800", "share": 1}', "half a character in 'name'"),
    (b'{"email": "type@example.com", "name": "Type", "share": "1"}', "TypeError"),
    (b'{"email": "lf@example.com\\nDATA", "name": "Eve", "share": 1}', "control character"),
    (b'{"email": "bcc@example.com", "name": "Eve\\r\\nBcc: victim@example.net", "share": 1}', "control character"),
    (b'{"email": "nul@example.com", "name": "\\u0000", "share": 1}', "control character"),
    (b'{"email": "eve@example.com> SIZE=1", "name": "Eve", "share": 1}', "angle brackets"),
)
REFUSED = [f"{number}@unknown.example.com" for number in range(5)]
DEFERRED = [f"{number}@later.example.com" for number in range(5)]
MESSAGE = {
    "from": "Accounts <accounts@mail.example.com>",
    "to": "{{ name }} <{{ email }}>",
    "return_path": "bounce+{{ batch.record }}@mail.example.com",
    "subject": "For {{ name }}",
    "text": "Record {{ batch.record }}, {{ name }}: your share is {{ 12 // share | int }}.\n",
}


def _good(kind: str, number: int) -> bytes:
    email, name = f"good{number}@example.com", f"Göod {number}"
    if kind == "csv":
        return f"{email},{name},4".encode()
    return orjson.dumps({"email": email, "name": name, "share": 4})


def _refused(kind: str, email: str) -> bytes:
    return f"{email},Refused,4".encode() if kind == "csv" else orjson.dumps({"email": email, "name": "R", "share": 4})


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_bad_rows_and_refused_recipients_cost_nobody_else_the_message(
    tmp_path: Path, postfix: Postfix, kind: str
) -> None:
    bad = BAD_CSV_ROWS if kind == "csv" else BAD_JSON_LINES
    assert len(bad) >= 20
    # A good row before and after each that is not.
    others = [row for row, _ in bad] + [_refused(kind, email) for email in REFUSED + DEFERRED]
    rows = [_good(kind, 0)]
    for number, row in enumerate(others, 1):
        rows += [row, _good(kind, number)]
    header = [b"email,name,share"] if kind == "csv" else []
    (tmp_path / f"recipients.{kind}").write_bytes(b"".join(row + b"\r\n" for row in [*header, *rows]))
    folder = CampaignFolder(tmp_path, credentials(postfix))
    message = MESSAGE if kind == "csv" else MESSAGE | {"text": str(MESSAGE["text"]).replace(" | int", "")}
    folder.write(
        top={"recipients": f"recipients.{kind}", "results": "results.jsonl"},
        server=starttls(postfix),
        message=message,
        delivery={"max_attempts": 1},
    )

    ended = folder.send()

    account = folder.account()
    outcomes = account.by_record()
    assert ended.code == 1, ended.errors
    assert outcomes.keys() == set(range(1, len(rows) + 1)), "an unclosed quote takes its own row, and no other"
    even = {record: outcome for record, outcome in outcomes.items() if record % 2 == 0}
    for (row, reason), outcome in zip(bad, even.values(), strict=False):
        assert outcome["status"] == "invalid", (row, outcome)
        assert reason in outcome["reason"], (row, outcome)
        assert (outcome["stage"], outcome["code"], outcome["reply"], outcome["session"]) == (None, None, None, None)
        assert _line(tmp_path / f"recipients.{kind}", outcome["line"]).startswith(row.partition(b"\r\n")[0])
    assert {outcome["recipient"]: _refusal(outcome) for outcome in list(even.values())[len(bad) :]} == {
        **dict.fromkeys(REFUSED, ("rejected", "rcpt", 550, "5.1.1", "unknown_mailbox", 1)),
        **dict.fromkeys(DEFERRED, ("deferred", "rcpt", 450, "4.2.0", "mailbox_unavailable", 1)),
    }
    assert account.records("accepted") == set(range(1, len(rows) + 1, 2))
    messages = delivered(account, postfix.received())
    for record, stored in messages.items():
        number = (record - 1) // 2
        assert stored.recipient == f"good{number}@example.com"
        assert stored.sender == f"bounce+{record}@mail.example.com"
        assert b"victim" not in stored.content
    assert f"{len(rows)} records" in ended.errors
    assert re.search(rf"accepted {len(messages)} · rejected 5 · deferred 5 · invalid {len(bad)}\n", ended.errors)


def _line(path: Path, number: int) -> bytes:
    return path.read_bytes().split(b"\r\n" if path.suffix == ".jsonl" else b"\n")[number - 1]


def _refusal(outcome: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(outcome[name] for name in ("status", "stage", "code", "enhanced", "reason", "attempt"))


def _recipients(count: int, refusals: dict[int, str]) -> list[str]:
    """So many addresses; every tenth from each of these places on is in that domain."""
    return [f"r{number}@{refusals.get(number % 10, 'example.com')}" for number in range(count)]


def _send(folder: CampaignFolder, server: dict[str, Any], recipients: list[str], *options: str) -> Account:
    (folder.path / "recipients.csv").write_text("email\n" + "".join(f"{email}\n" for email in recipients))
    folder.write(
        top={"recipients": "recipients.csv", "results": "results.jsonl"},
        server=server,
        message={
            "from": "accounts@mail.example.com",
            "return_path": "bounce+{{ batch.record }}@mail.example.com",
            "subject": "Record {{ batch.record }}",
            "text": "For {{ email }} alone.\n.\n",
        },
        delivery={"max_connections": 4, "max_attempts": 1},
    )
    ended = folder.send(*options)
    assert ended.code == 1, ended.errors
    return folder.account()


def _check(account: Account, recipients: list[str], server: Relay) -> dict[int, Stored]:
    """Nobody else's message is lost, delivered twice, changed or wrongly called accepted."""
    expected = {"example.com": "accepted", "unknown.example.com": "rejected", "later.example.com": "deferred"}
    outcomes = account.by_record()
    assert {record: (outcome["recipient"], outcome["status"]) for record, outcome in outcomes.items()} == {
        record: (email, expected[email.partition("@")[2]]) for record, email in enumerate(recipients, 1)
    }
    messages = delivered(account, server.received())
    for record, stored in messages.items():
        assert stored.sender == f"bounce+{record}@mail.example.com"
        assert stored.submitted.endswith(f"\r\n\r\nFor {recipients[record - 1]} alone.\r\n.\r\n".encode())
    return messages


BOTH = {4: "unknown.example.com", 7: "later.example.com"}
ADJACENT = {0: "unknown.example.com", 1: "later.example.com", 2: "unknown.example.com", 9: "unknown.example.com"}


@pytest.fixture
def patient_postfix() -> Iterator[Postfix]:
    """Return a Postfix that does not answer slowly, and then with 421, after so many refusals in one session."""
    with Postfix(settings={"smtpd_soft_error_limit": "1000", "smtpd_hard_error_limit": "1000"}) as server:
        yield server


@pytest.mark.parametrize("depth", [1, 16])
@pytest.mark.parametrize("refusals", [BOTH, ADJACENT], ids=["apart", "adjacent"])
def test_refusals_among_others_at_postfix(
    tmp_path: Path, patient_postfix: Postfix, depth: int, refusals: dict[int, str]
) -> None:
    recipients = _recipients(200, refusals)
    folder = CampaignFolder(tmp_path, credentials(patient_postfix))
    account = _send(folder, starttls(patient_postfix), recipients, "--depth", str(depth))
    _check(account, recipients, patient_postfix)
    stages = Counter(outcome["stage"] for outcome in account.outcomes)
    assert stages == {"content": 200 - 20 * len(refusals), "rcpt": 20 * len(refusals)}
    # Five more refusals than messages end a session before Postfix would slow it down; fewer do not.
    assert len(account.message_counts()) <= 4 + stages["rcpt"] // 5, "a refused recipient does not cost its session"


def test_refusals_after_which_postfix_closes_the_session(tmp_path: Path) -> None:
    recipients = _recipients(200, ADJACENT)
    with Postfix(settings={"smtpd_soft_error_limit": "1000", "smtpd_hard_error_limit": "5"}) as postfix:
        account = _send(CampaignFolder(tmp_path), plain(postfix.plain_port), recipients, "--depth", "8")
        _check(account, recipients, postfix)
    assert len(account.message_counts()) > 4, "421 came, and what it left unsent went through other sessions"


# Exim bears ten RSET in a session (smtp_accept_max_nonmail) beyond the first after each message that it takes, and
# leaves the transaction of a refused BDAT open, so that RSET must follow: no session here has more refusals than that.
_BORNE = ("--max-messages", "10")


@pytest.mark.parametrize("depth", [1, 8])
@pytest.mark.parametrize("refusals", [BOTH, ADJACENT], ids=["apart", "adjacent"])
def test_refusals_among_others_at_exim(tmp_path: Path, exim: Exim, depth: int, refusals: dict[int, str]) -> None:
    recipients = _recipients(200, refusals)
    options = ("--depth", str(depth), *_BORNE)
    account = _send(CampaignFolder(tmp_path), plain(exim.plain_port), recipients, *options)
    _check(account, recipients, exim)
    assert len(account.message_counts()) <= 20 + 4, "a refused recipient does not cost its session"


def test_more_refusals_than_exim_bears_are_never_called_accepted(tmp_path: Path, exim: Exim) -> None:
    recipients = _recipients(200, ADJACENT)
    account = _send(CampaignFolder(tmp_path), plain(exim.plain_port), recipients, "--depth", "8")
    last = {outcome["record"]: outcome for outcome in account.outcomes}
    assert last.keys() == set(range(1, 201)), "every record is accounted for"
    stored = Counter(message.recipient for message in exim.received())
    assert set(stored.values()) == {1}, "nobody has the message twice"
    for record, outcome in last.items():
        if outcome["status"] == "accepted":
            assert stored[recipients[record - 1]] == 1, outcome
        elif outcome["status"] != "in_doubt":
            assert stored[recipients[record - 1]] == 0, outcome


def test_refusals_among_others_at_opensmtpd_which_is_lockstep(tmp_path: Path, opensmtpd: OpenSmtpd) -> None:
    recipients = _recipients(200, {3: "unknown.example.com", 4: "unknown.example.com"})
    account = _send(CampaignFolder(tmp_path), plain(opensmtpd.plain_port), recipients)
    _check(account, recipients, opensmtpd)
    assert len(account.message_counts()) <= 4, "a refused recipient does not cost its session"
