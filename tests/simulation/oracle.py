"""Holds what the log says against what the relays know: the promises that no day may break."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.replies import ODD, OF_THE_RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.case import Case
    from tests.simulation.people import Ended, People
    from tests.simulation.world import World

_KILLED: Final = "the run was killed before"
_USUAL: Final[dict[str, int | str]] = {"max_connections": 5, "depth": 1, "max_messages": 100}
_MAY_HAVE: Final = {"accepted": (1,), "in_doubt": (0, 1)}


def judge(case: Case, world: World, people: People) -> list[str]:
    """What must not be and is, one line each; nothing where all is well."""
    if _is_lost(case, people.ended):
        return people.wrong
    lines, wrong = _read(world)
    for relay in world.relays:
        relay.check_content()
        wrong += [*relay.wrong, *relay.failures]
    wrong += people.wrong
    wrong += _bounds(case, people.ended)
    wrong += _records(case, world, people, lines)
    wrong += _runs(case, world, people.ended)
    return wrong


def _is_lost(case: Case, ended: list[Ended]) -> bool:
    """The power was cut where nobody had asked for the account to survive that: all of the log may be lost."""
    cut = any(life.ends == "power" and one.how == "killed" for life, one in zip(case.lives, ended, strict=False))
    return cut and not case.power


def _read(world: World) -> tuple[list[dict[str, Any]], list[str]]:
    """The lines of the log, and those that are none."""
    try:
        texts = world.results.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    lines, wrong = [], []
    for number, text in enumerate(texts, 1):
        if number == len(texts):
            break  # what follows the last line's end: nothing, or a line that is torn
        try:
            lines.append(json.loads(text))
        except ValueError:
            wrong.append(f"line {number} of the log is none: {text[:200]!r}")
    return lines, wrong


def _bounds(case: Case, ended: list[Ended]) -> Iterator[str]:
    """Promise 2: what a kill leaves in doubt is bounded."""
    for number, one in enumerate(ended):
        # What the command line says holds for whoever goes on, until it says something else.
        said = [{**_USUAL, **case.delivery}, *(life.options for life in case.lives[: number + 1])]
        connections, depth, messages = (max(int(options.get(name, 0)) for options in said) for name in _USUAL)
        most = (connections + 1) * min(depth, messages) * len(case.relays)
        most *= 2 if case.power else 1
        if one.unanswered is not None and one.unanswered > most and not _inherits(case, number):
            yield f"{one.unanswered} in doubt after run {number}, {most} may be"


def _inherits(case: Case, number: int) -> bool:
    """Whether a run may have been killed before it had written what the one before has left in doubt."""
    return number > 0 and case.lives[number - 1].ends in ("kill", "power")


def _records(case: Case, world: World, people: People, lines: list[dict[str, Any]]) -> Iterator[str]:
    """Promises 1, 4 and 8: of every record."""
    history: dict[int, list[dict[str, Any]]] = {}
    for line in lines:
        if "record" in line:
            history.setdefault(line["record"], []).append(line)
    taken = Counter[int]()
    lied: set[int] = set()
    said: dict[int, set[str]] = {}
    for relay in world.relays:
        taken += relay.taken
        lied |= relay.lied
        for record, verdicts in relay.said.items():
            said.setdefault(record, set()).update(verdicts)
    # Who asks for the records that are in doubt again has them sent a second time.
    again = any("in_doubt" in life.retry for life in case.lives)
    for record in set(range(1, people.records + 1)) - lied:
        for what in of_record(history.get(record, []), taken[record], said.get(record, set()), again=again):
            yield f"record {record} {what}"
    yield from _beyond_the_log(case, world, history, again=again)
    if unknown := set(taken) - set(range(1, people.records + 1)):
        yield f"taken for nobody on the list: {unknown}"


def _beyond_the_log(
    case: Case, world: World, history: dict[int, list[dict[str, Any]]], *, again: bool
) -> Iterator[str]:
    """What the network knows of records that are in doubt, and of those that were refused for good."""
    for record, lines in history.items():
        last = lines[-1]
        if last["status"] == "in_doubt" and not str(last["reason"]).startswith(_KILLED) and record not in world.written:
            yield f"record {record} is in doubt, and its content was never sent to its end: {last}"
    # Where a run was killed or its disk failed, what it had heard may not be written, and the record is offered again.
    quiet = all(life.ends not in ("kill", "power") and life.disk is None and not life.retry for life in case.lives)
    # Where a reply cannot be, or there are too many or too few, those beside it may be others', and are taken back.
    # So may what the reply to a BDAT was to confirm, where the connection is lost before it.
    quiet = quiet and not case.breaks and not any(reply.lies or reply.says in ODD for reply in case.replies)
    for record in world.refused_for_good if quiet and not again else ():
        if (status := history[record][-1]["status"] if record in history else None) != "rejected":
            yield f"record {record} was refused for good, and is {status}"


def of_record(lines: list[dict[str, Any]], times: int, said: set[str], *, again: bool) -> Iterator[str]:
    """What must not be of one record, by all its lines, how often it was taken, and what was said of it."""
    history = [line["status"] for line in lines]
    status = history[-1] if history else "none"
    if not again and times not in _MAY_HAVE.get(status, (0,)):
        yield f"was taken {times} times, and is {history}"
    if not again and "in_doubt" in history[:-1] and status != "in_doubt":
        yield f"was in doubt, and is {status}"
    if status == "rejected" and not said & OF_THE_RECORD:
        yield f"is rejected, and what was said of it is {said}: {lines[-1]}"
    if status in ("invalid", "suppressed"):
        yield f"is {status}: {lines[-1]}"


def _runs(case: Case, world: World, ended: list[Ended]) -> Iterator[str]:
    """Promises 3, 7 and 9: of every run."""
    lost_power = False
    for number, (life, one) in enumerate(zip(case.lives, ended, strict=False)):
        lost_power = lost_power or life.ends == "power"
        if life.list == "changed" and one.resumed and one.how not in ("refused", "killed", "cancelled"):
            yield f"run {number} has gone on with a list that was changed: {one.how}"
        if life.list == "changed" and one.resumed and one.taken[0] != one.taken[1]:
            yield f"run {number} has sent something to a list that was changed"
        if one.how == "refused" and not _may_be_refused(case, number, one, lost_power=lost_power):
            yield f"run {number} was refused: {one.said}"
        if one.how == "stopped" and "internal" in one.said:
            yield f"run {number} was stopped: {one.said}"
    if ended and ended[-1].how in ("done", "stopped", "cancelled") and not case.lives[-1].disk:
        for left in world.home.glob("*.inflight*"):
            yield f"{left.name} is left of a run that has ended"


def _may_be_refused(case: Case, number: int, one: Ended, *, lost_power: bool) -> bool:
    life = case.lives[number]
    # The log was moved away before it was opened, or somebody else was earlier; where the disk was not waited for,
    # nobody knows after a cut of the power; and where nothing was ever taken, the log may not have begun.
    known = life.list == "changed" or life.moved is not None or life.disk is not None or life.twice
    return known or (lost_power and not case.power) or one.taken == (0, 0)
