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


class Asked(Enum):
    """The commands of a session in which no DATA is sent."""

    RESET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    CONTENT = "BDAT"
    QUIT = "QUIT"


Command: TypeAlias = tuple[Asked, Transaction[Any]]
"""A command, and the transaction that it is of."""

_TELLING: Final = {Asked.RCPT: TellingPlace.RCPT, Asked.RESET: TellingPlace.RSET}


class _Proven(NamedTuple):
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

    def fits(self, place: Asked, reply: Reply) -> bool:
        """Whether a reply can be that to a command, after what the commands behind it were told."""
        done = reply.code in DONE
        if done and not self._texts.fits(reply.raw, _TELLING.get(place, TellingPlace.NONE)):
            return False
        match place:
            case Asked.CONTENT:
                self._content_taken, self._recipient_taken = done, False
            case Asked.RCPT:
                self._recipient_taken = self._recipient_taken or done
            case Asked.MAIL:
                # A content is taken for recipients that were, and these where MAIL was.
                return self._recipient_taken >= self._content_taken and (
                    done or (reply.code >= 400 and not self._recipient_taken)
                )
            case Asked.RESET:
                return done
            case Asked.QUIT:
                return reply.code == 221
        return done or reply.code >= 400


def settle_from_the_end(
    commands: Sequence[Command], replies: Sequence[Reply], texts: TellingTexts, *, refused_before: bool
) -> bool:
    """Let the last replies of a session decide its last transactions, as far as they prove to be theirs.

    Args:
        commands: In order. The last one is QUIT.
        replies: In order. The last one is 221, and the server has closed the connection after it.
        texts: What the server's texts tell.
        refused_before: One of the replies before these, and since the last one that was in its place for certain, was a
            refusal.

    Returns:
        Whether all of these transactions are decided, and what was said before these replies holds, too. Otherwise
        those that are not decided, and those before, are in doubt.
    """
    start, first = _proven(commands, replies, texts)
    if first >= start and not refused_before and all(reply.code in DONE for reply in replies[:first]):
        # Before those that are in their places all are 2yz, and none is missing: they are a surplus, as in rule 2.
        _apply(commands[:start], replies)
        _apply(commands[start:], replies[first:])
        return True
    for _, transaction in commands:
        transaction.forget_replies()
    whole = _whole(commands[start:])
    for command, reply in zip(commands[start:], replies[first:], strict=True):
        if command[1] in whole:
            _apply([command], [reply])
    return False


def _proven(commands: Sequence[Command], replies: Sequence[Reply], texts: TellingTexts) -> _Proven:
    """Count commands and replies from the end for as long as they fit.

    Args:
        commands: In order. The last one is QUIT.
        replies: In order. The last one is 221, and the server has closed the connection after it.
        texts: What the server's texts tell.

    Returns:
        Where the earliest of those stand that a text proves to belong together; the QUIT and the 221 if there is none.
    """
    found = _Proven(len(commands) - 1, len(replies) - 1)
    fit = _Fit(texts)
    told_to_several = False
    for back in range(1, min(len(commands), len(replies)) + 1):
        (place, transaction), reply = commands[-back], replies[-back]
        if not fit.fits(place, reply):
            break
        telling = reply.code in DONE and _TELLING.get(place) in texts.told
        if place is Asked.RCPT and isinstance(transaction, SharedTransaction):
            # The text does not tell to which RCPT: up to MAIL there must be as many replies as commands.
            told_to_several = told_to_several or telling
        elif telling or (place is Asked.MAIL and told_to_several):
            found = _Proven(len(commands) - back, len(replies) - back)
            told_to_several = False
    return found


def _whole(commands: Sequence[Command]) -> set[Transaction[Any]]:
    """The transactions of which all RCPT and the content are among these commands, the last ones of a session."""
    found = set()
    recipients = 0
    for place, transaction in commands:
        if place is Asked.RCPT:
            recipients += 1
        elif place is Asked.CONTENT:
            if recipients == len(transaction.keys):
                found.add(transaction)
            recipients = 0
    return found


def _apply(commands: Sequence[Command], replies: Sequence[Reply]) -> None:
    """Let replies decide transactions, each one the command in the same position.

    Args:
        commands: RSET and QUIT among them decide nothing.
        replies: As many, or more.
    """
    for (place, transaction), reply in zip(commands, replies, strict=False):
        match place:
            case Asked.MAIL if reply.code >= 400:
                transaction.refuse(Stage.MAIL, reply)
            case Asked.MAIL:
                transaction.opened = True
                transaction.stage = Stage.RCPT
            case Asked.RCPT:
                _apply_to_recipient(transaction, reply)
            case Asked.CONTENT if transaction.reply is None:
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
