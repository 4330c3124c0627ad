"""SIGINT and SIGTERM in mid-run: nothing new is sent, every reply is awaited, and the log agrees with the server."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.servers.command import CampaignFolder
from tests.servers.delivered import delivered
from tests.servers.relay_tables import credentials, plain, starttls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.postfix import Postfix

_COUNT = 10_000
_WITHIN = 60.0


def _wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a file that a running process writes has more than so many lines."""
    deadline = time.monotonic() + _WITHIN
    while not path.exists() or path.read_bytes().count(b"\n") <= count:
        try:
            process.wait(0.005)
        except subprocess.TimeoutExpired:
            assert time.monotonic() < deadline, f"{path} does not grow"
        else:
            pytest.fail("the run has ended before the signal")


@pytest.mark.parametrize(
    ("number", "code", "depth"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 1), (signal.SIGINT, 130, 16)]
)
def test_a_signal_ends_the_run_in_order(
    tmp_path: Path, postfix: Postfix, number: signal.Signals, code: int, depth: int
) -> None:
    folder = CampaignFolder(tmp_path, credentials(postfix))
    addresses = "".join(f"r{record}@example.com\n" for record in range(_COUNT))
    (tmp_path / "recipients.csv").write_text("email\n" + addresses)
    folder.write(
        top={"recipients": "recipients.csv", "results": "results.jsonl"},
        server=starttls(postfix) if depth == 1 else plain(postfix.plain_port),
        message={"from": "a@mail.example.com", "subject": "Record {{ batch.record }}", "text": "{{ email }}\n" * 50},
        delivery={"max_connections": 10, "depth": depth},
    )

    with folder.start() as process:
        _wait_for_lines(folder.results, 500, process)
        process.send_signal(number)
        ended = folder.wait(process)

    assert (ended.code, ended.output) == (code, ""), ended.errors
    account = folder.account()
    messages = delivered(account, postfix.received())
    assert 500 <= len(messages) < _COUNT
    assert account.records("accepted") == account.by_record().keys(), "0 in doubt, 0 deferred"
    assert account.records("accepted") == set(range(1, len(messages) + 1)), "what was begun was ended"
    assert f"{number.name}: nothing new is sent, replies are awaited" in ended.errors
    assert f"{len(messages):,} records in " in ended.errors
    assert f"  accepted {len(messages):,}\n" in ended.errors
    assert str(folder.results) in ended.errors
