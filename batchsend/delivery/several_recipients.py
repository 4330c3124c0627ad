"""One message for several recipients in one transaction (RFC 5321 §3.3): how many fit, and what is said of them.

How many recipients one transaction may have: 100, which every server has to take (RFC 5321 §4.5.3.1.8); fewer where the
server says so by LIMITS RCPTMAX (RFC 9422 §4.2), or by refusing those that are too many (RFC 5321 §4.5.3.1.10). Such a
refusal is about the transaction: the recipient goes with the next one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from batchsend.delivery.judges import judge
from batchsend.outcome import Stage
from batchsend.patterns import late_pattern
from batchsend.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchsend.delivery.offer import Offer
    from batchsend.message.submission import Submission
    from batchsend.outcome import DeliveryResult
    from batchsend.smtp.replies import Reply
    from batchsend.smtp.transaction import SharedTransaction

_TOO_MANY: Final = late_pattern(
    rb"too many recipients(?! (?:received|from|this|in the|per))|recipients? (?:count|limit|number) (?:has )?(?:been )?"
    rb"(?:exceed|reached)|(?:exceed|maximum|limit)[^.]{0,30} (?:number of )?recipients",
    re.IGNORECASE,
)
# Whatever else the words are about, they are not about the number of recipients of one message.
_OTHERS: Final = frozenset({Verdict.PACE, Verdict.QUOTA, Verdict.CONNECTIONS, Verdict.SESSION_FULL, Verdict.RELAY})


class Together:
    """What a pool keeps in mind while it is told of the recipients of one transaction.

    Args:
        too_many: Those for whom there was no room.

    Attributes:
        too_many: Likewise.
        back: Those that go back.
    """

    def __init__(self, too_many: Sequence[Offer]) -> None:
        self.too_many = too_many
        self.back: list[Submission] = []
        self._heard: set[tuple[Stage | None, int | None, str | None]] = set()

    def is_new(self, result: DeliveryResult) -> bool:
        """Whether this reply has not been heard yet; it has now."""
        reply = (result.stage, result.code, result.reply)
        new = reply not in self._heard
        self._heard.add(reply)
        return new


def is_too_many_recipients(reply: Reply | None) -> bool:
    """Whether a reply says that the transaction has too many recipients."""
    if reply is None or reply.code < 400:
        return False
    enhanced = reply.enhanced
    said = (enhanced is not None and enhanced.endswith(".5.3")) or _TOO_MANY.search(reply.raw) is not None
    return said and judge(Stage.RCPT, reply).verdict not in _OTHERS


def room_for_recipients(transaction: SharedTransaction[Offer]) -> int | None:
    """How many recipients the server takes in one transaction, where its replies to this one say so; otherwise None.

    One of several is taken, whatever is said, so that each transaction brings all of them forward.
    """
    if is_too_many_recipients(transaction.reply):
        return max(1, (transaction.taken or len(transaction.keys)) // 2)  # it says how many are too many, not how few
    if transaction.taken and any(is_too_many_recipients(refusal) for refusal in transaction.refusals):
        return transaction.taken
    return None
