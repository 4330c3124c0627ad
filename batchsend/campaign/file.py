"""The shape of a campaign file: its top-level keys, and every table that it may have, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, get_args

import msgspec
from msgspec import Meta, Struct

from batchsend.campaign.model import (
    Attachment,
    Delivery,
    Dkim,
    Dsn,
    Events,
    Message,
    Server,
    SuppressionList,
    Timeouts,
)


class File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands at a campaign file's beginning, before the first table, and its tables.

    Attributes:
        recipients: The recipients file: CSV or JSON Lines, as it is or compressed by gzip or zstd, or a workbook
            (.xlsx, .ods); ``"-"`` for standard input.
        results: The results log.
        recipient_field: The field that holds a record's address; by default ``email``, ``to`` or ``recipient``, or the
            one whose name says that it holds e-mail addresses, or ``address``.
        encoding: The encoding of the recipients file, such as ``cp1252``; by default UTF-8, or what its byte-order mark
            says.
        sheet: Of a workbook, the name of the sheet; by default the first.
        where: A Jinja2 expression over a record's fields, such as ``country == "DE" and opted_in == "yes"``. Records
            that it does not hold for are passed over: they have no outcome, also when the run is resumed.
        server: The relay; or several, in order of preference.
        message: What is sent.
        delivery: How it is sent.
        events: Who is told what becomes of each message.
    """

    recipients: Annotated[str, Meta(min_length=1, description='the path of the recipients file, or "-"')]
    results: Annotated[Path, Meta(description="the path of the results log")] = Path("results.jsonl")
    recipient_field: Annotated[Annotated[str, Meta(min_length=1)] | None, Meta(description="the name of a field")] = (
        None
    )
    encoding: Annotated[
        Annotated[str, Meta(min_length=1)] | None, Meta(description='an encoding such as "cp1252" or "utf-16-le"')
    ] = None
    sheet: Annotated[Annotated[str, Meta(min_length=1)] | None, Meta(description="the name of a sheet")] = None
    where: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="an expression over a record's fields, such as \"country == 'DE'\""),
    ] = None
    server: Annotated[tuple[Server, ...], Meta(min_length=1, description="a table [server], or several [[server]]")]
    message: Annotated[Message, Meta(description="a table [message]")]
    delivery: Annotated[Delivery, Meta(description="a table [delivery]")] = Delivery()
    events: Annotated[Events | None, Meta(description="a table [events] of url and secret")] = None


Table = tuple[str, ...]
"""The names that lead to a table; none for the file's beginning."""

TABLES: Final[dict[Table, type[Struct]]] = {
    (): File,
    ("server",): Server,
    ("message",): Message,
    ("message", "attachments"): Attachment,
    ("message", "dkim"): Dkim,
    ("delivery",): Delivery,
    ("delivery", "suppress"): SuppressionList,
    ("delivery", "dsn"): Dsn,
    ("delivery", "timeouts"): Timeouts,
    ("events",): Events,
}
"""Every table that a campaign file may have, by its name, and what it holds.

It follows from `File`, but to read it from there takes longer than to read a campaign: a test compares them."""


def expected(field: msgspec.structs.FieldInfo) -> str:
    """What the model says that a key expects."""
    return next(str(meta.description) for meta in get_args(field.type)[1:] if isinstance(meta, Meta))
