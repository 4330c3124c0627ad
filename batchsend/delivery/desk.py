"""What a session is given and where it leaves what it was told: the pool, as a session sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from batchsend.delivery.classify import Effect
    from batchsend.delivery.session import Session
    from batchsend.message.submission import Submission
    from batchsend.outcome import DeliveryResult


class Desk(Protocol):
    """Where a session gets its work and leaves what became of it."""

    def supply(self, session: Session) -> Submission | None:
        """The next submission, or None: then the session's `pump` is called when there is one."""

    def commit(self, submission: Submission, session: Session) -> bool:
        """The end of a submission's content goes out next: from then on it may have been delivered.

        False holds the session back until its `release` is called: nothing may go out before.
        """

    def settle(self, submission: Submission, result: DeliveryResult, effect: Effect) -> None:
        """A submission has its outcome."""

    def put_back(self, submission: Submission, session: Session) -> None:
        """The session ended before the submission was committed."""

    def retiring(self, session: Session) -> None:
        """The session will soon have begun all the transactions that it may."""

    def ended(self, session: Session) -> None:
        """Nothing of the session is left: every submission it took is settled or put back."""

    def closed(self, session: Session) -> None:
        """The transport of a session that has ended is closed, too."""

    def supersede(self, earlier: DeliveryResult, result: DeliveryResult) -> None:
        """What an earlier result said cannot be believed; ``result`` takes its place."""
