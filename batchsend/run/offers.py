"""Records made into submissions, in batches; those that are not to be offered have their outcome at once."""

from __future__ import annotations

import time
from itertools import starmap
from typing import TYPE_CHECKING, Final

from batchsend.errors import RecordError
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.recipients import BadRecord, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from batchsend.message import Composer, Submission
    from batchsend.recipients.admission import Admission

# Octets of rendered messages handed over in one go: the bound where the messages are large.
_OCTETS: Final = 512 * 1024


class Offers:
    """Makes the submissions of records.

    Args:
        composer: What makes a message of each.
        admission: Which of them are offered.
        report: Called with the outcome of each record that is not to be offered.
    """

    def __init__(self, composer: Composer, admission: Admission, report: Callable[[DeliveryResult], None]) -> None:
        self._composer = composer
        self._admission = admission
        self._report = report

    def batches(self, rows: list[Record | BadRecord]) -> Iterator[list[Submission]]:
        """The submissions of these, composed as they are asked for, in batches of a bounded size."""
        return self._batches(map(self._offer, rows))

    def batches_of_composed(
        self, rows: list[tuple[Record | BadRecord, Submission | str | None]]
    ) -> Iterator[list[Submission]]:
        """The same of rows whose submissions are known already, or why they have none; None is composed here."""
        return self._batches(starmap(self._offer, rows))

    @staticmethod
    def _batches(offered: Iterable[Submission | None]) -> Iterator[list[Submission]]:
        batch: list[Submission] = []
        octets = 0
        for submission in offered:
            if submission is not None:
                batch.append(submission)
                octets += len(submission.content)
                if octets > _OCTETS:
                    yield batch
                    batch, octets = [], 0
        if batch:
            yield batch

    def _offer(self, row: Record | BadRecord, composed: Submission | str | None = None) -> Submission | None:
        """The submission of a row, as far as it is to be offered; otherwise its outcome is told.

        Args:
            row: The row.
            composed: Its submission, or why it has none, where that is known already.
        """
        if type(row) is BadRecord:  # `isinstance` asks the class's own class, which takes six times as long
            self._withhold(row, None, Outcome.INVALID, row.reason)
            return None
        if composed is None:
            try:
                composed = self._composer.compose(row)
            except RecordError as error:
                composed = error.message
        if isinstance(composed, str):
            self._withhold(row, self._composer.named_recipient(row), Outcome.INVALID, composed)
            return None
        recipient = composed.envelope.forward_path
        if (reason := self._admission.refusal(recipient)) is not None:
            self._withhold(row, recipient, Outcome.SUPPRESSED, reason)
            return None
        if self._admission.offers_again:
            composed.attempt = self._admission.attempt(row.number)
        return composed

    def _withhold(self, row: Record | BadRecord, recipient: str | None, status: Outcome, reason: str) -> None:
        self._report(
            DeliveryResult(
                record=row.number,
                recipient=recipient,
                status=status,
                reason=reason,
                time=time.time(),
                line=row.line if status is Outcome.INVALID else None,
            )
        )
