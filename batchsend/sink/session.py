"""One session of the embedded SMTP server without input or output: octets in; replies, pauses and messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batchsend.sink import commands
from batchsend.sink.grammar import NO_PARAMETERS, CommandError, match_group, parse_parameters
from batchsend.sink.state import NO_TRANSACTION, Expected, ServerState, ServerStep, ServerTransaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.room import Room
    from batchsend.sink.options import SinkOptions
    from batchsend.sink.received import Counts, Received

LINE_LIMIT: Final = 512 + 26 + 17 + 10 + 500
"""Octets of a command line with its CRLF: RFC 5321 §4.5.3.1.4, and what SIZE, BODY, SMTPUTF8 and AUTH= add to it."""

AUTH_LINE_LIMIT: Final = 12288
"""Octets of an AUTH command or of the answer to its challenge, with their CRLF (RFC 4954 §4)."""

_MOST_REPLIES: Final = 1000
"""Replies to what was read at once, after which a client has to take these first: they may be far longer than that."""

_END_OF_DATA: Final = b"\r\n.\r\n"
_GROUP_ACCEPTED: Final = b"250 2.1.0 Ok\r\n250 2.1.5 Ok"
_DATA_ACCEPTED: Final = b"%b\r\n%b" % (_GROUP_ACCEPTED, commands.DATA_ACCEPTED)

# Members of an enumeration are slow to look up in CPython 3.11, and these are looked up for every message.
_COMMAND: Final = Expected.COMMAND
_RESPONSE: Final = Expected.RESPONSE
_DATA: Final = Expected.DATA
_CHUNK: Final = Expected.CHUNK
_TLS: Final = Expected.TLS
_CLOSED: Final = Expected.CLOSED


class ServerSession:
    """One connection's dialogue, from octets to octets.

    What its methods return is to be done in that order. It is the same however the octets are cut into pieces.

    Args:
        options: What is offered, and the rules.
        counts: The sink's totals, added to.
        deliver: Given each message before it is answered; an OSError from it makes the answer 452. None: nobody wants
            the messages, and their content is not kept.
        number: The session's number, from 1.
        encrypted: Whether the connection began with TLS.
        room: What all sessions have together for the messages that they keep; None for no limit.
    """

    def __init__(
        self,
        options: SinkOptions,
        counts: Counts,
        deliver: Callable[[Received], None] | None = None,
        *,
        number: int = 1,
        encrypted: bool = False,
        room: Room | None = None,
    ) -> None:
        self._state = ServerState(options, counts, deliver, number=number, encrypted=encrypted, room=room)
        self._rest = b""
        self._overlong = False

    @property
    def user(self) -> str | None:
        """Who has authenticated, or None."""
        return self._state.user

    def greet(self) -> list[ServerStep]:
        """Return the greeting, due when the connection is open (RFC 5321 §3.1)."""
        self._state.reply(b"220 %b ESMTP batchsend sink" % self._state.options.hostname.encode())
        return self._state.take_steps()

    def receive(self, octets: bytes) -> list[ServerStep]:
        """Take what the client sent.

        Args:
            octets: Any piece of it.

        Returns:
            What to do next; in ordinary cases one write.
        """
        return self._process(self._rest + octets if self._rest else octets)

    def resume(self) -> list[ServerStep]:
        """Go on after a pause, with what was received in the meantime."""
        self._state.end_pause()
        return self._process(self._rest)

    def tls_started(self) -> None:
        """Begin anew, encrypted: everything the client said before is forgotten (RFC 3207 §4.2)."""
        self._state.encrypted = True
        self._state.forget_client()

    def lost(self) -> None:
        """The connection is gone: nothing is kept of a message that has not come whole."""
        self._state.forget_transaction()

    def end(self, reply: bytes) -> list[ServerStep]:
        """End the session from this side; a pause under way is cut short.

        Args:
            reply: A 421 reply without its CRLF (RFC 5321 §3.8).
        """
        if self._state.expected is not _CLOSED:
            self._state.reply(reply)
            self._state.close()
        return self._state.take_steps()

    def _process(self, buffer: bytes) -> list[ServerStep]:
        """Read as far as the octets go; a reader returns where it stopped: where it began, if it needs more."""
        state = self._state
        position, end = 0, len(buffer)
        while position < end:
            expected = state.expected
            if expected is _COMMAND:
                taken = self._read_group(buffer, position) or self._read_line(buffer, position)
            elif expected is _DATA:
                taken = self._read_data(buffer, position)
            elif expected is _CHUNK:
                taken = self._read_chunk(buffer, position)
            elif expected is _RESPONSE:
                taken = self._read_line(buffer, position)
            else:
                break
            if taken == position:
                break
            position = taken
            if len(state.replies) > _MOST_REPLIES and state.expected is _COMMAND:
                state.pause(0.0)
        self._rest = buffer[position:]
        if self._rest and (state.expected is _TLS or state.expected is _CLOSED):
            self._ignore_rest()
        return state.take_steps()

    def _ignore_rest(self) -> None:
        if self._state.expected is _TLS:
            # RFC 3207 §4.2, CVE-2011-0411: what was sent in clear behind STARTTLS must never count as encrypted.
            self._state.counts.errors += 1
            self._state.abandon_tls()
        self._rest = b""

    def _read_group(self, buffer: bytes, position: int) -> int:
        """Read MAIL, RCPT and DATA or BDAT of the commonest form in one step; return 0 to have them read one by one.

        This is the hot path. It must come to exactly what reading them one by one comes to, so whatever is unusual is
        left to that.
        """
        state = self._state
        ready = state.takes_groups and state.transaction is NO_TRANSACTION and not self._overlong
        group = match_group(buffer, position) if ready else None
        if group is None:
            return 0
        reverse_path, text, forward_path, size = group.groups()
        options = state.options
        parameters = NO_PARAMETERS
        if text:
            try:
                parameters = parse_parameters(text)
            except CommandError:
                return 0
            if 0 < options.max_size < parameters.size:
                return 0
        if (size and not options.chunking) or (options.rules and state.rule_for(forward_path)):
            return 0
        state.counts.commands += 3
        state.transaction = ServerTransaction(reverse_path, parameters, [forward_path])
        if size:
            state.reply(_GROUP_ACCEPTED)
            commands.begin_chunk(state, int(size), last=True)
            return group.end()
        state.reply(_DATA_ACCEPTED)
        state.expect_data()
        return group.end() - 2

    def _read_line(self, buffer: bytes, position: int) -> int:
        """Read a command, or the answer to an AUTH challenge."""
        state = self._state
        response = state.expected is _RESPONSE
        auth = response or buffer[position : position + 5].upper() == b"AUTH "
        limit = AUTH_LINE_LIMIT if auth else LINE_LIMIT
        end = buffer.find(b"\r\n", position)
        if end < 0:
            if len(buffer) - position <= limit and not self._overlong:
                return position
            self._overlong = True
            # The last octet may be the CR of the CRLF that ends the line at last.
            return len(buffer) - buffer.endswith(b"\r")
        if self._overlong or end + 2 - position > limit:
            self._overlong = False
            commands.refuse_overlong(state)
        elif response:
            commands.take_response(state, buffer[position:end])
        else:
            commands.carry_out(state, buffer[position:end])
        # The CRLF of DATA is also the one before the first line of the content.
        return end if state.expected is _DATA else end + 2

    def _read_data(self, buffer: bytes, position: int) -> int:
        """Read content up to the end of the data: CRLF, dot, CRLF and nothing else (RFC 5321 §4.1.1.4)."""
        state = self._state
        end = buffer.find(_END_OF_DATA, position)
        if end < 0:
            # The last four octets may be the beginning of it.
            stop = max(position, len(buffer) - 4)
            state.content.add(buffer, position, stop, last=False)
            return stop
        state.content.add(buffer, position, end + 2, last=True)
        state.expected = _COMMAND
        commands.finish_message(state)
        return end + 5

    def _read_chunk(self, buffer: bytes, position: int) -> int:
        """Read octets of a chunk, which are content whatever they look like (RFC 3030 §2)."""
        state = self._state
        stop = min(len(buffer), position + state.chunk_left)
        state.chunk_left -= stop - position
        if state.chunk_error is None:
            state.content.add(buffer, position, stop, last=state.chunk_last and not state.chunk_left)
        if not state.chunk_left:
            commands.end_chunk(state)
        return stop
