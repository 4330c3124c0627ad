"""Submissions as transactions: the commands and the content that one server takes them with, or why it cannot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from batchsend.delivery.offer import Offer
from batchsend.errors import RecordError, require
from batchsend.smtp import commands
from batchsend.smtp.content import canonical
from batchsend.smtp.transaction import SharedTransaction, Transaction
from batchsend.trace import report_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchsend.message.submission import Submission
    from batchsend.smtp.extensions import Extensions
    from batchsend.smtp.parameters import SessionParameters


def single(submission: Submission, extensions: Extensions, parameters: SessionParameters) -> Transaction[Offer] | str:
    """A submission with one recipient as a transaction of its own; or why this server cannot take it.

    What goes wrong with one submission costs that one: an error that left here would end the session, or whatever has
    put the submission in, and the messages of others would have no outcome.

    Args:
        submission: The submission.
        extensions: What the server offers.
        parameters: The parameters of the session's commands.
    """
    try:
        envelope = submission.envelope
        forward_path, reverse_path = envelope.forward_path, envelope.reverse_path
        content = submission.content if submission.canonical else canonical(submission.content)
        eight_bit = submission.eight_bit
        if eight_bit is None:
            eight_bit = not content.isascii()
        if eight_bit and not extensions.eight_bit_mime and submission.seven_bit is not None:
            content, eight_bit = _in_ascii(submission), False
        utf8 = not (forward_path.isascii() and reverse_path.isascii())
        size = len(content)
        obstacle = extensions.obstacle(size=size, eight_bit=eight_bit, utf8=utf8)
        if obstacle is not None:
            return obstacle
        mail = parameters.mail(size=size, eight_bit=eight_bit, utf8=utf8, envelope_id=submission.message_id)
        return Transaction(
            Offer(submission, time.monotonic()),
            mail=commands.mail(reverse_path, mail),
            rcpt=commands.rcpt(forward_path, parameters.rcpt(forward_path, utf8=utf8)),
            content=content,
        )
    except RecordError as error:
        return error.message
    except Exception as error:
        report_failure(f"record {submission.record} cannot be made a transaction", error)
        return f"it cannot be sent: {error}"


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
            content, eight_bit = _in_ascii(first), False
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
    mail = commands.mail(
        first.envelope.reverse_path,
        parameters.mail(size=len(content), eight_bit=eight_bit, utf8=utf8, envelope_id=first.message_id),
    )
    paths = [member.envelope.forward_path for member in taken]
    rcpts = [commands.rcpt(path, parameters.rcpt(path, utf8=utf8)) for path in paths]
    now = time.monotonic()
    offers = [Offer(member, now) for member in taken]
    if len(offers) == 1:
        return Transaction(offers[0], mail=mail, rcpt=rcpts[0], content=content), obstacles
    return SharedTransaction(offers, mail=mail, rcpts=rcpts, content=content), obstacles


def _in_ascii(submission: Submission) -> bytes:
    """The content as pure ASCII, for a server that takes nothing else (RFC 6152); there is such a form.

    Raises:
        RecordError: It cannot be composed: a program's own function makes it, or it is made of files that have changed.
            A session that met the error itself would end, and the messages of others with it.
    """
    try:
        made = require(submission.seven_bit and submission.seven_bit(), "its form in ASCII", bytes)
    except RecordError:
        raise
    except Exception as error:
        report_failure(f"seven_bit failed for record {submission.record}", error)
        raise RecordError(f"its form in ASCII cannot be composed: {error}") from None
    if not made.isascii():
        raise RecordError("its form in ASCII has other octets")
    return canonical(made)
