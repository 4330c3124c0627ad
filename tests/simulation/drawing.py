"""Draws a case from a seed: mostly a few faults, for where everything goes wrong at once nothing is ever sent."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from batchsend.outcome import Stage
from tests.simulation.case import Break, Case, DiskFault, Ends, Habit, Life, Relay, Reply
from tests.simulation.replies import IMPOSSIBLE, LOCKED_OUT, OUT_OF_PLACE, PLAIN, QUOTAS, REFUSALS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

_STAGES: Final = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT)
_DAY: Final = 86400


def draw(seed: int) -> Case:
    """The case of a seed."""
    choose = random.Random(seed)
    records = choose.choice((1, 5, 10, 20, 40))
    relays = tuple(_relay(choose, records) for _ in range(choose.choice((1, 1, 1, 2, 3))))
    trouble = choose.choice((0, 1, 3, 8))
    lies = choose.random() < 0.08
    replies = [_reply(choose, len(relays), records, lies=lies) for _ in range(choose.randint(0, trouble))]
    breaks = [_break(choose, len(relays)) for _ in range(choose.randint(0, trouble))]
    delivery = _delivery(choose, chunking=any(relay.chunking for relay in relays))
    case = Case(
        seed=seed,
        records=records,
        relays=relays,
        replies=tuple(replies),
        breaks=tuple(breaks),
        lives=_lives(choose, records, power=delivery.get("durability") == "power"),
        delivery=delivery,
        slow=choose.choice((0.005, 0.05, 1.0, 1.0)),
    )
    return _with_more(case, random.Random(f"{seed}, and more"))


def _relay(choose: Random, records: int) -> Relay:
    quota, quota_stage, says = None, Stage.CONTENT, ""
    if choose.random() < 0.35:
        quota = (choose.randint(1, records), choose.choice((60, 3600, _DAY)))
        quota_stage, says = choose.choice(QUOTAS)
    return Relay(
        pipelining=choose.random() < 0.8,
        chunking=choose.random() < 0.5,
        login=choose.random() < 0.3,
        logins_fail=choose.choice((0, 0, 10, 40)),
        quota=quota,
        quota_stage=quota_stage,
        quota_says=says,
        per_session=choose.choice((None, None, None, 1, 3, 10)),
        sessions=choose.choice((None, None, None, 1, 2)),
        idle=choose.choice((None, None, 5, 60)),
        addresses=choose.choice((1, 1, 1, 2)),
        window=choose.choice((65536, 65536, 4000, 100)),
    )


def _reply(choose: Random, relays: int, records: int, *, lies: bool) -> Reply:
    """A refusal in any words, an impossible reply, none at all, or one that is not the message's."""
    where: dict[str, Any] = {"relay": choose.randrange(relays), "nth": choose.randint(1, max(3, records))}
    if lies and choose.random() < 0.5:
        says = choose.choice(("250 2.0.0 Ok / 2.0.0 Ok", "", "550 5.1.1 no"))
        if says.startswith("250"):
            return Reply(stage=choose.choice(_STAGES[:2]), says="250 2.0.0 Ok\r\n250 2.0.0 Ok", lies=True, **where)
        stage = Stage.CONTENT if says else choose.choice(_STAGES)
        return Reply(stage=stage, says=says, takes=True, lies=True, **where)
    kind = choose.randrange(5)
    if kind == 0:
        stage, _, says = choose.choice(REFUSALS)
        return Reply(stage=stage, says=says, again=choose.choice((0, 0, 1, 5, 1000)), **where)
    if kind == 1:
        stage = choose.choice(list(PLAIN))
        return Reply(stage=stage, says=choose.choice(PLAIN[stage]), again=choose.choice((0, 0, 1, 5, 1000)), **where)
    if kind == 2:
        stage = choose.choice(_STAGES)
        if choose.random() < 0.2:
            return Reply(stage=stage, says=OUT_OF_PLACE, **where)
        takes = choose.choice((True, False)) if stage is Stage.CONTENT else None
        return Reply(stage=stage, says=choose.choice(IMPOSSIBLE), takes=takes, **where)
    then = choose.choice(("close", "half_close", "reset", "silence"))
    if kind == 3:
        return Reply(stage=Stage.CONTENT, says="", then=then, takes=choose.choice((True, False)), **where)
    return Reply(stage=choose.choice((*_STAGES, Stage.GREETING, Stage.EHLO)), says="", then=then, **where)


def _break(choose: Random, relays: int) -> Break:
    return Break(
        relay=choose.randrange(relays),
        connection=round(10 ** choose.uniform(0, 1.2)),
        what=choose.choice(("refuse", "unreachable", "reset", "reset", "close", "close", "drip", "mute", "deaf")),
        octets=round(10 ** choose.uniform(0, 4)),
    )


def _delivery(choose: Random, *, chunking: bool) -> dict[str, int | str]:
    return {
        "max_connections": choose.choice((1, 2, 3, 5)),
        "max_messages": choose.choice((1, 2, 3, 10, 100)),
        "depth": choose.choice((1, 2, 4, 16)) if chunking else 1,
        "max_attempts": choose.choice((1, 2, 3)),
        "retry_after": choose.choice(("1s", "30s", "5m")),
        "stop_after": choose.choice((3, 100, 100)),
        "durability": choose.choice(("process", "power")),
        "max_wait": choose.choice(("0s", "15m", "15m", "2h")),
    }


def _lives(choose: Random, records: int, *, power: bool) -> tuple[Life, ...]:
    lives = [_life(choose, records, power=power) for _ in range(choose.choice((0, 0, 1, 1, 2, 3)))]
    return (*lives, Life(pause=0.0))


def _life(choose: Random, records: int, *, power: bool) -> Life:
    # A cut of the power where nobody asked for the account to survive one is tried, too, but seldom.
    cut: Ends = "power" if power or choose.random() < 0.1 else "kill"
    all_ends: tuple[Ends, ...] = ("end", "kill", "kill", "kill", cut, "stop", "cancel")
    ends = choose.choice(all_ends)
    by_clock = choose.random() < 0.3
    options: dict[str, int | str] = {}
    if choose.random() < 0.2:
        options = {"max_connections": choose.randint(1, 5), "max_messages": choose.randint(1, 10)}
    return Life(
        ends=ends,
        event=0 if ends == "end" or by_clock else round(10 ** choose.uniform(0, 1.6 + 0.01 * records)),
        after=round(10 ** choose.uniform(-2, 3), 3) if by_clock else 0.0,
        disk=DiskFault(what=choose.choice(("full", "error", "short", "sync")), nth=choose.randint(1, 20))
        if choose.random() < 0.15
        else None,
        jumps=((choose.choice((-7200.0, -60.0, 60.0, 3600.0, 1e6)), choose.uniform(0, 5)),)
        if choose.random() < 0.1
        else (),
        pause=choose.choice((0.1, 1.0, 120.0, 3700.0, _DAY + 60.0)),
        options=options,
        retry=("in_doubt",) if choose.random() < 0.03 else (),
        list=choose.choice(("same",) * 6 + ("grown", "grown", "changed")),
        twice=choose.random() < 0.1,
        moved=choose.uniform(0, 3) if choose.random() < 0.05 else None,
    )


def _with_more(case: Case, choose: Random) -> Case:
    """What goes wrong besides: it has numbers of its own, so that the rest of a seed's case stays what it was."""
    chunking = any(relay.chunking for relay in case.relays)
    return replace(
        case,
        relays=tuple(with_habits(relay, choose) for relay in case.relays),
        breaks=tuple(with_way(one, choose) for one in case.breaks),
        replies=(*case.replies, *_locked_out(case, choose)),
        lives=tuple(_with_choices(life, choose, chunking=chunking) for life in case.lives),
    )


def with_way(one: Break, choose: Random) -> Break:
    """What befalls a connection, on the way to the relay or back."""
    return replace(one, upward=choose.random() < 0.4) if one.what in ("reset", "close", "drip") else one


def with_habits(relay: Relay, choose: Random) -> Relay:
    """A relay that may break what it offers, or say what its limits are."""
    habits: list[Habit] = ["wavers", "takes for nobody"]
    if relay.pipelining:
        habits += ["first only", "flushes", "hangs up"]
    if relay.chunking:
        habits += ["bdat unknown", "bdat refused"]
    return replace(
        relay,
        habits=(choose.choice(habits),) if choose.random() < 0.15 else (),
        by_clock=relay.quota is not None and choose.random() < 0.5,
        limits=choose.random() < 0.3,
        silent=choose.random() < 0.3,
    )


def _locked_out(case: Case, choose: Random) -> Iterator[Reply]:
    """Logins that a relay refuses as if for good, once or from then on."""
    for place, relay in enumerate(case.relays):
        if relay.login and choose.random() < 0.15:
            nth, again = choose.randint(1, 5), choose.choice((0, 1000))
            yield Reply(relay=place, stage=Stage.AUTH, nth=nth, says=LOCKED_OUT, again=again)


def _with_choices(life: Life, choose: Random, *, chunking: bool) -> Life:
    """Other ways for people to go on: a second signal later, other options, other records to be sent again."""
    options: dict[str, int | str] = dict(life.options)
    if choose.random() < 0.1:
        options["rate"] = choose.choice(("1/s", "10/s"))
    if choose.random() < 0.1:
        options["max_attempts"] = 1
    if chunking and choose.random() < 0.1:
        options["depth"] = choose.choice((1, 4, 16))
    retry = life.retry
    if choose.random() < 0.03:
        retry = (*retry, choose.choice(("rejected", "mailbox_full", "5.7")))
    hurries = life.ends == "stop" and choose.random() < 0.4
    return replace(life, ends="hurry" if hurries else life.ends, options=options, retry=retry)
