"""What real servers pass on still bears signatures that verify, for dkimpy and for OpenDKIM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers import opendkim
from tests.servers.command import CampaignFolder
from tests.servers.delivered import delivered
from tests.servers.relay_tables import credentials, plain, starttls
from tests.tools.dkim_verifier import by_ed25519, by_rsa, published, verdicts, write_keys

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.servers.exim import Exim
    from tests.servers.postfix import Postfix
    from tests.servers.relay import Relay

COUNT = 12
RECORDS = published([by_rsa(), by_ed25519()])
MESSAGE = {
    "from": "Grüße <hello@mail.example.com>",
    "to": "{{ name }} <{{ email }}>",
    "subject": "For {{ name }}, {{ name }}, {{ name }} and nobody else in the whole wide world",
    "html": "<p>\t{{ name }}  \r\n\r\n &amp; {{ note }}</p>\n",
    "text": ".\n..\nFrom {{ name }}  \n\t{{ note }}\n\n\n",
    "headers": {
        "List-Unsubscribe": "<https://example.com/u/{{ batch.record }}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    },
}
NAMES = ("Ada", "Zoë Ångström", "Юлия Щербакова", "山田 太郎", "José 👩‍👩‍👧‍👦", "Smith, John")


def _send(folder: Path, relay: Relay, server: dict[str, Any], environment: dict[str, str] | None = None) -> list[bytes]:
    """Send a signed campaign through a relay.

    Returns:
        The messages as it passed them on, with the fields that it put above.
    """
    rows = [f'r{n}@example.com,"{NAMES[n % len(NAMES)]}",{"é" * n}' for n in range(COUNT)]
    (folder / "recipients.csv").write_text("\n".join(["email,name,note", *rows]) + "\n")
    campaign = CampaignFolder(folder, environment)
    headers = MESSAGE["headers"]
    assert isinstance(headers, dict)
    message = {name: value for name, value in MESSAGE.items() if name != "headers"}
    top = {"recipients": "recipients.csv", "results": "results.jsonl"}
    campaign.write(top=top, server=server, message=message, **{"message.headers": headers})
    with campaign.campaign.open("a") as file:
        file.write(write_keys(folder, [by_rsa(), by_ed25519()]))
    ended = campaign.send()
    assert ended.code == 0, ended.errors
    messages = delivered(campaign.account(), relay.received())
    assert len(messages) == COUNT
    return [stored.content for stored in messages.values()]


def _check(folder: Path, messages: list[bytes]) -> None:
    (folder / "opendkim").mkdir()
    assert [verdicts(message, RECORDS) for message in messages] == [[True, True]] * COUNT
    assert opendkim.verify(folder / "opendkim", messages, RECORDS) == [{"rsa": "pass", "ed25519": "pass"}] * COUNT


def test_signatures_outlive_postfix(tmp_path: Path, postfix: Postfix) -> None:
    _check(tmp_path, _send(tmp_path, postfix, starttls(postfix), credentials(postfix)))


def test_signatures_outlive_exim(tmp_path: Path, exim: Exim) -> None:
    _check(tmp_path, _send(tmp_path, exim, plain(exim.plain_port)))


def test_opendkim_sees_what_was_changed(tmp_path: Path, exim: Exim) -> None:
    messages = _send(tmp_path, exim, plain(exim.plain_port))
    changes = (
        (b"Subject: ", b"Subject: Re: "),
        (b"One-Click", b"Two-Click"),
        (b"\r\n\r\n", b"\r\n\r\nmore"),
        (b"From: ", b"From: x@example.com\r\nFrom: "),
        (b"To: ", b"List-Unsubscribe: <https://example.net>\r\nTo: "),
    )
    changed = [messages[0].replace(old, new, 1) for old, new in changes]
    (tmp_path / "opendkim").mkdir()
    said = opendkim.verify(tmp_path / "opendkim", changed, RECORDS)
    assert said == [{"rsa": "fail", "ed25519": "fail"}] * len(changes)
