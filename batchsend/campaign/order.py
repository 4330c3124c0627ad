"""The relays of a campaign among each other: what each is called, which goes first, and what options hold for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchsend.campaign.model import Delivery, Server


class Preference(NamedTuple):
    """A relay's place among the others.

    Attributes:
        name: What it is called; unique, unless two servers have the same host and port and no names of their own.
        priority: Lower goes first.
        weight: Its share among those of the same priority.
    """

    name: str
    priority: int
    weight: int


def places(servers: Sequence[Server]) -> list[Preference]:
    """The place of each relay, in the order of the file.

    Where none of them has a priority or a weight, the order of the file is the order of preference.
    """
    in_file_order = all(server.priority is None and server.weight is None for server in servers)
    hosts = Counter(server.host for server in servers if server.name is None)
    found = []
    for number, server in enumerate(servers, 1):
        name = server.name or (server.host if hosts[server.host] == 1 else f"{server.host}:{server.port}")
        priority = 1 if server.priority is None else server.priority
        found.append(Preference(name, number if in_file_order else priority, server.weight or 1))
    return found


def options_for(server: Server, delivery: Delivery, *, alone: bool) -> Delivery:
    """The options that hold for one relay: its own limits where it has some, otherwise those of the campaign.

    Args:
        server: The relay.
        delivery: The campaign's options.
        alone: There is no other relay, so that the rate of the whole campaign is this one's, too.
    """
    rates = [rate for rate in (server.rate, delivery.rate if alone else None) if rate is not None]
    return replace(
        delivery,
        rate=min(rates, key=lambda rate: rate.per_second, default=None),
        max_connections=server.max_connections or delivery.max_connections,
        max_messages=server.max_messages or delivery.max_messages,
        depth=server.depth or delivery.depth,
    )


def most_in_doubt(server: Server, delivery: Delivery) -> int:
    """The most messages of one relay that may be committed and unanswered at once.

    No more than ``max_connections`` + 1 sessions are open with it or being opened, and each has no more than ``depth``
    transactions unanswered, or ``max_messages`` where that is less. The bound of a campaign is the sum over its relays.
    """
    its = options_for(server, delivery, alone=False)
    return (its.max_connections + 1) * min(its.depth, its.max_messages)
