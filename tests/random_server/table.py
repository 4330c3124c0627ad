"""The findings as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchsend import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.random_server.trial import Findings

_HEADER = (
    f"{'fault':20} {'mode':9} {'transactions':>12} {'sessions':>8} {'spoiled':>7} {'accepted':>8} {'in doubt':>8} "
    f"{'a session':>9} {'messages':>8} {'a session':>9} {'wrong':>5} {'unseen':>6} {'taken':>5} {'twice':>5}"
)


def rows(found: Mapping[tuple[str, str], Findings]) -> Iterator[str]:
    """A line for each fault in each mode.

    "In doubt" counts recipients, and "messages" the messages that have one in doubt; "a session" behind each is how
    many one spoiled session leaves; "unseen" are those wrongly accepted in a
    dialogue that shows no fault; "taken" were called refused and were taken; "twice" were taken twice.
    """
    yield _HEADER
    for (kind, mode), one in found.items():
        in_doubt = one.outcomes[Outcome.IN_DOUBT]
        yield (
            f"{kind:20} {mode:9} {one.transactions:12,} {one.sessions:8,} {one.spoiled:7,} "
            f"{one.outcomes[Outcome.ACCEPTED]:8,} {in_doubt:8,} {in_doubt / max(one.spoiled, 1):9.2f} "
            f"{one.doubtful_messages:8,} {one.doubtful_messages / max(one.spoiled, 1):9.2f} "
            f"{len(one.wrongly_accepted):5} {one.unseen:6} {one.taken:5} {one.twice:5}"
        )
    total = sum(one.transactions for one in found.values())
    doubtful = sum(one.outcomes[Outcome.IN_DOUBT] for one in found.values())
    wrong = sum(len(one.wrongly_accepted) for one in found.values())
    messages = sum(one.doubtful_messages for one in found.values())
    yield (
        f"together: {total:,} transactions, {doubtful:,} recipients of {messages:,} messages in doubt, "
        f"{wrong} wrongly accepted"
    )
