"""Lists as people have them: who gets a message is told by the server, and `check` says what was made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.sink import parse_rule
from tests.cli.commandline import SinkServer, complaint, invoke, make_campaign, outcomes, serving, statuses
from tests.recipients.sheets import Cell, Formatted, ods, xlsx

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


RULES = tuple(parse_rule(action, f"*@{action}.example.com") for action in ("defer", "drop"))


@pytest.fixture
def server() -> Iterator[SinkServer]:
    here = SinkServer(*RULES)
    with serving(here.sink):
        yield here


def checked(capsys: Capture, campaign: Path) -> dict[str, Any]:
    """The section about records that `check` gives, its findings by their kinds."""
    told = json.loads(invoke(capsys, "check", campaign, "--offline", "--json").output)
    section: dict[str, Any] = told["sections"][0]
    return {"facts": section["facts"], "findings": {finding["kind"]: finding for finding in section["findings"]}}


def run_line(folder: Path) -> dict[str, Any]:
    line: dict[str, Any] = json.loads((folder / "results.jsonl").read_text().splitlines()[0])["run"]
    return line


def test_addresses_are_cleaned_and_check_says_so(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    written = [" a@example.com", "b@example.com\xa0", "\u200bc@example.com", "'d@example.com", "mailto:e@example.com"]
    rows = "".join(f'"{address}",N\n' for address in written)
    campaign = make_campaign(tmp_path, f"email,name\n{rows}", message='to = "{{ name }} <{{ email }}>"')
    finding = checked(capsys, campaign)["findings"]["address-cleaned"]
    assert (finding["count"], finding["lines"]) == (5, [2, 3, 4, 5, 6])
    assert invoke(capsys, "send", campaign, *server.options).code == 0
    assert server.recipients == [f"{letter}@example.com" for letter in "abcde"]
    assert all(f"<{message.recipients[0]}>".encode() in message.content for message in server.received)


def test_what_servers_take_apart_differently_is_invalid(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    written = ['"bob> ORCPT=x@y"@example.org', '"a b"@example.org', '"a@b"@example.org', '""@example.org']
    written += ["u@[127.0.0.1]", "v%o@example.org"]
    rows = "".join(json.dumps({"email": address, "name": "N"}) + "\n" for address in written)
    campaign = make_campaign(tmp_path, message="")
    (tmp_path / "list.jsonl").write_text(rows)
    ended = invoke(capsys, "send", campaign, "--recipients", tmp_path / "list.jsonl", *server.options)
    assert ended.code == 1
    assert server.recipients == []
    lines = outcomes(tmp_path / "results.jsonl")
    assert [line["status"] for line in lines] == ["invalid"] * 6
    assert all("is not an address" in line["reason"] for line in lines)


def test_one_person_written_in_several_ways_gets_one_message(
    tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    rows = [
        r'"r\1"@example.com',
        "r1@example.com",
        "R1@EXAMPLE.com",
        '"u"@example.com',
        "U@example.com",
        "gone@example.com",
    ]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps({"email": row, "name": "N"}) + "\n" for row in rows))
    (tmp_path / "gone.txt").write_text('"gone"@example.com\n')
    campaign = make_campaign(tmp_path, delivery='suppress = ["gone.txt"]')
    options = ("--recipients", tmp_path / "list.jsonl")
    assert invoke(capsys, "send", campaign, *options, *server.options).code == 0
    assert server.recipients == ["r1@example.com", "u@example.com"]
    assert list(statuses(tmp_path / "results.jsonl").values()).count("suppressed") == 4


def test_check_and_send_count_the_same(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    """An invalid record takes nothing from a later one of its address; whoever is held back is no duplicate."""
    rows = ["a@example.com,A", "A@example.com,A", "b@example.com,b b", "b@example.com,B", "gone@example.com,G"]
    rows += ["gone@example.com,G", "had@example.com,H", "had@example.com,H", "nobody,N"]
    (tmp_path / "gone.csv").write_text("status,reason,email,created\n550,Mailbox full,gone@example.com,1700000000\n")
    (tmp_path / "empty.txt").write_text("# nobody\n")
    before = make_campaign(tmp_path, "email,name\nhad@example.com,H\n")
    assert invoke(capsys, "send", before, *server.options, "--results", tmp_path / "october.jsonl").code == 0
    campaign = make_campaign(
        tmp_path,
        "email,name\n" + "\n".join(rows) + "\n",
        message='reply_to = "{{ name }}@example.com"',
        delivery='suppress = ["gone.csv", "empty.txt"]\nexclude = ["october.jsonl"]',
    )
    found = checked(capsys, campaign)
    assert found["facts"]["ready to send"] == "2"
    assert found["facts"]["suppressed"] == "4"
    assert found["facts"]["duplicates"].startswith("1,")
    assert found["findings"]["address-duplicate"]["count"] == 1
    assert found["findings"]["suppression-empty"]["severity"] == "warning"
    assert invoke(capsys, "send", campaign, *server.options).code == 1
    assert server.recipients == ["a@example.com", "b@example.com", "had@example.com"]
    lines = outcomes(tmp_path / "results.jsonl")
    assert [line["record"] for line in lines if line["status"] == "accepted"] == [1, 4]
    reasons = {line["record"]: line["reason"] for line in lines if line["status"] == "suppressed"}
    assert reasons == {
        2: "duplicate",
        5: "on a suppression list",
        6: "on a suppression list",
        7: "had it already",
        8: "had it already",
    }
    assert [line["record"] for line in lines if line["status"] == "invalid"] == [3, 9]
    assert run_line(tmp_path)["suppress"] == [
        {"path": str(tmp_path / "gone.csv"), "entries": 1},
        {"path": str(tmp_path / "empty.txt"), "entries": 0},
    ]


def test_whoever_was_written_to_is_known_before_the_first_record_is_offered_again(
    tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    """The first record was invalid and is mended by the template; the last one, far behind it, has the same address."""
    rows = "".join(f"r{n}@example.com,N\n" for n in range(2, 300))
    message = 'reply_to = "{{ name }}@example.com"'
    campaign = make_campaign(tmp_path, f"email,name\nsame@example.com,a b\n{rows}same@example.com,N\n", message=message)
    assert invoke(capsys, "send", campaign, *server.options).code == 1
    assert statuses(tmp_path / "results.jsonl")[1] == "invalid"
    assert server.recipients.count("same@example.com") == 1
    campaign.write_text(campaign.read_text().replace(message, ""))
    assert invoke(capsys, "resume", tmp_path / "results.jsonl", "--retry", "invalid", *server.options).code == 0
    assert server.recipients.count("same@example.com") == 1
    assert statuses(tmp_path / "results.jsonl")[1] == "suppressed"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("Work Email,Home Email\na@example.com,b@example.com\n", "'Work Email', 'Home Email'"),
        ("Phone,Town\n1,X\n", "the columns are 'Phone', 'Town'; name it in the campaign file: recipient_field"),
    ],
)
def test_columns_that_do_not_say_who_is_meant_are_one_error(
    tmp_path: Path, rows: str, said: str, server: SinkServer, capsys: Capture
) -> None:
    campaign = make_campaign(tmp_path, rows)
    assert said in complaint(invoke(capsys, "send", campaign, *server.options))
    assert server.received == []
    assert said in complaint(invoke(capsys, "preview", campaign))


def test_records_without_any_address_are_one_error(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path)
    (tmp_path / "list.jsonl").write_text('{"phone":1}\n{"phone":2}\n')
    said = complaint(invoke(capsys, "send", campaign, "--recipients", tmp_path / "list.jsonl", *server.options))
    assert "the fields are 'phone'" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ plan }} and {{ name }}", "did you mean Plan?"),
        ("{{ first_name }}", "did you mean First_Name?"),
        ("{% if Plan %}{{ zzz }}{% endif %}", "message.text: there is no column 'zzz'"),
        ("{% if zzz %}yes{% endif %}", "there is no column 'zzz'"),
        ("{{ row['first name'] }}", "did you mean First_Name?"),
        ("{{ 'no' if Plan else zzz | upper }}", "there is no column 'zzz'"),
        ("{% include 'greeting.txt' %}", "message.text, greeting.txt: there is no column 'nmae'"),
        ("{% include ['none.txt', 'greeting.txt'] %}", "message.text, greeting.txt: there is no column 'nmae'"),
        ("{% import 'greeting.txt' as g with context %}", "message.text, greeting.txt: there is no column 'nmae'"),
        ("{% for zzz in [1] %}{{ zzz }}{% endfor %}{{ zzz }}", "there is no column 'zzz'"),
        ("{% macro f(zzz) %}{{ zzz }}{% endmacro %}{{ f(1) }}{{ zzz }}", "there is no column 'zzz'"),
        ("{% with zzz = 1 %}{{ zzz }}{% endwith %}{{ zzz }}", "there is no column 'zzz'"),
        ("{{ zzz }}{% set zzz = 1 %}", "there is no column 'zzz'"),
        ("{{ zzz | default('-') }} {{ zzz }}", "there is no column 'zzz'"),
        ("{% if zzz is defined %}{{ zzz }}{% endif %}{{ zzz }}", "there is no column 'zzz'"),
        ("{% extends 'frame.txt' %}{% block end %}{{ zzz }}{% endblock %}", "there is no column 'zzz'"),
        ("{% set given = zzz %}{{ given }}", "there is no column 'zzz'"),
        ("{{ zzz | map('upper') | join(', ') }}", "there is no column 'zzz'"),
    ],
)
def test_a_field_that_no_record_can_have_is_one_error(
    text: str, said: str, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    (tmp_path / "greeting.txt").write_text("Hello {{ nmae }}")
    (tmp_path / "frame.txt").write_text("{{ name }}{% block end %}{% endblock %}")
    campaign = make_campaign(tmp_path, "email,name,Plan,First Name\na@example.com,N,gold,Ann\n", text=text)
    assert said in complaint(invoke(capsys, "send", campaign, *server.options))
    assert not (tmp_path / "results.jsonl").exists()
    assert "field-missing" in checked(capsys, campaign)["findings"]
    assert said in complaint(invoke(capsys, "preview", campaign))


@pytest.mark.parametrize(
    "text",
    [
        "{{ gone | default('-') }}",
        "{% if gone is defined %}{{ gone }}{% endif %}",
        "{% set gone = 'x' %}{{ gone }}",
        "{% for gone in [1] %}{{ gone }}{{ loop.index }}{% endfor %}",
        "{% macro f(gone) %}{{ gone }}{% endmacro %}{{ f(1) }}",
        "{{ batch.id }}{{ row['name'] }}{{ row.get('gone', '-') }}",
        "{% if 'gone' in row %}{{ gone }}{{ row.gone }}{% endif %}",
        "{% include 'set.txt' %}",
        "{% extends 'base.txt' %}{% block end %}Bye{% endblock %}",
        "{% extends 'base.txt' %}{% set gone = 'x' %}",
        "{% extends 'base.txt' %}{{ gone }}{% block end %}{% endblock %}",
        "{{ 'x' if gone is none else '-' }}",
        "{{ '-' if gone is not defined else gone }}",
        "{{ gone is defined and gone }}",
        "{% set gone = gone | default('-') %}{{ gone }}",
        "{% if name %}{% set gone = 'x' %}{% endif %}{{ gone }}",
        "{% macro f() %}{{ gone }}{% endmacro %}{% set gone = 'x' %}{{ f() }}",
        "{% set kept = gone %}{{ gone | default('-') }}",
        "{% set kept = gone %}{% if kept is defined %}{{ kept }}{% endif %}",
        "{% macro f(a) %}-{% endmacro %}{{ f(gone) }}",
        "{{ [gone, name] | length }}{{ gone in [] }}{{ name | default(gone) }}{{ name % gone }}",
        "{% include ['none.txt', 'set.txt'] %}",
        "{% from 'set.txt' import gone with context %}{{ gone }}",
    ],
)
def test_what_a_template_asks_for_or_sets_need_not_be_a_column(
    text: str, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    (tmp_path / "set.txt").write_text("{% set gone = 'x' %}{{ gone }}")
    (tmp_path / "base.txt").write_text("{{ name }}{% block end %}{{ gone }}{% endblock %}")
    assert invoke(capsys, "send", make_campaign(tmp_path, text=text), *server.options).code == 0
    assert len(server.received) == 3


def test_every_column_can_be_shown(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    text = "{{ First_Name }}, {{ row['Plan (new)'] }}, {{ row['batch'] }}, {{ batch.record }}"
    campaign = make_campaign(
        tmp_path, "Email Address,First Name,Plan (new),batch,name\na@example.com,Ann,gold,x,N\n", text=text
    )
    assert checked(capsys, campaign)["facts"]["addresses in"] == "Email Address"
    ended = invoke(capsys, "send", campaign, *server.options)
    assert ended.code == 0
    assert "addresses are taken from the column 'Email Address'" in ended.errors
    assert b"Ann, gold, x, 1\r\n" in server.received[0].content


EXPORTS = {
    "mailchimp": "Email Address,First Name,Last Name,Address,Phone Number,Birthday,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,"
    "CONFIRM_TIME,CONFIRM_IP,LATITUDE,LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION,LAST_CHANGED,LEID,EUID,NOTES,TAGS\n"
    'a@example.com,Ann,Bell,"1 High St  London",,,2,"2026-01-01 10:00:00",192.0.2.1,"2026-01-01 10:00:00",192.0.2.1,'
    ',,,,,GB,,"2026-01-01 10:00:00",1,abc,,"""vip"""\n',
    "hubspot": '"Record ID","First Name","Last Name","Email","Phone Number","Contact owner","Lead Status",'
    '"Marketing contact status","Create Date","Associated Company","Email Domain","Additional email addresses"\n'
    '"101","Ann","Bell","a@example.com","","","Open","Marketing contact","2026-01-01 10:00","","example.com",""\n',
    "salesforce": '"Salutation","First Name","Last Name","Title","Account Name","Mailing Street","Mailing City",'
    '"Mailing State/Province","Phone","Mobile","Fax","Email","Account Owner","Email Opt Out"\n'
    '"Ms.","Ann","Bell","","Example Ltd","1 High St","London","","","","","a@example.com","Owner","0"\n',
    "google": "First Name,Middle Name,Last Name,Phonetic First Name,Phonetic Middle Name,Phonetic Last Name,"
    "Name Prefix,Name Suffix,Nickname,File As,Organization Name,Organization Title,Organization Department,"
    "Birthday,Notes,Photo,Labels,E-mail 1 - Label,E-mail 1 - Value,E-mail 2 - Label,E-mail 2 - Value,"
    "Phone 1 - Label,Phone 1 - Value\n"
    "Ann,,Bell,,,,,,,,,,,,,,* myContacts,* Home,a@example.com,Work,ann@example.net,,\n",
    "outlook": "\ufeffFirst Name,Middle Name,Last Name,Title,Suffix,Nickname,Given Yomi,Surname Yomi,E-mail Address,"
    "E-mail 2 Address,E-mail 3 Address,Home Phone,Business Phone,Home Street,Home City,Company,Job Title,Notes\r\n"
    "Ann,,Bell,,,,,,a@example.com,,,,,,,,,\r\n",
    "sendgrid": "email,first_name,last_name,address_line_1,address_line_2,city,state_province_region,postal_code,"
    "country,alternate_emails,phone_number,created_at,updated_at,contact_id\n"
    "a@example.com,Ann,Bell,,,London,,,GB,,,2026-01-01T10:00:00Z,2026-01-01T10:00:00Z,6f1c\n",
    "listmonk": "uuid,email,name,attributes,status,created_at,updated_at\n"
    '6f1c,a@example.com,Ann,"{""city"": ""London""}",enabled,2026-01-01T10:00:00Z,2026-01-01T10:00:00Z\n',
    "shopify": "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,"
    "Default Address Address1,Default Address Address2,Default Address City,Default Address Province Code,"
    "Default Address Country Code,Default Address Zip,Default Address Phone,Phone,Accepts SMS Marketing,Total Spent,"
    "Total Orders,Note,Tax Exempt,Tags\n"
    "'7001,Ann,Bell,a@example.com,yes,,1 High St,,London,,GB,,,,no,12.00,1,,no,\n",
}


@pytest.mark.parametrize("tool", EXPORTS)
def test_what_other_programs_export_is_a_campaign_at_once(
    tool: str, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    """Headers as their documentation has them; Ann is one contact."""
    (tmp_path / f"{tool}.csv").write_text(EXPORTS[tool], newline="")
    folder = tmp_path / "c"
    relay = f"127.0.0.1:{server.sink.port}"
    assert invoke(capsys, "init", folder, "--recipients", tmp_path / f"{tool}.csv", "--relay", relay).code == 0
    sandboxed = invoke(capsys, "send", folder / "campaign.toml", "--sandbox", "--results", folder / "sandbox.jsonl")
    assert sandboxed.code == 0, sandboxed
    assert "accepted 1" in sandboxed.errors
    assert invoke(capsys, "send", folder / "campaign.toml").code == 0
    (message,) = server.received
    assert message.recipients == ["a@example.com"]
    assert b"Subject: Hello Ann\r\n" in message.content
    assert b"To: Ann <a@example.com>\r\n" in message.content


def test_init_takes_the_column_that_is_named(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    path = tmp_path / "list.csv"
    path.write_text("Work Email,Home Email,Name\na@example.com,b@example.com,Ann\n")
    assert "--recipient-field" in complaint(invoke(capsys, "init", tmp_path / "c", "--recipients", path))
    options = ("--recipients", path, "--recipient-field")
    assert "has no column 'x'" in complaint(invoke(capsys, "init", tmp_path / "c", *options, "x"))
    relay = ("--relay", f"127.0.0.1:{server.sink.port}")
    assert invoke(capsys, "init", tmp_path / "c", *options, "Home Email", *relay).code == 0
    assert invoke(capsys, "send", tmp_path / "c" / "campaign.toml").code == 0
    assert server.recipients == ["b@example.com"]


def test_a_field_that_no_record_of_json_lines_has_is_one_error(
    tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    """What stands in a branch may be there just where it is used."""
    rows = [{"email": f"r{n}@example.com", "name": "N", "Plan": "gold"} for n in range(3)]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--recipients", tmp_path / "list.jsonl", *server.options)
    said = complaint(invoke(capsys, "send", make_campaign(tmp_path, text="{{ plan }}"), *options))
    assert "message.text: there is no field 'plan'" in said
    assert "did you mean Plan?" in said
    text = "{% block all %}{{ plan }}{% endblock %}"
    assert "there is no field 'plan'" in complaint(invoke(capsys, "send", make_campaign(tmp_path, text=text), *options))
    text = "{% if Plan == 'iron' %}{{ rust }}{% endif %}"
    assert invoke(capsys, "send", make_campaign(tmp_path, text=text), *options).code == 0
    assert len(server.received) == 3


def test_where_holds_for_the_same_records_when_a_run_is_resumed(
    tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    rows = "".join(f"r{n}@example.com,N,{n}\n" for n in range(1, 11))
    campaign = make_campaign(tmp_path, f"email,name,Years Old\n{rows}", top='where = "Years_Old | int > 4"')
    first = invoke(capsys, "send", campaign, *server.options, "--limit", "2", "--json")
    assert first.code == 0
    assert (json.loads(first.output)["passed_over"], json.loads(first.output)["left"]) == (4, 4)
    assert server.recipients == ["r5@example.com", "r6@example.com"]
    facts = checked(capsys, campaign)["facts"]
    assert (facts["ready to send"], facts["passed over"].split(",")[0]) == ("6", "4")
    second = invoke(capsys, "resume", tmp_path / "results.jsonl", *server.options)
    assert second.code == 0
    assert "4 passed over: where does not hold for them" in second.errors
    assert server.recipients == sorted(f"r{n}@example.com" for n in range(5, 11))
    assert set(statuses(tmp_path / "results.jsonl")) == set(range(5, 11))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("plann == 'gold'", "there is no column 'plann'"),
        ("First_Nam", "did you mean First_Name?"),
        ("plan ==", "where: "),
        ("plan | nothing", "No filter named"),
        ("(" * 500 + "plan" + ")" * 500, "nested too deeply"),
    ],
)
def test_a_condition_that_cannot_hold_is_one_error(tmp_path: Path, where: str, said: str, capsys: Capture) -> None:
    campaign = make_campaign(
        tmp_path, "email,name,plan,First Name\na@example.com,A,gold,A\n", top=f"where = {json.dumps(where)}"
    )
    assert said in complaint(invoke(capsys, "send", campaign, "--sandbox"))
    assert not (tmp_path / "results.jsonl").exists()


def test_a_record_that_a_condition_fails_with_is_not_sent(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    records: list[dict[str, Any]] = [{"vip": True}, {"vip": False}, {}, {"vip": "yes"}]
    (tmp_path / "list.jsonl").write_text(
        "".join(
            json.dumps({"email": f"r{n}@example.com", "name": "N", **record}) + "\n" for n, record in enumerate(records)
        )
    )
    campaign = make_campaign(tmp_path, top='where = "vip"')
    invoke(capsys, "send", campaign, "--recipients", tmp_path / "list.jsonl", *server.options)
    assert server.recipients == ["r0@example.com", "r3@example.com"]
    assert statuses(tmp_path / "results.jsonl") == {1: "accepted", 3: "invalid", 4: "accepted"}
    (line,) = [line for line in outcomes(tmp_path / "results.jsonl") if line["record"] == 3]
    assert line["reason"] == "where: 'vip' is undefined"


@pytest.mark.parametrize(("suffix", "made"), [("xlsx", xlsx), ("ods", ods)])
def test_a_workbook_is_sent_and_resumed(
    suffix: str, made: Any, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    rows = [["Name", "Email Address", "Seats"], *([f"N{n}", f"r{n}@example.com", n] for n in range(1, 7))]
    campaign = make_campaign(tmp_path, text="{{ Name }} has {{ Seats }}", top='sheet = "Guests"')
    campaign.write_text(campaign.read_text().replace("{{ name }}", "{{ Name }}"))
    (tmp_path / f"list.{suffix}").write_bytes(made(Notes=[["x"], ["y"]], Guests=rows))
    options = ("--recipients", tmp_path / f"list.{suffix}", *server.options)
    assert invoke(capsys, "send", campaign, *options, "--limit", "4").code == 0
    assert invoke(capsys, "resume", tmp_path / "results.jsonl", *server.options).code == 0
    assert server.recipients == [f"r{n}@example.com" for n in range(1, 7)]
    texts = sorted(message.content.decode().split("\r\n\r\n")[1].strip() for message in server.received)
    assert texts == [f"N{n} has {n}" for n in range(1, 7)]


def test_a_number_of_a_workbook_is_shown_as_there_and_can_be_reckoned_with(
    tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    rows: list[Sequence[Cell]] = [["email", "name", "off"]]
    rows += [(f"r{n}@example.com", "N", Formatted(n / 100, 9, f"{n}%")) for n in (10, 25, 40)]
    (tmp_path / "list.xlsx").write_bytes(xlsx(Sheet=rows))
    campaign = make_campaign(
        tmp_path, text="{{ off }} is {{ off | float * 2 }}", top='where = "off | float > 0.2"', delivery="processes = 2"
    )
    options = ("--recipients", tmp_path / "list.xlsx", *server.options)
    assert invoke(capsys, "send", campaign, *options).code == 0
    texts = sorted(message.content.decode().split("\r\n\r\n")[1].strip() for message in server.received)
    assert texts == ["25% is 0.5", "40% is 0.8"]


def test_another_encoding_is_sent_as_it_is_read(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    rows = "email;name\na@example.com;Zoë\n".encode("cp1252")
    campaign = make_campaign(tmp_path)
    (tmp_path / "recipients.csv").write_bytes(rows)
    assert 'encoding = "cp1252"' in complaint(invoke(capsys, "send", campaign, *server.options))
    campaign = make_campaign(tmp_path, top='encoding = "cp1252"')
    (tmp_path / "recipients.csv").write_bytes(rows)
    assert invoke(capsys, "send", campaign, *server.options).code == 0
    assert "Hello Zoë".encode() in server.received[0].content
    for top in ('encoding = "nonsense"', 'encoding = "rot13"'):
        campaign = make_campaign(tmp_path, top=top)
        assert "expected an encoding" in complaint(invoke(capsys, "send", campaign, *server.options))


def test_lists_that_suppress_have_encodings_and_sheets_too(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    rows = "email,name\nzoë@example.com,N\nb@example.com,N\nc@example.com,N\n"
    (tmp_path / "gone.csv").write_bytes("Email;Why\nzoë@example.com;é\n".encode("cp1252"))
    (tmp_path / "left.xlsx").write_bytes(xlsx(Notes=[["x"], ["y"]], Left=[["E-Mail"], ["b@example.com"]]))
    campaign = make_campaign(tmp_path, rows, delivery='suppress = ["gone.csv"]')
    said = complaint(invoke(capsys, "send", campaign, *server.options))
    assert "gone.csv is not in UTF-8" in said
    assert 'say so: encoding = "cp1252"' in said
    lists = '[{ file = "gone.csv", encoding = "cp1252" }, { file = "left.xlsx", sheet = "Left" }]'
    campaign = make_campaign(tmp_path, rows, delivery=f"suppress = {lists}")
    assert invoke(capsys, "send", campaign, *server.options).code == 0
    assert server.recipients == ["c@example.com"]


def test_a_list_in_another_encoding_may_grow(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    """A record more, and nothing else: octets are counted as they stand in the file, whatever its encoding."""
    campaign = make_campaign(tmp_path, top='encoding = "utf-16-le"')
    text = "email,name\na@example.com,Zoë\nb@example.com,東京\n"
    file = tmp_path / "recipients.csv"
    file.write_bytes(text.encode("utf-16-le"))
    assert invoke(capsys, "send", campaign, *server.options).code == 0
    file.write_bytes(f"{text}c@example.com,Ω\n".encode("utf-16-le"))
    assert invoke(capsys, "resume", tmp_path / "results.jsonl", *server.options).code == 0
    assert server.recipients == ["a@example.com", "b@example.com", "c@example.com"]
    file.write_bytes(f"{text.replace('東', '西')}c@example.com,Ω\n".encode("utf-16-le"))
    ended = invoke(capsys, "resume", tmp_path / "results.jsonl", *server.options)
    assert ended.code == 2
    assert "has changed" in ended.errors


def test_init_takes_a_list_in_another_encoding(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("E-mail Address;First Name\na@example.com;Zoë\n".encode("cp1252"))
    options = ("--recipients", path, "--relay", f"127.0.0.1:{server.sink.port}")
    assert "say so: --encoding cp1252; or convert it" in complaint(invoke(capsys, "init", tmp_path / "c", *options))
    assert "no encoding 'latin-100'" in complaint(
        invoke(capsys, "init", tmp_path / "c", *options, "--encoding", "latin-100")
    )
    assert invoke(capsys, "init", tmp_path / "c", *options, "--encoding", "cp1252").code == 0
    assert invoke(capsys, "send", tmp_path / "c" / "campaign.toml").code == 0
    assert "Hello Zoë".encode() in server.received[0].content


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"BEGIN:VCARD\nVERSION:3.0\nEMAIL:ann@example.com\nEND:VCARD\n", "holds vCards, not a list"),
        ("a.csv", b"BEGIN:VCALENDAR\nVERSION:2.0\n", "is a calendar, not a list"),
        (
            "a.csv",
            b"dn: cn=Ann,mail=ann@example.com\nmail: ann@example.com\n",
            "is an address book in LDIF, not a list",
        ),
        ("a.csv", b"version: 1\n\ndn:: Y249QW5u\nmail: ann@example.com\n", "is an address book in LDIF, not a list"),
        ("a.csv", b"Tabelle 1;;\nName;E-Mail;Ort\nAnn;ann@example.com;Bonn\n", "line 2 looks like its header"),
        ("a.csv", b"# exported\nemail,name\nann@example.com,Ann\n", "line 2 looks like its header"),
        ("a.csv", b"Members\n\nName,Email\nAnn,ann@example.com\n", "line 3 looks like its header"),
        ("a.csv", b"Member,Town\nAnn,Bonn\n", "     say which: --recipient-field NAME"),
        ("a.jsonl", b'{"user": {"email": "ann@example.com"}}\n', "has no column of addresses: it has 'user'"),
        ("a.csv", "Name;E-Mail\rZoë;ann@example.com\r".encode("mac_roman"), "in Mac Roman, such as in 'Zoë' on line 2"),
    ],
)
def test_init_says_what_a_list_is_that_it_cannot_take(
    tmp_path: Path, name: str, content: bytes, said: str, capsys: Capture
) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in complaint(invoke(capsys, "init", tmp_path / "c", "--recipients", tmp_path / name))


def test_init_takes_the_sheet_that_is_named(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    path = tmp_path / "list.xlsx"
    path.write_bytes(xlsx(Cover=[], List=[["E-Mail", "Name"], ["a@example.com", "Ann"]]))
    options = ("--recipients", path, "--relay", f"127.0.0.1:{server.sink.port}")
    said = complaint(invoke(capsys, "init", tmp_path / "c", *options))
    assert "the sheet is empty" in said
    assert "name another one, --sheet \"List\"; those with content are 'List'" in said
    assert invoke(capsys, "init", tmp_path / "c", *options, "--sheet", "List").code == 0
    assert invoke(capsys, "send", tmp_path / "c" / "campaign.toml").code == 0
    assert server.recipients == ["a@example.com"]


def test_init_points_out_a_title_above_the_header_of_a_sheet(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "list.xlsx"
    path.write_bytes(xlsx(A=[["Guests of 2026"], [], ["E-Mail", "Name"], ["a@example.com", "Ann"]]))
    said = complaint(invoke(capsys, "init", tmp_path / "c", "--recipients", path))
    assert "row 3 looks like its header" in said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "where = \"name != 'A'\"",
            "where = \"name != 'B'\"",
            "where is \"name != 'B'\" now, and it was \"name != 'A'\"",
        ),
        ("", "where = \"name != 'B'\"", "where is \"name != 'B'\" now, and that run's log names none"),
        ("where = \"name != 'B'\"", "", "where is none now, and it was \"name != 'B'\""),
        ("where = \"name != 'B'\"", "where = \"name != 'B'\"", None),
    ],
)
def test_a_where_that_is_another_one_when_a_run_is_resumed_is_said(
    before: str, after: str, said: str | None, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    assert invoke(capsys, "send", make_campaign(tmp_path, top=before), *server.options, "--limit", "1").code == 0
    make_campaign(tmp_path, top=after)
    ended = invoke(capsys, "resume", tmp_path / "results.jsonl", *server.options)
    assert ended.code == 0
    assert ("where is" in ended.errors) == (said is not None)
    assert (said or "") in ended.errors


@pytest.mark.parametrize(
    ("where", "said", "remedy"),
    [
        ("Years > 20", "Years is compared with 20", "Years | int"),
        ("20 < Years", "Years is compared with 20", "Years | int"),
        ("Opt_Out != 1", "Opt_Out is compared with 1", "Opt_Out == '1'"),
        ('row["Opt Out"] != true', "Opt_Out is compared with true", "Opt_Out == '1'"),
        ("Opt_Out is not true", "Opt_Out is compared with true", "Opt_Out == '1'"),
        ("Opt_Out.strip() is false or Years", "Opt_Out is compared with false", "Opt_Out == '1'"),
        ("Opt_Out is not none", "Opt_Out is compared with none", "Opt_Out == ''"),
        ("Opt_Out == none", "Opt_Out is compared with none", "Opt_Out == ''"),
        ("Opt_Out is not boolean", "Opt_Out is compared with true and false", "Opt_Out == '1'"),
        ("Years is number", "Years is compared with a number", "Years | int"),
        ("Opt_Out is ne 1", "Opt_Out is compared with 1", "Opt_Out == '1'"),
        ("Opt_Out | trim != 1", "Opt_Out is compared with 1", "Opt_Out == '1'"),
        ("Opt_Out not in [1, true]", "Opt_Out is compared with 1 or true", "Opt_Out == '1'"),
        ("Country == 'DE' or 'AT'", "'AT' is compared with nothing", "country == 'AT'"),
        ("'Opt_Out'", "'Opt_Out' is compared with nothing", "compare it"),
        ("[Opt_Out]", "a list in brackets counts as true", "each of them"),
        ("'yes' if Years == '30' else 'no'", "'no' as well", "true and false"),
        ("Country = 'DE'", "unexpected '='", "asked by two of them"),
        ("Country == 'DE' && Years", "'&'", "the word and"),
        ("Country || Years", "'|'", "the word or"),
        ("!Country", "'!'", "the word not"),
        ("Country <> 'DE'", "'>'", "!="),
        ("Country == “DE”", "“", "straight"),
        ("Country == 'DE' AND Years == '1'", "'AND'", "small letters: and"),
    ],
)
def test_a_condition_in_another_language_is_one_error_that_says_what_was_meant(
    where: str, said: str, remedy: str, tmp_path: Path, capsys: Capture
) -> None:
    rows = "email,name,Years,Country,Opt Out\na@example.com,A,30,DE,1\n"
    campaign = make_campaign(tmp_path, rows, top=f"where = {json.dumps(where)}")
    told = complaint(invoke(capsys, "send", campaign, "--sandbox"))
    assert said in told
    assert remedy in told
    checked = invoke(capsys, "check", campaign, "--offline")
    assert checked.code == 2
    assert said in checked.output
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.parametrize(
    "where",
    ["Years in [20, '30']", "Years is not none and Years == '30'", "Years == 30 or Years == '30'", "Years | int == 30"],
)
def test_a_condition_that_holds_for_texts_as_well_is_none_of_them(
    where: str, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    campaign = make_campaign(tmp_path, "email,name,Years\na@example.com,A,30\n", top=f"where = {json.dumps(where)}")
    assert invoke(capsys, "send", campaign, *server.options).code == 0
    assert server.recipients == ["a@example.com"]


def test_a_text_that_is_compared_with_a_number_is_told_of_with_what_makes_it_one(
    tmp_path: Path, capsys: Capture
) -> None:
    campaign = make_campaign(tmp_path, top='where = "years > 20"')
    (tmp_path / "list.jsonl").write_text('{"email":"a@example.com","name":"A","years":"30"}\n')
    invoke(capsys, "send", campaign, "--recipients", tmp_path / "list.jsonl", "--sandbox")
    (line,) = outcomes(tmp_path / "results.jsonl")
    assert "is made a number by | int" in line["reason"]


@pytest.mark.parametrize("kind", ["csv", "quoted", "xlsx", "ods"])
def test_values_in_a_column_without_a_name_are_said(
    kind: str, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    rows: list[list[Cell]] = [["email", "name", None], ["a@example.com", "A", None], ["b@example.com", "B", "moved"]]
    campaign = make_campaign(tmp_path)
    path = tmp_path / f"list.{'csv' if kind == 'quoted' else kind}"
    if path.suffix == ".csv":
        quote = '"' if kind == "quoted" else ""
        path.write_text(
            "email,name,\n" + "".join(f"{row[0]},{quote}{row[1]}{quote},{row[2] or ''}\n" for row in rows[1:])
        )
    else:
        path.write_bytes((xlsx if kind == "xlsx" else ods)(Sheet=rows))
    campaign.write_text(campaign.read_text().replace("list.csv", path.name).replace("recipients.csv", path.name))
    finding = checked(capsys, campaign)["findings"]["column-unnamed"]
    assert finding["where"].endswith(f"{path.name}:3")
    ended = invoke(capsys, "send", campaign, *server.options)
    assert f"{path.name}:3: a value stands in a column that the header has no name for" in ended.errors
    assert server.recipients == ["a@example.com", "b@example.com"]
    without = rows[0][:2], rows[1][:2], rows[2][:2]
    (tmp_path / "whole.xlsx").write_bytes(xlsx(Sheet=without))
    ended = invoke(capsys, "send", campaign, "--recipients", tmp_path / "whole.xlsx", "--dry-run")
    assert "no name" not in ended.errors


@pytest.mark.parametrize(
    ("where", "written_to", "invalid"),
    [
        ("Opted_In", ["yes", "1"], 4),
        ('row["Opted In"]', ["yes", "1"], 4),
        ("not Opted_In", [""], 4),
        ('row.get("Opted In")', ["yes", "1"], 4),
        ("Opted_In | default(false)", ["yes", "1"], 4),
        ("Opted_In | trim | lower", ["yes", "1"], 4),
        ("true if Opted_In else false", ["yes", "1"], 4),
        ("Opted_In.strip() | replace('a', 'a') ~ ''", ["yes", "1"], 4),
        ("not (Opted_In ~ '')", [""], 4),
        ("(Opted_In and name) == 'N'", ["yes", "1"], 4),
        ("Opted_In.split()", ["yes", "1"], 4),
        ("(Opted_In or 'no') | trim | lower in ['yes', '1']", ["yes", "1"], 0),
        ("Opted_In.strip().isalpha()", ["yes", "no", "FALSE", " n "], 0),
        ("name == 'N' and Opted_In", ["yes", "1"], 4),
        ("name == 'Z' and Opted_In", [], 0),
        ("name == 'N' or Opted_In", ["yes", "1", "no", "0", "FALSE", " n ", ""], 0),
        ("Opted_In in ['yes', '1']", ["yes", "1"], 0),
        ("Opted_In | length > 1", ["yes", "no", "FALSE", " n "], 0),
    ],
)
def test_a_text_that_says_no_is_not_taken_for_true(
    where: str, written_to: list[str], invalid: int, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    values = ["yes", "1", "no", "0", "FALSE", " n ", ""]
    rows = "".join(f"r{n}@example.com,N,{value}\n" for n, value in enumerate(values))
    campaign = make_campaign(tmp_path, f"email,name,Opted In\n{rows}", top=f"where = {json.dumps(where)}")
    invoke(capsys, "send", campaign, *server.options)
    assert server.recipients == sorted(f"r{values.index(value)}@example.com" for value in written_to)
    lines = outcomes(tmp_path / "results.jsonl")
    assert [line["status"] for line in lines].count("invalid") == invalid
    assert all("any text counts as true" in line["reason"] for line in lines if line["status"] == "invalid")


@pytest.mark.parametrize(("encoding", "said"), [("utf-8", "cp1252"), ("utf-16-be", "utf-16-le"), ("utf-8", "cp037")])
@pytest.mark.parametrize("name", ["gone.csv", "gone.txt"])
def test_nobody_is_written_to_because_a_suppression_list_was_read_in_another_encoding(
    encoding: str, said: str, name: str, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    head = "email\n" if name.endswith("csv") else ""
    (tmp_path / name).write_bytes(f"{head}a@example.com\njürgen@example.com\n".encode(encoding))
    campaign = make_campaign(
        tmp_path,
        "email,name\njürgen@example.com,J\n",
        delivery=f'suppress = [{{ file = "{name}", encoding = "{said}" }}]',
    )
    assert f"{name} is not in {said}" in complaint(invoke(capsys, "send", campaign, *server.options))
    assert server.recipients == []


@pytest.mark.parametrize("name", ["gone.csv", "gone.txt"])
@pytest.mark.parametrize(
    ("encoding", "said", "address"),
    [
        ("cp1252", "cp437", "jürgen@example.com"),
        ("cp1252", "cp850", "rené@example.com"),
        ("cp1252", "mac_roman", "info@müller.example"),
        ("cp1252", "cp1251", "jürgen@example.com"),
        ("cp437", "cp1252", "rené@example.com"),
        ("mac_roman", "cp1252", "jürgen@example.com"),
        ("cp1253", "cp1252", "\u03bd\u03b9\u03ba\u03bf\u03c2@example.com"),
    ],
)
def test_an_address_that_no_list_has_tells_that_a_suppression_list_was_read_in_another_encoding(
    encoding: str, said: str, address: str, name: str, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    head = "email\n" if name.endswith("csv") else ""
    (tmp_path / name).write_bytes(f"{head}a@example.com\n{address}\n".encode(encoding))
    rows = f"email,name\n{address},J\n"
    campaign = make_campaign(tmp_path, rows, delivery=f'suppress = [{{ file = "{name}", encoding = "{said}" }}]')
    told = complaint(invoke(capsys, "send", campaign, *server.options))
    assert f"{name}:{3 if head else 2}: " in told
    assert f"is no address in {said}" in told
    campaign = make_campaign(tmp_path, rows, delivery=f'suppress = [{{ file = "{name}", encoding = "{encoding}" }}]')
    assert invoke(capsys, "send", campaign, *server.options).code == 0
    assert server.recipients == []


@pytest.mark.parametrize(
    ("encoding", "address"),
    [
        ("cp1252", "jürgen.müßig@grüße.example"),
        ("cp1252", "José-María@example.com"),
        ("cp1250", "Łukasz.Żółć@example.com"),
        ("cp1251", "\u0438\u0432\u0430\u043d.ivanov@\u043f\u043e\u0447\u0442\u0430.example"),
        ("cp1253", "\u03bd\u03b9\u03ba\u03bf\u03c2@example.com"),
        ("cp1254", "Çiğdem.şahin@example.com"),
        ("cp437", "Ängström_Éric@example.com"),
        ("cp1258", "nguyê\u0303n@example.com"),
        ("cp1255", "\u05e9\u05dc\u05d5\u05dd@example.com"),
    ],
)
def test_a_suppression_list_in_its_own_encoding_is_read(
    encoding: str, address: str, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    (tmp_path / "gone.csv").write_bytes(f"email,note\n{address},½ m² ÷ 5@£3\n".encode(encoding, "replace"))
    delivery = f'suppress = [{{ file = "gone.csv", encoding = "{encoding}" }}]'
    campaign = make_campaign(tmp_path, f"email,name\n{address},J\n", delivery=delivery)
    assert invoke(capsys, "send", campaign, *server.options).code == 0
    assert server.recipients == []


@pytest.mark.parametrize(("before", "after"), [("", "alt"), ("email", "alt"), ("alt", "")])
def test_nobody_gets_it_twice_because_addresses_come_from_another_column(
    before: str, after: str, tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    rows = "email,alt,name\na@example.org,b@example.org,A\nbad,a@example.org,B\nb@example.org,bad,B\n"
    named = [f'recipient_field = "{field}"' if field else "" for field in (before, after)]
    campaign = make_campaign(tmp_path, rows, top=named[0])
    invoke(capsys, "send", campaign, *server.options)
    first = server.recipients
    make_campaign(tmp_path, rows, top=named[1])
    said = invoke(capsys, "resume", tmp_path / "results.jsonl", "--retry", "invalid", *server.options)
    assert said.code == 2
    assert f"addresses are taken from {after or 'email'!r}, and were taken from {before or 'email'!r}" in said.errors
    assert server.recipients == first
    make_campaign(tmp_path, rows, top=f'recipient_field = "{before or "email"}"')
    assert invoke(capsys, "resume", tmp_path / "results.jsonl", *server.options).code in (0, 1)
    assert server.recipients == first
