"""One mail transaction (RFC 5321 §3.3) as the client keeps it: what is to be sent, and how far it has come."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from batchsend.outcome import Stage

if TYPE_CHECKING:
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

    def __repr__(self) -> str:
        answer = f", {self.reply.code}" if self.reply is not None else ""
        return f"<Transaction {self.key!r} at {self.stage}{', committed' if self.committed else ''}{answer}>"
