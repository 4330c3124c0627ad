"""One mail transaction (RFC 5321 §3.3) as the client keeps it: what is to be sent, and how far it has come."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from batchsend.outcome import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchsend.smtp.replies import Reply


Key = TypeVar("Key")


class Disposition(Enum):
    """What SMTP says about a transaction that its session is done with."""

    ANSWERED = "answered"
    """A reply decided it: ``reply`` at ``stage``."""

    UNSENT = "unsent"
    """The session ended before anything that could commit it was sent: safe to send again."""

    IN_DOUBT = "in doubt"
    """The end of its content was sent, and no reply can be believed: it may have been delivered (RFC 1047)."""


class Transaction(Generic[Key]):
    """One message for one recipient on its way through a session.

    Args:
        key: The caller's own name for it; the client only carries it.
        mail: The MAIL command.
        rcpt: The RCPT command.
        content: The content, canonical (every line ends in CRLF), before dot-stuffing.

    Attributes:
        stage: The stage of the deciding reply, or, while there is none, the stage whose reply is awaited.
        reply: The reply that decided it, or None.
        committed: The end of the content has been handed out: from here on the server may have taken the message.
    """

    __slots__ = ("committed", "content", "key", "mail", "opened", "rcpt", "reply", "stage")

    def __init__(self, key: Key, *, mail: bytes, rcpt: bytes, content: bytes) -> None:
        self.key = key
        self.mail = mail
        self.rcpt = rcpt
        self.content = content
        self.stage = Stage.MAIL
        self.reply: Reply | None = None
        self.opened = False  # MAIL was accepted: the server holds a transaction that must be ended
        self.committed = False

    @property
    def keys(self) -> tuple[Key, ...]:
        """The caller's own names for its recipients, one for each."""
        return (self.key,)

    @property
    def disposition(self) -> Disposition:
        """What became of it, once its session has handed it back."""
        if self.reply is not None:
            return Disposition.ANSWERED
        return Disposition.IN_DOUBT if self.committed else Disposition.UNSENT

    def refuse(self, stage: Stage, reply: Reply) -> None:
        """Take a 4yz or 5yz as the deciding reply; the first one counts, the others follow from it."""
        if self.reply is None:
            self.stage = stage
            self.reply = reply

    def forget_replies(self) -> None:
        """What was said of it cannot be believed any more."""
        self.reply = None

    def __repr__(self) -> str:
        answer = f", {self.reply.code}" if self.reply is not None else ""
        return f"<Transaction {self.key!r} at {self.stage}{', committed' if self.committed else ''}{answer}>"


class SharedTransaction(Transaction[Key]):
    """One message for several recipients: one MAIL, a RCPT for each, the content once (RFC 5321 §3.3).

    Each RCPT has an outcome of its own. Who is refused there is out; the replies to DATA and to the content are about
    all the others, and ``stage`` and ``reply`` are theirs. Where everybody is refused, ``reply`` is the first refusal:
    from then on this is a refused transaction like any other.

    Args:
        keys: The caller's own names for the recipients.
        mail: The MAIL command.
        rcpts: The RCPT commands, one for each key.
        content: As for a `Transaction`.

    Attributes:
        refusals: What the server said to each RCPT that it has refused; None for the others.
        asked: How many RCPT were answered.
        taken: How many of these were accepted.
    """

    __slots__ = ("_keys", "asked", "rcpts", "refusals", "taken")

    def __init__(self, keys: Sequence[Key], *, mail: bytes, rcpts: Sequence[bytes], content: bytes) -> None:
        if len(keys) != len(rcpts) or len(keys) < 2:
            raise ValueError("a shared transaction has several recipients, and a RCPT for each")
        super().__init__(keys[0], mail=mail, rcpt=rcpts[0], content=content)
        self._keys = tuple(keys)
        self.rcpts = tuple(rcpts)
        self.refusals: list[Reply | None] = [None] * len(keys)
        self.asked = 0
        self.taken = 0

    @property
    def keys(self) -> tuple[Key, ...]:
        """The caller's own names for the recipients."""
        return self._keys

    def answer(self, reply: Reply) -> bool:
        """Take the reply to the next RCPT; whether it was the last one."""
        if reply.code >= 400:
            self.refusals[self.asked] = reply
        else:
            self.taken += 1
        self.asked += 1
        return self.asked == len(self._keys)

    @property
    def first_refusal(self) -> Reply:
        """The first reply to a RCPT that was a refusal; there must be one."""
        return next(refusal for refusal in self.refusals if refusal is not None)

    @property
    def refused(self) -> int:
        """How many errors a server counts, where no content was taken."""
        return self.asked - self.taken or 1

    @property
    def not_refused(self) -> list[Key]:
        """The names of those recipients that no RCPT has refused."""
        return [key for key, refusal in zip(self.keys, self.refusals, strict=True) if refusal is None]

    def forget_replies(self) -> None:
        """What was said of it, and of each recipient, cannot be believed any more."""
        self.reply = None
        self.refusals = [None] * len(self._keys)

    def parts(self) -> list[Transaction[Key]]:
        """What became of each recipient, in their order, as if it had had a transaction of its own."""
        parts = []
        for key, rcpt, refusal in zip(self.keys, self.rcpts, self.refusals, strict=True):
            part = Transaction(key, mail=self.mail, rcpt=rcpt, content=self.content)
            part.stage, part.reply = (self.stage, self.reply) if refusal is None else (Stage.RCPT, refusal)
            part.opened, part.committed = self.opened, self.committed
            parts.append(part)
        return parts
