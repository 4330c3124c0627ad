"""Signed return paths: whose key made them is told, and who has not got the key cannot make one."""

from __future__ import annotations

import random
import stat
from typing import TYPE_CHECKING

import pytest

from batchsend.campaign import Message
from batchsend.errors import RecordError, UsageError
from batchsend.message import Composer
from batchsend.message.verp import VARIABLE, Verp, key_file, load_key, make_key, record_of
from batchsend.recipients import Record

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20261127T080000.abcdef012345"
KEY = bytes(range(32))
VERP = Verp(RUN, lambda: KEY)


def address(token: str) -> str:
    return f"bounce+{token}@mail.example.com"


def test_a_token_comes_back_as_its_record_whatever_the_case() -> None:
    for record in (1, 42, 999_999_999):
        token = VERP.token(record)
        assert len(address(token).partition("@")[0]) <= 64  # RFC 5321 §4.5.3.1.1
        for written in (token, token.upper()):
            assert record_of(["x@example.org", address(written)], ["other", RUN], KEY) == (True, record)


def test_ten_thousand_forged_ones_are_of_no_record() -> None:
    generator = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    genuine = VERP.token(7)
    number, tag, mac = genuine.split("-")
    for _ in range(10_000):
        forged = "".join(generator.choices(letters, k=16))
        assert record_of([address(f"{number}-{tag}-{forged}")], [RUN], KEY) == (True, None)
    for record in range(1, 1000):
        assert (record_of([address(f"{record}-{tag}-{mac}")], [RUN], KEY)[1] is not None) is (record == 7)


def test_another_key_another_run_and_no_key_are_foreign() -> None:
    genuine = address(VERP.token(7))
    assert record_of([genuine], [RUN], bytes(32)) == (True, None)
    assert record_of([genuine], ["another run"], KEY) == (True, None)
    assert record_of([genuine], [RUN], None) == (True, None)
    assert record_of(["bounce@mail.example.com"], [RUN], KEY) == (False, None)


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    log = tmp_path / "results.jsonl"
    assert load_key(log) is None
    key = make_key(log)
    assert make_key(log) == load_key(log) == key
    assert stat.S_IMODE(key_file(log).stat().st_mode) == 0o600


def test_the_environment_has_the_key_where_it_is_not_to_lie_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "results.jsonl"
    monkeypatch.setenv(VARIABLE, "a long text that nobody guesses")
    assert make_key(log) == load_key(tmp_path / "another.jsonl")
    assert not key_file(log).exists()
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(UsageError, match="has fewer than 16 characters"):
        load_key(log)


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "results.jsonl"
    key_file(log).write_text("not a key\n")
    with pytest.raises(UsageError, match="not a key"):
        make_key(log)


def compose(return_path: str, tmp_path: Path, verp: Verp | None) -> str:
    message = Message(from_="news@mail.example.com", subject="s", text="t", return_path=return_path)
    composer = Composer(message, directory=tmp_path, batch_id=RUN, verp=verp)
    return composer.compose(Record(3, 4, {"email": "anna@example.org"})).envelope.reverse_path


def test_a_return_path_is_signed_for_its_record(tmp_path: Path) -> None:
    reverse_path = compose("bounce+{{ batch.verp }}@mail.example.com", tmp_path, VERP)
    assert record_of([reverse_path], [RUN], KEY) == (True, 3)
    looked_at = compose("bounce+{{ batch.verp }}@mail.example.com", tmp_path, None)
    assert record_of([looked_at], [RUN], KEY) == (True, None)


@pytest.mark.parametrize("template", ["{{ batch._verp }}", "{{ batch['_verp'] }}", "{{ batch|attr('_verp') }}"])
def test_no_template_gets_at_the_key(tmp_path: Path, template: str) -> None:
    with pytest.raises(RecordError):
        compose(template + "@mail.example.com", tmp_path, VERP)
