"""Acceptances without a text, where the reply after them may be the rest of them: of a server that answers twice.

``250`` and then ``250 Ok queued as 1`` to one message: the log is to say the second one, which is what the server's
own log can be searched for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from batchsend.smtp.replies import DONE
from batchsend.smtp.transaction import Key, Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchsend.smtp.replies import Reply


class BareReply(Generic[Key]):
    """An accepted transaction whose reply has no text, held back until 354 or 221 tells what the next reply was.

    Args:
        transaction: The transaction.

    Attributes:
        next: The reply after the one without a text, or None.
    """

    __slots__ = ("next", "transaction")

    def __init__(self, transaction: Transaction[Key]) -> None:
        self.transaction = transaction
        self.next: Reply | None = None

    def completed(self, *, shifted: bool) -> Transaction[Key]:
        """The transaction, with the next reply as its own where there was one reply too many."""
        said = self.next
        if shifted and said is not None and said.raw and said.code in DONE:
            self.transaction.reply = said
        return self.transaction


def add_text(finished: Sequence[Transaction[Key]], surplus: Reply) -> None:
    """Where an acceptance came just now, without a text, and then a surplus reply: that one says more of it."""
    said = finished[-1].reply if finished else None
    if said is not None and not said.raw and said.code in DONE:
        finished[-1].reply = surplus
