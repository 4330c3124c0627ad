"""Presets: a well-known relay by its name, and the caution about port 25."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from batchsend.campaign import Campaign, Overrides, Rate, Server, load, server_warnings
from batchsend.campaign.presets import PRESETS
from batchsend.errors import UsageError
from batchsend.run.batch import Batch
from batchsend.sender.sender import Sender

if TYPE_CHECKING:
    from pathlib import Path

ENVIRON = {"USER": "us", "KEY": "k3y"}


def campaign(folder: Path, server: str, *, delivery: str = "", overrides: Overrides | None = None) -> Campaign:
    path = folder / "campaign.toml"
    path.write_text(
        f'recipients = "r.csv"\n[server]\n{server}\n[message]\nfrom = "a@example.com"\nsubject = "S"\ntext = "T"\n'
        f"[delivery]\n{delivery}\n"
    )
    return load(path, environ=ENVIRON, overrides=overrides)


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_makes_a_campaign_that_loads(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    (server,) = campaign(tmp_path, f'preset = "{name}"\nusername = "${{USER}}"\npassword = "${{KEY}}"').servers
    assert (server.host, server.port) == (preset.host, preset.port)
    assert server.tls == ("implicit" if preset.port == 465 else "starttls"), (
        "a relay of the Internet is spoken to by TLS"
    )
    assert (server.username, server.password) == ("us", "k3y"), "what the file says wins"
    assert preset.rate is None or Rate.parse(preset.rate).per_second > 0


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_preset_says_is_fit_to_print(name: str) -> None:
    preset = PRESETS[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert re.fullmatch(r"[a-z0-9.-]+\.(com|net|org)", preset.host)
    assert {preset.port, preset.other_port} <= {587, 465, None}
    assert preset.port != preset.other_port
    assert not (preset.same and preset.username), "a key that is both is no fixed username"
    assert preset.title
    assert preset.credentials


@pytest.mark.parametrize(
    ("server", "username"),
    [
        ('preset = "sendgrid"\npassword = "${KEY}"', "apikey"),
        ('preset = "resend"\npassword = "${KEY}"', "resend"),
        ('preset = "sparkpost"\npassword = "${KEY}"', "SMTP_Injection"),
        ('preset = "nexuspromail"\npassword = "${KEY}"', "k3y"),
        ('preset = "nexuspromail"\nusername = "${KEY}"', "k3y"),
        ('preset = "postmark"\npassword = "${KEY}"', "k3y"),
        ('preset = "mailgun-eu"\nusername = "${USER}"\npassword = "${KEY}"', "us"),
    ],
)
def test_a_preset_knows_how_the_key_goes_in(server: str, username: str, tmp_path: Path) -> None:
    (found,) = campaign(tmp_path, server).servers
    assert (found.username, found.password) == (username, "k3y")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if n % 8 else name for n, name in enumerate(PRESETS)]
)
@pytest.mark.parametrize(
    "given",
    [
        {"username": "us", "password": "k3y"},
        {"password": "k3y"},
        {"username": "k3y"},
        {"username": "us", "token": "t0ken"},
        {"username": "us", "password": "k3y", "port": 587},
        {"username": "us", "password": "k3y", "port": 465},
        {"username": "us", "password": "k3y", "port": 465, "tls": "starttls", "name": "main", "rate": "1/min"},
        {"username": "us", "password": "k3y", "host": "relay.example.com"},
        {"password": "k3y", "host": "127.0.0.1", "port": 2525, "tls": "none"},
    ],
    ids=" ".join,
)
def test_a_server_made_in_code_is_what_a_campaign_file_has(name: str, given: dict[str, Any], tmp_path: Path) -> None:
    written = "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())
    refused = ""
    try:
        loaded = campaign(tmp_path, f'preset = "{name}"\n{written}')
    except UsageError as error:
        refused = error.message
    if refused:
        with pytest.raises(UsageError) as caught:
            Sender(Server(preset=name, **given))
        assert caught.value.message.partition(".")[2].split()[0] in refused
        return
    made = Server(preset=name, **given)
    # The only relay of a file has its limit for the whole campaign.
    assert made == replace(loaded.servers[0], rate=loaded.servers[0].rate or loaded.delivery.rate)
    unset: dict[str, Any] = dict.fromkeys(("host", "username", "password", "token", "rate"))
    assert Server(preset=name, **{**unset, **given}) == made
    assert replace(made, username=None, password=None, token=None).username is None, "as for the sandbox"


@pytest.mark.parametrize(
    ("given", "said", "remedy"),
    [
        ({"preset": "sendgrid"}, "Server.password is missing", "SendGrid: the password is an API key"),
        ({"preset": "sendgird", "password": "k"}, "Server.preset is 'sendgird'", "did you mean sendgrid?"),
        ({"preset": 5}, "Server.preset is 5", "expected the name of a preset: batchsend presets lists them"),
        (
            {"preset": "sendgrid", "password": "k", "port": 0},
            "Server.port is 0",
            "expected a port number from 1 to 65535",
        ),
    ],
)
def test_what_is_wrong_with_one_made_in_code_is_said_of_it(given: dict[str, Any], said: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        Server(**given)
    assert (caught.value.message, caught.value.remedy) == (said, remedy)


def test_nexuspromail_on_both_ports(tmp_path: Path) -> None:
    for line, port, tls in (("", 587, "starttls"), ("port = 465", 465, "implicit")):
        (server,) = campaign(tmp_path, f'preset = "nexuspromail"\npassword = "${{KEY}}"\n{line}').servers
        assert (server.host, server.port, server.tls) == ("smtp.nexuspromail.com", port, tls)


def test_a_key_of_the_file_or_an_option_wins(tmp_path: Path) -> None:
    given = 'preset = "sendgrid"\nhost = "relay.example.com"\nusername = "me"\npassword = "${KEY}"'
    (server,) = campaign(tmp_path, given).servers
    assert (server.host, server.username) == ("relay.example.com", "me")
    elsewhere = Overrides(server="smtp://127.0.0.1:2525")
    sent = campaign(tmp_path, 'preset = "office365"\nusername = "u"\npassword = "${KEY}"', overrides=elsewhere)
    assert (sent.servers[0].host, sent.servers[0].port, sent.servers[0].tls) == ("127.0.0.1", 2525, "none")
    assert sent.delivery.rate is None, "the limit is that of a relay which is not used"


def test_a_rate_that_the_relay_documents_is_kept_unless_the_campaign_has_its_own(tmp_path: Path) -> None:
    server = 'preset = "office365"\nusername = "u"\npassword = "${KEY}"'
    assert campaign(tmp_path, server).delivery.rate == Rate(30, 60)
    assert campaign(tmp_path, server, delivery='rate = "10/min"').delivery.rate == Rate(10, 60)
    assert campaign(tmp_path, server, overrides=Overrides(rate="1/s")).delivery.rate == Rate(1, 1)
    in_the_sandbox = load(tmp_path / "campaign.toml", environ={}, resolve_credentials=False)
    assert in_the_sandbox.delivery.rate is None, "the relay is not asked"


def test_a_preset_without_credentials_says_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        campaign(tmp_path, 'preset = "sendgrid"')
    assert error.value.message.endswith("campaign.toml: [server] password is missing")
    assert error.value.remedy == "SendGrid: the password is an API key"
    assert campaign(tmp_path, 'preset = "google-workspace"').servers[0].username is None


def test_each_of_several_servers_may_be_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text(
        'recipients = "r.csv"\n[[server]]\nhost = "a.example.com"\n[[server]]\npreset = "resend"\npassword = "${KEY}"\n'
        '[message]\nfrom = "a@example.com"\nsubject = "S"\ntext = "T"\n'
    )
    first, second = (loaded := load(path, environ=ENVIRON)).servers
    assert (first.host, second.host, second.username) == ("a.example.com", "smtp.resend.com", "resend")
    assert loaded.delivery.rate is None
    path.write_text(path.read_text().replace("resend", "resent"))
    with pytest.raises(UsageError, match=r'\[\[server\]\] #2 preset = "resent"\ndid you mean resend\?'):
        load(path, environ=ENVIRON)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Server(host="smtp.example.com", port=25), "port 25 of a public relay"),
        (Server(host="8.8.8.8", port=25), "port 25 of a public relay"),
        (Server(host="relay.internal", port=25, username="u", password="p"), "credentials on port 25"),
        (Server(host="relay.internal", port=25), None),
        (Server(host="postfix", port=25), None),
        (Server(host="10.0.0.1", port=25), None),
        (Server(host="127.0.0.1", port=25, username="u", password="p"), None),
        (Server(host="smtp.example.com", port=587, username="u", password="p"), None),
    ],
)
def test_port_25_is_cautioned_about(server: Server, said: str | None) -> None:
    told = list(server_warnings([server]))
    assert len(told) == (said is not None)
    for line in told:
        assert line.startswith(f"{server.host}: {said}")
        assert "587" in line
        assert "465" in line


async def test_the_caution_is_said_once_at_the_start_of_a_run(tmp_path: Path) -> None:
    """Nobody is written to here: the run ends before a session is opened."""
    (tmp_path / "r.csv").write_text("email\n")
    said: list[str] = []
    await Batch(campaign(tmp_path, 'host = "smtp.example.com"\nport = 25'), notice=said.append).run()
    assert sum("port 25 of a public relay" in one for one in said) == 1
