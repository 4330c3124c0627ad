"""Composed messages are signed as they will be sent, for a domain that may speak for From."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchsend
from batchsend import Batch, Outcome
from batchsend.campaign import Dkim, Message
from batchsend.errors import RecordError, UsageError
from batchsend.message.composer import Composer
from batchsend.recipients import Record
from batchsend.sink import Received, Sink, SinkOptions
from tests.tools.dkim_verifier import DOMAIN, by_ed25519, by_rsa, published, verdicts, write_keys

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = published([by_rsa(), by_ed25519()])
BASIC: dict[str, Any] = {
    "from_": "App <hello@mail.example.com>",
    "subject": "Hello {{ name }}",
    "text": "Hi {{ name }}\n",
}
RICH: dict[str, Any] = {
    **BASIC,
    "to": '"{{ name }}" <{{ email }}>',
    "reply_to": "{{ name }} <desk@example.com>",
    "html": "<p>\t{{ name }}  \n\n{{ note }}</p>",
    "text": "{{ note }}",
    "headers": {
        "List-Unsubscribe": "<https://example.com/u/{{ batch.record }}>, <mailto:leave@example.com>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Id": "<news.example.com>",
        "X-Tag": "{{ name }}",
    },
}
GUARD = 20.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a key of each kind."""
    folder = tmp_path_factory.mktemp("keys")
    write_keys(folder, [by_rsa(), by_ed25519()])
    return folder


def dkim(keys: Path, selector: str = "ed25519", domain: str = DOMAIN) -> Dkim:
    return Dkim(domain=domain, selector=selector, key_file=keys / selector)


def composer(folder: Path, *signatures: Dkim, **message: Any) -> Composer:
    return Composer(Message(**{**BASIC, **message}, dkim=signatures), directory=folder, batch_id="b1")


def compose(composer: Composer, **fields: str) -> bytes:
    record = Record(7, 8, {"email": "ann@example.com", "name": "Ann", "note": "Dear reader\n", **fields})
    submission = composer.compose(record)
    assert all(len(line) <= 998 for line in submission.content.split(b"\r\n"))
    return submission.content


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"html": "<p>{{ name }}</p>"},
        {"text": "Grüße, {{ name }}\n" * 20, "html": "<p>Grüße</p>"},
        {"text": None, "html": "<p>" + "x" * 3000 + "</p>"},
        {"text": "\t tabs \t\n\n  and blanks  \n\n\n\n"},
        {"text": ""},
        {"attachments": ("terms.pdf", "{{ batch.record }}.txt")},
        RICH,
    ],
    ids=["text", "html", "encoded", "base64", "blanks", "empty", "attachments", "rich"],
)
def test_every_structure_verifies(tmp_path: Path, keys: Path, message: dict[str, Any]) -> None:
    (tmp_path / "terms.pdf").write_bytes(os.urandom(1000))
    (tmp_path / "7.txt").write_text("seven \n\n\n")
    content = compose(composer(tmp_path, dkim(keys, "rsa"), dkim(keys), **message), name="Jörg  Ünser", note="é\n" * 99)
    assert content.startswith(b"DKIM-Signature: ")
    assert content.isascii(), "a relay that takes no octets above 127 would have to change the message"
    assert verdicts(content, RECORDS) == [True, True]


def test_a_local_part_in_another_script_verifies_too(tmp_path: Path, keys: Path) -> None:
    content = compose(composer(tmp_path, dkim(keys)), email="jörg@example.com")
    assert "To: jörg@example.com".encode() in content
    assert verdicts(content, RECORDS) == [True]


def test_a_message_from_elsewhere_is_signed_anew(tmp_path: Path, keys: Path) -> None:
    (tmp_path / "saved.eml").write_bytes(
        b"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=x; h=from; bh=; b=\r\n"
        b"From: App <hello@mail.example.com>\r\nSubject: Hello {{ name }}\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        + "Grüße, {{ name }} \t\r\n\r\n".encode()
    )
    message = Message(eml_file=tmp_path / "saved.eml", dkim=(dkim(keys, "rsa"), dkim(keys)))
    content = compose(Composer(message, directory=tmp_path, batch_id="b1"))
    assert content.isascii()
    assert verdicts(content, RECORDS) == [True, True]


def test_the_unsubscribing_pair_is_signed(tmp_path: Path, keys: Path) -> None:
    """RFC 8058 §4."""
    content = compose(composer(tmp_path, dkim(keys), **RICH))
    signature = content[: content.index(b"\r\nDate:")].replace(b"\r\n ", b"")
    assert b":list-unsubscribe:list-unsubscribe:list-unsubscribe-post:list-unsubscribe-post:" in signature
    for old, new in ((b"/u/7", b"/u/8"), (b"One-Click", b"Two-Click")):
        assert verdicts(content.replace(old, new), RECORDS) == [False]


def test_without_the_table_nothing_is_signed(tmp_path: Path) -> None:
    assert b"DKIM-Signature" not in compose(composer(tmp_path))


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]) | st.just("\n"), max_size=60)
ONE_LINE = TEXT.map(lambda text: text.replace("\n", " "))


@pytest.fixture(scope="module")
def rich(keys: Path) -> Composer:
    """Return a composer of messages with everything in them that is signed."""
    return composer(keys, dkim(keys), **RICH)


@settings(deadline=None)
@given(name=ONE_LINE, note=TEXT, place=st.integers(min_value=0))
def test_whatever_a_record_holds_its_message_verifies_until_it_is_changed(
    rich: Composer, name: str, note: str, place: int
) -> None:
    content = compose(rich, name=name, note=note)
    assert verdicts(content, RECORDS) == [True]
    start = content.index(b"\r\n\r\n") + 4
    letters = [at for at in range(start, len(content)) if content[at] > ord(" ")]
    at = letters[place % len(letters)]
    changed = content[:at] + bytes([content[at] ^ 1 or 1]) + content[at + 1 :]
    if changed[at] > ord(" "):
        assert verdicts(changed, RECORDS) == [False]
    for field in (b"From: x@example.com\r\n", b"Subject: x\r\n", b"List-Unsubscribe: <https://example.net>\r\n"):
        assert verdicts(field + content, RECORDS) == [False]


def test_a_domain_that_cannot_speak_for_from_is_a_mistake_of_the_campaign(tmp_path: Path, keys: Path) -> None:
    with pytest.raises(UsageError, match=r"message\.dkim: header From is of mail\.example\.com, and .* example\.net"):
        composer(tmp_path, dkim(keys, domain="example.net"))
    composer(tmp_path, dkim(keys, domain="example.net"), dkim(keys, domain="example.com"))


def test_where_records_bring_from_it_is_a_mistake_of_theirs(tmp_path: Path, keys: Path) -> None:
    made = composer(tmp_path, dkim(keys), from_="{{ name }} <{{ name }}@{{ note }}>")
    assert verdicts(compose(made, note="mail.example.com"), RECORDS) == [True]
    with pytest.raises(RecordError, match=r"header From is of mail\.example\.org"):
        compose(made, note="mail.example.org")


def test_a_key_that_cannot_be_used_is_told_before_anything_is_composed(tmp_path: Path) -> None:
    (tmp_path / "ed25519").write_text("no key")
    (tmp_path / "ed25519").chmod(0o600)
    with pytest.raises(UsageError, match="holds no private key"):
        composer(tmp_path, dkim(tmp_path))


async def test_what_a_server_receives_verifies(tmp_path: Path) -> None:
    (tmp_path / "recipients.csv").write_text(
        "email,name,note\n" + "".join(f"r{n}@example.com,Jörg {n},.\n" for n in range(1, 21))
    )
    received: list[Received] = []
    async with Sink(SinkOptions(), on_message=received.append) as sink:
        (tmp_path / "campaign.toml").write_text(
            f'recipients = "recipients.csv"\n[server]\nhost = "{sink.hosts[0]}"\nport = {sink.port}\ntls = "none"\n'
            '[message]\nfrom = "App <hello@mail.example.com>"\nsubject = "For {{ name }}"\n'
            'text = """\n.\n..two\n\tHello {{ name }}  \n{{ note }}\n\n\n"""\n'
            + write_keys(tmp_path, [by_rsa(), by_ed25519()])
        )
        with anyio.fail_after(GUARD):
            summary = await Batch(batchsend.load(tmp_path / "campaign.toml")).run()
    assert +summary.counts == {Outcome.ACCEPTED: 20}
    assert [verdicts(message.content, RECORDS) for message in received] == [[True, True]] * 20
