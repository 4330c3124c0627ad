"""The feedback log: one JSON line for each report, beside the results log; the same report twice is one line."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from batchsend.errors import RunError, UsageError
from batchsend.feedback.report import FeedbackKind
from batchsend.recipients.feedback import feedback_lines, is_whole
from batchsend.results.line import timestamp
from batchsend.results.reached import Reached

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from batchsend.feedback.report import FeedbackReport

_POLL: Final = 0.05  # seconds between two looks at whether another process has ended

_IDENTIFYING: Final = (
    "record",
    "recipient",
    "kind",
    "enhanced",
    "code",
    "said",
    "reported_by",
    "message_id",
    "time",
)
"""What two lines of one report have in common; where it was read is not among them."""


def as_fields(report: FeedbackReport, *, record: int | None, recipient: str | None, source: str) -> dict[str, Any]:
    """A report as a line of the log has it.

    Args:
        report: The report.
        record: The record that it is tied to, or None.
        recipient: Whom that record was for, or whom the report names.
        source: Where it was read.
    """
    return {
        "record": record,
        "recipient": recipient,
        "kind": report.kind,
        "hard": report.hard,
        "enhanced": report.enhanced,
        "code": report.code,
        "reason": report.reason,
        "said": report.said,
        "reported_by": report.reported_by,
        "message_id": report.message_id,
        "time": None if report.time is None else timestamp(max(report.time, 0.0)),
        "source": source,
    }


class FeedbackLog:
    """A feedback log that is added to, locked while the context lasts.

    A line is whole or it is none: what a killed process has left of one at the end is cut off when the log is opened.
    The context may be entered again and again; then only what others have added in between is read.

    Args:
        path: Its path; it is made where there is none.
        wait: Seconds to wait for another process that is adding to it: a mail system starts one for each message.

    Raises:
        UsageError: On entry: it cannot be opened, or is no feedback log.
        RunError: On entry: another process has been adding to it for longer than that.
    """

    def __init__(self, path: Path, *, wait: float = 60.0) -> None:
        self.path = path
        self._wait = wait
        self._known: set[bytes] = set()
        self._reached = Reached()  # the lines up to there are known
        self._file = -1

    def __enter__(self) -> Self:
        try:
            # Not through a link, which would write to a file elsewhere; not blocking, as a FIFO would.
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._file = os.open(self.path, flags, 0o600)
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            self._lock()
        except OSError as error:
            self._close()
            if error.errno == errno.EWOULDBLOCK:
                raise RunError(
                    f"{self.path}: another process is adding to the feedback log", remedy="wait for its end"
                ) from None
            raise UsageError(
                f"{self.path}: the feedback log cannot be opened: {error.strerror}", remedy="see who may write there"
            ) from None
        try:
            self._learn()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def add(self, lines: list[dict[str, Any]]) -> int:
        """Add what is not there yet, and wait until it is on the disk.

        Returns:
            How many lines were added.

        Raises:
            RunError: The disk does not take them; what was added before is there.
        """
        new: list[bytes] = []
        for fields in lines:
            # As it will be read back: enumerations are text there.
            line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
            identity = _identity(orjson.loads(line))
            if identity not in self._known:
                self._known.add(identity)
                new.append(line)
        try:
            _write(self._file, b"".join(new))
            os.fsync(self._file)
            self._reached.reach(self._file, self._reached.place + sum(map(len, new)))
        except OSError as error:
            self._reached.forget()  # what is known to be there is read anew
            raise RunError(
                f"{self.path}: the feedback log cannot be written: {error.strerror}",
                remedy="make room and read the same sources again: nothing is counted twice",
            ) from None
        return len(new)

    def _lock(self) -> None:
        until = time.monotonic() + self._wait
        while True:
            try:
                return fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno != errno.EWOULDBLOCK or time.monotonic() >= until:
                    raise
            time.sleep(_POLL)

    def _learn(self) -> None:
        """Read what is in the file and not known yet; all of it where another one has taken its place."""
        if not self._reached.look(self._file):
            self._known = set()
        self._known.update(_identity(fields) for fields in feedback_lines(self.path, self._reached.place))
        self._reached.reach(self._file, self._cut_torn_line())

    def _cut_torn_line(self) -> int:
        size = os.fstat(self._file).st_size
        end = size
        while end:
            begin = max(end - 65536, 0)
            found = os.pread(self._file, end - begin, begin).rfind(b"\n")
            if found >= 0:
                end = begin + found + 1
                break
            end = begin
        if end == size:
            return end
        if is_whole(os.pread(self._file, size - end, end)):
            _write(self._file, b"\n")  # somebody's editor has left that out
            return size + 1
        os.ftruncate(self._file, end)
        return end


def _identity(fields: dict[str, Any]) -> bytes:
    if fields.get("kind") == FeedbackKind.UNSUBSCRIBED and fields.get("record") is not None:
        # Whoever wants no more may say so again and again: by a link, by mail, by his provider's button.
        return blake2b(
            orjson.dumps(["unsubscribed", fields["record"], fields.get("recipient")]), digest_size=16
        ).digest()
    return blake2b(orjson.dumps([fields.get(name) for name in _IDENTIFYING]), digest_size=16).digest()


def _write(file: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += os.write(file, data[written:])
