"""The SMTP commands that the embedded server knows, one function each, and what ends a message's content.

Each function takes the session's `ServerState` and the command's argument, changes the state and replies through it; it
raises `CommandError` with the reply where it refuses. RFC 5321 §4.1, RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 3030
(BDAT).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from batchsend.sink.authentication import MECHANISMS, decode_initial_response, decode_response, encode_challenge
from batchsend.sink.grammar import CommandError, parse_mail, parse_rcpt
from batchsend.sink.received import Received
from batchsend.sink.rules import Action, Rule, RuleStage
from batchsend.sink.state import NO_TRANSACTION, Expected, ServerContent, ServerTransaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchsend.sink.state import ServerState

RECIPIENTS_LIMIT: Final = 1000
"""Recipients of one message; RFC 5321 §4.5.3.1.8 asks for 100 at least."""

TOO_LARGE: Final = b"552 5.3.4 Message size exceeds fixed limit"
NO_ROOM: Final = b"452 4.3.1 Too much mail at once, come again"
DATA_ACCEPTED: Final = b"354 End data with <CR><LF>.<CR><LF>"

_DOMAIN: Final = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_UNPRINTABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BDAT: Final = re.compile(rb"([0-9]{1,18})( +LAST)?", re.IGNORECASE)
_TLS_FIRST: Final = b"530 5.7.0 Must issue a STARTTLS command first"
_NON_ASCII_PATH: Final = b"553 5.6.7 Non-ASCII path without SMTPUTF8"
_ALLOWED_BEFORE_TLS: Final = frozenset({b"NOOP", b"EHLO", b"STARTTLS", b"QUIT", b"BDAT"})
"""What RFC 3207 §4 lets through where TLS is required, and BDAT, whose own function refuses it after its octets."""


def carry_out(state: ServerState, line: bytes) -> None:
    """Carry out one command line.

    Args:
        state: The session's.
        line: The line without its CRLF.
    """
    state.counts.commands += 1
    verb, _, argument = line.rstrip(b" \t").partition(b" ")
    verb = verb.upper()
    try:
        if _UNPRINTABLE.search(line):
            # RFC 5321 §2.3.8: a bare CR or LF ends no line, and nothing that is sent here contains one.
            raise CommandError(b"500 5.5.2 Control character in command")
        command = COMMANDS.get(verb)
        if command is None:
            raise CommandError(b"500 5.5.1 Command unrecognized")
        if state.options.require_tls and not state.encrypted and verb not in _ALLOWED_BEFORE_TLS:
            raise CommandError(_TLS_FIRST)
        command(state, argument)
    except CommandError as error:
        state.refuse(error.reply)


def take_response(state: ServerState, line: bytes) -> None:
    """Hand the client's answer to an AUTH challenge, without its CRLF, to the mechanism."""
    state.expected = Expected.COMMAND
    try:
        _advance(state, decode_response(line))
    except CommandError as error:
        state.exchange = None
        state.refuse(error.reply)


def refuse_overlong(state: ServerState) -> None:
    """Answer a line that was too long to be kept."""
    state.counts.commands += state.expected is Expected.COMMAND
    state.exchange = None
    state.expected = Expected.COMMAND
    state.refuse(b"500 5.5.2 Line too long")


def _check_domain(argument: bytes) -> None:
    if not _DOMAIN.fullmatch(argument):
        raise CommandError(b"501 5.5.4 Syntax: EHLO or HELO, then a domain or an address literal")


def _check_no_argument(argument: bytes) -> None:
    if argument:
        raise CommandError(b"501 5.5.4 No argument is allowed")


def _ehlo(state: ServerState, argument: bytes) -> None:
    _check_domain(argument)
    state.introduce(extended=True)
    options = state.options
    lines = [options.hostname]
    if options.pipelining:
        lines.append("PIPELINING")
    lines.append(f"SIZE {options.max_size}")
    if options.eight_bit_mime:
        lines.append("8BITMIME")
    if options.smtputf8:
        lines.append("SMTPUTF8")
    if options.chunking:
        lines.append("CHUNKING")
    if options.tls == "starttls" and not state.encrypted:
        lines.append("STARTTLS")
    elif options.authentication:
        lines.append(f"AUTH {b' '.join(MECHANISMS).decode()}")
    lines.append("ENHANCEDSTATUSCODES")
    state.reply("\r\n".join(f"250-{line}" for line in lines[:-1]).encode() + b"\r\n250 " + lines[-1].encode())


def _helo(state: ServerState, argument: bytes) -> None:
    _check_domain(argument)
    state.introduce(extended=False)
    state.reply(b"250 " + state.options.hostname.encode())


def _starttls(state: ServerState, argument: bytes) -> None:
    _check_no_argument(argument)
    if state.encrypted:
        raise CommandError(b"503 5.5.1 TLS is already active")
    if state.options.tls != "starttls":
        raise CommandError(b"502 5.5.1 STARTTLS is not offered")
    state.reply(b"220 2.0.0 Ready to start TLS")
    state.start_tls()


def _auth(state: ServerState, argument: bytes) -> None:
    name, _, initial = argument.partition(b" ")
    if not state.options.authentication:
        raise CommandError(b"502 5.5.1 AUTH is not offered")
    if not state.extended:
        raise CommandError(b"503 5.5.1 Send EHLO first")
    if state.options.tls == "starttls" and not state.encrypted:
        raise CommandError(b"538 5.7.11 Encryption required for authentication")
    if state.user is not None or state.transaction is not NO_TRANSACTION:
        raise CommandError(b"503 5.5.1 AUTH is not allowed now")
    mechanism = MECHANISMS.get(name.upper())
    if mechanism is None:
        raise CommandError(b"504 5.5.4 Unrecognized authentication mechanism")
    state.exchange = mechanism(decode_initial_response(initial.strip()))
    _advance(state, None)


def _advance(state: ServerState, response: bytes | None) -> None:
    """Take the exchange to its next challenge, or to its end; ``response`` is None to begin it."""
    exchange = state.exchange
    if exchange is None:
        raise CommandError(b"503 5.5.1 No authentication is under way")
    try:
        challenge = next(exchange) if response is None else exchange.send(response)
    except StopIteration as end:
        state.exchange = None
        credentials = end.value
        if not credentials.match(state.options.username, state.options.password):
            raise CommandError(b"535 5.7.8 Authentication credentials invalid") from None
        state.user = credentials.user
        state.update_takes_groups()
        state.reply(b"235 2.7.0 Authentication successful")
    else:
        state.reply(encode_challenge(challenge))
        state.expected = Expected.RESPONSE


def _noop(state: ServerState, argument: bytes) -> None:  # noqa: ARG001 - RFC 5321 §4.1.1.9: ignored
    state.reply(b"250 2.0.0 Ok")


def _vrfy(state: ServerState, argument: bytes) -> None:
    if not argument:
        raise CommandError(b"501 5.5.4 Syntax: VRFY mailbox")
    state.reply(b"252 2.5.0 Cannot VRFY the mailbox, but will take messages for it")


def _help(state: ServerState, argument: bytes) -> None:  # noqa: ARG001 - the same help for everything
    state.reply(b"214 2.0.0 " + b" ".join(sorted(COMMANDS)))


def _quit(state: ServerState, argument: bytes) -> None:
    _check_no_argument(argument)
    state.reply(b"221 2.0.0 Bye")
    state.close()


def _rset(state: ServerState, argument: bytes) -> None:
    _check_no_argument(argument)
    state.forget_transaction()
    state.reply(b"250 2.0.0 Ok")


def _mail(state: ServerState, argument: bytes) -> None:
    if not state.introduced:
        raise CommandError(b"503 5.5.1 Send EHLO first")
    if state.transaction is not NO_TRANSACTION:
        raise CommandError(b"503 5.5.1 Nested MAIL")
    options = state.options
    if options.require_auth and state.user is None:
        raise CommandError(b"530 5.7.0 Authentication required")
    if options.max_messages is not None and state.accepted >= options.max_messages:
        state.refuse(b"421 4.7.0 Maximum message count per session reached")
        state.close()
        return
    reverse_path, parameters = parse_mail(argument)
    _check_offered(state, parameters.values)
    if options.max_size and parameters.size > options.max_size:
        raise CommandError(TOO_LARGE)
    if not parameters.smtputf8 and not reverse_path.isascii():
        raise CommandError(_NON_ASCII_PATH)
    state.transaction = ServerTransaction(reverse_path, parameters)
    state.reply(b"250 2.1.0 Ok")


def _check_offered(state: ServerState, parameters: Mapping[str, str | None]) -> None:
    for keyword, offered in (
        ("SIZE", state.extended),
        ("AUTH", state.extended),
        ("BODY", state.extended and state.options.eight_bit_mime),
        ("SMTPUTF8", state.extended and state.options.smtputf8),
    ):
        if keyword in parameters and not offered:
            raise CommandError(b"555 5.5.4 Parameter %b is not offered" % keyword.encode())


def _rcpt(state: ServerState, argument: bytes) -> None:
    transaction = state.transaction
    if transaction is NO_TRANSACTION:
        raise CommandError(b"503 5.5.1 Send MAIL first")
    if transaction.chunked or transaction.failed:
        raise CommandError(b"503 5.5.1 RCPT after BDAT")
    try:
        forward_path = parse_rcpt(argument)
        if not transaction.parameters.smtputf8 and not forward_path.isascii():
            raise CommandError(_NON_ASCII_PATH)
        if len(transaction.recipients) >= RECIPIENTS_LIMIT:
            raise CommandError(b"452 4.5.3 Too many recipients")
        if state.options.recipients is not None and not state.options.recipients(forward_path.decode()):
            raise CommandError(b"550 5.1.1 No such mailbox here")
    except CommandError:
        transaction.refused = True
        raise
    rule = state.rule_for(forward_path)
    if rule is None or rule.stage is RuleStage.CONTENT:
        transaction.rule = transaction.rule or rule
    elif not _apply(state, rule, 1):
        transaction.refused = True
        return
    transaction.recipients.append(forward_path)
    state.reply(b"250 2.1.5 Ok")


def _apply(state: ServerState, rule: Rule, recipients: int) -> bool:
    """Do what a rule says to one or more recipients, and tell whether they are still welcome."""
    counts = state.counts
    match rule.action:
        case Action.DROP:
            counts.dropped += 1
            state.close()
            return False
        case Action.DELAY:
            counts.delayed += 1
            state.pause(rule.delay)
            return True
        case Action.REJECT:
            counts.rejected += recipients
        case Action.DEFER:
            counts.deferred += recipients
    state.reply(rule.reply_line)
    if rule.reply_line.startswith(b"421"):
        state.close()
    return False


def _check_recipients(state: ServerState) -> None:
    """See to it that there is somebody to receive the content (RFC 5321 §3.3)."""
    if state.transaction is NO_TRANSACTION:
        raise CommandError(b"503 5.5.1 Send MAIL first")
    if not state.transaction.recipients:
        if state.transaction.refused:
            raise CommandError(b"554 5.5.1 No valid recipients")
        raise CommandError(b"503 5.5.1 Send RCPT first")


def _data(state: ServerState, argument: bytes) -> None:
    _check_no_argument(argument)
    if state.transaction.chunked or state.transaction.failed:
        raise CommandError(b"503 5.5.1 DATA after BDAT")
    _check_recipients(state)
    state.reply(DATA_ACCEPTED)
    state.expect_data()


def _bdat(state: ServerState, argument: bytes) -> None:
    match = _BDAT.fullmatch(argument)
    if match is None or not state.options.chunking:
        # How much content follows is not known, or the client was not told that it may send any: what it sends
        # next would be taken for commands.
        state.refuse(b"501 5.5.4 Syntax: BDAT octets [LAST]" if match is None else b"502 5.5.1 CHUNKING is not offered")
        state.close()
        return
    begin_chunk(state, int(match[1]), last=match[2] is not None)


def begin_chunk(state: ServerState, size: int, *, last: bool) -> None:
    """Expect a chunk of so many octets (RFC 3030 §2), and answer at once where it has none."""
    transaction = state.transaction
    state.chunk_left, state.chunk_last, state.chunk_error = size, last, None
    try:
        if state.options.require_tls and not state.encrypted:
            raise CommandError(_TLS_FIRST)
        if transaction.failed:
            raise CommandError(b"503 5.5.1 A chunk of this message was refused")
        _check_recipients(state)
        if not transaction.chunked:
            transaction.chunked = True
            state.content = ServerContent(
                wanted=state.deliver is not None, limit=state.options.max_size, room=state.room
            )
    except CommandError as error:
        # RFC 3030 §2: the chunk's octets are read and discarded before the refusal is sent.
        state.chunk_error = error.reply
    state.expected = Expected.CHUNK
    if not size:
        end_chunk(state)


def end_chunk(state: ServerState) -> None:
    """Answer a chunk that has come whole."""
    state.expected = Expected.COMMAND
    error = state.chunk_error
    if error is None and state.content.too_large:
        error = TOO_LARGE
    elif error is None and state.content.crowded_out:
        error = NO_ROOM
    if error is None:
        if state.chunk_last:
            finish_message(state)
        else:
            state.reply(b"250 2.0.0 %d octets received" % state.content.octets)
        return
    state.refuse(error)
    if state.chunk_last:
        state.forget_transaction()
    elif state.transaction is not NO_TRANSACTION:
        state.transaction.failed = True


def finish_message(state: ServerState) -> None:
    """End the transaction, its content having come whole, and answer it."""
    transaction, state.transaction = state.transaction, NO_TRANSACTION
    if state.content.too_large:
        state.refuse(TOO_LARGE)
    elif state.content.crowded_out:
        state.refuse(NO_ROOM)
    elif transaction.rule is None or _apply(state, transaction.rule, len(transaction.recipients)):
        _accept(state, transaction)
    if state.deliver is not None:
        state.content.drop()


def _accept(state: ServerState, transaction: ServerTransaction) -> None:
    if state.deliver is not None:
        try:
            state.deliver(_received(state, transaction))
        except OSError:
            # RFC 5321 §4.2.5: with a 250 the server would take responsibility for what it could not keep.
            state.refuse(b"452 4.3.1 Insufficient system storage")
            return
    counts = state.counts
    counts.messages += 1
    counts.recipients += len(transaction.recipients)
    counts.octets += state.content.octets
    state.accepted += 1
    state.reply(b"250 2.0.0 Ok: queued as %X" % counts.messages)
    if state.accepted == state.options.max_messages:
        state.update_takes_groups()


def _received(state: ServerState, transaction: ServerTransaction) -> Received:
    return Received(
        session=state.number,
        reverse_path=transaction.reverse_path.decode(),
        recipients=[recipient.decode() for recipient in transaction.recipients],
        content=state.content.value(),
        parameters=dict(transaction.parameters.values),
        tls=state.encrypted,
        user=state.user,
    )


COMMANDS: Final[dict[bytes, Callable[[ServerState, bytes], None]]] = {
    b"EHLO": _ehlo,
    b"HELO": _helo,
    b"STARTTLS": _starttls,
    b"AUTH": _auth,
    b"MAIL": _mail,
    b"RCPT": _rcpt,
    b"DATA": _data,
    b"BDAT": _bdat,
    b"RSET": _rset,
    b"NOOP": _noop,
    b"VRFY": _vrfy,
    b"HELP": _help,
    b"QUIT": _quit,
}
"""Every command by its verb in upper case."""
