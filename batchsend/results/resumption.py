"""Going on with a run: what its log and its journal say together, and what is left to send."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path  # noqa: TC003 - get_type_hints looks for it
from types import TracebackType  # noqa: TC003 - likewise
from typing import TYPE_CHECKING, Final, Self

from batchsend import figures
from batchsend.errors import UsageError, require, require_path
from batchsend.outcome import Outcome
from batchsend.patterns import late_pattern
from batchsend.results.choice import Choice
from batchsend.results.format import OutcomeLine
from batchsend.results.journal import NOT_KNOWN, Entry, JournalError, journal_path, read_journal
from batchsend.results.lock import open_locked
from batchsend.results.reader import RunAccount, read_account
from batchsend.results.tally import MAX_ATTEMPTS, lengthen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from batchsend.results.journal import LeftBehind
    from batchsend.results.tally import Tally

_TORN_RECORD: Final = late_pattern(rb'\{"record":([1-9][0-9]{0,8}),')
_TORN_STATUS: Final = late_pattern(rb'"status":"([a-z_]+)"')


class Resumption:
    """A run that ended before its work was done, locked for the one that goes on with it. A context manager.

    >>> campaign = load("campaign.toml")
    >>> send(campaign, limit=1).counts[Outcome.ACCEPTED]
    1
    >>> with Resumption(campaign.results, Choice()) as past:
    ...     summary = asyncio.run(Batch(campaign, resumption=past).run())
    >>> summary.counts[Outcome.ACCEPTED], summary.complete
    (1, True)

    Args:
        path: The results log.
        choice: Which records to send again.
        accept_duplicates: Go on although it cannot be known what was in flight when the run was killed.

    Attributes:
        path: The results log.
        account: What the log says; its tally also counts `in_flight`.
        in_flight: What the journal knows and the log does not: answered or in doubt, to be written to the log.
        counts: The records by outcome, ``in_flight`` included.
        distrusted: There is a journal, and what it says was not believed.

    Raises:
        TypeError: An argument is of a wrong type.
        UsageError: No file can be called ``path``. On entry: the log cannot be read or another run is at work on it; or
            what was in flight cannot be known, and duplicates are not accepted.
    """

    def __init__(self, path: Path | str, choice: Choice, *, accept_duplicates: bool = False) -> None:
        self.path: Path = require_path(path, "path")
        require(choice, "choice", Choice)
        require(accept_duplicates, "accept_duplicates", bool)
        self.in_flight: list[Entry] = []
        self.counts: Counter[Outcome] = Counter()
        self.distrusted: bool = False
        self._choice = choice
        self._accept_duplicates = accept_duplicates
        self._with_code = bytearray()  # of each record: whether its last outcome has a code that is asked for
        self._file: int | None = None

    def __enter__(self) -> Self:
        self._file = file = open_locked(self.path, make=False)
        try:
            visit = self._look_at_codes if self._choice.asks_for_codes else None
            left = self._journal()
            self.account: RunAccount = read_beside(self.path, file, left, visit=visit)
            tally = self.account.tally
            self.in_flight = news(self._left_behind(left, file), tally)
            for entry in self.in_flight:
                tally.note(entry.record, entry.status or Outcome.IN_DOUBT, entry.attempt)
                if visit is not None:
                    visit(OutcomeLine(record=entry.record, code=entry.code), 0)  # its line is still to be written
            self.counts = tally.counts()
        except BaseException:
            os.close(self.hand_over_file())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self.hand_over_file())

    @property
    def is_open(self) -> bool:
        """Whether its log is open and locked, and nobody has taken that over yet."""
        return self._file is not None

    def hand_over_file(self) -> int:
        """The log's descriptor, locked; it is the caller's to close.

        Raises:
            UsageError: It is not open, or was handed over before.
        """
        if self._file is None:
            raise not_open()
        file, self._file = self._file, None
        return file

    def sends(self, status: Outcome) -> bool:
        """Whether records with this outcome are sent again.

        Raises:
            TypeError: It is no outcome.
        """
        return require(status, "status", Outcome) in self._choice.statuses

    def next_attempt(self, record: int) -> int:
        """The number of the attempt that a record is to be sent with; 0 if it is not to be sent.

        Raises:
            TypeError: It is no number.
            UsageError: The log was not opened yet.
        """
        try:
            tally = self.account.tally
            status = tally.status(record)
        except (TypeError, AttributeError):  # looked into only then: this is asked of each record
            self._look_into(record)
            raise
        if status is None or status in self._choice.statuses or self._has_code(record, status):
            return min(tally.attempts(record) + 1, MAX_ATTEMPTS)
        return 0

    def was_offered(self, record: int) -> bool:
        """Whether a record was for an address that it counts as written to.

        Raises:
            TypeError: It is no number.
            UsageError: The log was not opened yet.
        """
        try:
            status = self.account.tally.status(record)
        except (TypeError, AttributeError):
            self._look_into(record)
            raise
        return status is not None and status.was_offered

    def _look_into(self, record: int) -> None:
        require(record, "record", int)
        if not hasattr(self, "account"):
            raise not_open() from None

    def _has_code(self, record: int, status: Outcome) -> bool:
        return status is Outcome.REJECTED and record < len(self._with_code) and bool(self._with_code[record])

    def _look_at_codes(self, line: OutcomeLine, _: int) -> None:
        if line.record >= len(self._with_code):
            lengthen(self._with_code, line.record)
        self._with_code[line.record] = self._choice.has_code(line)

    # --- what was in flight -----------------------------------------------------------------------------------------

    def _journal(self) -> LeftBehind | JournalError | None:
        try:
            return read_journal(self.path)
        except JournalError as error:
            return error

    def _left_behind(self, left: LeftBehind | JournalError | None, file: int) -> list[Entry]:
        """The journal's entries; where it cannot be believed, what the torn line says, if that is to be enough."""
        try:
            return believed(self.path, self.account, left)
        except JournalError:
            if not self._accept_duplicates:
                raise
            self.distrusted = left is not None
            return self._torn(file)

    def _torn(self, file: int) -> list[Entry]:
        """The record of a torn line is in doubt, unless the line still says that it was not accepted."""
        account = self.account
        line = os.pread(file, account.torn, account.size)
        record, status = _TORN_RECORD.match(line), _TORN_STATUS.search(line)
        if record is None or (status is not None and status[1] not in (b"accepted", b"in_doubt")):
            return []
        number = int(record[1])
        return [Entry(number, min(account.tally.attempts(number) + 1, MAX_ATTEMPTS))]


def not_open() -> UsageError:
    """The error for a resumption that is used outside its ``with``, or a second time."""
    return UsageError(
        "resumption is not open, or another Batch has taken it over",
        remedy="with Resumption(…) as past: Batch(…, resumption=past)",
    )


def read_beside(
    path: Path,
    file: int,
    left: LeftBehind | JournalError | None,
    *,
    visit: Callable[[OutcomeLine, int], None] | None = None,
) -> RunAccount:
    """Read a log, and look whether the journal that was found beside it can be its last run's.

    Args:
        path: What to call it.
        file: Its descriptor.
        left: What the journal says, or why it cannot be read; None where there is none.
        visit: Is given each outcome, and where its line begins.

    Raises:
        UsageError: It is not a results log.
        RunError: It cannot be read further.
    """
    found = None if isinstance(left, JournalError) else left
    return read_account(
        path,
        file,
        visit=visit,
        sound=sound_octets(found),
        since=None if found is None or found.rebooted else found.log_size,
        covered=() if found is None else {entry.record for entry in found.entries},
    )


def believed(path: Path, account: RunAccount, left: LeftBehind | JournalError | None) -> list[Entry]:
    """What was in flight or just answered when the last run of a log ended, according to its journal.

    Args:
        path: The log.
        account: What it says, by `read_beside`.
        left: What the journal says, as given there.

    Raises:
        JournalError: That cannot be known: the journal is missing, damaged, older, or another run's, or the log is not
            as long as it was.
    """
    if isinstance(left, JournalError):
        raise left
    if left is None:
        if not account.ended:
            raise _unknown(f"{journal_path(path)} is missing, and the run was killed")
        return []
    if left.run != account.run.id:
        raise _unknown(f"{journal_path(path)} is the journal of another run ({left.run})")
    # With the end of its run in the log, nothing is in flight. The run removes its journal then; this one is a copy
    # that was put in its place meanwhile.
    is_over = account.ended and not left.rebooted and left.begun == account.begun
    # A run's line is written after its journal is made; until then, the line of the run before is the last one.
    is_older = left.begun is not None and left.begun not in (account.begun, account.size)
    if is_older or (account.uncovered is not None and not is_over):
        raise _unknown(f"{journal_path(path)} is an older journal of the run: its log has gone on since")
    missing = left.log_size - account.size - account.torn
    if missing > 0:
        raise _unknown(f"{path} is {figures.count(missing, 'octet')} shorter than it was: outcomes are lost at its end")
    if left.rebooted and not left.durable and not account.ended:
        raise _unknown(f"{path}: the machine went down after the run, and its last outcomes may be lost")
    return [] if is_over else left.entries


def news(entries: Iterable[Entry], tally: Tally) -> list[Entry]:
    """The entries of a journal that say what the log does not say yet."""
    return [entry for entry in entries if _is_news(entry, tally)]


def _is_news(entry: Entry, tally: Tally) -> bool:
    if entry.status is None:
        # Outcomes are in the journal before they are in the log; on the disk that may be otherwise.
        final = tally.status(entry.record) in (Outcome.ACCEPTED, Outcome.REJECTED)
        return not final or entry.attempt > tally.attempts(entry.record)
    return entry.attempt > tally.attempts(entry.record) or entry.status is not tally.status(entry.record)


def sound_octets(left: LeftBehind | JournalError | None) -> int | None:
    """How much of the log is certainly as it was written; None for all of it.

    Where the machine went down, what had not been waited for may be there, or be holes, in any order: of the log, and
    of the journal, whose record of the log's size may be an old one. What such lines said of messages that were sent is
    in the journal; what else they said was of messages that were not.
    """
    if left is None or isinstance(left, JournalError) or not (left.rebooted and left.durable):
        return None
    return left.log_size


def _unknown(what: str) -> JournalError:
    return JournalError(f"{what}: which messages were in flight cannot be known", remedy=NOT_KNOWN)
