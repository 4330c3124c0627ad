"""Bounces that lie in a folder of a real Dovecot: read over TLS, kept, marked as seen or moved, and read once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from imapclient import IMAPClient

from batchsend.feedback.imap import PASSWORD
from tests.cli.commandline import invoke
from tests.feedback.letters import RUN, complaint, dsn, letter, lines_of, results_log
from tests.servers.dovecot import Dovecot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers


@pytest.fixture
def dovecot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dovecot]:
    with Dovecot() as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
        monkeypatch.setenv(PASSWORD, server.password)
        yield server


@contextmanager
def client(dovecot: Dovecot) -> Iterator[IMAPClient]:
    with IMAPClient("localhost", port=dovecot.port, ssl=True) as connected:
        connected.login("bounces@mail.example.com", dovecot.password)
        yield connected


def fill(dovecot: Dovecot) -> str:
    """Three messages in the folder Bounces; the URL of it."""
    with client(dovecot) as connected:
        connected.create_folder("Bounces")
        connected.create_folder("Done")
        for octets in (dsn(message_id=f"<{RUN}.1@mail.example.com>"), complaint(), letter("Thank you!")):
            connected.append("Bounces", octets)
    return f"imaps://bounces%40mail.example.com@localhost:{dovecot.port}/Bounces"


def count(dovecot: Dovecot, folder: str, *criteria: str) -> int:
    with client(dovecot) as connected:
        connected.select_folder(folder, readonly=True)
        return len(connected.search(list(criteria) or "ALL"))


def test_what_has_been_kept_is_seen_and_not_read_again(
    dovecot: Dovecot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, results = fill(dovecot), results_log(tmp_path)
    assert invoke(capsys, "feedback", url).code == 0
    assert count(dovecot, "Bounces", "UNSEEN") == 3  # only said: nothing is changed
    ended = invoke(capsys, "feedback", url, "--results", results)
    assert "2  tied to their records" in ended.output, ended.errors
    assert [line["record"] for line in lines_of(tmp_path / "results.feedback.jsonl")] == [1, 3]
    assert count(dovecot, "Bounces", "UNSEEN") == 0
    assert "nothing came back" in invoke(capsys, "feedback", url, "--results", results).output


def test_what_has_been_kept_is_moved_where_it_is_asked_for(
    dovecot: Dovecot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, results = fill(dovecot), results_log(tmp_path)
    assert invoke(capsys, "feedback", url, "--results", results, "--move", "Done").code == 0
    assert (count(dovecot, "Bounces"), count(dovecot, "Done")) == (0, 3)


def test_what_a_server_refuses_is_said(
    dovecot: Dovecot, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fill(dovecot)
    missing = invoke(capsys, "feedback", url.replace("Bounces", "Nowhere"))
    assert (missing.code, "the server refused" in missing.errors) == (2, True)
    monkeypatch.setenv(PASSWORD, "wrong")
    refused = invoke(capsys, "feedback", url)
    assert (refused.code, "the server refused" in refused.errors) == (2, True)
    monkeypatch.delenv("SSL_CERT_FILE")
    untrusted = invoke(capsys, "feedback", url)
    assert (untrusted.code, "certificate" in untrusted.errors) == (3, True)
