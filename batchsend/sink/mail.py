"""The commands of a mail transaction and their replies (RFC 5321 §4.1.1, RFC 3030), and what becomes of the message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from batchsend.sink.dialogue import Dialogue
from batchsend.sink.grammar import CommandError, parse_mail, parse_rcpt
from batchsend.sink.received import Received
from batchsend.sink.rules import Action, Rule, RuleStage
from batchsend.sink.steps import Mode
from batchsend.sink.transaction import IDLE, Content, Lines, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchsend.sink.counts import Counts
    from batchsend.sink.options import SinkOptions

RECIPIENTS_LIMIT: Final = 1000
"""Recipients of one message; RFC 5321 §4.5.3.1.8 asks for 100 at least."""

_TOO_LARGE: Final = b"552 5.3.4 Message size exceeds fixed limit"
_BDAT: Final = re.compile(rb"([0-9]{1,18})( +LAST)?", re.IGNORECASE)


class MailDialogue(Dialogue):
    """A dialogue that takes messages.

    Args:
        options: What is offered, and the rules.
        counts: The sink's totals, added to.
        deliver: Given each message before it is answered; an OSError from it makes the answer 452. None: nobody wants
            the messages, and their content is not kept.
        number: The session's number, from 1.
        encrypted: Whether the connection began with TLS.
    """

    def __init__(
        self,
        options: SinkOptions,
        counts: Counts,
        deliver: Callable[[Received], None] | None = None,
        *,
        number: int = 1,
        encrypted: bool = False,
    ) -> None:
        super().__init__(options, counts, encrypted=encrypted)
        self._deliver = deliver
        self._number = number
        self._remaining = 0
        self._last = False
        self._chunk_error: bytes | None = None
        self._content = Content(wanted=False, limit=0)

    def _mail(self, argument: bytes) -> None:
        if not self._introduced:
            raise CommandError(b"503 5.5.1 Send EHLO first")
        if self._transaction is not IDLE:
            raise CommandError(b"503 5.5.1 Nested MAIL")
        options = self._options
        if options.require_auth and self.user is None:
            raise CommandError(b"530 5.7.0 Authentication required")
        if options.max_messages is not None and self._accepted >= options.max_messages:
            self._refuse(b"421 4.7.0 Maximum message count per session reached")
            self._close()
            return
        reverse_path, parameters = parse_mail(argument)
        self._check_offered(parameters.values)
        if options.max_size and parameters.size > options.max_size:
            raise CommandError(_TOO_LARGE)
        if not parameters.smtputf8 and not reverse_path.isascii():
            raise CommandError(b"553 5.6.7 Non-ASCII path without SMTPUTF8")
        self._transaction = Transaction(reverse_path, parameters)
        self._reply(b"250 2.1.0 Ok")

    def _check_offered(self, parameters: Mapping[str, str | None]) -> None:
        for keyword, offered in (
            ("SIZE", self._extended),
            ("AUTH", self._extended),
            ("BODY", self._extended and self._options.eight_bit_mime),
            ("SMTPUTF8", self._extended and self._options.smtputf8),
        ):
            if keyword in parameters and not offered:
                raise CommandError(b"555 5.5.4 Parameter %b is not offered" % keyword.encode())

    def _rcpt(self, argument: bytes) -> None:
        transaction = self._transaction
        if transaction is IDLE:
            raise CommandError(b"503 5.5.1 Send MAIL first")
        if transaction.chunked or transaction.failed:
            raise CommandError(b"503 5.5.1 RCPT after BDAT")
        try:
            forward_path = parse_rcpt(argument)
            if not transaction.parameters.smtputf8 and not forward_path.isascii():
                raise CommandError(b"553 5.6.7 Non-ASCII path without SMTPUTF8")
            if len(transaction.recipients) >= RECIPIENTS_LIMIT:
                raise CommandError(b"452 4.5.3 Too many recipients")
        except CommandError:
            transaction.refused = True
            raise
        rule = self._rule_for(forward_path)
        if rule is None or rule.stage is RuleStage.CONTENT:
            transaction.rule = transaction.rule or rule
        elif not self._apply(rule, 1):
            transaction.refused = True
            return
        transaction.recipients.append(forward_path)
        self._reply(b"250 2.1.5 Ok")

    def _rule_for(self, forward_path: bytes) -> Rule | None:
        mailbox = forward_path.decode()
        return next((rule for rule in self._options.rules if rule.matches(mailbox)), None)

    def _apply(self, rule: Rule, recipients: int) -> bool:
        """Do what a rule says to one or more recipients, and tell whether they are still welcome."""
        counts = self._counts
        match rule.action:
            case Action.DROP:
                counts.dropped += 1
                self._close()
                return False
            case Action.DELAY:
                counts.delayed += 1
                self._pause(rule.delay)
                return True
            case Action.REJECT:
                counts.rejected += recipients
            case Action.DEFER:
                counts.deferred += recipients
        self._reply(rule.reply_line)
        if rule.reply_line.startswith(b"421"):
            self._close()
        return False

    def _data(self, argument: bytes) -> None:
        self._no_argument(argument)
        transaction = self._transaction
        if transaction.chunked or transaction.failed:
            raise CommandError(b"503 5.5.1 DATA after BDAT")
        self._check_recipients()
        self._content = Lines(wanted=self._deliver is not None, limit=self._options.max_size)
        self._reply(b"354 End data with <CR><LF>.<CR><LF>")
        self._mode = Mode.DATA

    def _check_recipients(self) -> None:
        """See to it that there is somebody to receive the content (RFC 5321 §3.3)."""
        if self._transaction is IDLE:
            raise CommandError(b"503 5.5.1 Send MAIL first")
        if not self._transaction.recipients:
            if self._transaction.refused:
                raise CommandError(b"554 5.5.1 No valid recipients")
            raise CommandError(b"503 5.5.1 Send RCPT first")

    def _bdat(self, argument: bytes) -> None:
        match = _BDAT.fullmatch(argument)
        if match is None or not self._options.chunking:
            # How much content follows is not known, or the client was not told that it may send any: what it sends
            # next would be taken for commands.
            self._refuse(
                b"501 5.5.4 Syntax: BDAT octets [LAST]" if match is None else b"502 5.5.1 CHUNKING is not offered"
            )
            self._close()
            return
        self._begin_chunk(int(match[1]), last=match[2] is not None)

    def _begin_chunk(self, size: int, *, last: bool) -> None:
        transaction = self._transaction
        self._remaining, self._last, self._chunk_error = size, last, None
        try:
            if self._options.require_tls and not self.encrypted:
                raise CommandError(b"530 5.7.0 Must issue a STARTTLS command first")
            if transaction.failed:
                raise CommandError(b"503 5.5.1 A chunk of this message was refused")
            self._check_recipients()
            if not transaction.chunked:
                transaction.chunked = True
                self._content = Content(wanted=self._deliver is not None, limit=self._options.max_size)
        except CommandError as error:
            # RFC 3030 §2: the chunk's octets are read and discarded before the refusal is sent.
            self._chunk_error = error.reply
        self._mode = Mode.CHUNK
        if not size:
            self._end_chunk()

    def _end_chunk(self) -> None:
        """Answer a chunk that has come whole."""
        self._mode = Mode.COMMAND
        error = self._chunk_error
        if error is None and self._content.too_large:
            error = _TOO_LARGE
        if error is None:
            if self._last:
                self._finish()
            else:
                self._reply(b"250 2.0.0 %d octets received" % self._content.octets)
            return
        self._refuse(error)
        if self._last:
            self._transaction = IDLE
        elif self._transaction is not IDLE:
            self._transaction.failed = True

    def _finish(self) -> None:
        """End the transaction, its content having come whole, and answer it."""
        transaction, self._transaction = self._transaction, IDLE
        if self._content.too_large:
            self._refuse(_TOO_LARGE)
        elif transaction.rule is None or self._apply(transaction.rule, len(transaction.recipients)):
            self._accept(transaction)

    def _accept(self, transaction: Transaction) -> None:
        if self._deliver is not None:
            try:
                self._deliver(self._received(transaction))
            except OSError:
                # RFC 5321 §4.2.5: with a 250 the server would take responsibility for what it could not keep.
                self._refuse(b"452 4.3.1 Insufficient system storage")
                return
        counts = self._counts
        counts.messages += 1
        counts.recipients += len(transaction.recipients)
        counts.octets += self._content.octets
        self._accepted += 1
        self._replies.append(b"250 2.0.0 Ok: queued as %X\r\n" % counts.messages)
        if self._accepted == self._options.max_messages:
            self._update_open()

    def _received(self, transaction: Transaction) -> Received:
        return Received(
            session=self._number,
            reverse_path=transaction.reverse_path.decode(),
            recipients=[recipient.decode() for recipient in transaction.recipients],
            content=self._content.value(),
            parameters=dict(transaction.parameters.values),
            tls=self.encrypted,
            user=self.user,
        )

    def _rset(self, argument: bytes) -> None:
        self._no_argument(argument)
        self._transaction = IDLE
        self._reply(b"250 2.0.0 Ok")

    _HANDLERS: ClassVar[dict[bytes, Callable[[Any, bytes], None]]] = {
        **Dialogue._HANDLERS,
        b"MAIL": _mail,
        b"RCPT": _rcpt,
        b"DATA": _data,
        b"BDAT": _bdat,
        b"RSET": _rset,
    }
