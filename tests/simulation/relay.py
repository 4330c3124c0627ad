"""A relay of the simulation: the tests' faulty server, without sockets, with limits and a clock, and with an account.

Of every message that it has taken it knows for whom, and of every refusal what it was about.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, Protocol

from batchsend.outcome import Stage
from tests.simulation.replies import MEANS, ODD
from tests.tools.faulty import ACCEPT, Action, FaultyServer, Then, say

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.case import Relay, Reply
    from tests.simulation.network import End
    from tests.tools.wire import Connection, Wire

_SENDER: Final = re.compile(rb"MAIL FROM:<from\+([0-9]+)@")
_RECIPIENT: Final = re.compile(r"r([0-9]+)@")
_CONTENT: Final = re.compile(rb"Record ([0-9]+) begins here\..*\nRecord ([0-9]+) ends here\.", re.DOTALL)

_PATIENCE: Final = 120.0
_ON_ITS_WAY: Final = 30.0  # a group of commands has come by then, whatever the window is
_BROKEN: Final = (b"PIPELINING", b"CHUNKING", b"LIMITS")

TRY_AGAIN: Final = "454 4.7.0 Temporary authentication failure"
TOO_MANY_SESSIONS: Final = "421 4.7.0 relay.example.net Error: too many connections from 192.0.2.1"
SESSION_FULL: Final = "421 Max message per connection reached, closing transmission channel"
IDLE: Final = b"421 4.4.2 relay.example.net Error: timeout exceeded\r\n"
NO_GROUPS: Final = "554 5.5.0 Synchronization error: next input sent too soon"
NO_BDAT: Final = "502 5.5.1 BDAT is not implemented"


def address(record: int) -> str:
    """The recipient of a record: every fourth one is of one domain."""
    return f"r{record}@{'abcd'[record % 4]}.example.com"


def record_of(recipient: str) -> int:
    """The record that a recipient is of."""
    found = _RECIPIENT.match(recipient)
    assert found is not None, recipient
    return int(found[1])


def octets(says: str) -> bytes:
    """A reply as a table has it, as octets; "" for none."""
    if not says:
        return b""
    code, _, words = says.partition(" ")
    lines = words.split(" / ")
    return ("".join(f"{code}-{line}\r\n" for line in lines[:-1]) + f"{code} {lines[-1]}\r\n").encode()


class Watch(Protocol):
    """Who hears what is settled with a client."""

    def refused(self, record: int, stage: Stage, verdict: str | None) -> None:
        """The client has a refusal in its hands, and nothing can be wrong with it.

        Args:
            record: What was refused.
            stage: Where.
            verdict: What its words mean; None where no table says so.
        """


class SimulatedRelay(FaultyServer):
    """A server to which connections are made by `connect`.

    Args:
        plan: What it is like.
        replies: What it says that is not the usual.
        random: Where its moods come from.
        watch: Who hears of refusals.

    Attributes:
        said: What was refused about each record, as verdicts of the product's table.
        lied: Records of sessions in which replies were missing or too many: nobody can tell what is true of them.
        wrong: What it has seen that must not be.
        lost: How many sessions ended while the reply to a content was due or on its way.
    """

    def __init__(self, plan: Relay, replies: list[Reply], random: Random, watch: Watch) -> None:
        said = ["AUTH PLAIN"] if plan.login else []
        if plan.limits and plan.per_session is not None:
            said.append(f"LIMITS MAILMAX={plan.per_session}")
        super().__init__(
            self._decide_of_case,
            pipelining=plan.pipelining,
            chunking=plan.chunking,
            knows_bdat="bdat unknown" not in plan.habits,
            anyway="takes for nobody" in plan.habits,
            extensions=("8BITMIME", *said),
        )
        lines = self.ehlo_reply.splitlines(keepends=True)
        self._plain_ehlo = b"".join(line for line in lines if not any(word in line for word in _BROKEN))
        self.plan = plan
        self.said: dict[int, set[str]] = {}
        self.lied: set[int] = set()
        self.wrong: list[str] = []
        self.open = 0
        self._replies = replies
        self._random = random
        self._watch = watch
        self._counts: Counter[Stage] = Counter()
        self._taken_at: deque[float] = deque()
        self._lying: set[int] = set()
        self._odd: set[int] = set()
        self._records: dict[int, set[int]] = {}
        self._ends: dict[int, End] = {}
        self._wires: dict[int, Wire] = {}
        self._checked = 0

    def connect(self, end: End) -> None:
        """Serve the client at the other end of a connection."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        end.set_socket(("client", 0))
        end.attach(protocol)
        self._ends[len(self.connections) + 1] = end
        self._connected(reader, asyncio.StreamWriter(end, protocol, reader, loop))

    async def play(self, wire: Wire) -> None:
        self.open += 1
        self._wires[wire.connection.number] = wire
        watching = asyncio.get_running_loop().create_task(self._watch_idle(wire))
        try:
            await super().play(wire)
        finally:
            watching.cancel()
            self.open -= 1

    async def _watch_idle(self, wire: Wire) -> None:
        """End a session in which nothing comes for so long, as servers do."""
        if self.plan.idle is None:
            return
        had = -1
        while had != len(wire.connection.received):
            had = len(wire.connection.received)
            await asyncio.sleep(self.plan.idle)
        wire.connection.sent += IDLE
        self._ends[wire.connection.number].write(IDLE)
        self._ends[wire.connection.number].close()

    # --- what it says -------------------------------------------------------------------------------------------------

    def _decide_of_case(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del transaction
        self._counts[stage] += 1
        record = self._record(self.connections[connection - 1], stage, recipient)
        if record is not None:
            self._records.setdefault(connection, set()).add(record)
            if connection in self._lying:
                self.lied.add(record)
        self._see_what_is_behind(stage, connection)
        action, says = self._by_case(stage, connection)
        if action is None:
            says = self._by_habit(stage, connection) or self._by_limits(stage, connection)
            action = ACCEPT if says is None else say(octets(says), then=_then(says))
        if stage is Stage.EHLO and action is ACCEPT and not self._offers(connection):
            action = say(self._plain_ehlo)
        if "first only" in self.plan.habits or (says is not None and "flushes" in self.plan.habits):
            self._forget_what_is_behind(connection)
        if says is not None and record is not None:
            self.said.setdefault(record, set()).add(MEANS.get(says, "other"))
        if says is not None and record is not None and stage in (Stage.RCPT, Stage.CONTENT):
            self._refuses(connection, record, stage, action, says)
        if stage is Stage.DATA and action is ACCEPT:
            self._wait_for_content(connection)
        return action

    def _record(self, connection: Connection, stage: Stage, recipient: str | None) -> int | None:
        if recipient is not None:
            return record_of(recipient)
        if stage is not Stage.MAIL:
            return None
        found = _SENDER.match(connection.commands[-1])
        return None if found is None else int(found[1])

    def _by_case(self, stage: Stage, connection: int) -> tuple[Action | None, str | None]:
        """What the case has the relay say at this place, and in which words, if it is a refusal."""
        for reply in self._replies:
            if reply.stage is stage and reply.nth <= self._counts[stage] <= reply.nth + reply.again:
                if reply.lies:
                    self._lying.add(connection)
                    self.lied |= self._records.get(connection, set())
                if not reply.says or reply.says in ODD:
                    self._odd.add(connection)
                then = Then[reply.then.upper()]
                if then is Then.GO_ON:
                    then = _then(reply.says)
                refusal = reply.says if reply.says[:1] in ("4", "5") else None
                return say(octets(reply.says), then=then, succeeds=reply.takes), refusal
        return None, None

    def _offers(self, connection: int) -> bool:
        """Whether the relay offers in a session what it offers."""
        return "wavers" not in self.plan.habits or connection % 2 == 1

    def _see_what_is_behind(self, stage: Stage, connection: int) -> None:
        """See that the client does nothing that was not offered, and that DATA ends a group (RFC 2920 §3.1)."""
        offers = self._offers(connection)
        if stage is Stage.CONTENT and self._is_by_bdat(connection) and not (self.plan.chunking and offers):
            self.wrong.append("BDAT, which was not offered")
        if stage is Stage.GREETING or (self.plan.pipelining and offers and stage is not Stage.DATA):
            return
        if self._wires[connection].has_more and connection not in self._lying | self._odd:
            self.wrong.append(f"octets behind {stage}, before it was answered")

    def _forget_what_is_behind(self, connection: int) -> None:
        """Throw away what came with the command that is being answered."""
        if self._wires[connection].has_more:
            self._wires[connection].forget(_ON_ITS_WAY)

    def _by_habit(self, stage: Stage, connection: int) -> str | None:
        """What the relay says because it does not keep what it offers."""
        habits = self.plan.habits
        if stage is Stage.MAIL and "hangs up" in habits and self._wires[connection].has_more:
            return NO_GROUPS
        if stage is Stage.CONTENT and "bdat refused" in habits and self._is_by_bdat(connection):
            return NO_BDAT
        return None

    def _is_by_bdat(self, connection: int) -> bool:
        return self.connections[connection - 1].commands[-1].startswith(b"BDAT")

    def _by_limits(self, stage: Stage, connection: int) -> str | None:
        """What the relay refuses with for its own reasons."""
        plan = self.plan
        if stage is Stage.GREETING and plan.sessions is not None and self.open > plan.sessions:
            return TOO_MANY_SESSIONS
        if stage is Stage.AUTH and self._random.randrange(100) < plan.logins_fail:
            return TRY_AGAIN
        if stage is Stage.MAIL and plan.per_session is not None:
            begun = sum(command.startswith(b"MAIL ") for command in self.connections[connection - 1].commands)
            if begun > plan.per_session:
                if plan.limits and self._offers(connection):
                    self.wrong.append(f"{begun} messages in a session, of which EHLO says {plan.per_session}")
                return SESSION_FULL
        if plan.quota is not None and stage is plan.quota_stage and self._is_used_up(*plan.quota):
            return plan.quota_says
        if plan.quota is not None and stage is Stage.CONTENT:
            self._taken_at.append(asyncio.get_running_loop().time())
        return None

    def _is_used_up(self, messages: int, seconds: int) -> bool:
        now = asyncio.get_running_loop().time()
        first = now // seconds * seconds if self.plan.by_clock else now - seconds
        while self._taken_at and self._taken_at[0] <= first:
            self._taken_at.popleft()
        return len(self._taken_at) >= messages

    def _refuses(self, connection: int, record: int, stage: Stage, action: Action, says: str) -> None:
        """Have the client's side say when the reply is in its hands, where that is a refusal without any doubt."""
        if action.reply is None or action.succeeds or connection in self._lying or connection in self._odd:
            return
        if self.plan.habits:
            return
        client, due = self._ends[connection].other, len(self.connections[connection - 1].sent) + len(action.reply)
        before = client.heard

        def heard(arrived: int) -> None:
            if before is not None:
                before(arrived)
            if arrived >= due:
                client.heard = before
                self._watch.refused(record, stage, MEANS.get(says) if says.startswith("5") else "later")

        client.heard = heard

    def _wait_for_content(self, connection: int) -> None:
        """See that the content comes that was asked for: who has begun a transaction sends it or hangs up."""
        loop, end = asyncio.get_running_loop(), self._ends[connection]
        received = self.connections[connection - 1].received

        def look(before: int) -> None:
            if end.is_closing() or end.other.is_dead or end.broken is not None or end.other.broken is not None:
                return
            if len(received) == before:
                self.wrong.append(f"content was asked for, and nothing came for {_PATIENCE:g} s")

        loop.call_later(_PATIENCE, look, len(received))

    # --- its account --------------------------------------------------------------------------------------------------

    @property
    def taken(self) -> Counter[int]:
        """How often the message of each record was taken."""
        return Counter(record_of(recipient) for message in self.accepted for recipient in message.recipients)

    def check_content(self) -> None:
        """Look whether each message that was taken is whole, and the one of its recipient."""
        for message in self.accepted[self._checked :]:
            found = _CONTENT.search(message.content)
            expected = {str(record_of(recipient)).encode() for recipient in message.recipients}
            if found is None or {found[1], found[2]} != expected:
                self.wrong.append(f"what was taken for {message.recipients} is {message.content[-80:]!r}")
        self._checked = len(self.accepted)
        if any(self.for_nobody) and not (self._lying or self._odd):
            self.wrong.append(f"content was sent, of which every recipient was refused: {self.for_nobody}")


def _then(says: str) -> Then:
    """After a 421 a server closes (RFC 5321 §3.8), and so does one that hangs up on a group."""
    return Then.CLOSE if says.startswith("421") or says == NO_GROUPS else Then.GO_ON
