"""The results log as users and other programs hold on to it: its lines to the letter, appended, never torn by us."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from batchsend.errors import RunError, UsageError
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.results.claim import Claim, refuse_used
from batchsend.results.lock import open_locked
from batchsend.results.log import ResultsLog
from batchsend.results.reader import read_account
from batchsend.results.run import RecipientsFile, Run, SuppressionFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
RUN = Run(
    id="20261122T070000.0123456789ab",
    started=1795330800.0,
    campaign="/home/a/campaign.toml",
    recipients=RecipientsFile(path="/home/a/recipients.csv", size=12, sha256="ab" * 32),
    version="1.2.3",
)
ACCEPTED = DeliveryResult(
    record=12,
    recipient="b@example.com",
    status=Outcome.ACCEPTED,
    stage=Stage.CONTENT,
    code=250,
    enhanced="2.0.0",
    reply="2.0.0 Ok: queued as 4F2",
    attempt=1,
    session=3,
    message_id="<x.12@example.com>",
    time=1795330800.1239,
    elapsed=0.0123,
)


@contextmanager
def begun(path: Path, run: Run = RUN) -> Iterator[ResultsLog]:
    """Give the log of a new run."""
    with Claim(path) as claim, ResultsLog(path, run, file=claim.hand_over_file(), size=0) as log:
        yield log


def written(path: Path, *results: DeliveryResult) -> list[str]:
    with begun(path) as log:
        for result in results:
            log.append(result)
    return path.read_text().splitlines()


def test_an_outcome_is_a_line_with_these_fields_in_this_order(tmp_path: Path) -> None:
    line = written(tmp_path / "log", ACCEPTED)[1]
    assert line == (
        '{"record":12,"recipient":"b@example.com","status":"accepted","stage":"content","code":250,"enhanced":"2.0.0",'
        '"reply":"2.0.0 Ok: queued as 4F2","reason":null,"attempt":1,"session":3,"message_id":"<x.12@example.com>",'
        '"time":"2026-11-22T07:00:00.123Z","elapsed":0.0123}'
    )


def test_line_is_there_only_where_the_record_is_invalid(tmp_path: Path) -> None:
    invalid = DeliveryResult(record=1, recipient=None, status=Outcome.INVALID, reason="3 fields, not 4", line=7)
    described = json.loads(written(tmp_path / "log", invalid)[1])
    assert described["line"] == 7
    assert [described[name] for name in ("recipient", "stage", "code", "reply", "session", "attempt")] == [
        *[None] * 5,
        0,
    ]
    assert "line" not in json.loads(written(tmp_path / "log2", ACCEPTED)[1])


def test_the_first_line_says_what_run_it_is(tmp_path: Path) -> None:
    first = json.loads(written(tmp_path / "log")[0])
    assert list(first) == ["run"]
    run: dict[str, Any] = first["run"]
    assert run["id"] == RUN.id
    assert run["started"] == "2026-11-22T07:00:00.000Z"
    assert run["campaign"] == RUN.campaign
    assert run["recipients"] == {"path": RUN.recipients.path, "size": 12, "sha256": "ab" * 32}
    assert run["version"] == "1.2.3"
    assert "suppress" not in run


def test_the_first_line_says_which_lists_were_not_written_to(tmp_path: Path) -> None:
    suppressed = replace(RUN, suppress=(SuppressionFile(path="/lists/gone.csv", entries=12),))
    with begun(tmp_path / "log", suppressed):
        pass
    run = json.loads((tmp_path / "log").read_text().splitlines()[0])["run"]
    assert list(run)[-1] == "suppress"
    assert run["suppress"] == [{"path": "/lists/gone.csv", "entries": 12}]
    with (tmp_path / "log").open("rb") as file:
        assert read_account(tmp_path / "log", file.fileno()).run.suppress == suppressed.suppress


@pytest.mark.parametrize("seconds", [0.0, 0.9999, 1.0, 1795330799.9999, 1795330800.0005, 4102444800.5])
def test_times_are_utc_to_the_millisecond_and_never_in_the_future(tmp_path: Path, seconds: float) -> None:
    result = DeliveryResult(record=1, recipient="a@example.com", status=Outcome.ACCEPTED, time=seconds)
    said = json.loads(written(tmp_path / "log", result)[1])["time"]
    assert said.endswith("Z")
    assert 0 <= seconds - datetime.fromisoformat(said).astimezone(UTC).timestamp() < 0.002


def test_whatever_a_server_says_is_one_line_of_json(tmp_path: Path) -> None:
    nasty = 'a\nb\r\x00\x1b[2J\u2028\u0085"\\\U0001f600'
    result = DeliveryResult(record=1, recipient='"a\\"b"@example.com', status=Outcome.REJECTED, reply=nasty)
    (tmp_path / "log").touch()
    lines = written(tmp_path / "log", result)
    octets = (tmp_path / "log").read_bytes()
    assert octets.count(b"\n") == 2
    assert not any(octet < 0x20 and octet != 0x0A for octet in octets)
    assert json.loads(octets.splitlines()[1])["reply"] == nasty
    assert len(lines) >= 2


def test_it_is_private_to_its_owner(tmp_path: Path) -> None:
    written(tmp_path / "log")
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0


def test_lines_are_with_the_kernel_after_each_flush(tmp_path: Path) -> None:
    with begun(tmp_path / "log") as log:
        assert (tmp_path / "log").read_bytes().count(b"\n") == 1, "the run line is not there at once"
        assert log.append(ACCEPTED), "the first one asks for a flush"
        assert not log.append(ACCEPTED), "the second one need not"
        log.flush()
        assert (tmp_path / "log").read_bytes().count(b"\n") == 3
        assert log.append(ACCEPTED)
    assert (tmp_path / "log").read_bytes().count(b"\n") == 4


def test_it_knows_how_long_it_is(tmp_path: Path) -> None:
    with begun(tmp_path / "log") as log:
        for _ in range(2):
            assert log.size == (tmp_path / "log").stat().st_size
            log.require_in_place()
            log.append(ACCEPTED)
            log.flush()


def test_what_others_append_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with begun(tmp_path / "log") as log:
        with (tmp_path / "log").open("ab") as other:
            other.write(b'{"note": "by hand"}\n')
        log.append(ACCEPTED)
    assert [next(iter(json.loads(line))) for line in (tmp_path / "log").read_text().splitlines()] == [
        *("run", "note", "record"),
    ]


@pytest.mark.parametrize("content", [b"x", b'{"run": {}}\n', b"\n"])
def test_a_used_log_is_not_touched(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log").write_bytes(content)
    for attempt in (lambda: refuse_used(tmp_path / "log"), lambda: written(tmp_path / "log")):
        with pytest.raises(UsageError, match="already holds") as caught:
            attempt()
        assert caught.value.remedy == (
            f"go on with that run: batchsend resume {tmp_path / 'log'}, in Python Batch(…, resumption=…); "
            "or keep this one's elsewhere: --results FILE, in Python results=…"
        )
    assert (tmp_path / "log").read_bytes() == content


def test_one_that_is_refused_is_not_locked_any_more(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x")
    with pytest.raises(UsageError, match="already holds"), Claim(tmp_path / "log"):
        pass
    os.close(open_locked(tmp_path / "log", make=False))


def test_what_is_changed_while_the_run_goes_on_is_a_line_at_once(tmp_path: Path) -> None:
    with begun(tmp_path / "log") as log:
        log.append(ACCEPTED)
        log.change({"rate": "2/s", "paused": True}, "key")
        lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert [next(iter(line)) for line in lines] == ["run", "record", "run"], "behind what came before it"
        assert datetime.fromisoformat(lines[2]["run"].pop("changed")).year > 2025
        assert lines[2] == {"run": {"id": RUN.id, "change": {"rate": "2/s", "paused": True}, "by": "key"}}
        assert log.append(ACCEPTED), "the next outcome asks for a flush of its own"


def test_an_empty_or_absent_log_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "absent"):
        refuse_used(tmp_path / name)
        written(tmp_path / name)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("/dev/full"),
        lambda path: path.symlink_to(path),
        os.mkfifo,
    ],
    ids=["directory", "device", "loop", "pipe"],
)
def test_what_cannot_be_a_log_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(tmp_path / "log")
    with pytest.raises(UsageError, match="log"):
        written(tmp_path / "log")


LIMITED = """
import resource, signal, sys
from pathlib import Path
from batchsend.errors import RunError
from tests.results.test_log import ACCEPTED, begun

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, limit = Path(sys.argv[1]), int(sys.argv[2])
with begun(path) as log:
    size = path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + limit, resource.RLIM_INFINITY))
    for _ in range(10):
        log.append(ACCEPTED)
    try:
        log.flush()
    except RunError as error:
        print(error.message)
        print(error.remedy)
    print(path.stat().st_size - size)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log.append(ACCEPTED)
    log.flush()
"""


@pytest.mark.parametrize("limit", [100, *(pytest.param(limit, marks=pytest.mark.slow) for limit in (0, 1, 1000))])
def test_a_write_that_was_cut_short_goes_on_where_it_stopped(tmp_path: Path, limit: int) -> None:
    """The disk takes a part of a line and then nothing; with room again every line is there once, and whole."""
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "log", str(limit)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    assert ran.stderr == ""
    message, remedy, taken = ran.stdout.splitlines()
    assert message == f"{tmp_path}/log: the results log cannot be written: {os.strerror(errno.EFBIG)}"
    assert "room" in remedy
    assert int(taken) == limit
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 1 + 11
    assert all(json.loads(line)["record"] == 12 for line in lines[1:])


def test_a_disk_without_room_for_the_first_line(tmp_path: Path) -> None:
    """On a file system of its own, where this machine lets us make one."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    script = (
        f"mount -t tmpfs -o size=4k none {tmp_path} && dd if=/dev/zero of={tmp_path}/fill bs=4k count=1 2>&1 && exec"
    )
    code = "from tests.results.test_log import *; written(Path(sys.argv[1]))"
    ran = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{script} "$@"', "sh", sys.executable, "-c", code, tmp_path / "log"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    if "mount" in ran.stderr:
        pytest.skip(f"no file system of our own here: {ran.stderr.strip()}")
    assert RunError.__name__ in ran.stderr
    assert os.strerror(errno.ENOSPC) in ran.stderr
