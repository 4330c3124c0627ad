"""What a caller of a sender is told where its call ends before all of its messages were begun."""

from __future__ import annotations

import re
from collections.abc import Iterable  # noqa: TC003 - get_type_hints looks for it
from typing import Final

from batchsend.campaign.python_terms import in_python
from batchsend.delivery.consequences import RESUME
from batchsend.errors import BatchsendError, RunError, require, require_many
from batchsend.outcome import DeliveryResult
from batchsend.patterns import late_pattern


class UnfinishedError(RunError):
    """A call ended before all of its messages were begun.

    >>> UnfinishedError("the server is gone", remedy="Try again later.").results
    []

    Args:
        message: As for every `BatchsendError`.
        results: The outcomes that are known; what has none was not begun, and can be sent again.
        remedy: As for every `BatchsendError`.
    """

    def __init__(self, message: str, results: Iterable[DeliveryResult] = (), remedy: str | None = None) -> None:
        super().__init__(message, remedy)
        if remedy is not None:
            self.args = (message, (), remedy)  # what JSON can hold, see `BatchsendError`
        known = require_many(results, "results")
        self.results: list[DeliveryResult] = [require(one, "a result in results", DeliveryResult) for one in known]


def closed() -> RunError:
    """The error for whoever waits when a sender is closed."""
    return RunError("the sender was closed before everything was sent", remedy="What has no result can be sent again.")


def again(error: Exception) -> Exception:
    """An error for one of several callers, each of whom adds its own traceback."""
    return RunError(error.message, remedy=_of_a_sender(error.remedy)) if isinstance(error, RunError) else error


def unfinished(error: Exception | None, known: Iterable[DeliveryResult]) -> Exception:
    """The error for a call that ends with some of its outcomes known.

    Args:
        error: Why it ends; None where the sender was closed.
        known: The outcomes.
    """
    if isinstance(error, BatchsendError):
        return UnfinishedError(error.message, known, remedy=_of_a_sender(error.remedy))
    return error or closed()


def _of_a_sender(remedy: str | None) -> str | None:
    """What to do, for whoever has neither a campaign file nor a run that could be gone on with."""
    return None if remedy is None else in_python(_WAY_ON.sub("send what has no result", remedy))


_WAY_ON: Final = late_pattern(rf'{re.escape(RESUME)}(?: with Choice\(\["[^"]*"\]\))?')
