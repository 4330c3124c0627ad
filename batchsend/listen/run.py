"""A run whose feedback is listened for: what is genuinely its own, and how that is kept."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from batchsend.campaign.model import feedback_path
from batchsend.errors import RunError, UsageError
from batchsend.feedback.log import FeedbackLog, as_fields
from batchsend.feedback.report import LOGGED, FeedbackKind, FeedbackReport
from batchsend.feedback.understanding import understand
from batchsend.listen.index import SentIndex
from batchsend.listen.records import SentRecords
from batchsend.message.verp import key_file, load_key, record_of, record_of_link
from batchsend.recipients.feedback import feedback_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

ONE_CLICK: Final = "one click"
"""What the feedback log has as the source of an unsubscribe by link."""

_PATIENCE: Final = 5.0  # seconds that a request waits for whoever else is adding to the log


class ListenedRun:
    """A run, its key, and its feedback log. Its methods may be called from several threads.

    Args:
        results: The results log; the run may be going on.

    Attributes:
        results: As given.
        records: Whom its records were for.

    Raises:
        UsageError: It is no results log, or its key is none.
        RunError: It cannot be read, or another process is adding to the feedback log.
    """

    def __init__(self, results: Path) -> None:
        self.results = results
        self.records = SentRecords(results)
        self.records.follow()
        self._key = load_key(results)
        self._log = FeedbackLog(feedback_path(results), wait=_PATIENCE)
        self._lock = threading.Lock()
        self._index = SentIndex(self.records)
        with self._log:
            # Of whom the log did not say yet whom their message was for.
            self._nameless = _nameless(feedback_path(results))
        self.complete()

    def require_key(self) -> None:
        """Refuse a run that has signed nothing: no link and no return path can be told from a forged one.

        Raises:
            UsageError: There is no key.
        """
        if self._key is None:
            raise UsageError(
                f"there is no {key_file(self.results)}: the run has signed no return path and no link",
                remedy="it has a key where the campaign has unsubscribe or batch.verp; if it is lost, bring it back",
            )

    def record_of_link(self, token: str) -> int | None:
        """The record whose unsubscribe link ends with a token, or None."""
        if self._key is None:
            return None
        found = [record_of_link(token, run, self._key) for run in self.records.runs]
        return next((record for record in found if record is not None), None)

    def owns(self, address: str) -> bool:
        """Whether an address is one of the signed return paths of this run."""
        return record_of([address], self.records.runs, self._key)[1] is not None

    def unsubscribe(self, records: Iterable[int]) -> int:
        """Keep that the recipients of records want no more.

        Returns:
            How many of them had not said so before.

        Raises:
            UsageError: The results log cannot be read any more.
            RunError: The feedback log does not take it.
        """
        lines = []
        with self._lock:
            self.records.follow()
            for record in records:
                recipient = self.records.recipient(record)
                if recipient is None:  # a message that is still under way, or whose outcome a killed run did not write
                    self._nameless.add(record)
                report = FeedbackReport(recipient=recipient, kind=FeedbackKind.UNSUBSCRIBED, time=time.time())
                lines.append(as_fields(report, record=record, recipient=recipient, source=ONE_CLICK))
            with self._log:
                return self._log.add(lines)

    def complete(self) -> int:
        """Say of unsubscribes who they are of, where the results log did not say it yet when they came."""
        with self._lock:
            if not self._nameless:
                return 0
            self.records.follow()
            known = {one: name for one in self._nameless if (name := self.records.recipient(one)) is not None}
            lines = [
                as_fields(
                    FeedbackReport(recipient=name, kind=FeedbackKind.UNSUBSCRIBED, time=time.time()),
                    record=record,
                    recipient=name,
                    source=ONE_CLICK,
                )
                for record, name in known.items()
            ]
            with self._log:
                added = self._log.add(lines)
            self._nameless -= known.keys()
            return added

    def take_bounce(self, octets: bytes, sent_to: Sequence[str]) -> int:
        """Keep what a message says that has come to signed return paths.

        Args:
            octets: The message.
            sent_to: The recipients of its envelope, signed return paths all of them.

        Returns:
            How many lines the feedback log has got.

        Raises:
            UsageError: The results log cannot be read any more.
            RunError: The feedback log does not take them, or the results log does not say yet whom the record was for.
        """
        lines = []
        with self._lock:
            self.records.follow()
            for report in understand(octets, sent_to=tuple(sent_to)):
                _, record = record_of(sent_to, self.records.runs, self._key)
                recipient = None if record is None else self.records.recipient(record)
                if recipient is None:
                    raise RunError(f"{self.results}: record {record} has no outcome yet")
                if report.kind in LOGGED:
                    lines.append(as_fields(report, record=record, recipient=recipient, source="smtp"))
            with self._log:
                return self._log.add(lines)

    def take_reports(self, reports: Sequence[FeedbackReport], source: str) -> list[FeedbackReport]:
        """Keep those of some reports that are about records of this run.

        A relay's account may send other mail as well: what is not this run's is none of its log's business.

        Args:
            reports: The reports.
            source: Who has brought them.

        Returns:
            Those that are not this run's.

        Raises:
            UsageError: The results log cannot be read any more.
            RunError: The feedback log does not take them.
        """
        with self._lock:
            ties = self._index.tie(reports, self._key)
            lines = [
                as_fields(report, record=tied.record, recipient=tied.recipient, source=source)
                for report, tied in zip(reports, ties, strict=True)
                if tied.record is not None and report.kind in LOGGED
            ]
            with self._log:
                self._log.add(lines)
        return [report for report, tied in zip(reports, ties, strict=True) if tied.record is None]


def _nameless(log: Path) -> set[int]:
    """The records in a feedback log of which no line says whom they were for."""
    nameless: set[int] = set()
    named: set[int] = set()
    for line in feedback_lines(log):
        if line["kind"] == FeedbackKind.UNSUBSCRIBED and isinstance(line["record"], int):
            (nameless if line.get("recipient") is None else named).add(line["record"])
    return nameless - named
