"""The recipients file as a run line describes it: what it was, and whether it still is."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from batchsend.errors import UsageError
from batchsend.results.run import RecipientsFile


def describe(path: Path) -> RecipientsFile:
    """Size and digest of a recipients file; of a pipe, neither. Reads it whole.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        # Opening a pipe here would take from its reader.
        if not stat.S_ISREG(path.stat().st_mode):
            return RecipientsFile(path=str(path))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise UsageError(
            f"{path}: the recipients file cannot be read: {error.strerror}",
            remedy="a record is known by its place in this file: bring it back as it was",
        ) from None
    return RecipientsFile(path=str(path), size=size, sha256=digest)


def require_kept(before: RecipientsFile) -> None:
    """Check that a run's recipients can be read a second time.

    Raises:
        UsageError: They came by a pipe.
    """
    if before.sha256 is None:
        where = "standard input" if before.path == "-" else f"the pipe {before.path}"
        raise UsageError(
            f"the recipients came by {where} and were not kept, so nobody can say who is left",
            remedy="send to those who have no line in the results log as a new campaign",
        )


def require_unchanged(before: RecipientsFile) -> None:
    """Check that a recipients file is the one that a run began with: its records are known by their places in it.

    Raises:
        UsageError: It is another one, cannot be read, or was not kept.
    """
    require_kept(before)
    now = describe(Path(before.path))
    if now.sha256 == before.sha256:
        return
    change = "it is as long as it was, and its content another"
    if now.size != before.size:
        change = f"it had {before.size:,} octets, and has {now.size or 0:,}"
    raise UsageError(
        f"{before.path} has changed: {change}",
        remedy="a record is known by its place in this file: bring it back as it was, or send the new one as a new run",
    )
