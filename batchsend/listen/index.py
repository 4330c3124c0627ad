"""What the messages of a run are called, found while its results log may still grow: reports are tied by it.

A webhook brings a few reports at a time, and a campaign may have millions of records: the log is read once, and then as
far as it has grown. Of each name only a number is kept, in sorted runs in files that have no name: memory is the
same for every log.
"""

from __future__ import annotations

import mmap
import tempfile
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import msgspec

from batchsend.errors import RunError
from batchsend.feedback.tying import SENT, SentLine, comparable_or_none, tied, words_of_reply
from batchsend.results.format import LogReader, line_at, opened
from batchsend.results.reached import Reached

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from batchsend.feedback.report import FeedbackReport
    from batchsend.feedback.tying import Tie
    from batchsend.listen.records import SentRecords

# An entry is the hash of a name and the place of its line. Lines of another name that has the same hash are told apart
# by reading them: of ten million names one lookup meets less than one.
_PLACE_BITS: Final = 40
_HASH_MASK: Final = (1 << 24) - 1
MOST_RECENT: Final = 256 * 1024  # entries that wait in memory, about ten megabytes, until they are a sorted run
_MOST_WORDS: Final = 10_000  # words of replies that are known to be no names


class SentIndex:
    """Ties reports to the records of a run as `batchsend.feedback.tying.tie` does, without reading the log each time.

    Args:
        records: Whom the records of the run were for.
    """

    def __init__(self, records: SentRecords) -> None:
        self._records = records
        self._path: Path = records.path
        self._reached = Reached()
        self._log = -1  # the descriptor of the log while reports are tied
        self._decoder = msgspec.json.Decoder(SentLine)
        self._forget()

    def _forget(self) -> None:
        self.recent: list[int] = []
        self._seen: dict[str, int] = {}
        self._stored: list[memoryview] = []

    def tie(self, reports: Sequence[FeedbackReport], key: bytes | None) -> list[Tie]:
        """Tie reports to records, by what the log says by now.

        Args:
            reports: The reports.
            key: What return paths are signed with, or None.

        Raises:
            UsageError: The log cannot be opened, or is not the results log of a run.
            RunError: It cannot be read, or there is no room for the index.
        """
        self._records.follow()
        with opened(self._path) as self._log:
            self._follow()
            return [tied(report, self, key) for report in reports]

    @property
    def runs(self) -> tuple[str, ...]:
        """The identities of the runs in the log."""
        return self._records.runs

    def recipient(self, record: int) -> str | None:
        """Whom a record was for; None where it was not sent."""
        return self._records.recipient(record)

    def by_message_id(self, name: str) -> tuple[int, str] | None:
        """The record whose message had a Message-ID, and whom it was for."""
        found = None
        for line in self._lines("message_id", name):  # in the order of the log: the last one counts
            if line.message_id == name:
                found = line.record, str(line.recipient)
        return found

    def by_relay_id(self, name: str) -> tuple[int, str] | None:
        """The only record in the reply to whose message a word stands, and whom it was for."""
        return self._only(line for line in self._lines("word", name) if name in words_of_reply(line.reply))

    def by_address(self, address: str) -> tuple[int, str] | None:
        """The only record that was for an address, and the address as it was written there."""
        return self._only(
            line for line in self._lines("address", address) if comparable_or_none(line.recipient) == address
        )

    @staticmethod
    def _only(lines: Iterator[SentLine]) -> tuple[int, str] | None:
        found: tuple[int, str] | None = None
        for line in lines:
            if found is not None and found[0] != line.record:
                return None
            found = line.record, str(line.recipient)
        return found

    def _lines(self, kind: str, name: str) -> Iterator[SentLine]:
        """The lines whose names have the hash of a name: those that have it, and a few others."""
        low = (hash((kind, name)) & _HASH_MASK) << _PLACE_BITS
        high = low + (1 << _PLACE_BITS)
        for run in (*self._stored, self.recent):
            at = bisect_left(run, low)
            while at < len(run) and run[at] < high:
                yield self._line(run[at] - low)
                at += 1

    def _line(self, place: int) -> SentLine:
        return self._decoder.decode(line_at(self._log, place))

    def _follow(self) -> None:
        """Take in what has been added to the log."""
        if not self._reached.look(self._log):
            self._forget()
        reader = LogReader(self._path, self._log, SentLine, begin=self._reached.place)
        for block in reader:
            place = block.offset
            for octets, line in zip(block.octets.split(b"\n"), block.lines, strict=False):
                if line.status in SENT and line.recipient is not None:
                    self._note(line, place)
                place += len(octets) + 1
            self._reached.reach(self._log, place)
        self.recent.sort()

    def _note(self, line: SentLine, place: int) -> None:
        if line.message_id is not None:
            self._add("message_id", line.message_id, place)
        if (address := comparable_or_none(line.recipient)) is not None:
            self._add("address", address, place)
        for word in words_of_reply(line.reply):
            # A word in the replies to two messages names none of them: its further places say nothing new.
            if word in self._seen or len(self._seen) < _MOST_WORDS:
                first = self._seen.setdefault(word, line.record)
                if first == 0:
                    continue
                if first != line.record:
                    self._seen[word] = 0
            self._add("word", word, place)
        if len(self.recent) >= MOST_RECENT:
            self._store()

    def _add(self, kind: str, name: str, place: int) -> None:
        self.recent.append((hash((kind, name)) & _HASH_MASK) << _PLACE_BITS | place)

    def _store(self) -> None:
        """Move what waits in memory to a file without a name, as a sorted run."""
        self.recent.sort()
        try:
            with tempfile.TemporaryFile(dir=self._path.parent) as file:
                array("Q", self.recent).tofile(file)
                file.flush()
                self._stored.append(memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)).cast("Q"))
        except OSError as error:
            raise RunError(
                f"{self._path.parent}: there is no room for the index of the webhooks: {error.strerror}",
                remedy="make room",
            ) from None
        self.recent = []
