"""SMTP extensions that campaigns use, against servers that mean them: DSN, AUTH, SMTPUTF8 with IDNA, SIZE."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.command import CampaignFolder
from tests.servers.delivered import delivered
from tests.servers.postfix import Postfix
from tests.servers.relay_tables import credentials, implicit_tls, plain, starttls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.servers.command import Ended
    from tests.servers.exim import Exim
    from tests.servers.stored import Stored

MESSAGE = {
    "from": "Accounts <accounts@mail.example.com>",
    "return_path": "bounce+{{ batch.record }}@mail.example.com",
    "subject": "Record {{ batch.record }}",
    "text": "Your letter.\n{{ 'x' * (length | int) }}\n",
}
# Taken in the session and given back afterwards, as nobody listens there and it is tried only once.
GIVES_BACK = {
    "transport_maps": "inline:{ { gone.example.com = lmtp:inet:127.0.0.1:1 } }",
    "maximal_queue_lifetime": "0",
}


def _send(
    folder: CampaignFolder, server: Mapping[str, Any], recipients: Mapping[str, int], **tables: Mapping[str, Any]
) -> Ended:
    """Send to these recipients, each with a line of that length in the message."""
    rows = "".join(f"{email},{length}\n" for email, length in recipients.items())
    (folder.path / "recipients.csv").write_text(f"email,length\n{rows}")
    top = {"recipients": "recipients.csv", "results": "results.jsonl"}
    folder.write(top=top, server=server, message=MESSAGE, delivery={"max_attempts": 1}, **tables)
    return folder.send()


def _reports(stored: list[Stored]) -> dict[str, Stored]:
    """Delivery status notifications (RFC 3464), which have no sender, by whom they are for."""
    reports = [message for message in stored if message.sender == ""]
    assert len({report.recipient for report in reports}) == len(reports)
    return {report.recipient: report for report in reports}


def _field(report: Stored, name: str) -> str:
    (value,) = re.findall(rf"(?m)^{name}: *(.*)\r$", report.content.decode())
    return str(value)


# --- DSN (RFC 3461) ---------------------------------------------------------------------------------------------------


def test_reports_of_success_name_envelope_and_recipient(tmp_path: Path, postfix: Postfix) -> None:
    folder = CampaignFolder(tmp_path)
    recipients = {"ann@example.com": 1, "bob+news=1@example.com": 1}
    dsn = {"notify": ["success", "failure"]}
    assert _send(folder, plain(postfix.plain_port), recipients, **{"delivery.dsn": dsn}).code == 0
    reports = _reports(list(postfix.received()))
    assert reports.keys() == {"bounce+1@mail.example.com", "bounce+2@mail.example.com"}
    outcomes = folder.account().by_record()
    for record, recipient in enumerate(recipients, 1):
        report = reports[f"bounce+{record}@mail.example.com"]
        assert _field(report, "Original-Envelope-Id") == outcomes[record]["message_id"].strip("<>")
        assert _field(report, "Original-Recipient") == f"rfc822;{recipient}"
        assert _field(report, "Action") in {"relayed", "delivered"}


def test_a_report_names_a_recipient_in_another_script_as_it_is(tmp_path: Path, postfix: Postfix) -> None:
    dsn = {"delivery.dsn": {"notify": ["success"]}}
    assert _send(CampaignFolder(tmp_path), plain(postfix.plain_port), {"jörg+x@example.com": 1}, **dsn).code == 0
    (report,) = _reports(list(postfix.received())).values()
    assert _field(report, "Original-Recipient") == "utf-8;jörg+x@example.com"


@pytest.mark.parametrize(
    ("notify", "reported"),
    [(None, True), (["failure"], True), (["failure", "delay"], True), (["success"], False), (["never"], False)],
)
def test_reports_of_failure_come_where_they_are_wanted(
    tmp_path: Path, notify: list[str] | None, *, reported: bool
) -> None:
    tables = {} if notify is None else {"delivery.dsn": {"notify": notify}}
    with Postfix(settings=GIVES_BACK) as postfix:
        ended = _send(CampaignFolder(tmp_path), plain(postfix.plain_port), {"ann@gone.example.com": 1}, **tables)
        reports = _reports(list(postfix.received()))
    assert ended.code == 0, "the relay took it; what became of it then is in the report"
    assert list(reports) == (["bounce+1@mail.example.com"] if reported else [])
    if reported:
        assert _field(reports["bounce+1@mail.example.com"], "Action") == "failed"
        assert _field(reports["bounce+1@mail.example.com"], "Status") == "4.4.1"


@pytest.mark.parametrize(("ret", "returned"), [("headers", b"text/rfc822-headers"), ("full", b"message/rfc822")])
def test_a_report_of_failure_returns_as_much_as_is_wanted(tmp_path: Path, ret: str, returned: bytes) -> None:
    dsn = {"delivery.dsn": {"notify": ["failure"], "ret": ret}}
    with Postfix(settings=GIVES_BACK) as postfix:
        assert _send(CampaignFolder(tmp_path), plain(postfix.plain_port), {"ann@gone.example.com": 1}, **dsn).code == 0
        (report,) = _reports(list(postfix.received())).values()
    assert b"\r\nContent-Type: " + returned + b"\r\n" in report.content
    assert (b"Your letter." in report.content) is (ret == "full")


# --- AUTH (RFC 4954) --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "PLAIN", "LOGIN"])
@pytest.mark.parametrize("table", [starttls, implicit_tls], ids=["starttls", "implicit"])
def test_each_mechanism_authenticates(tmp_path: Path, mechanism: str, table: Any) -> None:
    with Postfix(settings={"smtpd_sasl_mechanism_filter": mechanism}) as postfix:
        folder = CampaignFolder(tmp_path, credentials(postfix))
        assert _send(folder, table(postfix), {"ann@example.com": 1}).code == 0
        assert len(delivered(folder.account(), postfix.received())) == 1
        assert f"sasl_method={mechanism}, sasl_username={postfix.username}" in postfix.log_text()


def test_of_all_mechanisms_the_one_that_does_not_tell_the_password_is_used(tmp_path: Path, postfix: Postfix) -> None:
    folder = CampaignFolder(tmp_path, credentials(postfix))
    assert _send(folder, starttls(postfix), {"ann@example.com": 1}).code == 0
    assert set(re.findall(r"sasl_method=([\w-]+)", postfix.log_text())) == {"CRAM-MD5"}


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "PLAIN", "LOGIN"])
def test_a_wrong_password_stops_the_run_and_is_shown_nowhere(tmp_path: Path, mechanism: str) -> None:
    wrong = "nobody else's secret"
    with Postfix(settings={"smtpd_sasl_mechanism_filter": mechanism}) as postfix:
        folder = CampaignFolder(tmp_path, credentials(postfix) | {"SMTP_PASSWORD": wrong})
        ended = _send(folder, starttls(postfix), {"ann@example.com": 1, "bob@example.com": 1})
        assert list(postfix.received()) == []
    assert ended.code == 3
    assert "535 5.7.8" in ended.errors
    assert "check username and password in [server]" in ended.errors
    assert folder.account().outcomes == [], "nothing was attempted: all of it can be resumed"
    assert not [path for path in folder.files() if wrong.encode() in path.read_bytes()]
    assert wrong not in ended.errors + ended.output


# --- SMTPUTF8 (RFC 6531) and IDNA (UTS 46) ----------------------------------------------------------------------------

FOREIGN = {
    # As it is in the file, and as the server has it: a domain becomes A-labels, a local part stays.
    "plain@example.com": "plain@example.com",
    "info@bücher.example.com": "info@xn--bcher-kva.example.com",
    "desk@BÜCHER.example.com": "desk@xn--bcher-kva.example.com",
    "info@straße.example.com": "info@xn--strae-oqa.example.com",
    "jörg@example.com": "jörg@example.com",
    "用户@例子.example.com": "用户@xn--fsqu00a.example.com",
}


def test_addresses_in_every_script_arrive(tmp_path: Path, postfix: Postfix) -> None:
    folder = CampaignFolder(tmp_path)
    assert _send(folder, plain(postfix.plain_port), dict.fromkeys(FOREIGN, 1)).code == 0
    outcomes = folder.account().by_record()
    assert [outcomes[record]["recipient"] for record in range(1, len(FOREIGN) + 1)] == list(FOREIGN.values())
    stored = {message.sender: message for message in postfix.received()}
    for record, recipient in enumerate(FOREIGN.values(), 1):
        message = stored[f"bounce+{record}@mail.example.com"]
        assert message.recipient == recipient
        assert f"\r\nTo: {recipient}\r\n".encode() in message.content
        # UTF8SMTP is how Postfix names a transaction with SMTPUTF8 (RFC 6531 §4.3).
        assert (b"with UTF8" in message.content) is (not recipient.isascii())


def test_where_smtputf8_is_not_offered_only_domains_may_be_in_another_script(tmp_path: Path) -> None:
    with Postfix(settings={"smtputf8_enable": "no"}) as postfix:
        folder = CampaignFolder(tmp_path)
        assert _send(folder, plain(postfix.plain_port), dict.fromkeys(FOREIGN, 1)).code == 1
        received = [message.recipient for message in postfix.received()]
    outcomes = folder.account().by_record()
    assert {outcomes[record]["status"] for record in (1, 2, 3, 4)} == {"accepted"}
    for record in (5, 6):
        assert outcomes[record]["status"] == "invalid"
        assert outcomes[record]["reason"] == "the address is not ASCII, and the server does not offer SMTPUTF8"
    assert sorted(received) == sorted(recipient for recipient in FOREIGN.values() if recipient.isascii())


# --- SIZE (RFC 1870) --------------------------------------------------------------------------------------------------


def _limited(folder: CampaignFolder, server: Mapping[str, Any], limit: int) -> None:
    """Send one message too many octets long between two that fit; only these are offered."""
    recipients = {"one@example.com": 1, "two@example.com": 900, "long@example.com": limit, "four@example.com": 1}
    # Lines of more than 998 octets are encoded, and the encoding is what has to fit.
    assert _send(folder, server, recipients).code == 1
    outcomes = folder.account().by_record()
    assert [outcomes[record]["status"] for record in (1, 2, 3, 4)] == ["accepted", "accepted", "invalid", "accepted"]
    assert re.fullmatch(rf"the message has \d+ octets, and the server takes at most {limit}", outcomes[3]["reason"]), (
        outcomes[3]
    )
    assert (outcomes[3]["code"], outcomes[3]["reply"]) == (None, None)


def test_a_message_that_is_too_large_is_not_offered_to_postfix(tmp_path: Path) -> None:
    with Postfix(settings={"message_size_limit": "5000"}) as postfix:
        folder = CampaignFolder(tmp_path)
        _limited(folder, plain(postfix.plain_port), 5000)
        assert len(delivered(folder.account(), postfix.received())) == 3
        assert "long@example.com" not in postfix.log_text()


def test_exim_is_told_the_size_of_each_message(tmp_path: Path, exim: Exim) -> None:
    folder = CampaignFolder(tmp_path)
    assert _send(folder, plain(exim.plain_port), {"one@example.com": 1, "two@example.com": 5000}).code == 0
    assert len(delivered(folder.account(), exim.received())) == 2
