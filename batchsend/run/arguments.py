"""What a program gives a run, refused where it is called and not where the run would stumble over it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, Iterable, Mapping
from types import NoneType

from batchsend.campaign import Campaign
from batchsend.errors import UsageError, require
from batchsend.results.resumption import Resumption
from batchsend.trace import Trace


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


def require_types(campaign: object, context: object, limit: object, resumption: object, trace: object) -> None:
    """Refuse what cannot be the other arguments of a run.

    Raises:
        TypeError: One of them is of a wrong type.
    """
    require(campaign, "campaign", Campaign)
    require(context, "context", ssl.SSLContext, NoneType)
    require(limit, "limit", int, NoneType)
    require(resumption, "resumption", Resumption, NoneType)
    require(trace, "trace", Trace, NoneType)
