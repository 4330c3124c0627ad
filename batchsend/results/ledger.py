"""The account of a run while it goes on: results log and in-flight journal, and the order in which they are written."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from batchsend.errors import RunError
from batchsend.outcome import Outcome
from batchsend.results.claim import Claim, let_go
from batchsend.results.journal import Journal
from batchsend.results.line import end_line, run_line
from batchsend.results.lock import leave_to_parent
from batchsend.results.log import ResultsLog
from batchsend.results.syncpoint import SyncPoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from batchsend.outcome import DeliveryResult
    from batchsend.results.resumption import Resumption
    from batchsend.results.run import Change, Run


class Ledger:
    """Keeps the account, so that it can be read back whatever ends the process. A context manager.

    The order is what counts: a message is in the journal before it is committed; its outcome is in the journal before
    its line is written; it leaves the journal when the line is with the kernel. Until the journal is in its place, and
    the run line in the log, nothing is sent.

    Args:
        path: The results log.
        run: What its run line says.
        capacity: How many messages may be committed and not in the log yet; the journal grows beyond.
        resumption: The run that this one goes on with, or None for a new one.
        claim: The log of a new run, where it is locked already.
        durable: The disk is waited for, too: a message leaves the journal when its line is on the disk, which
            `begin_sync` and `synced` bring about; entry and `end` wait for it themselves.
        also: Gives another descriptor of a further file that is brought to the disk with it; None for none.

    Raises:
        UsageError: On entry: log or journal cannot be made, or another run is at work on them.
        RunError: On entry: there is no room for the journal or the run line.
    """

    def __init__(
        self,
        path: Path,
        run: Run,
        *,
        capacity: int,
        resumption: Resumption | None = None,
        claim: Claim | None = None,
        durable: bool = False,
        also: Callable[[], int] | None = None,
    ) -> None:
        self._path = path
        self._run = run
        self._capacity = capacity
        self._resumption = resumption
        self._claim = claim
        self._durable = durable
        self._also = also
        self._unwritten: list[int] = []
        self._unsynced: list[int] = []
        self._point: SyncPoint | None = None
        self._ended = False

    def __enter__(self) -> Self:
        past = self._resumption
        if past is not None:
            self._open(past.hand_over_file(), past.account.size)
        elif self._claim is not None:
            self._open(self._claim.hand_over_file(), 0)
        else:
            with Claim(self._path) as claim:
                self._open(claim.hand_over_file(), 0)
        return self

    def _open(self, file: int, size: int) -> None:
        """Make the journal and write the run line.

        Args:
            file: The log's descriptor, which this takes over.
            size: The octets of it that are kept.
        """
        past = self._resumption
        try:
            if past is None:
                os.ftruncate(file, 0)  # it may hold the lines of a run that sent nothing
            self._journal = Journal(
                self._path,
                self._run.id,
                self._capacity,
                past.in_flight if past is not None else (),
                log_size=size,
                durable=self._durable,
                resumes=past is not None,
                set_aside=past is not None and past.distrusted,
            )
        except BaseException as error:
            self._give_up(file, error)
            raise
        self._log = ResultsLog(self._path, self._run, file=file, size=size)
        try:
            self._log.__enter__()
            if self._durable:
                # The names are on the disk: the journal has waited for its folder, where the log was already.
                self._sync_all()
                self._sync_all()  # now the journal also knows how much of the log is on the disk
        except BaseException as error:
            # A new run has sent nothing, and its journal is of no use; one that has entries is still wanted.
            with suppress(RunError):
                self._journal.close(remove=past is None)
            self._give_up(file, error)
            raise
        self._journal.release((), self._log.size)

    def _give_up(self, file: int, error: BaseException) -> None:
        """Close the log of a run that has not begun.

        A new one says there that it came to its end before anything was sent, or nothing at all if that cannot be
        written: so `resume` goes on with it once what went wrong is put right, and `send` begins anew.
        """
        if self._resumption is None:
            with suppress(OSError):
                os.ftruncate(file, 0)
                if isinstance(error, RunError):
                    lines = run_line(self._run)
                    lines += end_line(self._run.id, ended=time.time(), stopped=error.message, learned={})
                    if os.write(file, lines) < len(lines):
                        os.ftruncate(file, 0)
        let_go(self._path, file)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The log's lock goes last: whoever has it finds no journal that is locked yet.
        try:
            try:
                self._log.flush()
            finally:
                self._journal.close(remove=self._ended)
        finally:
            self._log.__exit__(kind, error, traceback)

    def commit(self, record: int, attempt: int) -> None:
        """Take down that a message is about to be committed: the octets that do it may be sent when this returns.

        Raises:
            RunError: It could not be taken down; they must not be sent.
        """
        self._journal.mark(record, attempt)

    def append(self, result: DeliveryResult) -> bool:
        """Take down an outcome; true if it is the first one since the last `flush`, so a flush is due."""
        status = result.status
        # An outcome that is taken back has left the journal already, and has to stand there again; a later attempt that
        # is under way keeps its place.
        if status is Outcome.IN_DOUBT:
            self._journal.mark_again(result.record, result.attempt)
        self._journal.answer(result.record, result.attempt, status, result.code)
        self._unwritten.append(result.record)
        return self._log.append(result)

    def flush(self) -> None:
        """Hand the outcomes to the kernel, and, where that is enough, let the journal forget their messages.

        Raises:
            RunError: They could not be written; the next flush tries again.
        """
        self._log.flush()
        if self._durable:
            self._unsynced += self._unwritten
        else:
            self._journal.release(self._unwritten, self._log.size)
        self._unwritten.clear()

    def change(self, change: Mapping[str, Change], by: str) -> None:
        """Take down what somebody has changed while the run goes on, after the outcomes that came before it.

        Args:
            change: What, by the name of the option that would set it; or ``paused``.
            by: By which way.

        Raises:
            RunError: It could not be written; the next flush tries again.
        """
        self._log.change(change, by)

    def begin_sync(self) -> SyncPoint:
        """What is to be brought to the disk now; `synced` is told when it is there.

        Raises:
            RunError: There are too many open files.
        """
        if self._point is not None:
            self._unsynced += self._point.records  # it was given up
        files: list[int] = []
        try:
            files.append(os.dup(self._log.file))
            files.append(self._journal.duplicate())
            if self._also is not None:
                files.append(self._also())
        except OSError as error:
            for file in files:
                os.close(file)
            raise RunError(
                f"{self._path}: the account cannot be brought to the disk: {error.strerror}",
                remedy="let it have more open files: ulimit -n 1024",
            ) from None
        self._point = SyncPoint(self._path, tuple(files), self._unsynced, self._log.size)
        self._unsynced = []
        return self._point

    def synced(self, point: SyncPoint) -> None:
        """What is in the log up to this point is on the disk: let the journal forget its messages."""
        self._point = None
        self._journal.release(point.records, point.log_size)

    def _sync_all(self) -> None:
        if self._point is not None and self._point.error is not None:
            raise self._point.error
        with self.begin_sync() as point:
            point.sync()
        self.synced(point)

    def withdraw(self, record: int, attempt: int) -> None:
        """A message that was taken down as about to be committed was not: the server has said that it took nothing."""
        self._journal.withdraw(record, attempt)

    def end(self, stopped: str | None, learned: Mapping[str, float]) -> None:
        """Every message that was committed has its outcome: write everything down, and that there is no more.

        The journal goes with the context.

        Args:
            stopped: Why the run ended before all records were done, or None.
            learned: What the server has shown it allows, by the name of the option that would set it.

        Raises:
            RunError: It could not be written: the journal stays, and names what the log does not. Or it is not where
                it was.
        """
        self.flush()
        self._log.end(stopped, learned)
        if self._durable:
            self._sync_all()
        try:
            self._log.require_in_place()
        except RunError:
            if self._log.put_back():
                self._ended = True
                raise RunError(
                    f"{self._path}: the results log was removed while the run went on, and is written anew",
                    remedy="see what removes it",
                ) from None
            # Where the log was moved, all of it is there. Where it was cut short, the journal knows how long it was.
            self._ended = self._log.is_whole
            if not self._ended:
                self._journal.renew(self._log.size)
            raise
        self._ended = True

    def look(self) -> None:
        """Check that nobody has moved, replaced, removed or written to log and journal since; some looks at the disk.

        Raises:
            RunError: It has happened: nothing more may be sent, for its account would be lost.
        """
        self._log.require_in_place()
        self._journal.require_kept()

    def leave_to_parent(self) -> None:
        """In a child process, after a fork: let go of the files, which are the parent's, and of their locks with them.

        Raises:
            OSError: There are too many open files.
        """
        syncing = () if self._point is None else self._point.files
        leave_to_parent(self._log.file, *syncing)
        self._journal.leave_to_parent()

    def __repr__(self) -> str:
        return f"<Ledger {self._path}, {len(self._unwritten)} outcomes to be written>"
