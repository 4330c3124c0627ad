"""A case of the simulation: everything that goes wrong in it, written down, so that it can be made smaller and be kept.

A case is drawn from a seed. What it does not say, such as how long octets are on their way, comes from the seed, too:
the same case is the same course of things.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from batchsend.outcome import Stage

Breaks: TypeAlias = Literal["refuse", "unreachable", "reset", "close", "drip", "mute", "deaf"]
"""What befalls a connection: it is refused or never made; it is reset or closed after some octets; from there on the
server's octets come one by one, do not come at all, or the client's are read no more."""

Ends: TypeAlias = Literal["end", "kill", "power", "stop", "cancel", "hurry"]
"""How a run ends: by itself, by SIGKILL, by a cut of the power, by one signal, by a second one at once, or by a second
one some seconds later, where the replies that are awaited are not all there by then."""

Habit: TypeAlias = Literal[
    "wavers", "first only", "flushes", "hangs up", "takes for nobody", "bdat unknown", "bdat refused"
]
"""How a relay breaks what it offers. It offers PIPELINING and CHUNKING in every other session only, as several machines
behind one name do. Of a group of commands it takes the first and throws the others away; it throws away what came
behind a command that it refuses; it hangs up on a group. It goes on with a message of which every recipient was
refused, and throws it away. It does not know BDAT and takes its octets for commands, or refuses each one."""


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reply of a relay that is not the usual one.

    Attributes:
        relay: Which relay's, from 0.
        stage: To what.
        nth: To the how manieth of these, over all of its connections, from 1.
        says: The reply as a table has it, its lines divided by `` / ``; "" for none.
        then: What follows: ``go_on``, ``close``, ``half_close``, ``reset`` or ``silence``.
        takes: At the end of the content: whether the message is taken; None where the code says so.
        again: So many of the following ones are answered likewise.
        lies: The reply is one too many, or is missing, so that later ones are taken for those to something else.
    """

    relay: int
    stage: Stage
    nth: int
    says: str
    then: str = "go_on"
    takes: bool | None = None
    again: int = 0
    lies: bool = False


class Break(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What befalls one connection.

    Attributes:
        relay: To which relay, from 0.
        connection: The how manieth, from 1.
        what: What.
        octets: After so many octets from the server; for ``deaf`` from the client.
        upward: The octets are those from the client: what follows them never arrives.
    """

    relay: int
    connection: int
    what: Breaks
    octets: int = 0
    upward: bool = False


class Relay(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A simulated relay.

    Attributes:
        pipelining: It offers PIPELINING.
        chunking: It offers CHUNKING.
        login: It wants a login.
        logins_fail: Of a hundred logins, how many are refused for now.
        quota: It takes so many messages in any so many seconds; None for any number.
        by_clock: These seconds are each minute, hour or day of the clock, not any.
        quota_stage: Where it refuses the others.
        quota_says: How.
        per_session: Messages that it takes in a session.
        limits: It says in EHLO how many these are (LIMITS, RFC 9422).
        sessions: Sessions that it lets be open at once.
        idle: Seconds after which it ends a session that sends nothing.
        addresses: How many addresses it has; all but the last refuse connections.
        silent: These do not refuse them: nothing comes from there at all.
        window: Octets that may be on their way to it.
        habits: How it breaks what it offers.
    """

    pipelining: bool = True
    chunking: bool = False
    login: bool = False
    logins_fail: int = 0
    quota: tuple[int, int] | None = None
    by_clock: bool = False
    quota_stage: Stage = Stage.CONTENT
    quota_says: str = ""
    per_session: int | None = None
    limits: bool = False
    sessions: int | None = None
    idle: int | None = None
    addresses: int = 1
    silent: bool = False
    window: int = 65536
    habits: tuple[Habit, ...] = ()


class DiskFault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes wrong with the disk in one run.

    Attributes:
        what: There is no room; an I/O error; a write that takes a part only, and then no room; a sync that fails.
        nth: At the how manieth write, or sync, from 1; from then on.
    """

    what: Literal["full", "error", "short", "sync"]
    nth: int


class Life(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of the campaign: begun, or gone on with where there is a log.

    Attributes:
        ends: How.
        event: At which event it is ended, from 1; 0 where that is after some seconds.
        after: After how many seconds.
        disk: What goes wrong with the disk.
        jumps: By how many seconds the clock is set forward or back, and after how many seconds.
        pause: Seconds between this run and the next.
        options: What the command line says, by the name of the override.
        retry: What is to be sent again.
        list: What somebody has done to the list before: nothing, more was appended, or a record was changed.
        twice: Somebody starts the same a second time while it goes on.
        moved: Somebody moves the log away after so many seconds while it goes on.
    """

    ends: Ends = "end"
    event: int = 0
    after: float = 0.0
    disk: DiskFault | None = None
    jumps: tuple[tuple[float, float], ...] = ()
    pause: float = 1.0
    options: dict[str, int | str] = {}
    retry: tuple[str, ...] = ()
    list: Literal["same", "grown", "changed"] = "same"
    twice: bool = False
    moved: float | None = None


class Case(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One course of things.

    Attributes:
        seed: What the case does not say comes from it.
        records: How many records the list has at first.
        relays: Where they are sent.
        replies: What the relays say that is not the usual.
        breaks: What befalls connections.
        lives: The runs, one after the other.
        delivery: What the campaign says under ``[delivery]``.
        slow: Seconds that what is done in a thread takes at most, such as a sync of the disk.
    """

    seed: int
    records: int
    relays: tuple[Relay, ...] = (Relay(),)
    replies: tuple[Reply, ...] = ()
    breaks: tuple[Break, ...] = ()
    lives: tuple[Life, ...] = (Life(),)
    delivery: dict[str, int | str] = {}
    slow: float = 0.05

    @property
    def power(self) -> bool:
        """Whether the account is to survive a cut of the power."""
        return self.delivery.get("durability") == "power"
