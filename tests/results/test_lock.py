"""Two runs on one log refuse each other, by whatever name; the lock of a dead process does not count."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import UsageError
from batchsend.results.lock import not_openable, open_locked, open_to_read
from tests.results.account import open_files

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, pathlib
from batchsend.results.lock import open_locked
open_locked(pathlib.Path(sys.argv[1]), make=True)
print("locked", flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.mark.parametrize(("number", "remedy"), [(errno.EACCES, f"{os.geteuid()} write in"), (errno.ENOENT, "exists")])
def test_what_is_to_be_done_fits_why_it_cannot_be_opened(number: int, remedy: str, tmp_path: Path) -> None:
    """A container or a service often runs as somebody who may not write in the campaign's folder."""
    error = not_openable(tmp_path / "results.jsonl", OSError(number, os.strerror(number)))
    assert remedy in (error.remedy or "")


def test_another_process_is_refused_and_told_who_is_at_work_until_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "results.jsonl"
    (tmp_path / "symbolic").symlink_to(log)
    others = [open_locked(tmp_path / name, make=True) for name in ("before", "before, too")]
    with hold(log) as holder:
        others += [open_locked(tmp_path / name, make=True) for name in ("after", "after, too")]
        (tmp_path / "hard").hardlink_to(log)
        for name in ("results.jsonl", "symbolic", "hard"):
            with pytest.raises(UsageError, match=rf"{name}: process {holder.pid} is at work on it"):
                open_locked(tmp_path / name, make=True)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        os.close(open_locked(log, make=True))
    for file in others:
        os.close(file)


def test_a_second_run_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    log = tmp_path / "results.jsonl"
    file = open_locked(log, make=True)
    with pytest.raises(UsageError, match="at work on it"):
        open_locked(log, make=False)
    os.close(file)
    os.close(open_locked(log, make=False))


def test_a_log_that_was_replaced_meanwhile_is_not_locked_in_its_stead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "results.jsonl"
    opened = os.open
    replaced: list[Path] = []

    def open_and_replace(path: Path, *arguments: int) -> int:
        file = opened(path, *arguments)
        if not replaced:
            replaced.append(log.rename(tmp_path / "moved"))
        return file

    monkeypatch.setattr(os, "open", open_and_replace)
    file = open_locked(log, make=True)
    assert os.path.samestat(os.fstat(file), log.stat())
    os.close(open_locked(tmp_path / "moved", make=False))  # its lock was given back
    os.close(file)


@pytest.mark.parametrize("kind", ["directory", "fifo", "device"])
def test_what_cannot_be_read_back_is_no_log(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "results.jsonl"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    with pytest.raises(UsageError, match=r"results\.jsonl"):
        open_locked(path, make=True)


def test_a_log_that_is_not_there_and_one_that_cannot_be_opened_are_told_apart(tmp_path: Path) -> None:
    """Who resumes has named another file; who sends needs a folder, and of a link to itself nobody makes a log."""
    missing, loop = tmp_path / "gone" / "results.jsonl", tmp_path / "loop"
    loop.symlink_to(loop)
    before = open_files()
    for path, make, said in (
        (missing, False, f"^{missing}: there is no such results log\nname the results log of the run"),
        (missing, True, f"^{missing}: the results log cannot be opened: {os.strerror(errno.ENOENT)}\nname another"),
        (loop, False, f"^{loop}: the results log cannot be opened: {os.strerror(errno.ELOOP)}\n"),
        (loop, True, f"^{loop}: the results log cannot be opened: {os.strerror(errno.ELOOP)}\n"),
    ):
        with pytest.raises(UsageError, match=said):
            open_locked(path, make=make)
    assert open_files() == before


def test_a_log_that_is_read_is_nobodys_to_write_and_others_may_read_it(tmp_path: Path) -> None:
    log = tmp_path / "results.jsonl"
    log.touch()
    before = open_files()
    with open_to_read(log), open_to_read(log), pytest.raises(UsageError, match="at work on it"):
        open_locked(log, make=False)
    writer = open_locked(log, make=False)
    with (
        pytest.raises(UsageError, match=f"process {os.getpid()} is at work on it\nwait for its end$"),
        open_to_read(log),
    ):
        pytest.fail("it was opened")
    os.close(writer)
    assert open_files() == before
