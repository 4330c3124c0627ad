"""Who keeps the account of what a pool sends: the one interface between delivery and everything that uses it.

A record belongs to the account until its submission is put into a pool, and to the pool until the pool settles it.
Nobody else ever decides what happens to it next, so a record cannot be in two places. The local run, `Sender`, the
bench and the cluster each implement `Account`.

=============  =====================================================================================================
call           what it says
=============  =====================================================================================================
``commit``     the octets that commit the message are about to leave: from now on it may have been delivered
``withdraw``   the message was not taken after all, and the pool keeps it to offer it again; not an attempt
``retry``      the server refused it for a reason that is not the record's (pace, quota …): kept likewise
``settle``     the record has its outcome, and is the account's again
``supersede``  what was settled cannot be believed any more; an older attempt must not speak over a newer one
=============  =====================================================================================================

All of them are called in the turn of the loop in which the thing is known, and must not block.
"""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - a public class has these methods: their hints are resolved
from typing import Protocol

from batchsend.message.submission import Submission  # noqa: TC001 - likewise
from batchsend.outcome import DeliveryResult  # noqa: TC001 - likewise


class Account(Protocol):
    """Keeps the account of the records that a pool sends; see above for the order of the calls."""

    def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
        """A message is about to be committed.

        Returns:
            True if its octets may leave now. False holds the session back until ``release`` is called: with true if
            they may leave then, with false if they must not.
        """

    def withdraw(self, submission: Submission) -> None:
        """A message that was, or may have been, about to be committed was not taken: the pool offers it again."""

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        """The server refused a message for the relay's reasons, as ``result`` says: the pool offers it again."""

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """A record has its outcome."""

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """An outcome that was settled cannot be believed: ``result`` takes its place.

        Where a later attempt of the record is under way or settled already, that one counts.

        Args:
            earlier: What was settled; None where that was said of an offer that went back, and a later one has settled
                the record since.
            result: What is to be said instead; of the same attempt as ``earlier``.
        """


class NullAccount:
    """An account that keeps nothing and lets everything go: for pools that only measure, and a base for others.

    Whoever keeps results in memory only has nothing to do but to `settle` and to `supersede` them.
    """

    __slots__ = ()

    def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
        """Let it go."""
        del submission, release
        return True

    def withdraw(self, submission: Submission) -> None:
        """Nothing was kept."""

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        """Nothing was kept."""

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """Keep nothing."""

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """Keep nothing."""
