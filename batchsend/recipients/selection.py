"""A results log as a recipients file: which of its lines are records to be sent to."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, Literal, Self

from batchsend.errors import RunError, UsageError
from batchsend.recipients.kinds import is_results_log
from batchsend.recipients.original import Original, continued, original_of
from batchsend.recipients.reader import open_recipients
from batchsend.results.choice import Choice
from batchsend.results.format import opened
from batchsend.results.reader import read_account
from batchsend.results.way_on import way_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchsend.campaign import Campaign
    from batchsend.recipients.reader import RecordReader
    from batchsend.results.format import OutcomeLine
    from batchsend.results.run import RecipientsFile, Run

_START: Final = 4096


class Selection:
    """The lines of a results log that are wanted: of each record the last one, if its outcome is among those asked for.

    An octet a line; and, where the list is known that the log is the account of, eight a record.

    Attributes:
        run: The log's run.
        original: That list, in whose records' numbers the wanted ones are then known; None where it is not known.
    """

    run: Run

    def __init__(self) -> None:
        self._wanted = bytearray()
        self.original: Original | None = None

    @classmethod
    def of(cls, log: Path, choice: Choice) -> Self:
        """Read a log.

        Raises:
            UsageError: It is no results log, or cannot be read.
        """
        selection = cls()
        last = array("Q")  # the last line of each record
        wanted = selection._wanted

        def visit(line: OutcomeLine, number: int) -> None:
            if line.record >= len(last):
                last.frombytes(bytes(last.itemsize * (line.record * 5 // 4 + 1024 - len(last))))
            if number >= len(wanted):
                wanted.extend(bytes(number * 5 // 4 + 1024 - len(wanted)))
            if before := last[line.record]:
                wanted[before] = 0
            last[line.record] = number
            wanted[number] = choice.wants(line)

        with opened(log) as file:
            selection.run = read_account(log, file, visit=visit).run
        return selection

    def has_line(self, line: int) -> bool:
        """Whether a line of the log is wanted."""
        return line < len(self._wanted) and bool(self._wanted[line])

    def __contains__(self, record: int) -> bool:
        return self.has_line(record) if self.original is None else record in self.original

    def first_attempt(self, record: int) -> int:
        """1 for a record that is wanted, 0 for any other."""
        return int(record in self)

    def join(
        self, campaign: Campaign, before: RecipientsFile | None, results: Path, notice: Callable[[str], None]
    ) -> None:
        """Take the records from the list that the log is the account of, where that is known and as it was.

        Args:
            campaign: How the list is to be read; its recipients file is the log.
            before: What an earlier run that is gone on with says of the log; None for a new run.
            results: That run's results log, for remedies.
            notice: Told why the fields of the list are not carried along, where they are not.

        Raises:
            UsageError: The earlier run has begun with a list that is not what it was.
        """
        log = campaign.recipients
        if log == "-":
            return
        if before is not None:
            if before.of is not None:
                self.original = continued(before.of, log, _Lines(self), results, campaign)
            return
        try:
            self.original = original_of(self.run, log, _Lines(self), campaign)
        except (UsageError, RunError) as error:
            notice(f"{log}: records have the fields of the log alone, not those of its list: {error.message}")

    def open(self, campaign: Campaign) -> RecordReader:
        """Open what the records are read from.

        Raises:
            UsageError: It cannot be opened.
        """
        return open_recipients(campaign) if self.original is None else self.original.open(campaign)


class _Lines:
    """The lines of a log that are wanted, by their numbers."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def __contains__(self, line: object) -> bool:
        return isinstance(line, int) and self._selection.has_line(line)


def select(recipients: Path | Literal["-"], only: tuple[str, ...]) -> Selection | None:
    """The records of a recipients file that are wanted, if it is a results log; None for any other: all of them.

    Args:
        recipients: The file, or ``-`` for standard input.
        only: Outcomes and codes, as for `Choice`.

    Raises:
        UsageError: It is a results log and nothing says which of its records are meant, or the other way round.
    """
    is_log = recipients != "-" and _is_results_log(recipients)
    if only and (recipients == "-" or not is_log):
        raise UsageError(
            f"--only, or only= in Python, is for results logs, and {recipients} is none", remedy="leave it out"
        )
    if recipients == "-" or not is_log:
        return None
    if not only:
        raise UsageError(
            f"{recipients} is a results log: which of its records are meant?",
            remedy='name outcomes or codes: --only rejected, --only 550, in Python only=("rejected", "550"); to go on '
            f"with its run: {way_on(recipients)}",
        )
    return Selection.of(recipients, choice_of(only, option="only"))


def choice_of(only: tuple[str, ...], *, option: str) -> Choice:
    """What is meant of a results log.

    Args:
        only: Outcomes and codes, as for `Choice`.
        option: What they were given by, for errors.

    Raises:
        UsageError: One of them is neither.
    """
    return Choice(only, option=option, always=(), never=())


def _is_results_log(path: Path) -> bool:
    try:
        # A pipe is none, and reading it here would take from its reader.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return is_results_log(file.read(_START))
    except OSError:
        return False  # the reader of records says what is wrong with it
