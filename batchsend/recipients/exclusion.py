"""Who has had the message already, by the results logs of earlier campaigns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from batchsend.errors import RecordError, UsageError
from batchsend.outcome import Outcome
from batchsend.recipients.addressees import Addressees
from batchsend.recipients.entries import comparable
from batchsend.results.format import AddressedLine, LogReader
from batchsend.results.journal import JournalError, read_journal
from batchsend.results.lock import open_to_read
from batchsend.results.resumption import believed, news, read_beside, sound_octets
from batchsend.results.way_on import way_on

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from batchsend.results.journal import LeftBehind
    from batchsend.results.reader import RunAccount

_HAD_IT: Final = (Outcome.ACCEPTED, Outcome.IN_DOUBT)


class Exclusion:
    """The addresses that were accepted or are in doubt in results logs. A context manager: it may need files.

    They are compared as those of a suppression list, and kept as `Addressees` keeps them: eight octets of each.

    Args:
        logs: The results logs.
        directory: Where there is room for the files.

    Attributes:
        notices: What the user should know of them, one line each.

    Raises:
        UsageError: One cannot be read, is not a results log, is that of a run that goes on, or does not say who was in
            flight when its run was killed: an address that was missed would be written to.
        RunError: There is no room for the files, or a log cannot be read further.
    """

    def __init__(self, logs: Iterable[Path], directory: Path) -> None:
        self.notices: list[str] = []
        self._addressees = Addressees(directory)
        try:
            for log in logs:
                self._read(log)
        except BaseException:
            self._addressees.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._addressees.__exit__(kind, error, traceback)

    def __contains__(self, address: str) -> bool:
        try:
            return comparable(address) in self._addressees
        except RecordError:
            return False  # nobody can be written to there

    def _read(self, log: Path) -> None:
        before = len(self._addressees)
        with open_to_read(log) as file:
            left: LeftBehind | JournalError | None
            try:
                left = read_journal(log)
            except JournalError as error:
                left = error
            account = read_beside(log, file, left)
            try:
                entries = believed(log, account, left)
            except JournalError as error:
                raise UsageError(
                    error.message,
                    remedy="bring it back as it was; or, if some may get the message twice, let the run come to an "
                    f"end: {way_on(log, accept_duplicates=True)}",
                ) from None
            unnamed: set[int] = set()
            for entry in news(entries, account.tally):
                account.tally.note(entry.record, entry.status or Outcome.IN_DOUBT, entry.attempt)
                unnamed.add(entry.record)
            sound = sound_octets(None if isinstance(left, JournalError) else left)
            self._take(log, LogReader(log, file, AddressedLine, sound=sound), account, unnamed)
        if len(self._addressees) == before:
            self.notices.append(f"{log}: nobody in it was accepted or is in doubt, so it excludes nobody else")

    def _take(self, log: Path, reader: LogReader[AddressedLine], account: RunAccount, unnamed: set[int]) -> None:
        """Take down the addresses of a log's records that had the message."""
        status = account.tally.status
        for block in reader:
            for line in block.lines:
                if line.recipient and status(line.record) in _HAD_IT:
                    unnamed.discard(line.record)
                    try:
                        self._addressees.add(comparable(line.recipient))
                    except RecordError:
                        continue  # an address that nobody can be written to at
        in_doubt = sorted(record for record in unnamed if status(record) in _HAD_IT)
        if in_doubt:
            raise UsageError(
                f"{log}: record {in_doubt[0]} was in flight when the run was killed, "
                f"and whose it is does not stand there ({len(in_doubt):,} of that kind)",
                remedy=f"let the run name them: {way_on(log)}",
            )
