"""A run as its first line in the results log tells of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping  # noqa: TC003 - msgspec resolves the annotations at run time

from msgspec import Struct

Change = str | int | bool | None
"""What something was changed to while a run went on: a rate (None for none), a number of sessions, paused or not."""


class RecipientsFile(Struct, frozen=True, kw_only=True):
    """The recipients file as it was when the run began, so that a changed one is noticed.

    Attributes:
        path: Its absolute path, or ``-`` for standard input.
        size: Its size in octets, or None where it has none.
        sha256: The SHA-256 of its octets in hexadecimal, or None.
        only: Where it is a results log: the outcomes and codes of the records in it that are sent to.
        text_size: Where it is compressed: the octets of the text beneath, without a byte-order mark; or None.
        text_sha256: Of these octets, as ``sha256``; or None.
        of: Where it is a results log, and the records are those of the list that it is the account of: that list; their
            numbers are their places in it. None where they are the lines of the log.
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    only: tuple[str, ...] = ()
    text_size: int | None = None
    text_sha256: str | None = None
    of: RecipientsFile | None = None


class SuppressionFile(Struct, frozen=True, kw_only=True):
    """A file of addresses that the run did not write to.

    Attributes:
        path: Its absolute path.
        entries: How many addresses and domains it named.
    """

    path: str
    entries: int


class Run(Struct, frozen=True, kw_only=True):
    """The first line of a run.

    Attributes:
        id: The run's identity, which Message-IDs are made of: a resumed run has that of the run it resumes.
        started: When it began, in seconds since the epoch.
        campaign: The campaign file's absolute path.
        recipients: Who it was for.
        version: The version of batchsend.
        server: Host and port of the first server, or ``sandbox``; None where that is not known.
        suppress: The files of addresses that were not written to.
        overrides: What the command line said in place of the campaign file about where and how to send, by the name of
            the option; it holds for whoever goes on with the run. Never a secret.
        servers: The names of the relays, where there are several: outcomes say which of them.
        where: Which of the records it was for; None for all, and in a log that does not say.
        recipient_field: The field that addresses were taken from; None where that is another one by record, and in a
            log that does not say.
    """

    id: str
    started: float
    campaign: str
    recipients: RecipientsFile
    version: str
    server: str | None = None
    suppress: tuple[SuppressionFile, ...] = ()
    overrides: Mapping[str, str | int] = {}
    servers: tuple[str, ...] = ()
    where: str | None = None
    recipient_field: str | None = None


def new_id() -> str:
    """A run's identity: sortable by time, and never the same twice."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.{secrets.token_hex(6)}"
