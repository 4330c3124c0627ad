"""What a program gives a run, and how it uses it: refused where it is called and not where the run would stumble."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import NoneType

from batchsend.campaign import Campaign
from batchsend.errors import RunningLoopError, UsageError, require, require_callable, require_many
from batchsend.recipients.selection import choice_of
from batchsend.results.claim import Claim
from batchsend.results.resumption import Resumption, not_open
from batchsend.trace import Trace


class Use:
    """Sees to it that a run has one user at a time, and is begun once.

    Attributes:
        begun: Its account is open: what is sent from now on can be gone on with, and not be begun again.
        taking: Its records are being taken from a program's iterable, which may not give them a second time.
        spent: Its records were taken for a run that was refused, from an iterator, which has no more of them.
    """

    def __init__(self) -> None:
        self.begun = False
        self.taking = False
        self.spent = False
        self._busy = False

    def require(self) -> None:
        """Refuse a use that would meet another one, or what that has left.

        Raises:
            UsageError: It would.
        """
        if self._busy:
            raise UsageError("the batch is in use", remedy="wait for its end, or make another Batch for another run")
        if self.begun:
            raise UsageError(
                "the batch was run before",
                remedy="make another Batch: with another results log, or with resumption= to go on with this run",
            )
        if self.taking:
            raise UsageError(
                "the recipients were taken before, and not to their end: what is left of them are not all",
                remedy="make another Batch with an iterable that gives all of them",
            )
        if self.spent:
            raise UsageError(
                "the recipients were taken before, from an iterator, which gives them once",
                remedy="make another Batch with an iterable that gives all of them",
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Use it.

        Raises:
            UsageError: It is in use, or was begun.
        """
        self.require()
        self._busy = True
        try:
            yield
        finally:
            self._busy = False


def require_rows(rows: object, resumption: Resumption | None) -> None:
    """Refuse what cannot be the records of a run.

    Raises:
        TypeError: They are no mappings, one after the other.
        UsageError: The run is one that is gone on with, which has its records.
    """
    if rows is None:
        return
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable | AsyncIterable):
        raise TypeError(f"recipients must be an iterable of mappings, not {type(rows).__name__}")
    if resumption is not None:
        raise UsageError(
            "recipients are those of the run that is gone on with", remedy="leave recipients out: they were kept"
        )


def require_no_loop() -> None:
    """Refuse to wait for a run in a thread whose event loop is running.

    Raises:
        RunningLoopError: It is.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RunningLoopError(
        "an event loop is running in this thread, which send would hold up", remedy="await Batch(campaign).run()"
    )


def require_internal(server: object, only: object, overrides: object, claim: object, beside: object) -> None:
    """Refuse what cannot be the arguments that the command line gives.

    Raises:
        TypeError: One of them is of a wrong type.
        UsageError: A word in ``only`` means no records.
    """
    require(server, "server", str, NoneType)
    choice_of(tuple(require(word, "a word in only", str) for word in require_many(only, "only")), option="only")
    require(overrides, "overrides", Mapping, NoneType)
    require(claim, "claim", Claim, NoneType)
    require_callable(beside, "beside")


def require_types(campaign: object, context: object, limit: int | None, resumption: object, trace: object) -> None:
    """Refuse what cannot be the other arguments of a run.

    Raises:
        TypeError: One of them is of a wrong type.
        UsageError: The limit is below 1; or the run to go on with is not open.
    """
    require(campaign, "campaign", Campaign)
    require(context, "context", ssl.SSLContext, NoneType)
    require(limit, "limit", int, NoneType)
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}", remedy="expected a number from 1, or None for all")
    if (past := require(resumption, "resumption", Resumption, NoneType)) is not None and not past.is_open:
        raise not_open()
    require(trace, "trace", Trace, NoneType)
