"""An offer: one submission in one session, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from batchsend.outcome import DeliveryResult, Outcome

if TYPE_CHECKING:
    from batchsend.message.submission import Submission


class Offer:
    """One submission in one session, once. A record that is offered again gets a new offer.

    Which of two replies about a record is the later one cannot be told by its attempt alone: a message that goes back
    because of the pace keeps its attempt. The offer can: each session speaks only of the offers that it was given.

    Args:
        submission: What is offered.
        started: When, in seconds of the monotonic clock.

    Attributes:
        went_back: Its reply was about the relay: the record went back into the pool, and has no outcome of this offer.
        doubt: What an earlier offer of the record turned out to be while this one was under way: perhaps delivered.
    """

    __slots__ = ("doubt", "started", "submission", "went_back")

    def __init__(self, submission: Submission, started: float) -> None:
        self.submission = submission
        self.started = started
        self.went_back = False
        self.doubt: DeliveryResult | None = None

    def __repr__(self) -> str:
        back = ", went back" if self.went_back else ""
        return f"<Offer of record {self.submission.record}, attempt {self.submission.attempt}{back}>"


def never_offered(submission: Submission, reason: str, session: int) -> DeliveryResult:
    """The outcome of a record that was never offered, although it was given to sessions often enough."""
    return DeliveryResult(
        record=submission.record,
        recipient=submission.envelope.forward_path,
        status=Outcome.DEFERRED,
        reason=reason,
        attempt=submission.attempt,
        session=session,
        message_id=submission.message_id,
        time=time.time(),
    )


def not_believed(result: DeliveryResult, error: str, session: int, committed: bool) -> DeliveryResult:
    """What takes the place of a result that may have been another's: without its content, none was delivered."""
    return DeliveryResult(
        record=result.record,
        recipient=result.recipient,
        status=Outcome.IN_DOUBT if committed else Outcome.DEFERRED,
        stage=result.stage,
        reason=f"its reply may have been another's: {error}",
        attempt=result.attempt,
        session=session,
        message_id=result.message_id,
        time=time.time(),
        elapsed=result.elapsed,
    )
