"""An SMTP server's session without I/O: octets in; replies, pauses and messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batchsend.sink.grammar import NO_PARAMETERS, CommandError, match_group, parse_parameters
from batchsend.sink.mail import MailDialogue
from batchsend.sink.steps import Mode, Step
from batchsend.sink.transaction import IDLE, Lines, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.sink.counts import Counts
    from batchsend.sink.options import SinkOptions
    from batchsend.sink.received import Received

LINE_LIMIT: Final = 512 + 26 + 17 + 10 + 500
"""Octets of a command line with its CRLF: RFC 5321 §4.5.3.1.4, and what SIZE, BODY, SMTPUTF8 and AUTH= add to it."""

AUTH_LINE_LIMIT: Final = 12288
"""Octets of an AUTH command or of the answer to its challenge, with their CRLF (RFC 4954 §4)."""

_END_OF_DATA: Final = b"\r\n.\r\n"
_GROUP_ACCEPTED: Final = b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"
_DATA_ACCEPTED: Final = _GROUP_ACCEPTED + b"354 End data with <CR><LF>.<CR><LF>\r\n"

# Members of an enumeration are slow to look up in CPython 3.11, and these are looked up for every message.
_COMMAND: Final = Mode.COMMAND
_RESPONSE: Final = Mode.RESPONSE
_DATA: Final = Mode.DATA
_CHUNK: Final = Mode.CHUNK
_PAUSED: Final = Mode.PAUSED
_TLS: Final = Mode.TLS
_CLOSED: Final = Mode.CLOSED


class Session(MailDialogue):
    """One connection's dialogue, from octets to octets.

    What its methods return is to be done in that order. It is the same however the octets are cut into pieces.

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
        super().__init__(options, counts, deliver, number=number, encrypted=encrypted)
        self._rest = b""
        self._overlong = False

    def greet(self) -> list[Step]:
        """Return the greeting, due when the connection is open (RFC 5321 §3.1)."""
        self._reply(b"220 %b ESMTP batchsend sink" % self._options.hostname.encode())
        return self._take_steps()

    def receive(self, octets: bytes) -> list[Step]:
        """Take what the client sent.

        Args:
            octets: Any piece of it.

        Returns:
            What to do next; in ordinary cases one write.
        """
        return self._process(self._rest + octets if self._rest else octets)

    def resume(self) -> list[Step]:
        """Go on after a pause, with what was received in the meantime."""
        if self._mode is _PAUSED:
            self._mode = self._after_pause
        return self._process(self._rest)

    def tls_started(self) -> None:
        """Begin anew, encrypted: everything the client said before is forgotten (RFC 3207 §4.2)."""
        self.encrypted = True
        self.user = None
        self._introduced = self._extended = False
        self._transaction = IDLE
        self._mode = _COMMAND
        self._update_open()

    def end(self, reply: bytes) -> list[Step]:
        """End the session from this side; a pause under way is cut short.

        Args:
            reply: A 421 reply without its CRLF (RFC 5321 §3.8).
        """
        if self._mode is not _CLOSED:
            self._reply(reply)
            self._close()
        return self._take_steps()

    def _process(self, buffer: bytes) -> list[Step]:
        """Read as far as the octets go; a reader returns where it stopped: where it began, if it needs more."""
        position, end = 0, len(buffer)
        while position < end:
            mode = self._mode
            if mode is _COMMAND:
                taken = self._read_group(buffer, position) or self._read_line(buffer, position)
            elif mode is _DATA:
                taken = self._read_lines(buffer, position)
            elif mode is _CHUNK:
                taken = self._read_chunk(buffer, position)
            elif mode is _RESPONSE:
                taken = self._read_line(buffer, position)
            else:
                break
            if taken == position:
                break
            position = taken
        self._rest = buffer[position:]
        if self._rest and (self._mode is _TLS or self._mode is _CLOSED):
            self._ignore_rest()
        return self._take_steps()

    def _ignore_rest(self) -> None:
        if self._mode is _TLS:
            # RFC 3207 §4.2, CVE-2011-0411: what was sent in clear behind STARTTLS must never count as encrypted.
            self._counts.errors += 1
            self._steps = [step for step in self._steps if isinstance(step, bytes)]
            self._close()
        self._rest = b""

    def _take_steps(self) -> list[Step]:
        # Replies given during a pause are held back with it.
        if self._mode is not _PAUSED:
            self._flush()
        steps, self._steps = self._steps, []
        return steps

    def _read_group(self, buffer: bytes, position: int) -> int:
        """Read MAIL, RCPT and DATA or BDAT of the commonest form in one step; return 0 to have them read one by one.

        This is the hot path. It must come to exactly what reading them one by one comes to, so whatever is unusual is
        left to that.
        """
        ready = self._open and self._transaction is IDLE and not self._overlong
        group = match_group(buffer, position) if ready else None
        if group is None:
            return 0
        reverse_path, text, forward_path, size = group.groups()
        options = self._options
        parameters = NO_PARAMETERS
        if text:
            try:
                parameters = parse_parameters(text)
            except CommandError:
                return 0
            if 0 < options.max_size < parameters.size:
                return 0
        if (size and not options.chunking) or (options.rules and self._rule_for(forward_path)):
            return 0
        self._counts.commands += 3
        self._transaction = Transaction(reverse_path, parameters, [forward_path])
        if size:
            self._replies.append(_GROUP_ACCEPTED)
            self._begin_chunk(int(size), last=True)
            return group.end()
        self._replies.append(_DATA_ACCEPTED)
        self._content = Lines(wanted=self._deliver is not None, limit=options.max_size)
        self._mode = _DATA
        return group.end() - 2

    def _read_line(self, buffer: bytes, position: int) -> int:
        """Read a command, or the answer to an AUTH challenge."""
        response = self._mode is _RESPONSE
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
            self._refuse_overlong()
        elif response:
            self._response(buffer[position:end])
        else:
            self._command(buffer[position:end])
        # The CRLF of DATA is also the one before the first line of the content.
        return end if self._mode is _DATA else end + 2

    def _read_lines(self, buffer: bytes, position: int) -> int:
        """Read content up to the end of the data: CRLF, dot, CRLF and nothing else (RFC 5321 §4.1.1.4)."""
        end = buffer.find(_END_OF_DATA, position)
        if end < 0:
            # The last four octets may be the beginning of it.
            stop = max(position, len(buffer) - 4)
            self._content.add(buffer, position, stop, last=False)
            return stop
        self._content.add(buffer, position, end + 2, last=True)
        self._mode = _COMMAND
        self._finish()
        return end + 5

    def _read_chunk(self, buffer: bytes, position: int) -> int:
        """Read octets of a chunk, which are content whatever they look like (RFC 3030 §2)."""
        stop = min(len(buffer), position + self._remaining)
        self._remaining -= stop - position
        if self._chunk_error is None:
            self._content.add(buffer, position, stop, last=self._last and not self._remaining)
        if not self._remaining:
            self._end_chunk()
        return stop
