"""What somebody else has put in the place of a file that is to be made: it is refused or replaced, never followed.

In a folder that others may write in, a link could have a file of its owner's written over, or one made where it does
harm; a FIFO could hold a run up, or hand what is written to whoever made it.
"""

from __future__ import annotations

import os
import signal
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import BatchsendError, UsageError
from batchsend.events.cursor import Cursor, locked, write_cursor
from batchsend.feedback.log import FeedbackLog
from batchsend.feedback.reading import grow_list
from batchsend.message.verp import make_key
from batchsend.results.beside import make_anew
from batchsend.results.format import opened
from batchsend.results.lock import open_locked
from batchsend.results.messages import MessageList
from batchsend.trace import Trace
from tests.feedback.letters import results_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

PRECIOUS = b"whoever writes over this has followed the link\n"


def nobody_else_may(paths: Iterable[Path]) -> None:
    """Fail where anybody but its owner may do anything with a file or a folder."""
    modes = {path.name: stat.filemode(path.lstat().st_mode) for path in paths if path.lstat().st_mode & 0o077}
    assert modes == {}


def _log(folder: Path) -> None:
    os.close(open_locked(folder / "results.jsonl", make=True))


def _feedback(folder: Path) -> None:
    with FeedbackLog(folder / "results.feedback.jsonl", wait=0.0):
        pass


def _cursor(folder: Path) -> None:
    write_cursor(folder / "cursor", Cursor())


def _lock(folder: Path) -> None:
    with locked(folder / "cursor"):
        pass


def _list(folder: Path) -> None:
    results_log(folder)
    (folder / "results.feedback.jsonl").touch()
    grow_list(folder / "gone.csv", folder / "results.feedback.jsonl")


def _trace(folder: Path) -> None:
    with Trace(folder / "trace") as trace:
        trace.next_session("x").close("x")


MADE: dict[str, tuple[Callable[[Path], object], str]] = {
    "the results log": (_log, "results.jsonl"),
    "the key": (lambda folder: make_key(folder / "results.jsonl"), "results.jsonl.key"),
    "the list of messages": (
        lambda folder: MessageList(folder / "results.jsonl", new=True).__exit__(None, None, None),
        "results.messages.jsonl",
    ),
    "a file beside the log": (lambda folder: os.close(make_anew(folder / "results.jsonl.new")), "results.jsonl.new"),
    "the feedback log": (_feedback, "results.feedback.jsonl"),
    "the cursor of the events, as it is written": (_cursor, "cursor.new"),
    "the lock of the events": (_lock, "cursor.lock"),
    "a list that grows": (_list, "gone.csv"),
    "a trace": (_trace, "trace"),
}
"""For each file that is made: what makes it in a folder, and its name."""


@pytest.mark.parametrize("what", MADE)
def test_it_is_private_whatever_the_umask(what: str, tmp_path: Path) -> None:
    make, _ = MADE[what]
    before = os.umask(0)
    try:
        make(tmp_path)
    finally:
        os.umask(before)
    nobody_else_may([tmp_path / "gone.csv"] if what == "a list that grows" else tmp_path.iterdir())


@pytest.mark.parametrize("what", MADE)
@pytest.mark.parametrize("is_there", [True, False], ids=["to a file", "to nowhere"])
def test_a_link_in_its_place_leads_nowhere(what: str, is_there: bool, tmp_path: Path) -> None:
    make, name = MADE[what]
    (folder := tmp_path / "shared").mkdir()
    target = tmp_path / "precious"
    if is_there:
        target.write_bytes(PRECIOUS)
    (folder / name).symlink_to(target)
    with suppress(BatchsendError, OSError):
        make(folder)
    assert (target.read_bytes() if target.exists() else None) == (PRECIOUS if is_there else None)


@pytest.mark.parametrize("what", sorted(MADE.keys() - {"a list that grows", "a trace"}))  # those name what they like
def test_a_fifo_in_its_place_holds_nobody_up_and_gets_nothing(what: str, tmp_path: Path) -> None:
    make, name = MADE[what]
    os.mkfifo(tmp_path / name)
    with an_end(), suppress(BatchsendError, OSError):
        make(tmp_path)
    if not (tmp_path / name).is_fifo():
        return  # it was replaced
    reader = os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with suppress(BatchsendError, OSError), an_end():
            make(tmp_path)
        with suppress(BlockingIOError):
            assert os.read(reader, 100) == b""
    finally:
        os.close(reader)


def test_a_fifo_is_read_by_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "results.jsonl")
    with an_end(), pytest.raises(UsageError, match="it is not a regular file"), opened(tmp_path / "results.jsonl"):
        pytest.fail("it was opened")


@contextmanager
def an_end() -> Iterator[None]:
    """Fail where what is done in the context waits for the other end of the FIFO."""

    def wait_no_longer(*_: object) -> None:
        pytest.fail("it waits for the other end")

    before = signal.signal(signal.SIGALRM, wait_no_longer)
    signal.alarm(10)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_what_takes_the_place_of_a_file_that_was_left_behind_is_private_as_well(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl.new").touch(mode=0o666)
    before = os.umask(0)
    try:
        os.close(make_anew(tmp_path / "results.jsonl.new"))
    finally:
        os.umask(before)
    nobody_else_may(tmp_path.iterdir())
