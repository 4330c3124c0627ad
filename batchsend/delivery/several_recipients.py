"""One message for several recipients in one transaction (RFC 5321 §3.3): how it is put together, and how many fit.

How many recipients one transaction may have: 100, which every server has to take (RFC 5321 §4.5.3.1.8); fewer where the
server says so by LIMITS RCPTMAX (RFC 9422 §4.2), or by refusing those that are too many (RFC 5321 §4.5.3.1.10). Such a
refusal is about the transaction: the recipient goes with the next one.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from batchsend.delivery.offer import Offer, in_ascii
from batchsend.delivery.replies import judge
from batchsend.errors import RecordError
from batchsend.outcome import Stage
from batchsend.smtp import commands
from batchsend.smtp.content import canonical
from batchsend.smtp.transaction import SharedTransaction, Transaction
from batchsend.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchsend.message.submission import Submission
    from batchsend.outcome import DeliveryResult
    from batchsend.smtp.extensions import Extensions
    from batchsend.smtp.parameters import SessionParameters
    from batchsend.smtp.replies import Reply

_TOO_MANY: Final = re.compile(
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


def share(
    members: Sequence[Submission], extensions: Extensions, parameters: SessionParameters
) -> tuple[Transaction[Offer] | None, list[tuple[Submission, str]]]:
    """Submissions of one content as one transaction, for those whom this server can take.

    Args:
        members: The submissions: of one reverse-path and content, each with one recipient.
        extensions: What the server offers.
        parameters: The parameters of the session's commands.

    Returns:
        The transaction, or None where nobody is left; and those whom the server cannot take, and why.
    """
    first = members[0]
    content = first.content if first.canonical else canonical(first.content)
    eight_bit = not content.isascii()
    if eight_bit and not extensions.eight_bit_mime and first.seven_bit is not None:
        try:
            content, eight_bit = in_ascii(first), False
        except RecordError as error:
            return None, [(member, error.message) for member in members]
    taken, obstacles = [], []
    utf8 = False
    for member in members:
        envelope = member.envelope
        beyond_ascii = not (envelope.forward_path.isascii() and envelope.reverse_path.isascii())
        obstacle = extensions.obstacle(size=len(content), eight_bit=eight_bit, utf8=beyond_ascii)
        if obstacle is None:
            taken.append(member)
            utf8 = utf8 or beyond_ascii
        else:
            obstacles.append((member, obstacle))
    if not taken:
        return None, obstacles
    identity = first.message_id
    mail = commands.mail(
        first.envelope.reverse_path,
        parameters.mail(
            size=len(content),
            eight_bit=eight_bit,
            utf8=utf8,
            envelope_id=None if identity is None else identity.strip("<>"),
        ),
    )
    paths = [member.envelope.forward_path for member in taken]
    rcpts = [commands.rcpt(path, parameters.rcpt(path, utf8=utf8)) for path in paths]
    now = time.monotonic()
    offers = [Offer(member, now) for member in taken]
    if len(offers) == 1:
        return Transaction(offers[0], mail=mail, rcpt=rcpts[0], content=content), obstacles
    return SharedTransaction(offers, mail=mail, rcpts=rcpts, content=content), obstacles


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
