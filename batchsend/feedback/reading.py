"""Reading what came back, and keeping it: from sources to the feedback log and the list of whom not to write to."""

from __future__ import annotations

import csv
import os
from contextlib import ExitStack
from hashlib import sha256
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batchsend.errors import RunError, UsageError
from batchsend.feedback.log import as_fields
from batchsend.feedback.report import LOGGED, FeedbackReport
from batchsend.feedback.sources import messages
from batchsend.feedback.tying import Tie, tie
from batchsend.feedback.understanding import understand
from batchsend.recipients.feedback import feedback_lines, suppressed
from batchsend.recipients.suppression import Suppression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_AT_ONCE: Final = 10_000  # reports that are tied by one reading of the results log
_MOST_WAITING: Final = 10_000  # messages on a server that wait to be marked


class CameBack(NamedTuple):
    """One report, and the record that it is tied to.

    Attributes:
        file: Where it was read.
        report: What it says.
        tie: What it is tied to; None where no results log was named.
    """

    file: str
    report: FeedbackReport
    tie: Tie | None

    def fields(self) -> dict[str, Any]:
        """The report as a line of the feedback log has it."""
        record = None if self.tie is None else self.tie.record
        recipient = self.report.recipient if record is None or self.tie is None else self.tie.recipient
        return as_fields(self.report, record=record, recipient=recipient, source=self.file)

    def to_json(self) -> dict[str, Any]:
        """The report as ``--json`` prints it."""
        line = self.fields()
        record, _ = line.pop("record"), line.pop("source")
        return {"file": self.file, **line, **({} if record is None else {"record": record})}

    @property
    def is_logged(self) -> bool:
        """Whether the feedback log has reports of this kind."""
        return self.report.kind in LOGGED


def come_back(
    sources: Iterable[str], *, results: Path | None = None, keep: Path | None = None, move: str | None = None
) -> Iterator[list[CameBack]]:
    """What came back, some thousands of reports at a time.

    Who asks for the next ones says by it that the ones before are kept: only then are their messages marked as seen, or
    moved, where they are on a server and a results log was named.

    Args:
        sources: See `batchsend.feedback.sources.messages`.
        results: The results log that the reports are tied to, or None.
        keep: A folder that the messages are copied to as they are, each under a name made of its content, or None.
        move: The folder on an IMAP server that a message goes to when it is done, or None.

    Raises:
        UsageError: A source or the results log cannot be read, or the extra ``feedback`` is not installed.
        RunError: The folder does not take the messages, or a server cannot be reached.
    """
    understood: list[tuple[str, FeedbackReport]] = []
    waiting: list[Callable[[], None]] = []
    with ExitStack() as stack:
        for mail in messages(sources, stack, move=move, mark=results is not None):
            if keep is not None:
                _keep(keep, mail.octets)
            understood += [(mail.file, report) for report in understand(mail.octets)]
            if mail.done is not None:
                waiting.append(mail.done)
            if len(understood) >= _AT_ONCE or len(waiting) >= _MOST_WAITING:
                yield _tied(understood, results)
                for done in waiting:
                    done()
                understood, waiting = [], []
        yield _tied(understood, results)
        for done in waiting:
            done()


def _tied(understood: list[tuple[str, FeedbackReport]], results: Path | None) -> list[CameBack]:
    ties: Iterable[Tie | None] = [None] * len(understood)
    if results is not None:
        ties = tie([report for _, report in understood], results)
    return [CameBack(file, report, tied) for (file, report), tied in zip(understood, ties, strict=True)]


def _keep(folder: Path, octets: bytes) -> None:
    path = folder / f"{sha256(octets).hexdigest()[:32]}.eml"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as kept:
            kept.write(octets)
    except FileExistsError:
        return  # this very message is there already
    except OSError as error:
        raise RunError(
            f"{path}: the message cannot be kept: {error.strerror}", remedy="see what is wrong with the folder"
        ) from None


def grow_list(path: Path, log: Path) -> int:
    """Add to a suppression list whom a feedback log suppresses and who is not in it yet.

    Args:
        path: A CSV file with the columns ``email`` and ``reason``; it is made where there is none.
        log: The feedback log.

    Returns:
        How many addresses were added.

    Raises:
        UsageError: The list cannot be read, or the log.
        RunError: The list cannot be written.
    """
    there = path.exists()
    known = Suppression.read([path]) if there else Suppression()
    rows = StringIO(newline="")
    writer = csv.writer(rows, lineterminator="\n")
    added = [one for one in suppressed(feedback_lines(log)) if one[0] not in known]
    writer.writerows(added)
    try:
        # Private where it is made, as the log is, and not through a link then: the name may be one that others chose.
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        made = 0 if there else os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags | made, 0o600), "a+b") as file:
            begin = b"" if there else b"email,reason\n"
            if there and file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                begin = b"" if file.read(1) == b"\n" else b"\n"
            file.write(begin + rows.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(
            f"{path}: the suppression list cannot be written: {error.strerror}", remedy="see who may write there"
        ) from None
    return len(added)


def require_results(results: Path | None, option: str) -> None:
    """Refuse what needs a results log where none is named.

    Raises:
        UsageError: None is.
    """
    if results is None:
        raise UsageError(f"{option} needs the results log that reports are tied to", remedy="name it: --results FILE")
