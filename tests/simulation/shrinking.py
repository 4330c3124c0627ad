"""Makes a case that fails smaller, as long as it goes on failing: fewer runs, fewer faults, fewer records."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec.structs import fields, replace

from tests.simulation.case import Life, Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from msgspec import Struct

    from tests.simulation.case import Case

Item = TypeVar("Item")


def shrink(
    case: Item, fails: Callable[[Item], bool], smaller: Callable[[Item], Iterator[Item]], *, seconds: float
) -> Item:
    """The smallest case found within some seconds of computing that still fails.

    Args:
        case: One that fails.
        fails: Whether one does.
        smaller: Gives the cases that are a little smaller than one, the much smaller ones first.
        seconds: How long to go on.
    """
    until = time.process_time() + seconds
    found: Item | None = case
    while found is not None:
        case, found = found, None
        for candidate in smaller(case):
            if time.process_time() > until:
                return case
            if fails(candidate):
                found = candidate
                break
    return case


def keep(case: Struct, seed: int, folder: Path) -> Path:
    """Write a case to where the tests find it.

    Args:
        case: The case.
        seed: What it was drawn from.
        folder: Where the tests look for cases.

    Returns:
        Its file.
    """
    path = folder / f"seed_{seed}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(case), indent=2) + b"\n")
    return path


def smaller_cases(case: Case) -> Iterator[Case]:
    """Cases that are a little smaller, the much smaller ones first; the last run stays, for it is what is judged."""
    for lives in fewer(case.lives[:-1]):
        yield replace(case, lives=(*lives, case.lives[-1]))
    for replies in fewer(case.replies):
        yield replace(case, replies=replies)
    for breaks in fewer(case.breaks):
        yield replace(case, breaks=breaks)
    if len(case.relays) > 1:
        yield _without_last_relay(case)
    for records in (case.records // 4, case.records // 2, case.records * 3 // 4, case.records - 1):
        if 0 < records < case.records:
            yield replace(case, records=records)
    yield from _plainer_parts(case)


def _without_last_relay(case: Case) -> Case:
    last = len(case.relays) - 1
    return replace(
        case,
        relays=case.relays[:last],
        replies=tuple(reply for reply in case.replies if reply.relay < last),
        breaks=tuple(one for one in case.breaks if one.relay < last),
    )


def _plainer_parts(case: Case) -> Iterator[Case]:
    """One thing after the other as it usually is."""
    for name in case.delivery:
        if name != "durability":
            yield replace(case, delivery={key: value for key, value in case.delivery.items() if key != name})
    for place, life in enumerate(case.lives):
        for plain in _plainer(life, Life()):
            yield replace(case, lives=(*case.lives[:place], plain, *case.lives[place + 1 :]))
    for place, relay in enumerate(case.relays):
        for plain_relay in _plainer(relay, Relay()):
            yield replace(case, relays=(*case.relays[:place], plain_relay, *case.relays[place + 1 :]))


def fewer(items: tuple[Item, ...]) -> Iterator[tuple[Item, ...]]:
    """Some items left out: all, a half, one."""
    if items:
        yield ()
    half = len(items) // 2
    if half > 1:
        yield items[:half]
        yield items[half:]
    if len(items) > 1:
        for place in range(len(items)):
            yield items[:place] + items[place + 1 :]


def _plainer(item: Any, plain: Any) -> Iterator[Any]:
    """One attribute after the other as it usually is; how a run ends stays."""
    for field in fields(item):
        if field.name not in ("ends", "event", "after") and getattr(item, field.name) != getattr(plain, field.name):
            yield replace(item, **{field.name: getattr(plain, field.name)})
