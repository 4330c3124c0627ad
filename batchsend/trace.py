r"""What is said on the wire, written down: the standard library's loggers, and traces of whole SMTP sessions.

**Loggers.** `log` ("batchsend") and `smtp_log` ("batchsend.smtp") are ordinary `logging` loggers. Unless the program
that uses batchsend configures logging they say nothing.

**Traces.** A `Trace` writes each session's dialogue to a file, in the format of ``tests/transcripts``: a section that
is copied out of it is a test. ``C:`` lines are the client's, ``S:`` lines the server's; a line stands where its last
octet came, and lines that follow each other came before the other side's next one. ``C>`` and ``S>`` are octets with
Python's escapes, where they are no line of printable UTF-8 that ends with CRLF::

    # session 2, with mail.example.com:587

    # 0.012 s
    S: 220 mail.example.com ESMTP

    # 0.013 s
    C: MAIL FROM:<sender@example.org>
    C: RCPT TO:<1@example.com>
    C: DATA

    # 0.020 s
    S: 250 Ok

    # 0.021 s
    C: <content 1034>
    # the connection was lost

Left out are secrets (what follows the mechanism's name in AUTH, and every answer to a 334 challenge) and the messages'
content: of that its length stays, in octets as they were sent, without the lone dot. Addresses are in it: who passes a
trace on passes them on, too.

The owner of a connection calls, for each session of its own and only where a trace is wanted (a session that is not
traced has None in its place, which costs one test for it)::

    session = trace.session(number, "mail.example.com:587")   # when the connection is open, or is being opened
    session.sent(octets)          # whenever octets are handed to the transport, before or after TLS: always plain text
    session.received(octets)      # whenever octets came
    session.tls_started()         # when the handshake is over
    session.close("why")          # when the connection is gone: this writes what is left of it

Sections of different sessions never mix. A long session comes in several sections: whenever there are 64 KiB of it they
are written, so that memory stays bounded. `sections` puts them together again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, Self

from batchsend.errors import not_writable
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

log: Final = logging.getLogger("batchsend")
smtp_log: Final = logging.getLogger("batchsend.smtp")
log.addHandler(logging.NullHandler())

_SECTION_OCTETS: Final = 1 << 16
_LONGEST_LINE: Final = 1 << 14
"""Octets of a line that are kept until it ends; what is longer is written in pieces."""

_SECTION: Final = late_pattern(r"# session (\d+)(, continued|, with .*)?")
_DEED: Final = late_pattern(r"<[a-z -]+( \d+)?>")
_AUTH: Final = late_pattern(rb"(AUTH +[\w-]{1,20})( [^\r\n]*)?\r\n", re.IGNORECASE)
_BDAT: Final = late_pattern(rb"BDAT +(\d{1,18})( +LAST)?\s*", re.IGNORECASE)
_END_OF_DATA: Final = b"\r\n.\r\n"

Side = Literal["client", "server"]
"""Which of the two writes the trace: whose octets `SessionTrace.sent` is told of."""


def logged(notice: Callable[[str], None]) -> Callable[[str], None]:
    """What calls ``notice`` as `guarded` does, and tells the logger ``batchsend`` the same line first."""
    notice = guarded(notice)

    def both(text: str) -> None:
        log.warning("%s", text)
        notice(text)

    return both


def guarded(told: Callable[[str], None]) -> Callable[[str], None]:
    """What calls ``told``, a function of the program that uses this one, and lets nothing that it raises out.

    It is called in the middle of what keeps the account of the messages: an error there would leave some of them
    neither settled nor waiting, and whoever awaits them would wait for ever.
    """

    def call(text: str) -> None:
        try:
            told(text)
        except Exception as error:
            report_failure(f"a notice could not be given: {text}", error)

    return call


def report_failure(message: str, error: Exception) -> None:
    """Say that a function of the program that uses this one has failed, where a loop says that of its callbacks."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise error from None  # nothing is under way yet: it is the caller's
    loop.call_exception_handler({"message": message, "exception": error})


class Trace:
    """Writes the dialogues of any number of sessions to one file.

    Args:
        path: The file. It is made, and must not be there, so that no file of the user's is written over; only its
            owner may read it. What is no regular file, such as /dev/stderr, is written to as it is.
        side: Whether the sessions are a client's or a server's.
        clock: Seconds on a clock that never goes back.

    Attributes:
        side: As given.
        clock: As given.
        error: Why something of the trace could not be written, or None. A trace never ends the run that it tells of:
            whoever has asked for it is told at the end.

    Raises:
        UsageError: The file cannot be made.
    """

    def __init__(self, path: Path, *, side: Side = "client", clock: Callable[[], float] = time.monotonic) -> None:
        self.side: Side = side
        self.clock = clock
        self._open: set[SessionTrace] = set()
        self._begun = 0
        self._written = False
        self.error: str | None = None
        device = path.exists() and not path.is_file()
        self._path = None if device else path
        try:
            self._file = open(  # noqa: SIM115 - Path.open takes no opener; `close` closes it
                path, "w" if device else "x", encoding="utf-8", newline="\n", opener=_private
            )
        except OSError as error:
            raise not_writable(path, error, "the trace") from None

    def session(self, number: int, where: str = "") -> SessionTrace:
        """Begin the trace of a session.

        Args:
            number: The session's number within the run, from 1.
            where: Whom it is with, for people: host and port.
        """
        trace = SessionTrace(self, number, where)
        self._open.add(trace)
        return trace

    def next_session(self, where: str) -> SessionTrace:
        """Begin the trace of a session that gets the next number, for owners that do not number their sessions.

        Args:
            where: Whom it is with, for people: host and port.
        """
        self._begun += 1
        return self.session(self._begun, where)

    def close(self) -> None:
        """Write what is left of the sessions that are still open, and close the file.

        A file to which nothing was written is removed: it would only be in the way of the next attempt.
        """
        for session in sorted(self._open, key=lambda one: one.number):
            session.close("the trace ends here")
        try:
            self._file.close()
            if self._path is not None and not self._written:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            self._failed(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def forget(self, session: SessionTrace) -> None:
        """Know nothing more of a session: it is closed."""
        self._open.discard(session)

    def write(self, text: str) -> None:
        """Write a section."""
        self._written = True
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self.error = f"the trace is not whole: {error.strerror}"
        log.warning(self.error)


class SessionTrace:
    """The dialogue of one session, as its owner tells of it; made by `Trace.session`.

    Attributes:
        number: The session's number.
    """

    def __init__(self, trace: Trace, number: int, where: str) -> None:
        self.number = number
        self._trace: Trace | None = trace
        self._client, self._server = _ClientSide(), _ServerSide()
        self._began = trace.clock()
        self._lines = [f"# session {number}" + (f", with {where}" if where else "")]
        self._size = 0
        self._last: _Side | None = None

    def sent(self, octets: bytes) -> None:
        """Take octets that were handed to the transport, in clear."""
        self._take(octets, sent=True)

    def received(self, octets: bytes) -> None:
        """Take octets that came, in clear."""
        self._take(octets, sent=False)

    def tls_started(self) -> None:
        """The connection is encrypted from here on (RFC 3207, or RFC 8314 at its very beginning)."""
        self._lines.append("S: <starttls>")

    def note(self, text: str) -> None:
        """Write a line for people: what its owner knows of the session, and no octets show."""
        self._lines.append(f"# {' '.join(text.split())}")

    def close(self, why: str = "") -> None:
        """The connection is gone: write what is left. Called again, it does nothing.

        Args:
            why: How it ended, for people, in one line.
        """
        if (trace := self._trace) is None:
            return
        self._add(trace, self._server, self._server.rest())
        self._add(trace, self._client, self._client.rest())
        if why:
            self.note(why)
        self._flush(trace)
        self._trace = None
        trace.forget(self)

    def _take(self, octets: bytes, *, sent: bool) -> None:
        if (trace := self._trace) is None:
            return
        if sent == (trace.side == "client"):
            self._add(trace, self._client, self._client.take(octets))
        else:
            self._add(trace, self._server, self._server.take(octets))
            for code in self._server.codes:
                self._client.hear(code)
            self._server.codes.clear()
            # What the client sent before its DATA was answered can be told apart by now.
            self._add(trace, self._client, self._client.take(b""))
        if self._size > _SECTION_OCTETS:
            self._flush(trace)
            self._lines = [f"# session {self.number}, continued"]

    def _add(self, trace: Trace, side: _Side, lines: list[str]) -> None:
        if not lines:
            return
        if side is not self._last:
            self._lines += ["", f"# {trace.clock() - self._began:.3f} s"]
            self._last = side
        self._lines += lines
        self._size += sum(len(line) + 1 for line in lines)

    def _flush(self, trace: Trace) -> None:
        trace.write("\n".join(self._lines) + "\n\n")
        self._lines.clear()
        self._size = 0


class _Side:
    """One side's octets, cut into lines.

    Attributes:
        mark: ``C`` or ``S``.
    """

    mark = ""

    def __init__(self) -> None:
        self._buffer = b""

    def rest(self) -> list[str]:
        """The line that was not finished, at the end of all."""
        rest, self._buffer = self._buffer, b""
        return [self._shown(rest)] if rest else []

    def _line(self) -> bytes | None:
        """The next whole line with its line feed, or a piece of one that is too long; None where there is none yet."""
        end = self._buffer.find(b"\n") + 1
        if not end and len(self._buffer) > _LONGEST_LINE:
            end = len(self._buffer)
        if not end:
            return None
        line, self._buffer = self._buffer[:end], self._buffer[end:]
        return line

    def _shown(self, line: bytes) -> str:
        """A line as the format has it: as text if that is the same octets again, otherwise escaped."""
        if line.endswith(b"\r\n"):
            try:
                text = line[:-2].decode()
            except UnicodeDecodeError:
                text = "\n"
            if text.isprintable() and not _DEED.fullmatch(text):
                return f"{self.mark}: {text}" if text else f"{self.mark}:"
        return f"{self.mark}> {line.decode('latin-1').encode('unicode_escape').decode('ascii')}"


class _ServerSide(_Side):
    """The server's octets.

    Attributes:
        codes: The codes of the replies that were completed last (RFC 5321 §4.2.1: their last line has no hyphen).
    """

    mark = "S"

    def __init__(self) -> None:
        super().__init__()
        self.codes: list[bytes] = []

    def take(self, octets: bytes) -> list[str]:
        """The lines that are now whole."""
        self._buffer += octets
        lines = []
        while (line := self._line()) is not None:
            if line[3:4] != b"-":
                self.codes.append(line[:3])
            lines.append(self._shown(line))
        return lines


class _ClientSide(_Side):
    """The client's octets, of which secrets and content are left out."""

    mark = "C"

    def __init__(self) -> None:
        super().__init__()
        # The commands whose replies have not come, in their order, by their verbs.
        self._unanswered: deque[bytes] = deque()
        # Whether an AUTH command has not been answered for good: then every line is a secret (RFC 4954 §4).
        self._auth = False
        # Whether the last command was DATA; and whether it waits for its reply, which says what comes next.
        self._after_data = False
        self._held = False
        self._in_data = False
        self._data_octets = 0
        self._chunk = 0
        self._chunk_octets = 0

    def hear(self, code: bytes) -> None:
        """A reply came.

        That a server's replies are as many as the commands is not relied upon where something would show that must not:
        a 354 after DATA begins content, whatever was counted, and the end of AUTH is any reply but 334.
        """
        answered = self._unanswered.popleft() if self._unanswered else b""
        if self._after_data and code == b"354":
            self._in_data, self._held, self._data_octets = True, False, 0
            # The end of the data is known by the CRLF before it; before the first line that is the one of DATA.
            self._buffer = b"\r\n" + self._buffer
        elif answered == b"DATA":
            self._held = False
        if self._auth and code != b"334":
            self._auth = False

    def take(self, octets: bytes) -> list[str]:
        """The lines that are now whole; content is one line for all of it."""
        self._buffer += octets
        lines: list[str] = []
        more = True
        while more and self._buffer and not self._held:
            if self._in_data:
                more = self._take_data(lines)
            elif self._chunk:
                more = self._take_chunk(lines)
            else:
                more = self._take_command(lines)
        return lines

    def rest(self) -> list[str]:
        """What is unfinished at the end; of content and secrets only that there were some."""
        rest, self._buffer = self._buffer, b""
        if self._in_data:
            return [f"# {max(0, self._data_octets + len(rest) - 2)} octets of content, without their end"]
        if self._chunk:
            return [f"# {self._chunk_octets - self._chunk} of {self._chunk_octets} octets of a chunk"]
        if self._held and rest:
            return [f"# {len(rest)} octets, before DATA was answered"]
        if rest and (self._auth or rest[:4].upper() == b"AUTH"[: len(rest)]):
            return ["# a part of a line of AUTH is left out"]
        return [self._shown(rest)] if rest else []

    def _take_command(self, lines: list[str]) -> bool:
        line = self._line()
        if line is None:
            return False
        verb = line.lstrip()[:4].upper()
        self._unanswered.append(verb)
        self._after_data = self._held = line.strip().upper() == b"DATA"
        if self._auth:
            lines += ["# the answer to the challenge is left out", "C:"]
        elif verb == b"AUTH":
            self._auth = True
            auth = _AUTH.fullmatch(line)
            if auth is None or auth[2] is not None:
                lines.append("# what follows is left out")
            lines.append("C: AUTH" if auth is None else self._shown(auth[1] + b"\r\n"))
        else:
            lines.append(self._shown(line))
            bdat = _BDAT.fullmatch(line)
            self._chunk = self._chunk_octets = int(bdat[1]) if bdat else 0
        return True

    def _take_data(self, lines: list[str]) -> bool:
        end = self._buffer.find(_END_OF_DATA)
        if end < 0:
            # The last four octets may be the beginning of the end.
            stop = max(0, len(self._buffer) - 4)
            self._data_octets += stop
            self._buffer = self._buffer[stop:]
            return False
        self._data_octets += end
        self._buffer = self._buffer[end + len(_END_OF_DATA) :]
        self._in_data = self._after_data = False
        self._unanswered.append(b"content")
        lines.append(f"C: <content {self._data_octets}>")
        return True

    def _take_chunk(self, lines: list[str]) -> bool:
        taken = min(self._chunk, len(self._buffer))
        self._buffer = self._buffer[taken:]
        self._chunk -= taken
        if self._chunk:
            return False
        lines.append(f"C: <octets {self._chunk_octets}>")
        return True


def sections(text: str) -> dict[int, str]:
    """The dialogue of each session by its number, put together from all its sections.

    Args:
        text: What a `Trace` has written.
    """
    found: dict[int, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        match = _SECTION.fullmatch(line)
        if match is None:
            current.append(line)
        elif match[2] == ", continued":
            current = found[int(match[1])]
            while current and not current[-1]:
                current.pop()  # the blank line that ended the section before
        else:
            current = found.setdefault(int(match[1]), [])
            current.append(line)
    return {number: "\n".join(lines).rstrip("\n") + "\n" for number, lines in found.items()}


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
