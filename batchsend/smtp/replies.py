"""Replies (RFC 5321 §4.2): the strict grammar, and a parser that takes bytes as they come."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from batchsend.display import printable

MAX_LINE: Final = 8 * 1024
"""Octets of one reply line. RFC 5321 §4.5.3.1.5 asks for 512; real servers' explanations are longer."""

MAX_REPLY: Final = 32 * 1024
"""Octets of one reply with all its lines: a server that never stops continuing is not worth more memory."""

# RFC 5321 §4.2: Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF.
# As tables, because what is not in them is malformed, and because a look-up is the cheapest strict parser there is.
_CODES: Final = [b"%d" % code for code in range(200, 600)]
_LAST: Final = {code + separator: int(code) for code in _CODES for separator in (b" ", b"")}
_CONTINUED: Final = {code + b"-": int(code) for code in _CODES}

# Lines that are remembered with their replies; those of the replies that are never the same are not worth more.
_KNOWN: Final = 16
# Likewise what follows the first of several replies that come together.
_TAILS: Final = 8

# RFC 3463 §2: class "." subject "." detail, at the beginning of the text.
_ENHANCED: Final = re.compile(rb"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?![^ ])")
_LONGEST_ENHANCED: Final = len(b"5.999.999 ")

DONE: Final = frozenset(range(200, 300)) - {220, 221, 235}
"""Codes by which a server says that it has done what it was asked; the others are replies to certain commands only."""


@lru_cache(maxsize=1024)
def _enhanced(code: int, beginning: bytes) -> str | None:
    match = _ENHANCED.match(beginning)
    return match[0].decode("ascii") if match is not None and int(match[1]) == code // 100 else None


class Reply(NamedTuple):
    """One complete reply.

    Attributes:
        code: Three digits, 200 to 599.
        raw: The texts of its lines, without codes and separators, joined by LF.
    """

    code: int
    raw: bytes

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code (RFC 3463), believed only if its class is the code's first digit (RFC 2034 §4)."""
        return _enhanced(self.code, self.raw[:_LONGEST_ENHANCED].partition(b"\n")[0])

    @property
    def is_about_policy(self) -> bool:
        """Whether it says that it is about security or policy (RFC 3463 §3.8)."""
        return self.enhanced is not None and self.enhanced[1:4] == ".7."

    @property
    def text(self) -> str:
        """The text, safe to print: what is not UTF-8 and every control character but LF is escaped."""
        text = self.raw.decode("utf-8", "backslashreplace")
        return text if text.isprintable() else printable(text, keep="\n")

    def __str__(self) -> str:
        """Code and text on one line, for messages."""
        return f"{self.code} {self.text}".replace("\n", " ")


def _single(line: bytes) -> Reply | None:
    """A line as a reply of its own; None where it is another one's, malformed, or to be looked at."""
    code = _LAST.get(line[:4])
    return None if code is None or len(line) > MAX_LINE or b"\n" in line else Reply(code, line[4:])


class _MalformedError(Exception):
    """The stream left the grammar; caught by the parser that raises it."""


class _TooLongError(_MalformedError):
    """A line is longer than what is read of one."""


class KnownReplies:
    """Replies that a server has given before, as octets and ready made: it says nearly the same in each session."""

    def __init__(self) -> None:
        self.lines: dict[bytes, Reply] = {}
        self.tails: dict[bytes, list[Reply]] = {}

    def begin(self) -> None:
        """Begin a session: where what is remembered was never the same, room is made for what this one hears."""
        if len(self.tails) >= _TAILS:
            self.lines.clear()
            self.tails.clear()


class ReplyParser:
    """Cuts a stream of octets into replies.

    It never raises: what the grammar does not allow is put into ``error``, the replies complete before it are returned,
    and nothing after it is read.

    Args:
        known: What the server has said in other sessions, which it saves to read again; None for nothing.

    Attributes:
        error: Why the stream cannot be read on, or None.
        too_long: The stream is not read on only because a line is longer than what is read of one. That says nothing
            about the replies before it: they are in order.
    """

    def __init__(self, known: KnownReplies | None = None) -> None:
        known = known or KnownReplies()
        known.begin()
        self.error: str | None = None
        self.too_long = False
        self._partial = b""
        self._known = known.lines
        self._tails = known.tails
        self._lines: list[bytes] = []
        self._code = 0
        self._size = 0

    def feed(self, data: bytes) -> list[Reply]:
        """Take the next octets; return the replies that they complete, in order."""
        if self.error is not None:
            return []
        if self._partial:
            return self._feed(self._partial + data)
        if not self._lines:
            # With PIPELINING the replies to content, MAIL, RCPT and DATA come together, the last three always alike.
            first, _, tail = data.partition(b"\r\n")
            known = self._tails.get(tail)
            if known is not None and (reply := self._known.get(first) or _single(first)) is not None:
                return [reply, *known]
        return self._feed(data)

    def _feed(self, data: bytes) -> list[Reply]:
        replies: list[Reply] = []
        lines = data.split(b"\r\n")
        self._partial = lines.pop()
        # What cannot hold a line that is too long, nor an LF without its CR, needs no look at each line for them.
        plain = len(data) <= MAX_LINE and data.count(b"\n") == len(lines)
        try:
            for line in lines:
                if not self._lines:
                    # Of the four replies to a message three are always the same: each is made once.
                    reply = self._known.get(line)
                    if reply is None and plain and (code := _LAST.get(line[:4])) is not None:
                        reply = Reply(code, line[4:])
                        if len(self._known) < _KNOWN:
                            self._known[line] = reply
                    if reply is not None:
                        replies.append(reply)
                        continue
                self._take(line, replies)
            if not plain:
                _check(self._partial, MAX_LINE + 1)  # a CR may be there already
            elif len(replies) == len(lines) > 1 and not self._partial and len(self._tails) < _TAILS:
                self._tails[data.partition(b"\r\n")[2]] = replies[1:]
        except _MalformedError as error:
            self.error = str(error)
            self.too_long = isinstance(error, _TooLongError)
        return replies

    def _take(self, line: bytes, replies: list[Reply]) -> None:
        """Take one line that is part of a longer reply, or wrong."""
        _check(line, MAX_LINE)
        last = _LAST.get(line[:4])
        code = last if last is not None else _CONTINUED.get(line[:4])
        if code is None:
            raise _MalformedError(f"not a reply: {line[:40]!r}")
        if self._lines and code != self._code:
            code = self._both(code)
        self._size += len(line)
        if self._size > MAX_REPLY:
            raise _MalformedError(f"a reply is longer than {MAX_REPLY} octets")
        self._code = code
        self._lines.append(line[4:])
        if last is not None:
            replies.append(Reply(code, b"\n".join(self._lines)))
            self._lines.clear()
            self._size = 0

    def _both(self, code: int) -> int:
        """What a reply means whose lines bear two codes, although RFC 5321 §4.2.1 gives them one.

        Some servers mix two refusals, and mean the last one. Where one is for now and the other for good, it is taken
        as for now: whoever is refused for good will be refused again, and nobody is given up for half a word. Of a
        reply that is half a refusal nobody can say what it means.
        """
        if min(code, self._code) < 400:
            raise _MalformedError(f"one reply with two codes, {self._code} and {code}")
        return code if code // 100 == self._code // 100 else min(code, self._code)

    def __repr__(self) -> str:
        held = len(self._partial) + self._size
        return f"<ReplyParser {'error: ' + self.error if self.error else f'{held} octets held'}>"


def _check(line: bytes, most: int) -> None:
    # In the order in which a parser that is fed octet by octet would notice.
    if b"\n" in line[: MAX_LINE + 2]:
        raise _MalformedError("a reply line ends in a bare LF")
    if len(line) > most:
        raise _TooLongError(f"a reply line is longer than {MAX_LINE} octets")
