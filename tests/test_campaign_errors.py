"""The campaign file: every mistake is told by file, key and what was found, with what to do about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchsend.campaign import Overrides, load, places
from batchsend.errors import UsageError

TEXT = """
recipients = "recipients.csv"
[server]
host = "smtp.example.com"
[message]
from = "App <hello@mail.example.com>"
subject = "Welcome"
text = "Hello"
[delivery]
depth = 1
"""
DURATION = 'expected a duration such as "500ms", "30s", "5m" or "1h", at most a day'
ZONE = (
    'expected a zone that this machine knows, by its IANA name: "Europe/Berlin"; pip install tzdata brings all of them '
    "where it knows none"
)
WINDOW = 'expected an array of texts such as "Mon-Fri 08:00-18:00", "Sat,Sun 09:00-12:00", "22:00-02:00"'
QUOTA = 'expected a quota such as "500/h" or "50000/day", or an array of such'
RATE = 'expected a rate above 0 such as "100/s", "600/min" or "5000/h"'
HOST = 'expected a host name (in its ASCII form, "xn--…") or an IP address'
EHLO = 'expected a domain such as "mail.example.com", or "[192.0.2.1]" or "[IPv6:2001:db8::1]"'
TEMPLATE = "expected a text, which may have template marks"
MADE = "batchsend makes this header itself"
ALONE = "a message goes to its record's recipient alone"
COUNT = "expected a whole number of at least 1"
NAME = "expected 1 to 76 ASCII characters without spaces and colons (RFC 5322 §3.6.8)"
CREDENTIAL = "expected a text without control characters, not empty"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a template in it, the current directory, beside a file that is outside of it."""
    inner = tmp_path / "campaign"
    inner.mkdir()
    (inner / "welcome.html").write_text("Hello")
    (inner / "link.html").symlink_to(tmp_path / "outside.html")
    (inner / "sub").mkdir()
    (tmp_path / "outside.html").write_text("Hello")
    monkeypatch.chdir(inner)
    return inner


def refusal(text: str | bytes, *, overrides: Overrides | None = None, environ: dict[str, str] | None = None) -> str:
    path = Path("campaign.toml")
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError) as error:
        load(path, environ=environ or {}, overrides=overrides)
    assert error.value.remedy
    for word in ("msgspec", "Expected `", "Object ", "Struct", "$.", "ValidationError", "object | null"):
        assert word not in str(error.value)
    assert str(error.value).count("\n") == 1
    assert str(error.value).replace("\n", "").isprintable()
    return str(error.value).replace(str(Path.cwd()), "/here")


def with_line(table: str, line: str) -> str:
    """The right file with one more line in a table, in place of the one with the same key."""
    key = line.split("=", maxsplit=1)[0].strip()
    lines = [old for old in TEXT.splitlines() if old.split("=", maxsplit=1)[0].strip() != key]
    if not table:
        return "\n".join([line, *lines])
    if table not in lines:
        lines.append(table)
    place = lines.index(table) + 1
    return "\n".join([*lines[:place], line, *lines[place:]])


@pytest.mark.parametrize(
    ("table", "line", "found", "remedy"),
    [
        ("[delivery]", "max_messages = 0", "[delivery] max_messages = 0", COUNT),
        ("[delivery]", "max_messages = -1", "[delivery] max_messages = -1", COUNT),
        ("[delivery]", "max_messages = true", "[delivery] max_messages = true", COUNT),
        ("[delivery]", 'max_messages = "5"', '[delivery] max_messages = "5"', COUNT),
        ("[delivery]", "max_messages = 5.0", "[delivery] max_messages = 5.0", COUNT),
        ("[delivery]", "max_messages = []", "[delivery] max_messages = []", COUNT),
        ("[delivery]", "max_messages = 2026-11-22", "[delivery] max_messages = 2026-11-22", COUNT),
        ("[delivery]", "max_connections = 1001", None, "expected a whole number from 1 to 1000"),
        ("[delivery]", "max_connections = nan", None, "expected a whole number from 1 to 1000"),
        ("[delivery]", "depth = 1025", None, "expected a whole number from 1 to 1024"),
        ("[delivery]", "max_attempts = 101", None, "expected a whole number from 1 to 100"),
        ("[delivery]", 'rate = "fast"', None, RATE),
        ("[delivery]", "rate = 100", None, RATE),
        ("[delivery]", 'rate = "0/s"', None, RATE),
        ("[delivery]", 'window = "Mon 08:00-18:00"', None, WINDOW),
        ("[delivery]", 'window = ["Mon 08:00-18:00", "Moon"]', '[delivery] window #2 = "Moon"', WINDOW),
        ("[delivery]", 'window = ["Mon 08:00-08:00"]', '[delivery] window #1 = "Mon 08:00-08:00"', WINDOW),
        ("[delivery]", 'start = "tomorrow"', None, 'expected a date and a time such as "2026-12-01 09:00"'),
        ("[delivery]", 'timezone = "Berlin"', None, ZONE),
        (
            "[delivery]",
            'timezone = "Europe/Berlin"',
            "[delivery] timezone is there without window or start",
            "it says whose time they are in",
        ),
        ("[delivery]", 'retry_after = "30"', None, DURATION),
        ("[delivery]", "retry_after = 30", None, DURATION),
        ("[delivery]", 'give_up_after = "2 days"', None, DURATION),
        ("[delivery]", 'durability = "disk"', None, 'expected "process" or "power"'),
        (
            "[delivery]",
            'suppress = "a.csv"',
            None,
            "expected an array of paths, or of tables of file, field, encoding and sheet",
        ),
        (
            "[delivery]",
            'suppress = ["welcome.html", 3]',
            "[delivery] suppress #2 = 3",
            "expected an array of paths, or of tables of file, field, encoding and sheet",
        ),
        (
            "[delivery]",
            'suppress = ["none.csv"]',
            '[delivery] suppress #1 = "none.csv"',
            "expected the path of a file of addresses; /here/none.csv does not exist",
        ),
        ("[delivery.timeouts]", 'content = "0s"', None, DURATION),
        ("[delivery]", 'timeouts = "5m"', None, "expected a table of durations"),
        ("[server]", 'host = ""', None, HOST),
        ("[server]", 'host = "smtp.example.com:25"', None, HOST),
        ("[server]", 'host = "smtp..example.com"', None, HOST),
        ("[server]", 'host = "b\u00fccher.example.com"', None, HOST),
        ("[server]", 'host = "a\\r\\nb"', '[server] host = "a\\r\\nb"', HOST),
        ("[server]", 'name = ""', None, 'expected a short name such as "ses"'),
        ("[server]", "priority = -1", None, "expected a whole number from 0 to 65535"),
        ("[server]", "weight = 0", None, "expected a whole number from 1 to 65535"),
        ("[server]", 'rate = "fast"', None, RATE),
        ("[server]", 'quota = "500"', None, QUOTA),
        ("[server]", "quota = []", None, QUOTA),
        ("[server]", 'quota = ["500/h", "0/day"]', '[server] quota #2 = "0/day"', QUOTA),
        ("[server]", 'quota = "5.5/h"', None, QUOTA),
        ("[delivery]", "quota = 20000", None, QUOTA),
        (
            "[server]",
            'warm_up = ["50/day", "50/h"]',
            '[server] warm_up #2 = "50/h"',
            'expected quotas by the day, one for each of the first days: ["50/day", "100/day"]',
        ),
        ("[server]", "max_connections = 0", None, "expected a whole number from 1 to 1000"),
        ("[server]", "max_messages = 0", None, COUNT),
        ("[server]", "depth = 1025", None, "expected a whole number from 1 to 1024"),
        ("[server]", "port = 0", None, "expected a port number from 1 to 65535"),
        ("[server]", "port = 65536", None, "expected a port number from 1 to 65535"),
        ("[server]", 'tls = "ssl"', None, 'expected "starttls", "implicit" or "none"'),
        ("[server]", 'tls = ""', None, 'expected "starttls", "implicit" or "none"'),
        ("[server]", "tls = true", None, 'expected "starttls", "implicit" or "none"'),
        ("[server]", 'ca_file = "n.pem"', None, "expected the path of a PEM file; /here/n.pem does not exist"),
        ("[server]", 'ca_file = "sub"', None, "expected the path of a PEM file; /here/sub is not a regular file"),
        ("[server]", 'ca_file = ""', None, "expected the path of a PEM file"),
        ("[server]", 'ehlo_name = "a\\r\\nMAIL"', '[server] ehlo_name = "a\\r\\nMAIL"', EHLO),
        ("[server]", 'ehlo_name = "under_score.example.com"', None, EHLO),
        ("[server]", 'ehlo_name = "192.0.2.1.example.com."', None, EHLO),
        ("[server]", 'ehlo_name = "[::1]"', None, EHLO),
        ("[server]", 'ehlo_name = "[IPv6:192.0.2.1]"', None, EHLO),
        ("[server]", "username = 5", "[server] username = ********", "expected a text without control characters"),
        (
            "[server]",
            'username = "u"',
            "[server] password is missing",
            "username and password go together: give both or neither",
        ),
        (
            "[server]",
            'password = "u"',
            "[server] username is missing",
            "username and password go together: give both or neither",
        ),
        ("[server]", 'username = "u\\u0000"', "[server] username = ********", CREDENTIAL),
        ("[server]", 'username = ""', "[server] username = ********", CREDENTIAL),
        (
            "[server]",
            'username = "u"\npassword = "p"\ntoken = "t"',
            "[server] token is there besides password",
            "give one of them",
        ),
        (
            "[delivery.dsn]",
            'notify = ["never", "delay"]',
            '[delivery.dsn] notify has "never" among others',
            'leave "never" or the others',
        ),
        ("[server]", 'preset = "relay"', None, "batchsend presets lists them; or give host and port"),
        ("[server]", 'preset = "sendgird"', None, "did you mean sendgrid?"),
        ("[server]", 'preset = "Nexus"', None, "did you mean nexuspromail?"),
        ("[server]", 'preset = "amazon"', None, "19 presets begin so: batchsend presets amazon lists them"),
        ("[server]", "preset = 5", None, "expected the name of a preset: batchsend presets lists them"),
        ("[delivery.dsn]", 'notfy = ["never"]', "[delivery.dsn] notfy is not a key that batchsend knows", None),
        ("[server]", 'hots = "a"', "[server] hots is not a key that batchsend knows", "did you mean host?"),
        ("[server]", 'passwort = "a"', "[server] passwort is not a key that batchsend knows", "did you mean password?"),
        (
            "[delivery]",
            "max_conections = 5",
            "[delivery] max_conections is not a key that batchsend knows",
            "did you mean max_connections?",
        ),
        (
            "[delivery]",
            'content = "5m"',
            "[delivery] content is not a key that batchsend knows",
            "it belongs in [delivery.timeouts]",
        ),
        (
            "[delivery]",
            'results = "a"',
            "[delivery] results is not a key that batchsend knows",
            "it belongs in the file's beginning, before the first [table]",
        ),
        ("", "max_messages = 5", "max_messages is not a key that batchsend knows", "it belongs in [delivery]"),
        ("", '"od\\nd" = 5', '"od\\nd" is not a key that batchsend knows', None),
        ("", "recipients = 5", "recipients = 5", 'expected the path of the recipients file, or "-"'),
        ("", 'recipients = ""', 'recipients = ""', 'expected the path of the recipients file, or "-"'),
        ("", 'recipients = "a\\u0000"', 'recipients = "a\\x00"', 'expected the path of the recipients file, or "-"'),
        ("", "recipient_field = 1", None, "expected the name of a field"),
        ("", 'recipient_field = ""', None, "expected the name of a field"),
        ("", 'results = ""', None, "expected the path of the results log"),
        ("", 'results = "sub"', None, "expected the path of a file; this is a directory"),
        ("", 'results = "none/r.jsonl"', None, "expected a path in a folder that exists; there is no /here/none"),
        ("", 'results = "sub/../recipients.csv"', None, "expected a file of its own; this is the recipients file"),
        ("", 'results = "campaign.toml"', None, "expected a file of its own; this is the campaign file"),
        ("[message]", 'from = ""', None, 'expected a mailbox such as "App <hello@mail.example.com>"'),
        ("[message]", "subject = 5", None, TEMPLATE),
        ("[message]", 'to = ""', None, 'expected a mailbox such as "{{ name }} <{{ email }}>"'),
        ("[message]", "text = 5", None, TEMPLATE),
        ("[message]", 'text_file = "welcome.html"', "[message] has both text and text_file", "give one of them"),
        (
            "[message]",
            'html_file = "none.html"',
            None,
            "expected the path of a template inside the campaign's folder; /here/none.html does not exist",
        ),
        (
            "[message]",
            'attachments = "a.pdf"',
            None,
            "expected an array of paths inside the campaign's folder, or of tables of file, name, type and inline",
        ),
        ("[message]", 'attachments = [""]', '[message] attachments #1 = ""', "expected the path of a file"),
        ("[message.headers]", "X-A = 5", "[message.headers] X-A = 5", "expected a table of header names and texts"),
        ("[message.headers]", '"X A" = "a"', '[message.headers] "X A" is not a header name', NAME),
        ("[message.headers]", '"X:" = "a"', '[message.headers] "X:" is not a header name', NAME),
        ("[message.headers]", '"X\\r\\nY" = "a"', '[message.headers] "X\\r\\nY" is not a header name', NAME),
        ("[message.headers]", '"" = "a"', '[message.headers] "" is not a header name', NAME),
        (
            "[message.headers]",
            'From = "a"',
            "[message.headers] From cannot be set",
            "set it by the key from of [message]",
        ),
        (
            "[message.headers]",
            'rePly-to = "a"',
            "[message.headers] rePly-to cannot be set",
            "set it by the key reply_to of [message]",
        ),
        ("[message.headers]", 'Bcc = "a"', "[message.headers] Bcc cannot be set", ALONE),
        ("[message.headers]", 'Date = "a"', "[message.headers] Date cannot be set", MADE),
        ("[message.headers]", 'Content-Type = "a"', "[message.headers] Content-Type cannot be set", MADE),
        (
            "[message.headers]",
            'X-A = "1"\nx-a = "2"',
            "[message.headers] x-a is there twice: X-A is the same header",
            "leave one of them out",
        ),
    ],
)
def test_mistake_is_named_with_what_is_allowed(table: str, line: str, found: str | None, remedy: str | None) -> None:
    message, told = refusal(with_line(table, line)).split("\n")
    if found is None:
        found = f"{table} {line}".strip()
    assert message == f"campaign.toml: {found}"
    if remedy is not None:
        assert told == remedy


@pytest.mark.parametrize(
    ("left_out", "name", "remedy"),
    [
        ("recipients", "recipients", 'expected the path of the recipients file, or "-"'),
        ("host", "[server] host", "expected a host name or an IP address"),
        ("from", "[message] from", 'expected a mailbox such as "App <hello@mail.example.com>"'),
        ("subject", "[message] subject", TEMPLATE),
    ],
)
def test_missing_key_is_named(left_out: str, name: str, remedy: str) -> None:
    text = "\n".join(line for line in TEXT.splitlines() if not line.startswith(f"{left_out} ="))
    assert refusal(text) == f"campaign.toml: {name} is missing\n{remedy}"


def test_missing_table_is_named() -> None:
    assert refusal('recipients = "r.csv"') == (
        "campaign.toml: server is missing\nexpected a table [server], or several [[server]]"
    )
    assert refusal('server = []\nrecipients = "r.csv"').startswith("campaign.toml: server = []\n")
    assert refusal('recipients = "r.csv"\n[server]\nhost = "a.example.com"') == (
        "campaign.toml: message is missing\nexpected a table [message]"
    )
    assert refusal('server = "a"\nrecipients = "r.csv"') == (
        'campaign.toml: server = "a"\nexpected a table [server], or several [[server]]'
    )
    assert (
        refusal("server = [1]\n" + TEXT.replace("[server]\nhost", "host")).split("\n")[0].startswith("campaign.toml: ")
    )


def test_message_without_a_body_is_refused() -> None:
    assert refusal(TEXT.replace('text = "Hello"', "")) == (
        "campaign.toml: [message] has no body\ngive html, html_file, text, text_file, markdown or markdown_file"
    )


def test_one_of_several_servers_is_named() -> None:
    text = TEXT.replace("[server]", "[[server]]").replace(
        "[message]", '[[server]]\nhost = "b.example.com"\nport = 0\n[message]'
    )
    assert refusal(text).startswith("campaign.toml: [[server]] #2 port = 0\n")
    assert refusal(text.replace("port = 0", "prot = 1")).startswith("campaign.toml: [[server]] #2 prot is not a key")


@pytest.mark.parametrize("name", ["link.html", "../outside.html", "/etc/passwd"])
@pytest.mark.parametrize("key", ["html_file", "attachments"])
def test_file_outside_the_folder_is_refused(name: str, key: str) -> None:
    value = f'["{name}"]' if key == "attachments" else f'"{name}"'
    message, remedy = refusal(with_line("[message]", f"{key} = {value}")).split("\n")
    assert message.endswith(f' = "{name}"')
    assert "inside the campaign's folder /here; this is /" in remedy


def test_results_that_are_the_recipients_through_a_link_are_refused(folder: Path) -> None:
    (folder / "recipients.csv").write_text("email\n")
    (folder / "soft.csv").symlink_to("recipients.csv")
    os.link(folder / "recipients.csv", folder / "hard.csv")
    for name in ("soft.csv", "hard.csv"):
        assert refusal(with_line("", f'results = "{name}"')).endswith(
            "expected a file of its own; this is the recipients file"
        )


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (Overrides(rate="0/s"), f"--rate 0/s\n{RATE}"),
        (Overrides(rate="\x1b[2J"), f"--rate \\x1b[2J\n{RATE}"),
        (Overrides(max_messages=0), f"--max-messages 0\n{COUNT}"),
        (Overrides(max_connections=-5), "--max-connections -5\nexpected a whole number from 1 to 1000"),
        (Overrides(depth=5000), "--depth 5000\nexpected a whole number from 1 to 1024"),
        (Overrides(results="sub"), "--results sub\nexpected the path of a file; this is a directory"),
        (Overrides(results=""), "--results \nexpected the path of the results log"),
        (Overrides(recipients=""), '--recipients \nexpected the path of the recipients file, or "-"'),
        (
            Overrides(recipients="r.csv", results="r.csv"),
            "--results r.csv\nexpected a file of its own; this is the recipients file",
        ),
        (
            Overrides(server="relay.example.com:25"),
            "--server relay.example.com:25\nexpected smtp://HOST:PORT or smtps://HOST:PORT",
        ),
        (
            Overrides(server="smtp://relay.example.com:x"),
            "--server smtp://relay.example.com:x\nexpected smtp://HOST:PORT or smtps://HOST:PORT",
        ),
        (Overrides(server="smtp://h:25/x"), "--server smtp://h:25/x\nexpected smtp://HOST:PORT or smtps://HOST:PORT"),
        (Overrides(server="smtp://[::1"), "--server smtp://[::1\nexpected smtp://HOST:PORT or smtps://HOST:PORT"),
        (Overrides(server="smtp://a b"), f"--server smtp://a b\n{HOST}"),
        (Overrides(server="smtp://h:0"), "--server smtp://h:0\nexpected a port number from 1 to 65535"),
    ],
)
def test_option_is_named_instead_of_the_key(overrides: Overrides, expected: str) -> None:
    assert refusal(TEXT, overrides=overrides) == expected
    assert refusal(TEXT.replace("[delivery]\ndepth = 1\n", ""), overrides=overrides) == expected


@pytest.mark.parametrize("url", ["smtp://user:secret@relay.example.com", "user:secret@relay.example.com:25"])
def test_credentials_in_a_url_are_refused_and_not_shown(url: str) -> None:
    assert "secret" not in refusal(TEXT, overrides=Overrides(server=url))


CREDENTIALS = 'username = "${RELAY_USER}"\npassword = "${RELAY_KEY}"'


def test_variable_that_is_not_set_is_named() -> None:
    text = with_line("[server]", CREDENTIALS)
    assert refusal(text, environ={"RELAY_KEY": "k"}) == (
        "campaign.toml: [server] username needs the environment variable RELAY_USER, which is not set\n"
        "export RELAY_USER=…"
    )
    assert refusal(text, environ={"RELAY_USER": "u", "RELAY_KEY": ""}) == (
        "campaign.toml: [server] password needs the environment variable RELAY_KEY, which is empty\nexport RELAY_KEY=…"
    )
    assert "has ${ without a variable's name" in refusal(with_line("[server]", 'ehlo_name = "${a-b}"'))


def test_every_variable_that_is_not_set_is_named_at_once() -> None:
    text = with_line("[server]", CREDENTIALS + '\nehlo_name = "${NAME}.example.com"')
    assert refusal(text, environ={"NAME": ""}) == (
        "campaign.toml: [server] username needs the environment variable RELAY_USER, which is not set; missing as "
        "well: [server] password RELAY_KEY, [server] ehlo_name NAME (empty)\n"
        "export RELAY_USER=… RELAY_KEY=… NAME=…"
    )


def test_a_variable_that_two_keys_need_is_named_once() -> None:
    text = with_line("[server]", 'username = "${KEY}"\npassword = "${KEY}"')
    assert refusal(text, environ={}) == (
        "campaign.toml: [server] username needs the environment variable KEY, which is not set\nexport KEY=…"
    )


def test_a_password_is_given_in_one_way_and_its_file_is_there(tmp_path: Path) -> None:
    both = 'username = "u"\npassword = "p"\npassword_file = "secret"'
    assert refusal(with_line("[server]", both)).startswith(
        "campaign.toml: [server] password_file is there besides pass"
    )
    absent = with_line("[server]", 'username = "u"\npassword_file = "${DIR}/secret"')
    assert refusal(absent, environ={"DIR": "nowhere"}) == (
        'campaign.toml: [server] password_file = "${DIR}/secret"\n'
        "expected the path of a file that holds a password; /here/nowhere/secret is not there, or is none"
    )
    Path("campaign.toml").write_text(absent)
    assert load(Path("campaign.toml"), environ={}, resolve_credentials=False).servers[0].password_file is None
    (tmp_path / "secret").write_text("p")
    (server,) = load(Path("campaign.toml"), environ={"DIR": str(tmp_path)}).servers
    assert server.password_file == tmp_path / "secret"


def test_what_a_variable_holds_is_not_shown() -> None:
    environ = {"RELAY_USER": "u", "RELAY_KEY": "sec\nret", "HOST": "sec ret"}
    assert "ret" not in refusal(with_line("[server]", CREDENTIALS), environ=environ)
    assert refusal(with_line("[server]", 'host = "${HOST}"'), environ=environ).startswith(
        'campaign.toml: [server] host = "${HOST}"\n'
    )


def test_credentials_in_the_clear_are_refused_except_to_loopback() -> None:
    environ = {"RELAY_USER": "u", "RELAY_KEY": "k"}
    text = with_line("[server]", CREDENTIALS + '\ntls = "none"')
    assert refusal(text, environ=environ) == (
        'campaign.toml: [server] tls = "none"\n'
        "credentials are never sent in the clear, except to loopback: use starttls or implicit"
    )
    path = Path("campaign.toml")
    path.write_text(text.replace("smtp.example.com", "127.0.0.1"))
    assert load(path, environ=environ).servers[0].tls == "none"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a = \n", "campaign.toml:1: not TOML: Invalid value at column 5"),
        ("a = 1\nb = hello\n", "campaign.toml:2: not TOML: Invalid value at column 5"),
        ("a = 1\na = 2\n", "campaign.toml:2: not TOML: Cannot overwrite a value at column 6"),
        ("a = [1,", "campaign.toml: not TOML: Invalid value at the end of the file"),
        (b"a = 1\nb = 'caf\xe9'\n", "campaign.toml:2: not UTF-8"),
        ("a = 1\n".encode("utf-16"), "campaign.toml:1: not UTF-8"),
        (b"# " + b"x" * (50 * 10**6), "campaign.toml is larger than 10 MiB"),
        ("a = " + "[" * 100_000, "campaign.toml: nested too deeply"),
        ("a = " + "9" * 5000, None),
    ],
)
def test_what_is_no_campaign_file_is_refused(content: str | bytes, message: str | None) -> None:
    told = refusal(content).split("\n")[0]
    if message is not None:
        assert told == message
    else:
        assert told.startswith("campaign.toml: not TOML: ")


@pytest.mark.parametrize(
    ("name", "content", "message", "remedy"),
    [
        ("list.csv", b"email,name\na@example.com,A\n", "list.csv is a list", "batchsend init --recipients list.csv"),
        ("my list.csv.gz", b"\x1f\x8b\x08\x00\xff", "my list.csv.gz is a list", "init --recipients 'my list.csv.gz'"),
        ("list.jsonl", b'{"email": "a@example.com"}\n', "list.jsonl is a list", "batchsend init --recipients"),
        ("list.xlsx", b"PK\x03\x04\xff", "list.xlsx is a list", "batchsend init --recipients"),
        ("large.csv", b"a@example.com\n" * 800_000, "large.csv is a list", "batchsend init --recipients"),
        ("results.jsonl", b'{"run":{"id":"x"}}\n', "results.jsonl is a results log", "batchsend resume results.jsonl"),
    ],
)
def test_what_else_was_named_is_said(folder: Path, name: str, content: bytes, message: str, remedy: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load(Path(name))
    assert caught.value.message == f"{message}, not a campaign file"
    assert remedy in str(caught.value.remedy)


def test_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"^none.toml: there is no such file"):
        load(Path("none.toml"))
    with pytest.raises(UsageError, match=r"^sub is a directory"):
        load(Path("sub"))
    with pytest.raises(UsageError, match=r"cannot be read: Not a directory"):
        load(Path("welcome.html/campaign.toml"))
    with pytest.raises(UsageError, match=r"^path is 'nul\\x00"):
        load(Path("nul\0.toml"))


def test_relays_with_one_name_are_told_to_have_two() -> None:
    text = TEXT.replace("[server]", "[[server]]").replace(
        "[message]", '[[server]]\nhost = "smtp.example.com"\n[message]'
    )
    assert "give each of them a name of its own" in refusal(text)
    named = text.replace('host = "smtp.example.com"', 'name = "a"\nhost = "smtp.example.com"')
    assert "give each of them a name of its own" in refusal(named)
    other = text.replace("[[server]]\nhost", '[[server]]\nname = "b"\nhost', 1)
    Path("campaign.toml").write_text(other)
    assert [place.name for place in places(load(Path("campaign.toml")).servers)] == ["b", "smtp.example.com"]
