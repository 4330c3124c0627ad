"""What is wrong with records is found by line, and said once for all records that have it."""

from __future__ import annotations

import gzip
import json
import time
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from batchsend.campaign import load
from batchsend.check import Finding, Report, Severity
from batchsend.check.records import RecordsCheck
from batchsend.errors import UsageError
from tests.check.harness import found, kinds, look_at, records_check
from tests.cli.commandline import make_campaign

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "email,name\na@example.com,A\nb@example.com,B\n"


def test_a_list_with_nothing_wrong(tmp_path: Path) -> None:
    records, _ = look_at(tmp_path, GOOD)
    assert kinds(records) == set()
    assert records.facts["rendered"].startswith("2 in ")
    assert records.facts["rendered"].endswith("/s)")
    assert records.facts["ready to send"] == "2"


@pytest.mark.parametrize(
    ("column", "gone", "there"),
    [
        ("status", "blocklisted", "enabled"),
        ("state", "cancelled", "active"),
        ("Email Status", "Unsubscribed", "Active"),
        ("Email Marketing Consent", "NEVER_SUBSCRIBED", "SUBSCRIBED"),
        ("Accepts Email Marketing", "no", "yes"),
        ("OPT_IN", "false", "true"),
        ("EMAIL BLACKLISTED", "1", "0"),
        ("Email Opt Out", "true", "false"),
        ("email_disabled", "true", "false"),
        ("Opted out of email: Marketing Information", "true", "false"),
        ("IsEmailBounced", "true", "false"),
        ("Marketing contact status", "Non-marketing contact", "Marketing contact"),
        ("Portal Spam Report", "TRUE", "FALSE"),
    ],
)
def test_people_who_want_no_mail_by_what_a_tool_exported(tmp_path: Path, column: str, gone: str, there: str) -> None:
    finding = finding_of_the_unwanted(tmp_path, column, gone, there, gone)
    assert finding.what == f"by the list some want no mail: {column} is {gone!r}"


@pytest.mark.parametrize(
    ("column", "gone", "later"),
    [
        ("UNSUB_TIME", "2022-02-02 02:02:02", "2023-01-01 00:00:00"),
        ("unsubscribed_at", "1700000000", "1700000001"),
        ("Unsubscribe Date", "1/2/2023", "1/3/2023"),
        ("CLEAN_TIME", "2022-02-02 02:02:02", "2023-01-01 00:00:00"),
        ("Email Bounced Reason", "550 5.1.1 unknown", "mailbox full"),
        ("Email hard bounce reason", "UNKNOWN_USER", "OTHER"),
    ],
)
def test_people_who_want_no_mail_by_when_or_why(tmp_path: Path, column: str, gone: str, later: str) -> None:
    finding = finding_of_the_unwanted(tmp_path, column, gone, "", later)
    assert finding.what == f"by the list some want no mail: {column} is filled in"


def finding_of_the_unwanted(folder: Path, column: str, gone: str, there: str, again: str) -> Finding:
    values = {"a": there, "b": gone, "c": "", "d": again}
    rows = f"email,name,{column}\n" + "".join(f"{name}@example.com,N,{value}\n" for name, value in values.items())
    records, _ = look_at(folder, rows)
    (finding,) = [one for one in records.findings if one.kind == "unwanted"]
    assert finding.lines == (3, 5)
    assert finding.severity is Severity.WARNING
    where = (finding.remedy or "").partition("where can be: ")[2]
    records, _ = look_at(folder, rows, top=f"where = {json.dumps(where)}")
    assert "unwanted" not in kinds(records)
    assert records.facts["passed over"].startswith("2,")
    return finding


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("State", "NY"), ("state", "no"), ("status", "new"), ("blocked_by", "1"), ("label", "Cancelled")),
        *(("plan", "no"), ("unsubscribed_at", "0000-00-00 00:00:00"), ("Unsubscribe Date", "null")),
        *(("Email Bounced Reason", "No"), ("Clean Date", "1/2/2023"), ("LAST_CHANGED", "2023-01-01")),
    ],
)
def test_a_column_that_says_something_else(tmp_path: Path, column: str, value: str) -> None:
    records, _ = look_at(tmp_path, f"email,name,{column}\na@example.com,A,{value}\n")
    assert "unwanted" not in kinds(records)


def test_it_says_when_the_campaign_will_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    friday = datetime(2026, 11, 27, 17, 30, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    monkeypatch.setattr(time, "time", lambda: friday)
    rows = "email,name\n" + "".join(f"r{number}@example.com,N\n" for number in range(90))
    delivery = 'rate = "60/h"\nwindow = ["Mon-Fri 08:00-18:00"]\ntimezone = "Europe/Berlin"'
    records, _ = look_at(tmp_path, rows, delivery=delivery)
    assert records.facts["done"] == (
        "if it is begun now, at 60/h, Mon-Fri 08:00-18:00 (Europe/Berlin): Monday 30 November, about 09:00"
    )


def test_addresses_that_are_none_by_line(tmp_path: Path) -> None:
    rows = f"{GOOD}not an address,C\nd@example.com,D\nneither is this,E\nx@,F\n"
    records, _ = look_at(tmp_path, rows)
    bad = [finding for finding in records.findings if finding.kind == "address-bad"]
    assert [(finding.count, finding.lines) for finding in bad] == [(2, (4, 6)), (1, (7,))]
    assert "contains a space" in bad[0].what
    assert "not an address" not in bad[0].what.replace("is not an address", "")
    assert "'x@'" in bad[1].what
    assert bad[0].where == "recipients.csv, lines 4, 6"
    assert {finding.severity for finding in bad} == {Severity.WARNING}


def test_what_is_around_an_address_is_taken_off_and_said_once(tmp_path: Path) -> None:
    rows = "email,name\n a@example.com,A\nb@example.com\u00a0,B\n"
    rows += "'c@example.com,C\nmailto:d@example.com,D\ne@example.com,E\n"
    check = records_check(tmp_path, rows, message='to = "{{ name }} <{{ email }}>"')
    records, messages = check.run()
    finding = found("address-cleaned", records)
    assert (finding.severity, finding.count, finding.lines) == (Severity.NOTE, 4, (2, 3, 4, 5))
    assert check.counted.ready == 5
    assert "address-bad" not in kinds(records, messages)


def test_an_address_is_one_however_it_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "stop.txt").write_text("gone@example.org\n")
    rows = '{"email": "u@example.org", "name": "A"}\n{"email": "\\"u\\"@example.org", "name": "B"}\n'
    (tmp_path / "r.jsonl").write_text(rows + '{"email": "\\"gone\\"@example.org", "name": "C"}\n')
    records_check(tmp_path, delivery='suppress = ["stop.txt"]')
    campaign = tmp_path / "campaign.toml"
    campaign.write_text(campaign.read_text().replace("recipients.csv", "r.jsonl"))
    check = RecordsCheck(load(campaign, resolve_credentials=False), limit=None)
    records, _ = check.run()
    assert found("address-duplicate", records).lines == (2,)
    assert check.counted.suppressed == 1


def test_a_record_without_the_field_that_holds_the_address(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no field 'post'") as caught:
        look_at(tmp_path, "email,name\na@example.com,A\n", top='recipient_field = "post"')
    assert "'email', 'name'" in str(caught.value.remedy)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(
        '{"email": "a@example.com", "name": "A"}\n{"email": "b@example.com"}\n\n{"email": "c@example.com"}\n'
    )
    path_of = records_check(tmp_path, message='reply_to = "{{ desk }}@example.com"')
    path_of.run()
    campaign = tmp_path / "campaign.toml"
    campaign.write_text(campaign.read_text().replace("recipients.csv", "r.jsonl").replace("reply_to", "# reply_to"))
    records, _ = RecordsCheck(load(campaign, resolve_credentials=False), limit=None).run()
    finding = found("field-missing", records)
    assert "'name' is undefined" in finding.what
    assert (finding.count, finding.lines) == (2, (2, 4))


def test_a_missing_field_is_known_by_its_kind_and_not_by_its_words(tmp_path: Path) -> None:
    rows = "email,name,where\na@example.com,A,nowhere is undefined.html\n"
    records, _ = look_at(tmp_path, rows, message='reply_to = "{% include where %}"')
    assert "is undefined" in found("record-invalid", records).what


def test_an_empty_field_that_a_template_shows(tmp_path: Path) -> None:
    rows = "email,name,city,note\na@example.com,,,\nb@example.com,B,,\nc@example.com,,Bern,\n"
    text = "Hello {{ name | upper }}{% if city %} in {{ city }}{% endif %}"
    finding = found("field-empty", *look_at(tmp_path, rows, text=text))
    assert "name" in finding.what
    assert finding.lines == (2, 4)


@pytest.mark.parametrize(
    "text",
    [
        "{{ name or 'friend' }}",
        "{{ name | default('friend', true) }}",
        "{% if name %}Dear {{ name }}{% endif %}",
        "{{ name if name else 'friend' }}",
        "{% set name = 'friend' %}{{ name }}",
    ],
)
def test_an_empty_field_that_the_template_has_thought_of(tmp_path: Path, text: str) -> None:
    records, _ = look_at(tmp_path, "email,name\na@example.com,\n", text=text)
    assert "field-empty" not in kinds(records)


def test_a_row_that_cannot_be_read(tmp_path: Path) -> None:
    finding = found("row-unreadable", *look_at(tmp_path, f"{GOOD}c@example.com,C,too much\n"))
    assert finding.lines == (4,)
    assert "3 fields where the header has 2" in finding.what


def test_a_record_that_cannot_be_rendered(tmp_path: Path) -> None:
    finding = found("record-invalid", *look_at(tmp_path, f'{GOOD}c@example.com,"C\nBcc: x@example.com"\n'))
    assert "header Subject" in finding.what


def test_an_attachment_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "A.txt").write_text("for A")
    message = 'attachments = ["{{ name }}.txt"]'
    records, messages = look_at(tmp_path, f"{GOOD}c@example.com,C\n", message=message)
    finding = found("record-invalid", records)
    assert (finding.count, finding.lines) == (2, (3, 4))
    assert "attachment" in finding.what
    assert "A.txt" in messages.facts["parts"]


def test_an_address_that_is_there_again(tmp_path: Path) -> None:
    rows = f"{GOOD}A@EXAMPLE.com,C\n"
    finding = found("address-duplicate", *look_at(tmp_path, rows, delivery='duplicates = "send"'))
    assert (finding.severity, finding.lines) == (Severity.WARNING, (4,))
    suppressing = found("address-duplicate", *look_at(tmp_path, rows, delivery='duplicates = "suppress"'))
    assert suppressing.severity is Severity.NOTE


def test_a_slip_in_a_big_domain(tmp_path: Path) -> None:
    finding = found("address-typo", *look_at(tmp_path, f"{GOOD}c@gmial.com,C\nd@gmial.com,D\n"))
    assert finding.what == "gmial.com was probably meant to be gmail.com"
    assert finding.lines == (4, 5)


def test_suppressed_records_are_counted_and_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "stop.txt").write_text("c@gmial.com\n")
    records, _ = look_at(tmp_path, f"{GOOD}c@gmial.com,C\n", delivery='suppress = ["stop.txt"]')
    assert kinds(records) == set()
    assert (records.facts["ready to send"], records.facts["suppressed"]) == ("2", "1")
    assert records.facts["suppression lists"] == "stop.txt 1"


def test_a_suppression_list_without_entries_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "stop.txt").write_text("# nobody yet\n")
    finding = found("suppression-empty", *look_at(tmp_path, GOOD, delivery='suppress = ["stop.txt"]'))
    assert finding.severity is Severity.WARNING
    assert "stop.txt has no entries" in finding.what


def test_the_column_of_a_suppression_list_is_the_one_that_the_campaign_names(tmp_path: Path) -> None:
    """Where it names none, every address of a row is one that is not written to."""
    (tmp_path / "stop.csv").write_text("email,Former\nx@example.com,a@example.com\n")
    for listed, suppressed in (("email", 0), ("Former", 1), (None, 1)):
        entry = '"stop.csv"' if listed is None else f'{{ file = "stop.csv", field = "{listed}" }}'
        check = records_check(tmp_path, GOOD, delivery=f"suppress = [{entry}]")
        check.run()
        assert check.counted.suppressed == suppressed


@pytest.mark.parametrize(
    ("rows", "said", "severity"),
    [
        ("email,name\n", "there are no records", Severity.WARNING),
        ("email,name\nx,A\n", "none of the records", Severity.ERROR),
    ],
)
def test_nothing_that_could_be_sent_is_said(tmp_path: Path, rows: str, said: str, severity: Severity) -> None:
    """Where there is nobody, `send` warns as well, and ends with 0."""
    finding = found("nothing-to-send", *look_at(tmp_path, rows))
    assert finding.severity is severity
    assert said in finding.what


@pytest.mark.parametrize("withheld", ["suppressed", "passed over"])
def test_nobody_who_is_to_be_written_to_is_no_error(tmp_path: Path, withheld: str) -> None:
    """`send` ends with 0 then, and what is suppressed is as the campaign asks for."""
    (tmp_path / "stop.txt").write_text("@example.com\n")
    where = "" if withheld == "suppressed" else """where = 'name == "Z"'"""
    listed = 'suppress = ["stop.txt"]' if withheld == "suppressed" else ""
    check = records_check(tmp_path, "email,name\na@example.com,A\na@example.com,A\n", top=where, delivery=listed)
    records, _ = check.run()
    assert found("nobody-to-write-to", records).severity is Severity.NOTE
    assert Report("campaign.toml", [records]).exit_code == 0
    # Somebody whose address is wrong is another matter.
    records, _ = records_check(tmp_path, "email,name\na@example.com,A\nx,A\n", top=where, delivery=listed).run()
    assert Report("campaign.toml", [records]).exit_code == (2 if withheld == "suppressed" else 0)


def test_what_keeps_all_from_being_sent_stands_above(tmp_path: Path) -> None:
    records, _ = look_at(tmp_path, "email,name\nx,A\n")
    assert [finding.kind for finding in records.findings] == ["address-bad", "nothing-to-send"]
    assert found("nothing-to-send", records).remedy == "fix what is said of them above"


def test_a_column_that_no_record_has_is_one_finding(tmp_path: Path) -> None:
    """And not a second one, that therefore nobody gets a message."""
    records, messages = look_at(tmp_path, "email,nam\na@example.com,A\nb@example.com,B\n")
    assert [finding.kind for finding in [*records.findings, *messages.findings]] == ["field-missing"]
    assert Report("campaign.toml", [records]).exit_code == 2


@pytest.mark.slow
def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    rows = "".join(f"r{number}@example.com,{number * 7919 % 65_536}\n" for number in range(40_000))
    whole = gzip.compress(f"email,name\n{rows}".encode())
    check = records_check(tmp_path)
    (tmp_path / "recipients.csv").write_bytes(whole[: len(whole) // 2])
    finding = found("records-unfinished", *check.run())
    assert finding.severity is Severity.ERROR
    assert check.counted.ready > 0


def test_no_recipients_file(tmp_path: Path) -> None:
    check = records_check(tmp_path)
    (tmp_path / "recipients.csv").unlink()
    with pytest.raises(UsageError, match="no such file"):
        check.run()


def test_a_limit_leaves_the_rest_unread(tmp_path: Path) -> None:
    check = records_check(tmp_path, f"{GOOD}not an address,C\n", limit=2)
    assert kinds(*check.run()) <= {"from-reserved", "unsubscribe-missing"}
    assert check.counted.records == 2


def test_what_is_kept_does_not_grow_with_what_is_wrong(tmp_path: Path) -> None:
    """Of thousands of bad records, all different in their values, one finding and ten lines are left."""
    rows = "".join(f"no address {number},{number}\n" for number in range(5000))
    rows += "".join(f"x{number}@example.com,n,{'y,' * (1 + number % 500)}y\n" for number in range(1000))
    records, _ = look_at(tmp_path, f"email,name\na@example.com,A\n{rows}")
    finding = found("address-bad", records)
    assert (finding.count, len(finding.lines)) == (5000, 10)
    assert finding.where.endswith("and 4,990 more")
    assert len(records.findings) <= 203
    assert sum(one.count for one in records.findings if one.kind == "row-unreadable") == 1000


def test_recipients_at_large_providers_are_counted(tmp_path: Path) -> None:
    rows = "email,name\na@gmail.com,A\nb@googlemail.com,B\nc@yahoo.co.uk,C\nd@hotmail.com,D\ne@example.com,E\n"
    records, _ = look_at(tmp_path, rows)
    assert records.facts["at large providers"] == "Gmail 2, Yahoo 1, Outlook.com 1"


def test_a_field_of_another_case_is_probably_meant(tmp_path: Path) -> None:
    rows = "email,name,Plan\na@example.com,A,x\nb@example.com,B,y\n"
    finding = found("field-missing", *look_at(tmp_path, rows, text="{{ plan }}"))
    assert (finding.severity, finding.count) == (Severity.ERROR, 1)
    assert finding.what == "message.text: there is no column 'plan'"
    assert str(finding.remedy).startswith("did you mean Plan? The columns are")


@pytest.mark.parametrize("text", ["{{ plan }}", "{{ row['plan'] }}", "{{ row.plan }}"])
def test_a_record_without_a_field_that_others_have_is_told_which_was_probably_meant(text: str, tmp_path: Path) -> None:
    campaign = make_campaign(tmp_path, text=text)
    (tmp_path / "r.jsonl").write_text(
        '{"email": "a@example.com", "name": "A", "plan": 1}\n{"email": "b@example.com", "name": "B", "Plan": 1}\n'
    )
    campaign.write_text(campaign.read_text().replace("recipients.csv", "r.jsonl"))
    finding = found("field-missing", *RecordsCheck(load(campaign, resolve_credentials=False), limit=None).run())
    assert (finding.severity, finding.lines) == (Severity.WARNING, (2,))
    assert str(finding.remedy).startswith("did you mean Plan? Otherwise add the field")


def test_a_value_in_a_column_without_a_name_is_told(tmp_path: Path) -> None:
    finding = found("column-unnamed", *look_at(tmp_path, "email,name,\na@example.com,A,\nb@example.com,B,moved\n"))
    assert (finding.severity, finding.where.rpartition(":")[2]) == (Severity.NOTE, "3")


def test_a_column_that_templates_have_another_thing_for_is_told(tmp_path: Path) -> None:
    finding = found("column-hidden", *look_at(tmp_path, "email,name,batch\na@example.com,A,7\n"))
    assert (finding.severity, 'row["batch"]' in finding.what) == (Severity.NOTE, True)


def test_an_empty_name_in_the_subject_is_told(tmp_path: Path) -> None:
    finding = found("field-empty", *look_at(tmp_path, f"{GOOD}c@example.com,\n", text="Hello"))
    assert (finding.lines, finding.what) == ((4,), "the field name is empty, and a template shows it")


def test_a_name_that_shows_nothing_is_empty_to_its_reader(tmp_path: Path) -> None:
    rows = 'email,name\na@example.com," "\nb@example.com,\u00a0\nc@example.com,\u200b\nd@example.com,D\u200b\n'
    finding = found("field-empty", *look_at(tmp_path, rows, text="Hello {{ name }}"))
    assert (finding.lines, finding.what) == ((2, 3, 4), "the field name has only blanks, and a template shows it")


def test_the_column_that_was_taken_for_the_addresses_is_told(tmp_path: Path) -> None:
    records, _ = look_at(tmp_path, "Primary E-Mail,name\na@example.com,A\n")
    assert records.facts["addresses in"] == "Primary E-Mail"
    assert "addresses in" not in look_at(tmp_path, GOOD)[0].facts


def test_a_field_that_is_shown_by_another_name_is_looked_at(tmp_path: Path) -> None:
    rows = "email,name,First Name,A-1\na@example.com,A,,\n"
    records, _ = look_at(tmp_path, rows, text="{{ First_Name }} {{ row['A-1'] }}")
    whats = {finding.what for finding in records.findings if finding.kind == "field-empty"}
    assert whats == {
        "the field First_Name is empty, and a template shows it",
        "the field A-1 is empty, and a template shows it",
    }
