"""What delivery asks of `replies` when a server refuses something.

Words, table and patterns take as long to load as everything else in delivery together, and most runs are refused
nothing: they are loaded for the first refusal.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.delivery.replies import Judgement
    from batchsend.outcome import Stage
    from batchsend.smtp.replies import Reply
    from batchsend.verdict import Reason, Verdict


def judge(stage: Stage, reply: Reply) -> Judgement:
    """What a reply means; `replies.judge`.

    Args:
        stage: Where in the dialogue it came.
        reply: The server's reply.
    """
    return _loaded()(stage, reply)


@cache  # an import, even of what is there, costs as much as the rest of this for each refusal
def _loaded() -> Callable[[Stage, Reply], Judgement]:
    from batchsend.delivery import replies  # noqa: PLC0415 - for the first refusal only

    return replies.judge


def advice(verdict: Verdict, reason: Reason | None) -> str:
    """What the sender should do; `replies.advice`."""
    from batchsend.delivery import replies  # noqa: PLC0415 - for the first refusal only

    return replies.advice(verdict, reason)


def goes_on(verdict: Verdict) -> bool:
    """Whether a relay that says so is gone on with; `replies.policy`."""
    from batchsend.delivery.replies.policy import GOES_ON  # noqa: PLC0415 - for the first refusal only

    return verdict in GOES_ON


def times_named(text: str, now: float) -> tuple[float | None, float | None]:
    """What a reply says of time: how long to wait, and how long the period lasts that its limit counts in.

    Args:
        text: What the server said.
        now: The present, in seconds since the epoch.

    Returns:
        Seconds, each None where it names none.
    """
    from batchsend.delivery.replies.waiting import SECONDS, period_named, wait_named  # noqa: PLC0415 - for the first refusal only

    period = period_named(text)
    return wait_named(text, now), None if period is None else SECONDS[period]


def kind_of(raw: bytes) -> tuple[str, ...]:
    """The words that replies of one kind share; `replies.kinds`."""
    from batchsend.delivery.replies import kinds  # noqa: PLC0415 - for the first refusal only

    return kinds.kind_of(raw)
