"""A server so simple that it is obviously right: one command at a time, from a table of what it has decided."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from batchsend.outcome import Stage

SILENT_ACCEPT = -1
"""At the content: take the message, and close the connection without a word."""

DROP = 0
"""Close the connection without a word."""

_ENHANCED = {"mail": "2.1.0", "rcpt": "2.1.5"}


class Reading(Enum):
    """What the server takes the next octets for."""

    COMMANDS = "commands"
    CONTENT = "content"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Decision:
    """What the server will say to one record, at each stage: a code, DROP or SILENT_ACCEPT."""

    mail: int = 250
    rcpt: int = 250
    data: int = 354
    content: int = 250

    def outcome(self, *, chunked: bool) -> tuple[int, Stage]:
        """Return what decides the record: the first refusal, or the content's reply."""
        stages = [(self.mail, Stage.MAIL), (self.rcpt, Stage.RCPT)]
        if not chunked:
            stages.append((self.data, Stage.DATA))
        for code, stage in stages:
            if code not in range(200, 400):
                return code, stage
        return self.content, Stage.CONTENT


@dataclass(frozen=True)
class Habits:
    """In what servers that keep the rules differ.

    Attributes:
        pipelining: It reads on while it answers; otherwise a command before the reply to the last one is a violation.
        refused_stay_open: A refused BDAT leaves its transaction open (Exim), or ends it (Postfix).
        data_anyway: DATA is answered 354 although nobody will receive it (RFC 2920 §3.1 allows for it).
        lines: How many lines a reply has.
        enhanced: What it accepts has enhanced codes, which say what the reply is to (RFC 3463 §3.2).
        strict: A command out of order fails the test; otherwise it is answered 503, as servers do.
    """

    pipelining: bool = True
    refused_stay_open: bool = False
    data_anyway: bool = False
    lines: int = 1
    enhanced: bool = False
    strict: bool = True


@dataclass
class ModelServer:
    """Takes octets, and answers one command at each `step`.

    Records are told apart by their number, which is in the forward-path; a message's number is in the reverse-path and
    in the content, and is its first recipient's.

    Attributes:
        accepted: What it has taken, for each recipient: reverse-path, forward-path, content.
        closed: It has closed the connection.
    """

    decisions: dict[int, Decision]
    habits: Habits
    accepted: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    closed: bool = False
    _buffer: bytes = b""
    _reading: Reading = Reading.COMMANDS
    _mail: bytes | None = None  # of the open transaction
    _rcpts: list[bytes] = field(default_factory=list)  # accepted

    def arrive(self, octets: bytes) -> None:
        """Take octets from the client."""
        if not self.closed:
            self._buffer += octets

    @property
    def left(self) -> bool:
        """QUIT was answered."""
        return self._reading is Reading.NOTHING

    @property
    def ready(self) -> bool:
        """There is something to answer."""
        if self.closed or self._reading is Reading.NOTHING:
            return False
        if self._reading is Reading.CONTENT:
            return self._end_of_content() >= 0
        return b"\r\n" in self._buffer

    @property
    def verb(self) -> bytes:
        """What is answered next: the command's verb, or ``.`` for content."""
        if self._reading is Reading.CONTENT:
            return b"."
        return self._buffer.partition(b"\r\n")[0].partition(b" ")[0]

    def step(self) -> bytes:
        """Answer the next command, or content; what it says is nothing if it drops the connection."""
        if self._reading is Reading.CONTENT:
            end = self._end_of_content()
            stuffed, self._buffer = self._buffer[:end], self._buffer[end + 3 :]
            self._reading = Reading.COMMANDS
            self._check(bool(self._rcpts) or not stuffed, "content for nobody", stuffed)
            return self._take(b"\r\n".join(line.removeprefix(b".") for line in stuffed.split(b"\r\n")))
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        verb, _, argument = line.partition(b" ")
        if verb in {b"DATA", b"QUIT"} or (not self.habits.pipelining and verb != b"BDAT"):
            self._check(not self._buffer, "sent ahead", line)
        match verb:
            case b"MAIL":
                return self._on_mail(argument)
            case b"RCPT":
                return self._on_rcpt(argument)
            case b"DATA":
                return self._on_data()
            case b"BDAT":
                return self._on_bdat(argument)
            case b"RSET":
                self._mail, self._rcpts = None, []
                return self._say(250, "reset")
            case b"QUIT":
                self._reading = Reading.NOTHING
                return self._say(221, "bye")
        self._check(False, "not a command", line)
        return self._say(500, "what?")

    def _on_mail(self, argument: bytes) -> bytes:
        self._check(self._mail is None, "a transaction is open", argument)
        if self._mail is not None:
            return self._say(503, "nested MAIL")
        reverse_path = _path(argument, b"FROM:")
        code = self.decisions[_number(reverse_path)].mail
        if code == 250:
            self._mail = reverse_path
        return self._say(code, f"mail {_number(reverse_path)}")

    def _on_rcpt(self, argument: bytes) -> bytes:
        forward_path = _path(argument, b"TO:")
        if self._mail is None:
            # After a refused MAIL, a pipelining client cannot help it.
            self._check(self.habits.pipelining, "no MAIL", argument)
            return self._say(503, "MAIL first")
        code = self.decisions[_number(forward_path)].rcpt
        if 200 <= code < 300:
            self._rcpts.append(forward_path)
        return self._say(code, f"rcpt {_number(forward_path)}")

    def _on_data(self) -> bytes:
        if self._mail is None or not self._rcpts:
            self._check(self.habits.pipelining, "no RCPT", b"DATA")
            if not self.habits.data_anyway or self._mail is None:
                return self._say(503, "RCPT first")
            code = 354
        else:
            code = self.decisions[_number(self._mail)].data
        if code == 354:
            self._reading = Reading.CONTENT
        return self._say(code, "data")

    def _on_bdat(self, argument: bytes) -> bytes:
        match = re.fullmatch(rb"(\d+) LAST", argument)
        assert match is not None
        content, self._buffer = self._buffer[: int(match[1])], self._buffer[int(match[1]) :]
        assert len(content) == int(match[1]), "the announced octets follow at once"
        if not self._rcpts and self.habits.refused_stay_open:
            return self._say(503, "RCPT first")
        return self._take(content)

    def _take(self, content: bytes) -> bytes:
        """Decide about content; with it, the transaction ends."""
        reverse_path, forward_paths = self._mail, self._rcpts
        self._mail, self._rcpts = None, []
        if reverse_path is None or not forward_paths:
            return self._say(554, "no recipient")
        code = self.decisions[_number(reverse_path)].content
        if code in {250, SILENT_ACCEPT}:
            self.accepted += [(reverse_path, forward_path, content) for forward_path in forward_paths]
        return self._say(code, f"content {_number(reverse_path)}")

    def _say(self, code: int, text: str) -> bytes:
        if code in {421, DROP, SILENT_ACCEPT}:
            self.closed = True
            self._buffer = b""
        if code in {DROP, SILENT_ACCEPT}:
            return b""
        if self.habits.enhanced and 200 <= code < 300:
            text = f"{_ENHANCED.get(text.partition(' ')[0], '2.0.0')} {text}"
        more = b"%d-%s\r\n" % (code, text.encode()) * (self.habits.lines - 1)
        return more + b"%d %s\r\n" % (code, text.encode())

    def _check(self, rule: bool, broken: str, what: bytes) -> None:
        assert rule or not self.habits.strict, f"{broken}: {what!r}, then {self._buffer!r}"

    def _end_of_content(self) -> int:
        """Return where the lone dot is, or -1."""
        if self._buffer.startswith(b".\r\n"):
            return 0
        place = self._buffer.find(b"\r\n.\r\n")
        return place if place < 0 else place + 2


def _path(argument: bytes, before: bytes) -> bytes:
    match = re.fullmatch(re.escape(before) + rb"<([^<>]*)>", argument)
    assert match is not None, argument
    return match[1]


def _number(path: bytes) -> int:
    return int(path.partition(b"@")[0])
