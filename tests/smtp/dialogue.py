r"""Dialogues as files: what one session says and hears, and what becomes of its messages.

::

    # Why this one is here, with the RFC's section.
    mode: pipelining                lockstep, pipelining or chunking
    depth: 3                        with chunking
    max messages: 2                 100 if it is not said
    messages: 1 2                   each is begun as soon as there is room
    recipients 2: a b               this one goes to a@example.com and b@example.com, in one transaction
    content 2: two lines\r\n.\r\n   with Python's escapes; "Hello 2" if it is not said
    segments: whole                 the server's octets mean something else when they come one by one

    C: MAIL FROM:<sender@example.org>     lines that follow each other are one write
    C: RCPT TO:<1@example.com>

    S: 250 Ok                             lines that follow each other are one segment
    S> 250 torn\n                         octets, with Python's escapes and no CRLF added
    S*9: 250-more                         nine such lines
    ! finish                              the caller wants no more after what is begun
    ! unsent 5                            when the next segment arrives, the last 5 octets have not left yet
    ! quiet 40                            the server has said nothing for so many seconds before the next segment

    disposition: 1 answered 250 at content    in the order in which they are handed back; what the session still
    said 1: Ok queued                     the text of its deciding reply, where that is what the file is about
    disposition: 2/a unsent                   holds at the end is abandoned: the connection is lost there
    disposition: 3 in doubt at content
    error: the reply to MAIL was          how it begins; none if there is none
    unconfirmed: 0
    state: closed

A section of what ``--trace`` has written (see `batchsend.trace`) is such a file, too, once somebody has written below
it what must become of its messages: disposition, error, unconfirmed and state. What stands in the first lines above
follows from what was said: how the session was opened is passed over, the messages are numbered as they come,
``C: <content 57>`` and ``C: <octets 57>`` are contents of that length, and the caller finishes before a QUIT that
stands on its own.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from batchsend.smtp import commands
from batchsend.smtp.client import Client
from batchsend.smtp.content import dot_stuffed
from batchsend.smtp.transaction import Disposition, SharedTransaction, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LINE = re.compile(r"(?P<who>[CS])(?:\*(?P<times>\d+))?(?P<form>[:>])(?: (?P<what>.*))?")
_DEED = re.compile(r"! (?:(?P<finish>finish)|unsent (?P<unsent>\d+)|quiet (?P<quiet>\d+))")
_LENGTH = re.compile(r"<(?P<kind>content|octets) (?P<count>\d+)>")
_HEADERS = {"mode", "depth", "first bdat", "max messages", "messages", "segments"}
_ENDS = {"error", "unconfirmed", "state"}


@dataclass(slots=True)
class Turn:
    """Octets that go together: the client hands them out at once (C), or they arrive from the server (S)."""

    who: str
    octets: bytes
    unsent: int = 0
    quiet: float = 0.0


@dataclass(slots=True)
class Finish:
    """The caller calls ``finish()``."""


Step: TypeAlias = Turn | Finish


@dataclass(slots=True)
class Dialogue:
    """One file, parsed."""

    why: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    recipients: dict[int, list[str]] = field(default_factory=dict)
    envelopes: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    dispositions: list[str] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    traced: bool = False

    @property
    def messages(self) -> list[int]:
        """The keys of the messages, in the order in which they are begun."""
        return [int(word) for word in self.options.get("messages", "").split()]

    def names(self, key: int) -> list[str]:
        """What a message's dispositions begin with: its number, or one name for each of several recipients."""
        return [f"{key}/{name}" for name in self.recipients.get(key, [])] or [str(key)]


def read(path: Path) -> Dialogue:
    """Parse a file.

    Raises:
        ValueError: A line is none of what stands above, or one that every dialogue needs is missing.
    """
    dialogue = Dialogue()
    traced = _Traced(dialogue)
    together = False  # does the line continue the step before it?
    unsent, quiet = 0, 0.0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line:
            together = False
        elif line.startswith("#"):
            dialogue.why.append(line[1:].strip())
        elif match := _LINE.fullmatch(line):
            said = traced.said(match) if match["who"] == "C" else _said(match)
            _add_turn(dialogue, Turn(match["who"], said, unsent, quiet), together=together)
            together, unsent, quiet = True, 0, 0.0
        elif match := _DEED.fullmatch(line):
            if match["finish"]:
                dialogue.steps.append(Finish())
            elif match["quiet"]:
                quiet = float(match["quiet"])
            else:
                unsent = int(match["unsent"])
            together = False
        elif not _told(dialogue, line):
            raise ValueError(f"{path.name}, line {number}: {line!r}")
    traced.conclude()
    if not dialogue.why or "mode" not in dialogue.options or set(dialogue.ends) != _ENDS:
        raise ValueError(f"{path.name}: a comment, mode, error, unconfirmed and state are needed")
    return dialogue


class _Traced:
    """What a trace says of its messages by what was said, for a dialogue that does not say it by itself."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._chunked = False

    def said(self, match: re.Match[str]) -> bytes:
        """The octets of a client's line; what it says of the messages is noted."""
        said = _said(match)
        envelopes, contents = self._dialogue.envelopes, self._dialogue.contents
        key = len(envelopes)
        if said.startswith(b"MAIL FROM:"):
            envelopes[key + 1] = said, b""
        elif said.startswith(b"RCPT TO:"):
            envelopes[key] = envelopes[key][0], said
        elif length := _LENGTH.fullmatch(match["what"] or ""):
            count = int(length["count"])
            # Each has octets of its own, so that it is known again.
            contents[key] = (b"%d" % key).ljust(count - 2, b"x") + b"\r\n" if count > 9 else b"\r\n"[:count]
            self._chunked = length["kind"] == "octets"
            return contents[key] if self._chunked else contents[key] + b".\r\n"
        return said

    def conclude(self) -> None:
        """Pass the opening over, and write down what was found out, unless the file says it by itself."""
        if "mode" in self._dialogue.options:
            return
        steps, options = self._dialogue.steps, self._dialogue.options
        turns = [step for step in steps if isinstance(step, Turn)]
        first = next((turn for turn in turns if turn.octets.startswith(b"MAIL FROM:")), None)
        if first is None:
            return
        self._dialogue.traced = True
        del steps[: steps.index(first)]
        options["messages"] = " ".join(map(str, self._dialogue.envelopes))
        options["mode"] = "chunking" if self._chunked else "pipelining" if b"RCPT TO:" in first.octets else "lockstep"
        begun = [turn.octets.count(b"MAIL FROM:") for turn in turns if turn.who == "C" and turn.octets]
        options.setdefault("depth", str(max(begun)))
        if self._chunked and max(begun) > 1 and first.octets.count(b"MAIL FROM:") == 1:
            options["first bdat"] = "alone"
        for place, step in reversed(list(enumerate(steps))):
            if isinstance(step, Turn) and step.octets == b"QUIT\r\n":
                steps.insert(place, Finish())
            elif isinstance(step, Turn) and step.who == "C" and step.octets.endswith(b"\r\nQUIT\r\n"):
                options["max messages"] = str(len(self._dialogue.envelopes))


def _said(match: re.Match[str]) -> bytes:
    what = match["what"] or ""
    octets = what.encode() + b"\r\n" if match["form"] == ":" else _unescaped(what)
    return octets * int(match["times"] or 1)


def _add_turn(dialogue: Dialogue, turn: Turn, *, together: bool) -> None:
    before = dialogue.steps[-1] if together else None
    if isinstance(before, Turn) and before.who == turn.who:
        before.octets += turn.octets
    else:
        dialogue.steps.append(turn)


def _told(dialogue: Dialogue, line: str) -> bool:
    """Take a line of the beginning or of the end; False if it is neither."""
    name, colon, value = line.partition(": ")
    if not colon:
        return False
    if name == "disposition":
        dialogue.dispositions.append(value)
    elif name in _HEADERS:
        dialogue.options[name] = value
    elif name in _ENDS:
        dialogue.ends[name] = value
    elif name.startswith("said "):
        dialogue.said[name.split()[1]] = value
    elif name.startswith("recipients "):
        dialogue.recipients[int(name.split()[1])] = value.split()
    elif name.startswith("content "):
        dialogue.contents[int(name.split()[1])] = _unescaped(value)
    else:
        return False
    return True


def _unescaped(text: str) -> bytes:
    return text.encode("latin-1", "backslashreplace").decode("unicode-escape").encode("latin-1")


class Player:
    """The caller's half of a session: begins what there is room for, and notes what it is told.

    Attributes:
        client: The client under test.
        written: Everything that the client handed out.
        dispositions: What became of the messages, in the words of the files, in the order of their being handed back.
        said: The texts of the replies that decided them.
        begun: The messages that were begun.
    """

    def __init__(self, dialogue: Dialogue) -> None:
        mode = dialogue.options["mode"]
        self._chunked = mode == "chunking"
        self.client: Client[str] = Client(
            pipelining=mode != "lockstep",
            depth=int(dialogue.options.get("depth", "2")) if self._chunked else 1,
            max_messages=int(dialogue.options.get("max messages", "100")),
            chunking_works=dialogue.options.get("first bdat") != "alone",
        )
        self.written = b""
        self.dispositions: list[str] = []
        self.said: dict[str, str] = {}
        self.begun: list[int] = []
        self._contents = dialogue.contents
        self._recipients = dialogue.recipients
        # The messages of a file that says their numbers have the envelopes that belong to them.
        self._envelopes = dialogue.envelopes if dialogue.traced else {}
        self._waiting = deque(dialogue.messages)

    def turn(self) -> bytes:
        """Begin what there is room for, and return what the client hands out now, and has named if it commits."""
        while self.client.room and self._waiting:
            key = self._waiting.popleft()
            self.begun.append(key)
            self.client.begin(self._transaction(key))
        committing = dict.fromkeys(message_of(name) for name in self.client.committing())
        octets = self.client.data_to_send()
        assert list(committing) == [key for key in self.begun if self.whole(key) in octets]
        self.written += octets
        return octets

    def _transaction(self, key: int) -> Transaction[str]:
        usual = commands.mail("sender@example.org"), commands.rcpt(f"{key}@example.com")
        mail, rcpt = self._envelopes.get(key, usual)
        content = self._content(key)
        if names := self._recipients.get(key):
            rcpts = [commands.rcpt(f"{name}@example.com") for name in names]
            return SharedTransaction([f"{key}/{name}" for name in names], mail=mail, rcpts=rcpts, content=content)
        return Transaction(str(key), mail=mail, rcpt=rcpt, content=content)

    def whole(self, key: int) -> bytes:
        """Return the octets that commit a message: its content with what goes before or after it."""
        content = self._content(key)
        if self._chunked:
            return commands.bdat(len(content)) + content
        return dot_stuffed(content)

    def receive(self, octets: bytes, unsent: int = 0, quiet: float = 0.0) -> bytes:
        """Hand octets to the client; return what it hands out then."""
        self._note(self.client.receive(octets, unsent=unsent, quiet=quiet))
        return self.turn()

    def lose(self) -> None:
        """Lose the connection."""
        self.client.ended_by_server("the connection is lost", 0.0)
        self._note(self.client.abandon())

    def _content(self, key: int) -> bytes:
        return self._contents.get(key, b"Hello %d\r\n" % key)

    def _note(self, transactions: Iterable[Transaction[str]]) -> None:
        for transaction in transactions:
            parts = transaction.parts() if isinstance(transaction, SharedTransaction) else [transaction]
            for part in parts:
                one = f"{part.key} {part.disposition.value}"
                if part.reply is not None:
                    one += f" {part.reply.code}"
                    self.said[part.key] = part.reply.text
                if part.disposition is not Disposition.UNSENT:
                    one += f" at {part.stage}"
                self.dispositions.append(one)


def message_of(name: str) -> int:
    """The message of which a disposition is told: ``2`` and ``2/a`` are of message 2."""
    return int(name.split(maxsplit=1)[0].partition("/")[0])
