"""``--trace FILE``: what is said in each session, from every command that opens one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchsend.sink import Sink, SinkOptions
from batchsend.trace import sections
from tests.cli.commandline import complaint, invoke, make_campaign, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

LOGIN = 'username = "somebody"\npassword = "correct horse"'
A_LOGIN = "AUTH PLAIN"


@pytest.fixture
def url() -> Iterator[str]:
    with serving(Sink(SinkOptions())) as sink:
        yield f"smtp://127.0.0.1:{sink.port}"


def test_send_writes_every_session_and_resume_the_ones_after(tmp_path: Path, url: str, capsys: Capture) -> None:
    campaign, trace = make_campaign(tmp_path, server=LOGIN), tmp_path / "trace"
    where = ("--server", url, "--max-connections", "1")
    assert invoke(capsys, "send", campaign, *where, "--limit", "2", "--max-messages", "1", "--trace", trace).code == 0
    found = sections(trace.read_text())
    assert sorted(found) == [1, 2]
    for number, text in found.items():
        assert f"# session {number}, with {url.removeprefix('smtp://')}" in text
        assert f"\nC: {A_LOGIN}\n" in text
        assert text.count("C: RCPT TO:<") == 1
        assert "C: QUIT" in text
    assert "correct horse" not in trace.read_text()
    assert "Hello" not in trace.read_text()
    again = tmp_path / "again"
    assert invoke(capsys, "resume", tmp_path / "results.jsonl", "--trace", again).code == 0
    assert sections(again.read_text())[1].count("C: RCPT TO:<c@example.com>") == 1


def test_a_test_to_oneself_is_traced(tmp_path: Path, url: str, capsys: Capture) -> None:
    campaign, trace = make_campaign(tmp_path), tmp_path / "trace"
    assert invoke(capsys, "send", campaign, "--server", url, "--to", "me@example.com", "--trace", trace).code == 0
    assert sections(trace.read_text())[1].count("C: RCPT TO:<me@example.com>") == 1


def test_check_writes_its_sessions_which_send_nothing(tmp_path: Path, url: str, capsys: Capture) -> None:
    campaign, trace = make_campaign(tmp_path, server=LOGIN), tmp_path / "trace"
    invoke(capsys, "check", campaign, "--server", url, "--resolver", "127.0.0.1:1", "--trace", trace)
    text = sections(trace.read_text())[1]
    assert f"\nC: {A_LOGIN}\n" in text
    assert text.count("C: NOOP") == 5
    assert text.rstrip().endswith("# the connection is closed")
    assert "C: MAIL" not in text


def test_bench_writes_what_it_measures_with(tmp_path: Path, capsys: Capture) -> None:
    trace = tmp_path / "trace"
    grid = ("--max-connections", "1", "--depth", "1", "--messages", "20")
    assert invoke(capsys, "bench", *grid, "--trace", trace).code == 0
    assert trace.read_text().count("C: RCPT TO:<") == 20


def test_nothing_is_sent_where_the_trace_cannot_be_kept(tmp_path: Path, url: str, capsys: Capture) -> None:
    campaign, trace = make_campaign(tmp_path), tmp_path / "trace"
    trace.write_text("somebody's\n")
    refused = invoke(capsys, "send", campaign, "--server", url, "--trace", trace)
    assert "the trace cannot be written to" in complaint(refused)
    assert trace.read_text() == "somebody's\n"
    assert not (tmp_path / "results.jsonl").exists()


def test_a_trace_that_could_not_be_written_to_its_end_is_told_of(tmp_path: Path, url: str, capsys: Capture) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    sent = invoke(capsys, "send", make_campaign(tmp_path), "--server", url, "--trace", full)
    assert sent.code == 0
    assert "the trace is not whole: No space left on device" in sent.errors
