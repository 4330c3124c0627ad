"""A server that goes wrong at random: the model server behind a connection that spoils its replies.

The model server knows what it has taken; what the client is told of that is this connection's to spoil. Everything
comes from one `Random`: the same seed is the same dialogue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from tests.smtp.model_server import Decision, ModelServer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tests.smtp.model_server import Habits

REFUSALS: Final = (450, 451, 452, 550, 552, 553, 554)
_OK: Final = (b"250 Ok\r\n", b"250 2.0.0 Ok\r\n", b"250 2.1.0 Ok\r\n", b"250 2.1.5 Ok\r\n", b"251 Ok\r\n")
_REFUSED: Final = (b"450 4.2.0 later\r\n", b"451 later\r\n", b"550 5.1.1 no\r\n", b"554 no\r\n", b"503 5.5.1 no\r\n")
_OTHER: Final = (b"220 hello\r\n", b"221 bye\r\n", b"235 in\r\n", b"354 go\r\n", b"334 \r\n", b"150 wait\r\n")

# Seconds after which half of the servers end a session that sends nothing.
_PATIENCE: Final = 100.0

Spoil = Callable[["Faulty", bytes], bytes]


def _insert(*said: bytes) -> Spoil:
    return lambda faulty, reply: faulty.random.choice(said) + reply


def _swap(faulty: Faulty, reply: bytes) -> bytes:
    faulty.held = reply
    return b""


def _mixed(faulty: Faulty, reply: bytes) -> bytes:
    choose = faulty.random
    return choose.choice([b"", reply + reply, choose.choice((*_OK, *_REFUSED, *_OTHER)) + reply])


FAULTS: Final[dict[str, Spoil | None]] = {
    "none": None,
    "250 too many": _insert(*_OK),
    "refusal too many": _insert(*_REFUSED),
    "other code too many": _insert(*_OTHER),
    "said twice": lambda _, reply: reply + reply,
    "missing": lambda _, __: b"",
    "missing, and an end": lambda _, __: b"",
    "two places changed": _swap,
    "out of place": lambda faulty, _: faulty.random.choice(_OTHER),
    "refused": lambda faulty, _: faulty.random.choice(_REFUSED),
    "no reply at all": lambda _, __: b"what is it\r\n",
    "all of these": _mixed,
}
"""What is done to one reply, by name; those beside "none" happen in half of the sessions."""

UNDECIDABLE: Final = frozenset({"two places changed", "all of these"})
"""What may add up to a dialogue without any fault: a reply too many and one too few. Nobody can see that."""

LIES: Final = frozenset({"refused"})
"""Where the server says of a message that it has not taken it, and has: nobody can see that either."""


class Decisions(dict[int, Decision]):
    """What the server decides of each record, made when it is asked for the first time in a session.

    Args:
        random: Where it comes from.
        fatal: Codes that end the connection, among the others.
    """

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def __missing__(self, record: int) -> Decision:
        def one(code: int, share: float) -> int:
            return self._random.choice(REFUSALS) if self._random.random() < share else code

        self[record] = decided = Decision(
            mail=one(250, 0.01), rcpt=one(250, 0.05), data=one(354, 0.01), content=one(250, 0.05)
        )
        return decided


@dataclass
class Faulty:
    """What goes wrong in one session.

    Args:
        kind: The name of the fault.
        random: Where everything comes from.
        share: Of a hundred replies, how many are spoiled once the first one was.

    Attributes:
        first: Replies until the first one is spoiled; None: none is.
        happened: How many replies were spoiled.
        held: A reply that is to follow the next one.
    """

    kind: str
    random: Random
    first: int | None = None
    share: float = 0.03
    happened: int = 0
    held: bytes = b""
    _replies: int = 0

    def __call__(self, reply: bytes) -> bytes:
        """What arrives in a reply's place."""
        self._replies += 1
        if self.held:
            held, self.held = self.held, b""
            return reply + held
        spoil = FAULTS[self.kind]
        if spoil is None or self.first is None or not reply:
            return reply
        if self._replies == self.first or (self._replies > self.first and self.random.random() < self.share):
            self.happened += 1
            return spoil(self, reply)
        return reply


@dataclass(slots=True)
class Dialogue:
    """What was asked and what was told in one session, each in its order."""

    asked: list[bytes] = field(default_factory=list)
    told: list[int] = field(default_factory=list)

    def faultless(self) -> bool:
        """Whether a server that keeps all rules could have told this: then nobody can see what went wrong."""
        sender = refused = False
        for verb, code in zip(self.asked, self.told, strict=False):
            done = 200 <= code < 300 and code not in (220, 221, 235)
            match verb:
                case b"MAIL":
                    sender, refused = done, True
                    fits = done or 400 <= code < 600
                case b"RCPT":
                    fits = (done and sender) or 400 <= code < 600
                    refused = refused and not done
                case b"DATA":
                    fits = code == 354 or 400 <= code < 600
                    refused = refused or code != 354
                case b"QUIT":
                    fits = code == 221
                case b"RSET":
                    fits = done
                case _:
                    fits = (done and not refused) or 400 <= code < 600
            if not fits:
                return False
        return len(self.told) == len(self.asked)


class Wire(asyncio.Transport):
    """The connection to one model server, in this process: octets take their time, and come in pieces.

    Args:
        decisions: What the server decides.
        habits: How it behaves.
        faulty: What is done to its replies.
        random: Where pieces and times come from.
        pauses: Seconds between one thing that arrives and the next: one of these.

    Attributes:
        server: The model server; its ``accepted`` is the truth.
        dialogue: What was asked and told.
        session: The number of the session that drives it, once there is one.
    """

    def __init__(
        self,
        decisions: Decisions,
        habits: Habits,
        faulty: Faulty,
        random: Random,
        pauses: Sequence[float] = (1e-6, 1e-6, 0.001, 0.01),
    ) -> None:
        super().__init__()
        self.server = ModelServer(decisions, habits)
        self.faulty = faulty
        self.dialogue = Dialogue()
        self.session = 0
        self.decided = decisions
        self._random = random
        self._pauses = pauses
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.Protocol | None = None
        self._closing = False
        self._inbound = b""  # on its way to the client
        # Both kinds that lose replies are tried: with a server that ends the session, and with one that waits for ever.
        self._impatient = faulty.kind != "missing" and random.random() < 0.5
        self._patience: asyncio.TimerHandle | None = None
        self._next = 0.0  # when what was sent last arrives: nothing overtakes anything

    # --- what the session calls ---------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)
        self.session = getattr(protocol, "number", 0)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._later(self._arrive, bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._later(self._gone)

    def abort(self) -> None:
        self.close()

    # --- what the server does -----------------------------------------------------------------------------------------

    def _later(self, call: Callable[..., None], *arguments: object) -> None:
        # A loop's timers of one moment come in any order, so there are no two of one moment.
        self._next = max(self._next, self._loop.time()) + self._random.choice(self._pauses)
        self._loop.call_at(self._next, call, *arguments)

    def _arrive(self, data: bytes) -> None:
        self.server.arrive(data)
        self._answer()

    def _answer(self) -> None:
        server = self.server
        told = b""
        while server.ready:
            self.dialogue.asked.append(server.verb)
            told += self.faulty(server.step())
            if self._random.random() < 0.4:
                self._tell(told)
                told = b""
        if told:
            self._tell(told)
        if server.closed and not self._closing:
            self._closing = True
            self._later(self._gone)
        if self._patience is not None:
            self._patience.cancel()
        if self._impatient:
            self._patience = self._loop.call_later(_PATIENCE, self._give_up)

    def _give_up(self) -> None:
        """Nothing came for so long: end the session, as servers do."""
        if not self._closing and not self.server.closed:
            self.server.closed = True
            self._tell(self._random.choice((b"421 4.4.2 timeout exceeded\r\n", b"451 idle\r\n", b"421 bye\r\n", b"")))
            self._closing = True
            self._later(self._gone)

    def _tell(self, told: bytes) -> None:
        while told:
            length = self._random.choice([len(told), len(told), self._random.randint(1, len(told))])
            self._later(self._told, told[:length])
            told = told[length:]

    def _told(self, data: bytes) -> None:
        if self._protocol is None or (self._closing and not self.server.closed):
            return
        self._inbound += data
        *whole, self._inbound = self._inbound.split(b"\r\n")
        self.dialogue.told += [int(line[:3]) if line[:3].isdigit() else 0 for line in whole]
        self._protocol.data_received(data)

    def _gone(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if self._protocol is not None:
            protocol, self._protocol = self._protocol, None
            protocol.connection_lost(None)
