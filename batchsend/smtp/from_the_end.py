"""Replies that are counted from the end of a session, where those before it do not fit (rule 9 of `batchsend.smtp`)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from batchsend.outcome import Stage
from batchsend.smtp.replies import DONE
from batchsend.smtp.telling_texts import TellingPlace
from batchsend.smtp.transaction import SharedTransaction, Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchsend.smtp.replies import Reply
    from batchsend.smtp.telling_texts import TellingTexts


class Place(Enum):
    """The commands of a session in which no DATA is sent."""

    RESET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    CONTENT = "BDAT"
    QUIT = "QUIT"


Command: TypeAlias = tuple[Place, Transaction[Any]]
"""A command, and the transaction that it is of."""

_TELLING: Final = {Place.RCPT: TellingPlace.RCPT, Place.RESET: TellingPlace.RSET}


class Proven(NamedTuple):
    """From where on commands and replies are known to belong together, up to the last one of each.

    Attributes:
        command: The first such command.
        reply: Its reply.
    """

    command: int
    reply: int


class _Fit:
    """Looks at one transaction after the other, from its last command to its first, whether its replies agree."""

    def __init__(self, texts: TellingTexts) -> None:
        self._texts = texts
        self._content_taken = self._recipient_taken = False

    def fits(self, place: Place, reply: Reply) -> bool:
        """Whether a reply can be that to a command, after what the commands behind it were told."""
        done = reply.code in DONE
        if done and not self._texts.fits(reply.raw, _TELLING.get(place, TellingPlace.NONE)):
            return False
        match place:
            case Place.CONTENT:
                self._content_taken, self._recipient_taken = done, False
            case Place.RCPT:
                self._recipient_taken = self._recipient_taken or done
            case Place.MAIL:
                # A content is taken for recipients that were, and these where MAIL was.
                return self._recipient_taken >= self._content_taken and (
                    done or (reply.code >= 400 and not self._recipient_taken)
                )
            case Place.RESET:
                return done
            case Place.QUIT:
                return reply.code == 221
        return done or reply.code >= 400


def proven_from_the_end(commands: Sequence[Command], replies: Sequence[Reply], texts: TellingTexts) -> Proven:
    """Count commands and replies from the end for as long as they fit.

    Args:
        commands: In order. The last one is QUIT.
        replies: In order. The last one is 221, and the server has closed the connection after it.
        texts: What the server's texts tell.

    Returns:
        Where the earliest of those stand that a text proves to belong together; the QUIT and the 221 if there is none.
    """
    found = Proven(len(commands) - 1, len(replies) - 1)
    fit = _Fit(texts)
    told_to_several = False
    for back in range(1, min(len(commands), len(replies)) + 1):
        (place, transaction), reply = commands[-back], replies[-back]
        if not fit.fits(place, reply):
            break
        telling = reply.code in DONE and _TELLING.get(place) in texts.told
        if place is Place.RCPT and isinstance(transaction, SharedTransaction):
            # The text does not tell to which RCPT: up to MAIL there must be as many replies as commands.
            told_to_several = told_to_several or telling
        elif telling or (place is Place.MAIL and told_to_several):
            found = Proven(len(commands) - back, len(replies) - back)
            told_to_several = False
    return found


def whole_transactions(commands: Sequence[Command]) -> set[Transaction[Any]]:
    """The transactions of which all RCPT and the content are among these commands, the last ones of a session."""
    found = set()
    recipients = 0
    for place, transaction in commands:
        if place is Place.RCPT:
            recipients += 1
        elif place is Place.CONTENT:
            if recipients == len(transaction.keys):
                found.add(transaction)
            recipients = 0
    return found


def apply(commands: Sequence[Command], replies: Sequence[Reply]) -> None:
    """Let replies decide transactions, each one the command in the same position.

    Args:
        commands: RSET and QUIT among them decide nothing.
        replies: As many, or more.
    """
    for (place, transaction), reply in zip(commands, replies, strict=False):
        match place:
            case Place.MAIL if reply.code >= 400:
                transaction.refuse(Stage.MAIL, reply)
            case Place.MAIL:
                transaction.opened = True
                transaction.stage = Stage.RCPT
            case Place.RCPT:
                _apply_to_recipient(transaction, reply)
            case Place.CONTENT if transaction.reply is None:
                transaction.stage = Stage.CONTENT
                transaction.reply = reply


def _apply_to_recipient(transaction: Transaction[Any], reply: Reply) -> None:
    if transaction.reply is not None:
        return  # MAIL was refused
    if not isinstance(transaction, SharedTransaction):
        if reply.code >= 400:
            transaction.refuse(Stage.RCPT, reply)
        else:
            transaction.stage = Stage.CONTENT
    elif transaction.answer(reply):
        if transaction.taken:
            transaction.stage = Stage.CONTENT
        else:
            transaction.refuse(Stage.RCPT, transaction.first_refusal)
