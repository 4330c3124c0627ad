"""The commands about the session itself and their replies (RFC 5321 §4.1, RFC 3207, RFC 4954)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from batchsend.sink.authentication import MECHANISMS, decode_initial_response, decode_response, encode_challenge
from batchsend.sink.grammar import CommandError
from batchsend.sink.steps import Close, Mode, Pause, StartTls, Step
from batchsend.sink.transaction import IDLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.sink.authentication import Exchange
    from batchsend.sink.counts import Counts
    from batchsend.sink.options import SinkOptions

_DOMAIN: Final = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_UNPRINTABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Dialogue:
    """One session's state, changed by commands.

    Args:
        options: What is offered, and the rules.
        counts: The sink's totals, added to.
        encrypted: Whether the connection began with TLS.
    """

    def __init__(self, options: SinkOptions, counts: Counts, *, encrypted: bool) -> None:
        self.user: str | None = None
        self.encrypted = encrypted
        self._options = options
        self._counts = counts
        self._mode = Mode.COMMAND
        self._after_pause = Mode.COMMAND
        self._replies: list[bytes] = []
        self._steps: list[Step] = []
        self._counted = False
        self._introduced = False
        self._extended = False
        self._exchange: Exchange | None = None
        self._transaction = IDLE
        self._accepted = 0
        # Whether MAIL with SIZE and BODY would be accepted: what the shortcut for whole groups relies on.
        self._open = False

    def _reply(self, line: bytes) -> None:
        self._replies.append(line + b"\r\n")

    def _flush(self) -> None:
        if self._replies:
            self._steps.append(b"".join(self._replies))
            self._replies.clear()

    def _pause(self, seconds: float) -> None:
        self._flush()
        self._steps.append(Pause(seconds))
        self._after_pause, self._mode = self._mode, Mode.PAUSED

    def _close(self) -> None:
        self._flush()
        self._steps.append(Close())
        self._mode = Mode.CLOSED

    def _refuse(self, reply: bytes) -> None:
        self._counts.errors += 1
        self._reply(reply)

    def _refuse_overlong(self) -> None:
        """Answer a line that was too long to be kept."""
        self._counts.commands += self._mode is Mode.COMMAND
        self._exchange = None
        self._mode = Mode.COMMAND
        self._refuse(b"500 5.5.2 Line too long")

    def _command(self, line: bytes) -> None:
        """Carry out one command line, given without its CRLF."""
        self._counts.commands += 1
        verb, _, argument = line.rstrip(b" \t").partition(b" ")
        verb = verb.upper()
        try:
            if _UNPRINTABLE.search(line):
                # RFC 5321 §2.3.8: a bare CR or LF ends no line, and nothing that is sent here contains one.
                raise CommandError(b"500 5.5.2 Control character in command")
            handler = self._HANDLERS.get(verb)
            if handler is None:
                raise CommandError(b"500 5.5.1 Command unrecognized")
            if self._options.require_tls and not self.encrypted and verb not in self._BEFORE_TLS:
                raise CommandError(b"530 5.7.0 Must issue a STARTTLS command first")
            handler(self, argument)
        except CommandError as error:
            self._refuse(error.reply)

    def _response(self, line: bytes) -> None:
        """Hand the answer to a challenge to the mechanism."""
        self._mode = Mode.COMMAND
        try:
            self._advance(decode_response(line))
        except CommandError as error:
            self._exchange = None
            self._refuse(error.reply)

    def _update_open(self) -> None:
        options = self._options
        self._open = (
            self._extended
            and options.eight_bit_mime
            and (self.encrypted or not options.require_tls)
            and (self.user is not None or not options.require_auth)
            and (options.max_messages is None or self._accepted < options.max_messages)
        )

    def _introduce(self, argument: bytes, *, extended: bool) -> None:
        if not _DOMAIN.fullmatch(argument):
            raise CommandError(b"501 5.5.4 Syntax: EHLO or HELO, then a domain or an address literal")
        if not self._counted:
            # Once, though a client introduces itself again after STARTTLS.
            self._counted = True
            self._counts.sessions += 1
        self._introduced = True
        self._extended = extended
        self._transaction = IDLE
        self._update_open()

    def _ehlo(self, argument: bytes) -> None:
        self._introduce(argument, extended=True)
        options = self._options
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
        if options.tls == "starttls" and not self.encrypted:
            lines.append("STARTTLS")
        else:
            lines.append(f"AUTH {b' '.join(MECHANISMS).decode()}")
        lines.append("ENHANCEDSTATUSCODES")
        self._reply("\r\n".join(f"250-{line}" for line in lines[:-1]).encode() + b"\r\n250 " + lines[-1].encode())

    def _helo(self, argument: bytes) -> None:
        self._introduce(argument, extended=False)
        self._reply(b"250 " + self._options.hostname.encode())

    def _starttls(self, argument: bytes) -> None:
        self._no_argument(argument)
        if self.encrypted:
            raise CommandError(b"503 5.5.1 TLS is already active")
        if self._options.tls != "starttls":
            raise CommandError(b"502 5.5.1 STARTTLS is not offered")
        self._reply(b"220 2.0.0 Ready to start TLS")
        self._flush()
        self._steps.append(StartTls())
        self._mode = Mode.TLS

    def _auth(self, argument: bytes) -> None:
        name, _, initial = argument.partition(b" ")
        if not self._extended:
            raise CommandError(b"503 5.5.1 Send EHLO first")
        if self._options.tls == "starttls" and not self.encrypted:
            raise CommandError(b"538 5.7.11 Encryption required for authentication")
        if self.user is not None or self._transaction is not IDLE:
            raise CommandError(b"503 5.5.1 AUTH is not allowed now")
        mechanism = MECHANISMS.get(name.upper())
        if mechanism is None:
            raise CommandError(b"504 5.5.4 Unrecognized authentication mechanism")
        self._exchange = mechanism(decode_initial_response(initial.strip()))
        self._advance(None)

    def _advance(self, response: bytes | None) -> None:
        """Take the exchange to its next challenge, or to its end; ``response`` is None to begin it."""
        exchange = self._exchange
        if exchange is None:
            raise CommandError(b"503 5.5.1 No authentication is under way")
        try:
            challenge = next(exchange) if response is None else exchange.send(response)
        except StopIteration as end:
            self._exchange = None
            credentials = end.value
            if not credentials.match(self._options.username, self._options.password):
                raise CommandError(b"535 5.7.8 Authentication credentials invalid") from None
            self.user = credentials.user
            self._update_open()
            self._reply(b"235 2.7.0 Authentication successful")
        else:
            self._reply(encode_challenge(challenge))
            self._mode = Mode.RESPONSE

    def _noop(self, argument: bytes) -> None:  # noqa: ARG002 - RFC 5321 §4.1.1.9: ignored
        self._reply(b"250 2.0.0 Ok")

    def _vrfy(self, argument: bytes) -> None:
        if not argument:
            raise CommandError(b"501 5.5.4 Syntax: VRFY mailbox")
        self._reply(b"252 2.5.0 Cannot VRFY the mailbox, but will take messages for it")

    def _help(self, argument: bytes) -> None:  # noqa: ARG002 - the same help for everything
        self._reply(b"214 2.0.0 " + b" ".join(sorted(self._HANDLERS)))

    def _quit(self, argument: bytes) -> None:
        self._no_argument(argument)
        self._reply(b"221 2.0.0 Bye")
        self._close()

    @staticmethod
    def _no_argument(argument: bytes) -> None:
        if argument:
            raise CommandError(b"501 5.5.4 No argument is allowed")

    _BEFORE_TLS: ClassVar[frozenset[bytes]] = frozenset({b"NOOP", b"EHLO", b"STARTTLS", b"QUIT", b"BDAT"})
    """What RFC 3207 §4 lets through where TLS is required, and BDAT, which looks after itself."""

    _HANDLERS: ClassVar[dict[bytes, Callable[[Any, bytes], None]]] = {
        b"EHLO": _ehlo,
        b"HELO": _helo,
        b"STARTTLS": _starttls,
        b"AUTH": _auth,
        b"NOOP": _noop,
        b"VRFY": _vrfy,
        b"HELP": _help,
        b"QUIT": _quit,
    }
