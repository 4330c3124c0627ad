"""Who keeps the account of what a pool sends: the one interface between delivery and everything that uses it.

A record belongs to the account until its submission is put into a pool, and to the pool until the pool settles it.
Nobody else ever decides what happens to it next, so a record cannot be in two places. The local run, `Sender`, the
bench and the cluster each implement `Account`.

What a pool says of one record, in which order. The tests read this table, and hold pools that meet every kind of fault
against it.

=============  =============================  =========  =========
call           status of its result           from       to
=============  =============================  =========  =========
``commit``                                    held       committed
``commit``                                    doubted    doubted
``withdraw``                                  held       held
``withdraw``                                  committed  held
``withdraw``                                  doubted    doubted
``retry``      deferred, rejected             held       held
``retry``      deferred, rejected             committed  held
``retry``      in_doubt                       held       doubted
``retry``      in_doubt                       committed  doubted
``retry``      in_doubt                       doubted    doubted
``settle``     deferred, rejected, invalid    held       settled
``settle``     in_doubt                       held       settled
``settle``     accepted, deferred, rejected   committed  settled
``settle``     in_doubt                       committed  settled
``settle``     accepted, in_doubt             doubted    settled
``supersede``  in_doubt, deferred             settled    settled
=============  =============================  =========  =========

- *held*: the pool has it. It waits, or a session has it and has not committed it. A record is held from the moment when
  it is put into a pool; one that is settled may be put into the pool again, with a higher ``attempt``.
- *committed*: a session has it, and the octets that end its content may have left: it may be delivered.
- *doubted*: a session has it, and an earlier offer of it may have been delivered. It is not offered again after this
  one: a `withdraw` is followed by its `settle` in the same turn.
- *settled*: the account has it. `Pool.run` awaits that for all records that a session has.

A record that is still held when the run stops is not settled: it was not begun, or went back. The account has it again
without a word, when `Pool.run` returns; so it has those at once that `Pool.forget` returns. Until `Pool.run` returns a
record that was left so may still be settled in doubt, for the sake of an earlier offer. After that nothing is called.

All of the calls are made in the turn of the loop in which the thing is known, and must not block.
"""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - a public class has these methods: their hints are resolved
from typing import Protocol

from batchsend.message.submission import Submission  # noqa: TC001 - likewise
from batchsend.outcome import DeliveryResult  # noqa: TC001 - likewise


class Account(Protocol):
    """Keeps the account of the records that a pool sends; see above for the order of the calls."""

    def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
        """A message is about to be committed: when this is called, the octets that end its content have not left.

        Once at most for each offer, and not for one that is refused before its content. Of a message for several
        recipients it is called for each of them before any octet leaves.

        Args:
            submission: The record's, as it was put into the pool.
            release: To be called once if this returns False, in a later turn of the loop: with true if the octets may
                leave now, with false if they must not, which ends the session; a `withdraw` or `settle` follows. It may
                be called after the session has ended, and does nothing then.

        Returns:
            True if the octets may leave now. False holds the session back until ``release`` is called, and the record
            is committed all the same: it may be withdrawn or settled before.
        """

    def withdraw(self, submission: Submission) -> None:
        """The session of a message has ended, and the server has not taken it; that is no attempt.

        Called for every such offer, whether or not `commit` was called for it. The pool then offers the record again,
        and any call may follow; or it settles it in the same turn, if it is in doubt for an earlier offer's sake, was
        forgotten by `Pool.forget`, or was lost with too many sessions; or nothing follows, because the run stops.
        """

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        """A message has been refused for the relay's reasons, or an earlier offer of it is in doubt.

        Args:
            submission: The record's, as it was put into the pool.
            result: Not the record's outcome. If it is in doubt, it says so of an offer that went back by `retry` or was
                settled and put in again, while this submission is under way: that goes on, and whatever `commit` has
                said of it stands. Once for each such offer, of whose attempt it is. The line of a log is written now,
                as the process may be killed before the record is settled. If it is anything else, it is how the server
                refused this offer for reasons such as pace or quota: the message was not taken, and that is no attempt.
                The pool then offers it again, and any call may follow; or nothing does, because the run stops.
        """

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """A record has its outcome, and is the account's: once for each time that it is put into the pool.

        Args:
            submission: The record's, as it was put into the pool.
            result: The outcome. Its ``attempt`` is the submission's, or 0 where it was never offered because the server
                cannot take it.
        """

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """What was said of an offer cannot be believed: ``result`` takes its place. The pool does not have the record.

        Once at most for each offer, when its session ends. What was said since of a later offer counts, with one
        exception: a record that may have been delivered is in doubt, unless the later offer was accepted. So what is in
        doubt already stays so.

        Args:
            earlier: What `settle` was told of the offer. None where that was told to `retry`, so that it was no
                outcome: then a later offer has settled the record since, or `Pool.forget` has returned it.
            result: What is to be said instead: in doubt if the message was committed, otherwise deferred; always in
                doubt where ``earlier`` is None. It is of the same attempt as what was said.
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
