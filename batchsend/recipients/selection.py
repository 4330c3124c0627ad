"""A results log as a recipients file: which of its lines are records to be sent to."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, Literal, Self

from batchsend.errors import UsageError
from batchsend.recipients.kinds import is_results_log
from batchsend.results.choice import Choice
from batchsend.results.format import opened
from batchsend.results.reader import read_account

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.results.format import OutcomeLine

_START: Final = 4096


class Selection:
    """The lines of a results log that are wanted: of each record the last one, if its outcome is among those asked for.

    An octet a line.
    """

    def __init__(self) -> None:
        self._wanted = bytearray()

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
            read_account(log, file, visit=visit)
        return selection

    def __contains__(self, line: int) -> bool:
        return line < len(self._wanted) and bool(self._wanted[line])

    def first_attempt(self, line: int) -> int:
        """1 for a line that is wanted, 0 for any other."""
        return int(line in self)


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
        raise UsageError(f"--only is for results logs, and {recipients} is none", remedy="leave it out")
    if recipients == "-" or not is_log:
        return None
    if not only:
        raise UsageError(
            f"{recipients} is a results log: which of its records are meant?",
            remedy="name outcomes or codes: --only rejected, --only 550; to go on with its run: batchsend resume",
        )
    return Selection.of(recipients, Choice(only, option="--only", always=(), never=()))


def _is_results_log(path: Path) -> bool:
    try:
        # A pipe is none, and reading it here would take from its reader.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return is_results_log(file.read(_START))
    except OSError:
        return False  # the reader of records says what is wrong with it
