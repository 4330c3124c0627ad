"""Who must not be written to: lists of any kind, compared by the address and not by how it is written."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING

import pytest

from batchsend.campaign import SuppressionList
from batchsend.errors import UsageError
from batchsend.message import Suppression
from tests.recipients.sheets import xlsx

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, content: str | bytes) -> Suppression:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Suppression.read([path])


def test_a_plain_list_is_one_address_a_line(tmp_path: Path) -> None:
    listed = read(tmp_path / "gone.txt", "\ufeff# a comment\n\n a@example.com \r\nB@Example.COM\n")
    assert "a@example.com" in listed
    assert "b@example.com" in listed
    assert "c@example.com" not in listed
    assert "# a comment" not in listed


@pytest.mark.parametrize("written", ["ADA@example.com", "ada@EXAMPLE.com", "Ada@Example.Com", " ada@example.com "])
def test_case_and_blanks_do_not_count(tmp_path: Path, written: str) -> None:
    assert "ada@example.com" in read(tmp_path / "gone.txt", written)
    assert written in read(tmp_path / "gone.txt", "ada@example.com")


def test_a_domain_in_another_script_is_the_one_in_a_labels(tmp_path: Path) -> None:
    listed = read(tmp_path / "gone.txt", "ada@bücher.example.com\n")
    assert "ada@xn--bcher-kva.example.com" in listed
    assert "ada@bücher.example.com" in listed


@pytest.mark.parametrize("field", ["email", "to", "recipient", "address", "E-Mail".replace("-", ""), "Address"])
def test_tables_have_the_address_in_a_field_of_a_usual_name(tmp_path: Path, field: str) -> None:
    assert "x@example.com" in read(tmp_path / "gone.csv", f"name,{field}\nX,x@example.com\n")
    assert "x@example.com" in read(tmp_path / "gone.jsonl", f'{{"{field}": "x@example.com", "why": 1}}\n')
    compressed = gzip.compress(f"{field}\nx@example.com\n".encode())
    assert "x@example.com" in read(tmp_path / "gone.csv.gz", compressed)


def test_of_a_results_log_the_hard_bounces_count(tmp_path: Path) -> None:
    line = '{{"record": {0}, "recipient": "r{0}@example.com", "status": "{1}", "code": {2}, "reason": {3}}}\n'
    log = '{"run": {"id": "x", "campaign": "c", "recipients": {"path": "-"}}}\n' + "".join(
        line.format(number, status, code, reason)
        for number, (status, code, reason) in enumerate(
            [
                ("rejected", 550, '"unknown mailbox"'),
                ("rejected", 550, '"mailbox disabled"'),
                ("rejected", 550, '"policy"'),
                ("rejected", 552, '"mailbox full"'),
                ("rejected", 550, "null"),
                ("deferred", 450, '"unknown mailbox"'),
                ("accepted", 250, "null"),
                ("in_doubt", "null", '"the connection was lost"'),
            ],
            start=1,
        )
    )
    listed = read(tmp_path / "results.jsonl", log)
    assert [number for number in range(1, 9) if f"r{number}@example.com" in listed] == [1, 2]


def test_several_files_are_one_list(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("a@example.com\n")
    (tmp_path / "2.csv").write_text("email\nb@example.com\n")
    listed = Suppression.read([tmp_path / "1.txt", tmp_path / "2.csv"])
    assert "a@example.com" in listed
    assert "b@example.com" in listed


def test_no_list_suppresses_nobody() -> None:
    assert not Suppression.read([])
    assert "a@example.com" not in Suppression()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gone.txt", b"a@example.com\n\xff\xfe\n"),
        ("gone.csv", b"email\na@example.com\nb@example.com,too,many\n"),
        ("gone.csv", b"name,phone\nA,1\n"),
        ("gone.jsonl", b'{"email": "a@example.com"}\n{"email": \n'),
        ("gone.jsonl", b'{"name": "A"}\n'),
        ("gone.csv.gz", b"email\na@example.com\n"),
    ],
)
def test_a_list_that_cannot_be_read_whole_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    """An address that was missed would be written to."""
    with pytest.raises(UsageError, match=name) as caught:
        read(tmp_path / name, content)
    assert caught.value.remedy


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("none.txt", "none.csv"):
        with pytest.raises(UsageError, match=name):
            Suppression.read([tmp_path / name])


def test_a_row_without_an_address_is_told_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"gone\.csv:2: there is no column for addresses\nname it: .*; the columns are 'name'"
    ):
        read(tmp_path / "gone.csv", "name\nA\n")


BOB, ANN = "bob@example.org", "ann@example.org"
ENTRIES = [
    "Bob <bob@example.org>",
    "Bob Miller <bob@example.org>",
    '"Miller, Bob" <bob@example.org>',
    "Miller, Bob <bob@example.org>",
    "<bob@example.org>",
    '"bob@example.org"',
    "'bob@example.org'",
    "mailto:bob@example.org",
    "<mailto:bob@example.org?subject=unsubscribe>",
    "bob@example.org # phoned",
    "bob@example.org\t# phoned",
    "bob@example.org#phoned",
    "bob@example.org (Bob, phoned)",
    "\u200bbob@example.org",
    "bob@exam\u00adple.org",
    "\u00a0bob@example.org\u00a0",
    "\ufeffbob@example.org",
    "bob\u200d@example.org",
    "b\u034fob@example.org",
    "bob\ufe0f@example.org",
    "\u2800bob@example.org",
    "bob\u3164@example.org",
    "\uff42\uff4f\uff42@example.org",
    "\u2022bob@example.org",
    "\u201cbob@example.org",
    "-bob@example.org",
    "=bob@example.org",
    "email=bob@example.org",
    "e_mail=bob@example.org",
    "user.email=bob@example.org",
    "_bob@example.org",
    "mailto://bob@example.org",
    "bob@example.org,",
    "bob@example.org ;",
    "  BOB@Example.Org  ",
    '"bob"@example.org',
    "@example.org",
    "*@example.org",
    "@EXAMPLE.org # all of them",
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_counts_however_it_is_written(tmp_path: Path, entry: str) -> None:
    for name, content in (
        ("gone.txt", f"first@example.com\n{entry}\n"),
        ("gone", f"# left in 2025\n\n{entry}"),
        ("gone.csv", f'email,why\r\n"{entry.replace(chr(34), chr(34) * 2)}",left\r\n'),
    ):
        listed = read(tmp_path / name, content)
        assert BOB in listed, name
        assert '"bob"@example.org' in listed
        assert "bob@example.com" not in listed
        assert "bob@mail.example.org" not in listed
        assert (ANN in listed) is ("@e" in entry[:3].lower())


@pytest.mark.parametrize(
    "line",
    [
        "bob@example.org ann@example.org",
        "bob@example.org, ann@example.org",
        "bob@example.org;ann@example.org",
        "Bob <bob@example.org>, Ann <ann@example.org>",
        "Bob <bob@example.org> Ann <ann@example.org>",
        '"bob@example.org" <ann@example.org>',
        '"bob@example.org"; "ann@example.org"',
        "bob@example.org\u2028ann@example.org",
        *(f"bob@example.org # phoned{end}ann@example.org" for end in "\v\f\x1c\x1d\x1e\x85\u2028\u2029"),
    ],
)
def test_two_people_on_a_line_are_two_entries(tmp_path: Path, line: str) -> None:
    listed = read(tmp_path / "gone.txt", line)
    assert BOB in listed
    assert ANN in listed
    assert listed.files == ((tmp_path / "gone.txt", 2),)


def test_the_number_of_an_entry_is_no_part_of_it(tmp_path: Path) -> None:
    listed = read(tmp_path / "gone.txt", "1.ann@example.org\n2.bob@example.org\n7.x@example.org\n")
    assert ANN in listed
    assert BOB in listed
    assert "7.x@example.org" in listed
    assert "x@example.org" not in listed


def test_words_behind_a_number_sign_are_a_comment(tmp_path: Path) -> None:
    text = "# 1 person left\n#bob@example.org\n# 2024-01-01 bob@example.org is back\n#\n####\n#Note!\nann@example.org\n"
    listed = read(tmp_path / "gone.txt", text)
    assert listed.files == ((tmp_path / "gone.txt", 1),)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hello", "'hello' is no address"),
        ("example.org", "'example.org' is no address; for a whole domain write @example.org"),
        ("bob at example.org", "'bob' is no address"),
        ("bob@example.org phoned", "'phoned' is no address"),
        ("Bob <>", "it is empty"),
        ("Bob <bob@example.org", "is never closed"),
        ('"bob@example.org', "is never closed"),
        ("bob@", "domain is empty"),
        ("bob@@example.org", "more than one @"),
        ("hello; Bob <bob@example.org>", "'hello' is no address"),
        ("*@*.example.org", "'\\*'"),
        ("bob@example.org (and ann@example.org)", "stands in parentheses"),
        ("b*@example.org", "is a pattern, and only whole domains are understood"),
        ("*bob@example.org", "is a pattern"),
        ("bob+?@example.org", "is a pattern"),
        ("#1 bob@example.org", "is a comment or a numbered entry"),
        ("# 12. bob@example.org", "is a comment or a numbered entry"),
        ("#N/A", "where a formula failed"),
        ("#NAME?", "where a formula failed"),
        ("#WERT!", "where a formula failed"),
        ("#\u00bfNOMBRE?", "where a formula failed"),
        ("#NV", "where a formula failed"),
        ("#DIV/0!", "where a formula failed"),
        ("mailto:bob@example.org?cc=ann@example.org", "has another address behind the '\\?'"),
        ("mailto:bob@example.org?cc=ann%40example.org", "has another address behind the '\\?'"),
    ],
)
def test_what_is_no_entry_stops_the_run_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(UsageError, match=rf"gone\.txt:3: .*{said}.*\nfix the line, or take it out"):
        read(tmp_path / "gone.txt", f"first@example.com\n\n{line}\nlast@example.com\n")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gone.csv", "status,reason,email,created\n550,Mailbox full,bob@example.org,1700000000\n"),
        ("gone.csv", "id,run,email\n1,7,bob@example.org\n"),
        ("gone.jsonl", '{"status": "rejected", "reason": "policy", "email": "bob@example.org"}\n'),
        ("gone.jsonl", '{"run": 7, "email": "bob@example.org"}\n'),
        ("gone.txt", '{"status": "enabled", "email": "bob@example.org"}\n'),
        ("gone.txt", "email;date\nbob@example.org;2024-01-01\n"),
        ("gone.txt", "email\nbob@example.org\n"),
        ("gone.tsv", "date\temail\n2024-01-01\tBob <bob@example.org>\n"),
        ("gone.csv", "Name|E-Mail\nBob|bob@example.org\n"),
        ("gone.csv", "Email Address,Status\nbob@example.org,unsubscribed\n"),
        ("gone.csv", "Address,E-mail\n1 High Street,bob@example.org\n"),
        ("gone.csv", "bob@example.org\n"),
        ("gone.csv", "sep=;\nemail;why\nbob@example.org;left\n"),
        ("gone.CSV", "E-Mail-Adresse;Grund\nbob@example.org;weg\n"),
        ("gone.csv", "email,why,\nbob@example.org,left,\n,,\n"),
        ("gone.txt.gz", gzip.compress(b"bob@example.org\n", mtime=0)),
        ("gone.jsonl", '{"run": {"id": "a7", "name": "import"}, "email": "bob@example.org"}\n'),
        ("gone.jsonl", '{"run": {"id": "a7"}, "record": 1, "status": "accepted", "email": "bob@example.org"}\n'),
    ],
)
def test_a_table_is_read_by_what_its_columns_mean(tmp_path: Path, name: str, content: str | bytes) -> None:
    listed = read(tmp_path / name, content)
    assert BOB in listed
    assert ANN not in listed
    assert listed.files == ((tmp_path / name, 1),)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gone.csv", "Name,E-mail 1 - Value,E-mail 2 - Value\nBob,bob@example.org,ann@example.org\n"),
        ("gone.csv", "email,secondary_email,Contact owner\nbob@example.org,ann@example.org,x@example.net\n"),
        ("gone.csv", "Email,Old Email,added_by\nbob@example.org,ann@example.org,x@example.net\n"),
        ("gone.csv", "email,username,From\nbob@example.org,ann@example.org,x@example.net\n"),
        ("gone.csv", "email,unsubscribed\nbob@example.org,'ann@example.org'\n"),
        ("gone.csv", "email,\nbob@example.org,ann@example.org\n"),
        ("gone.csv", "email,,\nbob@example.org,,ann@example.org\n"),
        ("gone.csv", 'email,note\nbob@example.org,"left\nann@example.org,of her own"\nx@example.com,moved\n'),
        (
            "gone.jsonl",
            '{"email": "bob@example.org", "contact": {"emails": ["ann@example.org"], "by": "x@example.net"}}',
        ),
        ("gone.csv", "email,recipient\nbob@example.org,Ann <ann@example.org>\n"),
        ("gone.csv", "email,Email\nbob@example.org,n/a\nbob@example.org,ann@example.org\n"),
        ("gone.csv", "email,other_email\nbob@example.org,\n,ann@example.org\n"),
        ("gone.csv", 'email,why\n"bob@example.org # phoned\nann@example.org",left\n'),
        ("gone.jsonl", '{"email": "bob@example.org"}\n{"email": null, "to": "ann@example.org"}\n'),
        ("gone.jsonl", '{"email": "bob@example.org"}\n{"to": "ann@example.org", "mail": 0}\n'),
    ],
)
def test_every_address_of_a_row_counts(tmp_path: Path, name: str, content: str) -> None:
    """Of somebody with two addresses, the campaign's list may have either; who keeps the list is not on it.

    A note with a quote too many goes on to the next one, and has the rows in between in it.
    """
    listed = read(tmp_path / name, content)
    assert BOB in listed
    assert ANN in listed
    assert "x@example.net" not in listed


def test_another_form_of_the_same_letters_is_the_same_address(tmp_path: Path) -> None:
    composed, decomposed = "zo\u00eb@example.org", "zoe\u0308@example.org"
    for written in (composed, decomposed):
        listed = read(tmp_path / "gone.txt", f"{written}\n")
        assert composed in listed
        assert decomposed in listed
        assert "zoe@example.org" not in listed


def test_a_workbook_of_several_sheets_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    """Those on its second sheet have left as well."""
    book = tmp_path / "gone.xlsx"
    book.write_bytes(xlsx(Left=[["email"], ["bob@example.org"]], Bounced=[["E-Mail"], ["ann@example.org"]]))
    with pytest.raises(UsageError, match=r"more than one sheet .*: 'Left', 'Bounced'\n.*sheet = \"Bounced\""):
        Suppression.read([book])
    both = Suppression.read([SuppressionList(file=book, sheet=name) for name in ("Left", "Bounced")])
    assert BOB in both
    assert ANN in both
    book.write_bytes(xlsx(Left=[["email", None], ["bob@example.org", ANN]], Notes=[["they left"], [None]]))
    alone = Suppression.read([book])
    assert BOB in alone
    assert ANN in alone


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """What is read to tell what a list is would be missing from it."""
    os.mkfifo(tmp_path / "gone.txt")
    with pytest.raises(UsageError, match=r"gone\.txt is not a regular file.*\nput what the pipe gives into a file"):
        Suppression.read([tmp_path / "gone.txt"])


def test_the_column_may_be_named(tmp_path: Path) -> None:
    file = tmp_path / "gone.csv"
    file.write_text("email,Former address\nbob@example.org,ann@example.org\n")
    listed = Suppression.read([SuppressionList(file=file, field="former address")])
    assert ANN in listed
    assert BOB not in listed
    preferred = Suppression.read([file], recipient_field="Former address")
    assert ANN in preferred
    with pytest.raises(UsageError, match=r"no column 'post'\nthe columns are 'email', 'Former address'"):
        Suppression.read([SuppressionList(file=file, field="post")])
    file.write_text("bob@example.org\n")
    with pytest.raises(UsageError, match="plain list without columns"):
        Suppression.read([SuppressionList(file=file, field="post")])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.csv", "email,name\n,Bob\n", r"gone\.csv:2: no address in the field 'email'"),
        ("gone.csv", "Work e-mail,Personal e-mail\na@example.com,b@example.com\n", "more than one column"),
        ("gone.jsonl", '{"email": null}\n', r"gone\.jsonl:1: no address in the field 'email'"),
        ("gone.csv", "email\nhello\n", r"gone\.csv:2: 'hello' is no address"),
        ("gone.csv", "name,phone\nBob,1\n", "no column for addresses"),
        ("gone.csv", "email,to\nhello,ann@example.org\n", r"gone\.csv:2: 'hello' is no address"),
        ("gone.csv", "email,to\n,Ann\n", r"gone\.csv:2: no address in the field 'email'"),
        ("gone.csv", "email,to\nbob@example.org,ann@\n", r"gone\.csv:2: .*its domain is empty"),
        ("gone.jsonl", '{"email":"bob@example.org","to":["ann@example.org"]}\n', "no address in the field 'to'"),
        ("gone.csv", "email,name\n#bob@example.org,Bob\n", r"gone\.csv:2: no address in the field 'email'"),
        ("gone.csv", "email,name\n#N/A,Bob\n", r"gone\.csv:2: '#N/A' is what a spreadsheet writes"),
        ("gone.csv", "email,name\n########,Bob\n", r"gone\.csv:2: no address in the field 'email'"),
    ],
)
def test_a_row_without_an_entry_stops_the_run(tmp_path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(tmp_path / name, content)


RUN = '{"run":{"id":"x","started":"2026-11-27T00:00:00.000Z","campaign":"c","recipients":{"path":"-"}}}\n'


@pytest.mark.parametrize(
    ("line", "is_hard"),
    [
        ({"reason": "unknown_mailbox", "stage": "rcpt"}, True),
        ({"reason": "mailbox_disabled"}, True),
        ({"reason": "mailbox_moved"}, True),
        ({"reason": "unknown_domain"}, True),
        ({"reason": "no_mail_domain"}, True),
        ({"reason": "bad_address"}, True),
        (
            {"reason": "unknown_mailbox", "reply": "5.1.1 The email account that you tried to reach does not exist"},
            True,
        ),
        ({"reason": "unknown_mailbox", "reply": "5.1.1 credits exhausted"}, False),
        ({"reason": "unknown_mailbox", "reply": "5.1.1 Your plan allows 100 emails"}, False),
        ({"reason": "unknown_mailbox", "reply": "5.1.1 Sender over sending threshold"}, False),
        ({"reason": "unknown_domain", "reply": "5.1.2 We do not accept mail from your host"}, False),
        ({"reason": "unknown mailbox", "enhanced": "5.1.1", "reply": "5.1.1 User unknown", "stage": "rcpt"}, True),
        ({"reason": "address", "enhanced": "5.1.3", "reply": "5.1.3 bad syntax", "stage": "rcpt"}, True),
        ({"reason": None, "enhanced": "5.1.10", "reply": "recipient not found", "stage": "content"}, True),
        ({"reason": "address", "enhanced": "5.1.90", "reply": "5.1.90 You've reached your daily limit"}, False),
        ({"reason": "unknown mailbox", "enhanced": "5.1.1", "reply": "5.1.1 Too many recipients this hour"}, False),
        ({"reason": "mailbox disabled", "enhanced": "5.2.1", "reply": "sending rate exceeded"}, False),
        ({"reason": "unknown mailbox", "enhanced": "5.1.1", "reply": "blocked as spam"}, False),
        ({"reason": "unknown mailbox", "enhanced": "5.1.1", "reply": "sender unknown", "stage": "mail"}, False),
        ({"reason": "refused", "enhanced": "5.1.1", "reply": "no"}, False),
        ({"reason": "mailbox_full"}, False),
        ({"reason": "policy"}, False),
        ({"reason": "unknown_mailbox", "status": "deferred"}, False),
    ],
)
def test_only_a_verdict_about_the_mailbox_is_a_hard_bounce(
    tmp_path: Path, line: dict[str, str | None], is_hard: bool
) -> None:
    row = {"record": 1, "recipient": BOB, "status": "rejected", "code": 550} | line
    listed = read(tmp_path / "r.jsonl", f"{RUN}{json.dumps(row)}\n")
    assert (BOB in listed) is is_hard
    assert listed.files[0][1] == is_hard


def test_of_a_record_that_was_tried_again_the_last_outcome_counts(tmp_path: Path) -> None:
    row = {"record": 1, "recipient": BOB, "status": "rejected", "reason": "unknown_mailbox"}
    listed = read(tmp_path / "r.log", RUN + "".join(f"{json.dumps(row | {'status': s})}\n" for s in OUTCOMES))
    assert BOB not in listed


OUTCOMES = ("rejected", "accepted")


def test_an_address_in_a_log_is_taken_as_it_is(tmp_path: Path) -> None:
    """A typing error that bounced says nothing about the address that was meant."""
    row = {"record": 1, "recipient": "-bob@example.org", "status": "rejected", "reason": "unknown_mailbox"}
    listed = read(tmp_path / "r.log", f"{RUN}{json.dumps(row)}\n")
    assert "-bob@example.org" in listed
    assert BOB not in listed


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (RUN.replace('"x"', '"y"'), "r.jsonl:3: the account of another run begins here"),
        ('{"email": "ann@example.org"}\n', "r.jsonl:3: not a line of a results log"),
        ('{"record": 1}\n', "r.jsonl:3: not a line of a results log"),
    ],
)
def test_what_is_not_the_log_of_one_run_is_refused(tmp_path: Path, lines: str, said: str) -> None:
    """Of two logs in one file, a record of the second would take the place of another person's in the first."""
    row = {"record": 1, "recipient": BOB, "status": "rejected", "reason": "unknown_mailbox"}
    with pytest.raises(UsageError, match=said):
        read(tmp_path / "r.jsonl", f"{RUN}{json.dumps(row)}\n{lines}")


def test_a_cut_off_list_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"r{number * 7919 % 65_536}@example.com\n" for number in range(60_000)).encode())
    with pytest.raises(UsageError, match="cut off"):
        read(tmp_path / "gone.txt.gz", whole[: len(whole) // 2])
