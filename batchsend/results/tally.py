"""Where every record stands, one octet each: its last outcome, and how often it has been offered."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from batchsend.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchsend.results.format import OutcomeLine, RunLine

_STATUS_BITS: Final = 3
_STATUS_MASK: Final = (1 << _STATUS_BITS) - 1
_LOW_ATTEMPTS: Final = 1 << (8 - _STATUS_BITS)
MAX_ATTEMPTS: Final = _LOW_ATTEMPTS * 256 - 1
"""Attempts that are told apart; beyond, they count as so many."""

CODES: Final = {outcome: code for code, outcome in enumerate(Outcome, 1)}
"""Each outcome as a number from 1; 0 is for none."""

_CODES_BY_TEXT: Final[dict[str | None, int]] = {outcome.value: code for outcome, code in CODES.items()}

OUTCOMES: Final = (None, *Outcome)
"""The outcome of each number."""


class Tally:
    """The last outcome and the number of attempts of each record.

    One octet a record: three bits for the outcome, five for the attempts; a second octet a record only where one of
    them was offered more than 31 times.
    """

    def __init__(self) -> None:
        self._octets = bytearray()
        self._high: bytearray | None = None

    def note(self, record: int, status: Outcome, attempt: int) -> None:
        """Take down an outcome.

        Args:
            record: The record's number, from 1.
            status: Its outcome, in the place of any earlier one.
            attempt: The number of the attempt; 0 where it was not offered, which leaves the count as it is.
        """
        if record >= len(self._octets):
            self._grow(record)
        attempts = min(attempt, MAX_ATTEMPTS) or self.attempts(record)
        self._octets[record] = CODES[status] | (attempts % _LOW_ATTEMPTS) << _STATUS_BITS
        if self._high is not None:
            self._high[record] = attempts // _LOW_ATTEMPTS
        elif attempts >= _LOW_ATTEMPTS:
            self._high = bytearray(len(self._octets))
            self._high[record] = attempts // _LOW_ATTEMPTS

    def note_lines(self, lines: Iterable[OutcomeLine]) -> list[tuple[int, RunLine]]:
        """Take down the outcomes of lines, in their order; as `note` does, for hundreds of thousands a second.

        Returns:
            The lines of runs, which are passed over, each with its place.

        Raises:
            KeyError: A line has no record or no status, and is no line of a run.
        """
        codes = _CODES_BY_TEXT
        octets, plain = self._octets, self._high is None
        runs: list[tuple[int, RunLine]] = []
        for place, line in enumerate(lines):
            record, attempt = line.record, line.attempt
            if plain and 0 < attempt < _LOW_ATTEMPTS and 0 < record < len(octets):
                octets[record] = codes[line.status] | attempt << _STATUS_BITS
            elif record and line.status is not None:
                self.note(record, Outcome(line.status), attempt)
                plain = self._high is None
            elif line.run is not None:
                runs.append((place, line.run))
            else:
                raise KeyError(record)
        return runs

    def status(self, record: int) -> Outcome | None:
        """The last outcome of a record; None if it has none."""
        return OUTCOMES[self._octets[record] & _STATUS_MASK] if record < len(self._octets) else None

    def attempts(self, record: int) -> int:
        """How often a record has been offered."""
        if record >= len(self._octets):
            return 0
        low = self._octets[record] >> _STATUS_BITS
        return low if self._high is None else low + self._high[record] * _LOW_ATTEMPTS

    @property
    def last(self) -> int:
        """The highest record with an outcome; 0 where there is none."""
        return max(0, len(self._octets.rstrip(b"\0")) - 1)

    def counts(self) -> Counter[Outcome]:
        """How many records have each outcome."""
        counts: Counter[Outcome] = Counter()
        for octet in range(256):
            outcome = OUTCOMES[octet & _STATUS_MASK] if octet & _STATUS_MASK < len(OUTCOMES) else None
            if outcome is not None and (count := self._octets.count(octet)):
                counts[outcome] += count
        return counts

    def _grow(self, record: int) -> None:
        lengthen(self._octets, record)
        if self._high is not None:
            lengthen(self._high, record)  # both are of one length

    def __repr__(self) -> str:
        return f"<Tally {dict(self.counts())}>"


def lengthen(octets: bytearray, record: int) -> None:
    """Have a table of an octet for each record, which ends before this one, reach it: by a quarter more at least."""
    octets.extend(bytes(max(record + 1 - len(octets), len(octets) // 4, 1024)))
