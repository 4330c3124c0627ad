"""The campaign file: what a right one means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from batchsend.campaign import Duration, Overrides, Rate, Secret, Server, SuppressionList, is_loopback, load
from batchsend.campaign.file import TABLES, File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchsend.campaign.file import Table

LEAST = """
recipients = "recipients.csv"
[server]
host = "smtp.example.com"
[message]
from = "App <hello@mail.example.com>"
subject = "Welcome, {{ name }}"
text = "Hello"
"""

FULL = """
recipients = "lists/recipients.csv"
results = "out.jsonl"
recipient_field = "address"

[server]
host = "smtp.example.com"
port = 465
ca_file = "ca.pem"
username = "${RELAY_USER}"
password = "key-${RELAY_KEY}"
ehlo_name = "mail.example.com"

[message]
from = "App <hello@mail.example.com>"
to = "{{ name }} <{{ email }}>"
reply_to = "help@example.com"
return_path = "bounce+{{ batch.record }}@mail.example.com"
subject = "Welcome, {{ name }}"
html_file = "welcome.html"
text_file = "welcome.txt"
attachments = ["terms.pdf", "invoices/{{ number }}.pdf"]
[message.headers]
List-Unsubscribe = "<https://example.com/u/{{ token }}>"
Sender = "list@example.com"

[delivery]
max_connections = 20
max_messages = 50
rate = "600/min"
depth = 16
max_attempts = 5
retry_after = "500ms"
give_up_after = "1h"
durability = "power"
suppress = ["unsubscribed.csv"]
[delivery.timeouts]
content = "20m"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ca.pem", "welcome.html", "welcome.txt", "terms.pdf", "unsubscribed.csv"):
        (tmp_path / name).write_text("content")
    return tmp_path


@pytest.fixture
def written(folder: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = folder / "campaign.toml"
        path.write_text(text)
        return path

    return write


def floats(*durations: Duration) -> list[float]:
    return [*durations]


def test_defaults_are_the_documented_ones(written: Callable[[str], Path], folder: Path) -> None:
    campaign = load(written(LEAST), environ={})
    assert campaign.directory == folder
    assert campaign.recipients == folder / "recipients.csv"
    assert campaign.results == folder / "results.jsonl"
    assert campaign.recipient_field is None
    (server,) = campaign.servers
    assert server == Server(host="smtp.example.com", port=587, tls="starttls")
    assert campaign.message.from_ == "App <hello@mail.example.com>"
    assert (campaign.message.to, campaign.message.attachments, campaign.message.headers) == (None, (), {})
    delivery = campaign.delivery
    assert (delivery.max_connections, delivery.max_messages, delivery.depth, delivery.max_attempts) == (5, 100, 1, 3)
    assert floats(delivery.retry_after, delivery.give_up_after) == [30, 300]
    assert (delivery.durability, delivery.suppress) == ("process", ())
    timeouts = delivery.timeouts
    minima = floats(timeouts.greeting, timeouts.mail, timeouts.rcpt, timeouts.data, timeouts.content)
    assert minima == [300, 300, 300, 120, 600], "RFC 5321 §4.5.3.2"
    assert floats(timeouts.connect, timeouts.ehlo, timeouts.quit) == [30, 300, 2]
    assert delivery.rate is None


def test_every_key_arrives(written: Callable[[str], Path], folder: Path) -> None:
    campaign = load(written(FULL), environ={"RELAY_USER": "us${X}er", "RELAY_KEY": "secret"})
    assert campaign.recipients == folder / "lists/recipients.csv"
    assert campaign.results == folder / "out.jsonl"
    assert campaign.recipient_field == "address"
    (server,) = campaign.servers
    assert (server.port, server.tls, server.ca_file) == (465, "implicit", folder / "ca.pem")
    assert (server.username, server.password, server.ehlo_name) == ("us${X}er", "key-secret", "mail.example.com")
    message = campaign.message
    assert message.return_path == "bounce+{{ batch.record }}@mail.example.com"
    assert (message.html_file, message.text_file) == (folder / "welcome.html", folder / "welcome.txt")
    assert message.attachments == ("terms.pdf", "invoices/{{ number }}.pdf")
    assert list(message.headers) == ["List-Unsubscribe", "Sender"]
    delivery = campaign.delivery
    assert (delivery.max_connections, delivery.max_messages, delivery.depth, delivery.max_attempts) == (20, 50, 16, 5)
    assert delivery.rate == Rate(600, 60)
    assert delivery.durability == "power"
    assert floats(delivery.retry_after, delivery.give_up_after) == [0.5, 3600]
    assert delivery.suppress == (SuppressionList(file=folder / "unsubscribed.csv"),)
    assert floats(delivery.timeouts.content, delivery.timeouts.mail) == [1200, 300]


def test_a_variable_is_looked_up_for_the_server_and_for_no_template(written: Callable[[str], Path]) -> None:
    """What is in the environment is for relays: a template is copied from anywhere, and would send it to everybody."""
    text = LEAST.replace('text = "', 'text = "${HOME} ')
    assert "${HOME}" in text
    assert (
        load(written(text), environ={"HOME": "/home/somebody"}).message.text
        == load(written(text), environ={}).message.text
    )
    assert (load(written(text), environ={"HOME": "/home/somebody"}).message.text or "").startswith("${HOME}")


def test_credentials_are_not_shown(written: Callable[[str], Path]) -> None:
    campaign = load(written(FULL), environ={"RELAY_USER": "user-4711", "RELAY_KEY": "secret-4711"})
    assert "4711" not in repr(campaign)
    assert "4711" not in repr(campaign.servers[0].password)


def test_credentials_need_not_be_there_where_none_are_used(written: Callable[[str], Path]) -> None:
    (server,) = load(written(FULL), environ={}, resolve_credentials=False).servers
    assert (server.username, server.password) == (None, None)
    assert server.host == "smtp.example.com"


def test_several_servers_keep_their_order(written: Callable[[str], Path]) -> None:
    text = LEAST.replace("[server]", "[[server]]").replace(
        "[message]", '[[server]]\nhost = "127.0.0.1"\nport = 25\ntls = "none"\n[message]'
    )
    servers = load(written(text), environ={}).servers
    assert [(server.host, server.port, server.tls) for server in servers] == [
        ("smtp.example.com", 587, "starttls"),
        ("127.0.0.1", 25, "none"),
    ]


def test_standard_input_is_a_dash(written: Callable[[str], Path]) -> None:
    assert load(written(LEAST.replace("recipients.csv", "-")), environ={}).recipients == "-"


def test_paths_are_relative_to_the_file_and_those_of_options_to_the_current_directory(
    written: Callable[[str], Path],
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = written(LEAST)
    monkeypatch.chdir(elsewhere)
    campaign = load(path, environ={}, overrides=Overrides(recipients="other.jsonl", results="other-results.jsonl"))
    assert (campaign.recipients, campaign.results) == (elsewhere / "other.jsonl", elsewhere / "other-results.jsonl")
    assert load(path, environ={}).recipients == folder / "recipients.csv"
    assert load(path, environ={}, overrides=Overrides(recipients="-")).recipients == "-"


def test_options_take_the_place_of_the_files_values(written: Callable[[str], Path]) -> None:
    overrides = Overrides(max_connections=7, max_messages=8, depth=9, rate="10/s")
    for text in (LEAST, FULL):
        delivery = load(written(text), environ={"RELAY_USER": "u", "RELAY_KEY": "k"}, overrides=overrides).delivery
        assert (delivery.max_connections, delivery.max_messages, delivery.depth) == (7, 8, 9)
        assert delivery.rate == Rate(10, 1)


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("smtp://relay.example.net:2525", "relay.example.net", 2525, "starttls"),
        ("smtp://relay.example.net", "relay.example.net", 587, "starttls"),
        ("smtps://relay.example.net", "relay.example.net", 465, "implicit"),
        ("smtps://relay.example.net:8465/", "relay.example.net", 8465, "implicit"),
        ("smtp://localhost:2525", "localhost", 2525, "none"),
        ("smtp://127.0.0.1:2525", "127.0.0.1", 2525, "none"),
        ("smtp://[::1]:2525", "::1", 2525, "none"),
        ("smtps://localhost:2465", "localhost", 2465, "implicit"),
    ],
)
def test_server_option_says_host_port_and_tls_and_keeps_the_rest(
    written: Callable[[str], Path], url: str, host: str, port: int, tls: str
) -> None:
    environ = {"RELAY_USER": "u", "RELAY_KEY": "k"}
    (server,) = load(written(FULL), environ=environ, overrides=Overrides(server=url)).servers
    assert (server.host, server.port, server.tls, server.username) == (host, port, tls, "u")
    without_server = LEAST.replace('[server]\nhost = "smtp.example.com"\n', "")
    (server,) = load(written(without_server), environ={}, overrides=Overrides(server=url)).servers
    assert (server.host, server.port, server.tls, server.username) == (host, port, tls, None)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("192.0.2.1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", False),
    ],
)
def test_loopback_is_told_by_name_or_address_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_tls_by_default_follows_the_port() -> None:
    assert Server(host="a.example.com", port=465).tls == "implicit"
    assert Server(host="a.example.com", port=25).tls == "starttls"
    assert Server(host="a.example.com", port=465, tls="starttls").tls == "starttls"


@pytest.mark.parametrize(
    ("text", "per_second", "shown"),
    [("100/s", 100, "100/s"), ("600/min", 10, "600/min"), ("5400/h", 1.5, "5400/h"), (" 0.5 / s ", 0.5, "0.5/s")],
)
def test_rate(text: str, per_second: float, shown: str) -> None:
    rate = Rate.parse(text)
    assert (rate.per_second, str(rate)) == (per_second, shown)
    assert Rate.parse(str(rate)) == rate
    assert hash(Rate.parse(str(rate))) == hash(rate)


@pytest.mark.parametrize(
    "text", ["0/s", "-1/s", "1/d", "1", "/s", "1/s/s", "nan/s", "1e3/s", "٣/s", "9" * 400 + "/s", ""]
)
def test_what_is_not_a_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Rate.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1.5s", 1.5), ("5m", 300), ("1h", 3600), ("24h", 86400)]
)
def test_duration(text: str, seconds: float) -> None:
    assert Duration.parse(text) == seconds
    assert isinstance(Duration.parse(text), float)


@pytest.mark.parametrize("text", ["0s", "-1s", "1", "1d", "25h", "1 s s", "inf s", "9" * 400 + "s", ""])
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Duration.parse(text)


@given(st.integers(1, 86_400_000))
def test_a_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    duration = Duration.parse(f"{milliseconds}ms")
    assert Duration.parse(str(duration)) == pytest.approx(duration)


@given(st.text())
def test_a_secret_is_a_text_that_does_not_show_itself(text: str) -> None:
    secret = Secret(text)
    assert secret == text
    assert repr(secret) == repr([secret])[1:-1] == "'********'"


def test_campaign_file_may_be_a_link_with_a_byte_order_mark(folder: Path) -> None:
    (folder / "kept.toml").write_bytes(b"\xef\xbb\xbf" + LEAST.replace("\n", "\r\n").encode())
    (folder / "campaign.toml").symlink_to("kept.toml")
    assert load(folder / "campaign.toml", environ={}).path == Path(folder / "campaign.toml")


def _tables(struct: type[Struct], table: Table) -> Iterator[tuple[Table, type[Struct]]]:
    yield table, struct
    for field in msgspec.structs.fields(struct):
        for inner in _structs(field.type):
            yield from _tables(inner, (*table, field.encode_name))


def _structs(kind: Any) -> Iterator[type[Struct]]:
    """The structs that a type is, or is made of: in an array, with an annotation, or as one of several."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        yield kind
    for part in get_args(kind):
        yield from _structs(part)


def test_the_tables_are_those_of_the_file() -> None:
    assert list(TABLES.items()) == list(_tables(File, ()))
