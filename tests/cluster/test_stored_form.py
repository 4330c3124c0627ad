"""How campaigns and records lie in the database: what goes in comes out, and what must not be there is refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend import UsageError
from batchsend.campaign.document import Document
from batchsend.campaign.loader import load_document
from batchsend.cluster.definition import composer, pack, unpack
from batchsend.cluster.lots import Parcel, decode, encode, lot_of
from batchsend.message.verp import VARIABLE, load_key, record_of
from batchsend.recipients import Record
from batchsend.recipients.number_formats import ShownNumber

if TYPE_CHECKING:
    from pathlib import Path

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=4), min_size=1, max_size=5))
def test_records_come_out_of_a_lot_as_they_went_in(rows: list[dict[str, Any]]) -> None:
    parcels = [Parcel(Record(n, n + 1, row), f"r{n}@example.com", None) for n, row in enumerate(rows, 1)]
    assert decode(encode(parcels)) == parcels


def test_a_number_that_is_shown_in_a_format_keeps_its_value() -> None:
    row = {"name": "Ann", "price": ShownNumber.of("1,234.50 €", 1234.5)}
    (parcel,) = decode(encode([Parcel(Record(1, 2, row), "a@example.com", None)]))
    assert parcel.record.fields == row
    assert float(parcel.record.fields["price"]) == 1234.5


def test_lots_are_numbered_from_0_and_records_from_1() -> None:
    assert [lot_of(record, 3) for record in (1, 3, 4, 6, 7)] == [0, 0, 1, 1, 2]


def document(
    tmp_path: Path,
    server: dict[str, Any] | None = None,
    message: dict[str, Any] | None = None,
    delivery: dict[str, Any] | None = None,
) -> Document:
    """The tables of a small campaign."""
    tables = {
        "recipients": "list.csv",
        "server": {"host": "127.0.0.1", "port": 25, "tls": "none", **(server or {})},
        "message": {"from": "a@example.com", "subject": "Hello", "text": "Hello", **(message or {})},
        "delivery": delivery or {},
    }
    return Document(tmp_path / "campaign.toml", json.loads(json.dumps(tables)))


def published(tmp_path: Path, **tables: dict[str, Any]) -> str:
    """What is stored of a campaign."""
    campaign = load_document(document(tmp_path, **tables), resolve_credentials=False)
    return pack(campaign, document(tmp_path, **tables)).definition().decode()


def test_a_variable_is_looked_up_by_the_worker_and_never_stored(tmp_path: Path) -> None:
    stored = published(tmp_path, server={"username": "${WHO}", "password": "${WORD}"})
    folder = tmp_path / "worker"
    folder.mkdir()
    campaign = unpack(stored, {}, folder, keys=None, environ={"WHO": "me", "WORD": "s3cret"})
    assert campaign.servers[0].password == "s3cret"
    assert "s3cret" not in stored
    with pytest.raises(UsageError, match="needs the environment variable WORD"):
        unpack(stored, {}, folder, keys=None, environ={"WHO": "me"})


@pytest.mark.parametrize(
    "server",
    [{"username": "me", "password": "s3cret"}, {"username": "me", "token_command": ["s3cret"]}],
    ids=["password", "program"],
)
def test_what_must_not_be_in_the_database_is_refused(tmp_path: Path, server: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        published(tmp_path, server=server)
    assert "s3cret" not in str(refused.value)


def test_no_worker_runs_a_program_that_the_database_names(tmp_path: Path) -> None:
    stored = json.loads(published(tmp_path))
    stored["server"][0] |= {"username": "me", "token_command": ["touch", str(tmp_path / "ran")]}
    with pytest.raises(UsageError, match="names a program"):
        unpack(json.dumps(stored), {}, tmp_path, keys=None, environ={})


def test_a_worker_needs_no_list_of_whom_not_to_write_to(tmp_path: Path) -> None:
    """They are read when the campaign is published."""
    (tmp_path / "stop.csv").write_text("email\nb@example.com\n")
    (tmp_path / "october.jsonl").write_bytes(b"")
    stored = published(tmp_path, delivery={"suppress": ["stop.csv"], "exclude": ["october.jsonl"]})
    folder = tmp_path / "worker"
    folder.mkdir()
    campaign = unpack(stored, {}, folder, keys=None, environ={})
    assert (campaign.delivery.suppress, campaign.delivery.exclude) == ((), ())


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside", ""])
def test_no_file_from_the_database_is_written_outside_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "worker"
    folder.mkdir()
    with pytest.raises(UsageError, match="the database has a file called"):
        unpack(published(tmp_path), {name: b"x"}, folder, keys=None, environ={})
    assert list(folder.iterdir()) == []


def test_a_file_in_a_folder_lies_there_on_the_worker(tmp_path: Path) -> None:
    folder = tmp_path / "worker"
    folder.mkdir()
    unpack(published(tmp_path), {"pictures/large/logo.png": b"x"}, folder, keys=None, environ={})
    assert (folder / "pictures" / "large" / "logo.png").read_bytes() == b"x"


def test_a_worker_signs_return_paths_with_the_key_that_all_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = {"return_path": "bounces+{{ batch.verp }}@example.com"}
    campaign = load_document(document(tmp_path, message=message), resolve_credentials=False)
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(UsageError, match=f"needs {VARIABLE}"):
        composer(campaign, "run")
    monkeypatch.setenv(VARIABLE, "ab" * 32)
    made = composer(campaign, "run").compose(Record(1, 1, {"email": "a@example.com"}))
    back = made.envelope.reverse_path
    assert back.startswith("bounces+")
    assert record_of([back], ["run"], load_key(tmp_path / "results.jsonl")) == (True, 1)
    assert record_of([back], ["run"], b"") == (True, None)


def test_private_keys_stay_on_the_worker(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "s1.pem"
    key.parent.mkdir()
    key.write_text("a private key")
    signature = {"domain": "example.com", "selector": "s1", "key_file": str(key)}
    stored = published(tmp_path, message={"dkim": signature})
    assert "a private key" not in stored
    assert str(tmp_path) not in stored
    with pytest.raises(UsageError, match=r"needs the private key s1\.pem"):
        unpack(stored, {}, tmp_path, keys=None, environ={})
    campaign = unpack(stored, {}, tmp_path, keys=key.parent, environ={})
    assert campaign.message.dkim[0].key_file == key


def test_a_file_outside_the_folder_is_not_taken_along(tmp_path: Path) -> None:
    folder = tmp_path / "campaign"
    folder.mkdir()
    secret = tmp_path / "secret.txt"
    secret.write_text("x")
    (folder / "link.txt").symlink_to(secret)
    tables = {"message": {"attachments": ["link.txt"]}}
    with pytest.raises(UsageError):
        pack(load_document(document(folder, **tables)), document(folder, **tables))


def test_a_campaign_is_told_from_others_by_its_tables_its_files_and_its_recipients(tmp_path: Path) -> None:
    files = {"body.html": "<p>Hello</p>", "letter.txt": "A letter", "stop.csv": "email\n"}

    def fingerprint(subject: str = "Hello", recipients: str = "a list", **changed: str) -> str:
        for name, text in (files | changed).items():
            (tmp_path / name).write_text(text)
        message = {"subject": subject, "html_file": "body.html", "attachments": ["letter.txt"]}
        campaign = load_document(document(tmp_path, message=message), resolve_credentials=False)
        return pack(campaign, document(tmp_path, message=message)).fingerprint(recipients, [tmp_path / "stop.csv"])

    assert fingerprint() == fingerprint()
    changes = [{"subject": "Goodbye"}, {"recipients": "another list"}, *({name: "Changed"} for name in files)]
    assert len({fingerprint(), *(fingerprint(**change) for change in changes)}) == 1 + len(changes)


def test_a_relay_is_called_by_its_host_and_port_and_a_trace_of_the_users_name(tmp_path: Path) -> None:
    def relay(**server: Any) -> str:
        campaign = load_document(document(tmp_path, server), resolve_credentials=False)
        [name] = pack(campaign, document(tmp_path, server)).relays
        return name

    assert relay() == "127.0.0.1:25"
    one, other = (relay(username=name, password="${WORD}") for name in ("me", "you"))
    assert re.fullmatch(r"127\.0\.0\.1:25 [0-9a-f]{8}", one)
    assert one != other
