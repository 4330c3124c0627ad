"""What another program was configured with, read into a campaign: each setting, and what cannot be understood."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.errors import UsageError
from batchsend.scaffold import Draft, Recipients
from batchsend.scaffold.django import read_settings
from batchsend.scaffold.mailmerge import draft_of
from batchsend.scaffold.toml import TomlEntry, table

if TYPE_CHECKING:
    from pathlib import Path


@given(
    st.dictionaries(
        st.text(min_size=1), st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.lists(st.text())
    )
)
def test_what_is_written_as_toml_is_read_back(values: dict[str, Any]) -> None:
    text = table("t", [TomlEntry(key, value, "a comment") for key, value in values.items()])
    assert tomllib.loads(text)["t"] == values


def django(folder: Path, settings: str) -> tuple[dict[str, Any], str, list[str], dict[str, str]]:
    path = folder / "settings.py"
    path.write_text(settings)
    relay, sender, notes = read_settings(path)
    return {entry.key: entry.value for entry in relay.entries}, sender, notes, relay.variables


def test_djangos_defaults_are_djangos(tmp_path: Path) -> None:
    server, sender, notes, variables = django(tmp_path, "DEBUG = True")
    assert server == {"host": "localhost", "port": 25, "tls": "none"}
    assert (sender, notes, variables) == ("webmaster@localhost", [], {})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            "EMAIL_HOST = 'a.example.com'\nEMAIL_PORT = 465\nEMAIL_USE_SSL = True",
            {"host": "a.example.com", "port": 465},
        ),
        ("EMAIL_PORT = 2465\nEMAIL_USE_SSL = True", {"tls": "implicit"}),
        ("EMAIL_HOST: str = 'a.example.com'\nEMAIL_USE_TLS = True", {"host": "a.example.com", "port": 25}),
        ("EMAIL_HOST = 'a.example.com'", {"tls": "none"}),
        (
            "EMAIL_HOST_USER = 'u'\nEMAIL_HOST_PASSWORD = 's3cret'",
            {"username": "${SMTP_USERNAME}", "password": "${SMTP_PASSWORD}"},
        ),
        ("EMAIL_HOST_USER = env('U')\nEMAIL_HOST_PASSWORD = env.str('P')", {"username": "${U}", "password": "${P}"}),
        (
            "EMAIL_HOST_USER = os.getenv('U', '')\nEMAIL_HOST_PASSWORD = config('P')",
            {"username": "${U}", "password": "${P}"},
        ),
        ("EMAIL_HOST = 'a'\nEMAIL_HOST = 'b'", {"host": "b"}),
    ],
)
def test_each_django_setting(settings: str, expected: dict[str, Any], tmp_path: Path) -> None:
    server, _, _, _ = django(tmp_path, settings)
    assert server.items() >= expected.items()
    assert "s3cret" not in str(server)


def test_credentials_are_not_sent_in_the_clear_whatever_django_does(tmp_path: Path) -> None:
    server, _, notes, _ = django(
        tmp_path, "EMAIL_HOST = 'a.example.com'\nEMAIL_HOST_USER = 'u'\nEMAIL_HOST_PASSWORD = 'p'"
    )
    assert "tls" not in server, "STARTTLS by its port"
    assert notes == ["STARTTLS is used although EMAIL_USE_TLS is not: credentials are never sent in the clear"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            "EMAIL_HOST = open('/etc/passwd').read()",
            "EMAIL_HOST cannot be taken from there: settings are read, not run",
        ),
        ("EMAIL_HOST = os.environ['H']", "EMAIL_HOST cannot be taken from there"),
        ("EMAIL_PORT = '587'", "EMAIL_PORT cannot be taken from there"),
        ("EMAIL_PORT = 0", "EMAIL_PORT cannot be taken from there"),
        ("EMAIL_USE_TLS = EMAIL_USE_SSL = True", "EMAIL_USE_TLS and EMAIL_USE_SSL are both true"),
        ("EMAIL_HOST = (", "is not Python"),
        ("\0", "is not Python"),
        (None, "cannot be read"),
    ],
)
def test_django_settings_that_cannot_be_taken(settings: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.py"
    if settings is not None:
        path.write_text(settings)
    with pytest.raises(UsageError) as error:
        read_settings(path)
    assert said in error.value.message
    assert error.value.remedy


SERVER = "[smtp_server]\nhost = smtp.example.com\nport = 587\nsecurity = STARTTLS\nusername = me\n"
TEMPLATE = "TO: {{email}}\nSUBJECT: Hello\nFROM: a@example.com\n\nHello {{email}}\n"


def mailmerge(
    folder: Path, *, template: str = TEMPLATE, server: str = SERVER, database: str = "email,name\na@example.com,A\n"
) -> tuple[Draft, list[str]]:
    (folder / "mailmerge_template.txt").write_text(template)
    (folder / "mailmerge_server.conf").write_text(server)
    (folder / "mailmerge_database.csv").write_text(database)
    return draft_of(folder)


@pytest.mark.parametrize(
    ("security", "expected", "variables"),
    [
        (
            "SSL/TLS\nusername = me",
            {"tls": "implicit", "username": "me", "password": "${SMTP_PASSWORD}"},
            {"SMTP_PASSWORD"},
        ),
        ("STARTTLS\nusername = me", {"username": "me", "password": "${SMTP_PASSWORD}"}, {"SMTP_PASSWORD"}),
        ("PLAIN\nusername = me", {"username": "me", "password": "${SMTP_PASSWORD}"}, {"SMTP_PASSWORD"}),
        ("XOAUTH\nusername = me", {"username": "me", "token": "${SMTP_TOKEN}"}, {"SMTP_TOKEN"}),
        ("Never", {"tls": "none"}, set()),
    ],
)
def test_each_security_of_mailmerge(
    security: str, expected: dict[str, Any], variables: set[str], tmp_path: Path
) -> None:
    draft, notes = mailmerge(
        tmp_path, server=f"[smtp_server]\nhost = smtp.example.com\nport = 587\nsecurity = {security}\n"
    )
    server = {entry.key: entry.value for entry in draft.relay.entries}
    assert server == {"host": "smtp.example.com", "port": 587, **expected}
    assert set(draft.relay.variables) == variables
    assert bool(notes) == security.startswith("PLAIN")


def test_mailmerges_bodies_and_headers(tmp_path: Path) -> None:
    template = (
        "TO: {{Name}} <{{Mail}}>\nCC: x@example.com\nBCC: y@example.com\nREPLY-TO: z@example.com\nX-Tag: {{Name}}\n"
        'SUBJECT: Hello\nFROM: a@example.com\nContent-Type: multipart/alternative; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nHello\n--b\nContent-Type: text/html\n\n<p>{{Name}}</p>\n--b--\n"
    )
    draft, notes = mailmerge(tmp_path, template=template, database="Name,Mail\nA,a@example.com\n")
    assert (draft.to, draft.recipients.address, draft.recipients.is_found) == ("{{Name}} <{{Mail}}>", "Mail", False)
    assert draft.body.files == {"message.html": "<p>{{Name}}</p>\n", "message.txt": "Hello\n"}
    assert draft.headers == {"X-Tag": "{{Name}}"}
    assert [note.split()[0] for note in notes] == ["Cc", "Bcc", "in"]
    assert tomllib.loads(draft.files()["campaign.toml"])["recipient_field"] == "Mail"


def test_mailmerges_markdown_stays_markdown(tmp_path: Path) -> None:
    template = TEMPLATE.replace("\n\n", "\nContent-Type: text/markdown\n\n# ")
    draft, _ = mailmerge(tmp_path, template=template)
    assert draft.body.files == {"message.md": "# Hello {{email}}\n"}
    assert tomllib.loads(draft.files()["campaign.toml"])["message"]["markdown_file"] == "message.md"
    draft.check(tmp_path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"template": TEMPLATE.replace("TO: {{email}}\n", "")}, "has no TO"),
        ({"template": TEMPLATE.replace("{{email}}\nS", "{{mail}}\nS")}, "has no column mail, which TO asks for"),
        ({"template": TEMPLATE.replace("{{email}}\nS", "a@example.com\nS")}, "TO is a@example.com"),
        ({"template": TEMPLATE.replace("SUBJECT: Hello", "SUBJECT: {% if 1 %}a{% endif %}")}, "among its headers"),
        ({"template": TEMPLATE.replace("\n\n", "\nContent-Type: text/calendar\n\n")}, "has a part of text/calendar"),
        ({"server": "[smtp_server]\nhost = a\n"}, "No option 'port'"),
        ({"server": SERVER.replace("587", "many")}, "invalid literal"),
        ({"server": SERVER.replace("STARTTLS", "SSL")}, "security = SSL"),
        ({"server": "host = a"}, "no section headers"),
    ],
)
def test_mailmerge_files_that_cannot_be_understood(changed: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        mailmerge(tmp_path, **changed)
    assert said in error.value.message
    assert error.value.remedy


def test_mailmerge_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mailmerge_template\.txt cannot be read: No such file"):
        draft_of(tmp_path)
    (tmp_path / "mailmerge_template.txt").write_bytes(b"TO: \xff")
    with pytest.raises(UsageError, match=r"mailmerge_template\.txt is not UTF-8"):
        draft_of(tmp_path)


def test_a_column_of_addresses_is_found_by_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("Kontakt,n\na@example.com,1\n")
    recipients = Recipients.read(tmp_path / "list.csv", tmp_path)
    assert (recipients.address, recipients.is_found, recipients.path) == ("Kontakt", False, "list.csv")
