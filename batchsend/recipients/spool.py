"""Keeping what comes by standard input, so that a run of it can be gone on with."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from typing import TYPE_CHECKING

from batchsend.errors import RunError, UsageError
from batchsend.recipients.reader import open_records
from batchsend.recipients.source import STANDARD_INPUT, Source
from batchsend.results.beside import make_anew

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO


def spool(results: Path, source: BinaryIO | None = None, *, encoding: str | None = None) -> Path:
    """Copy standard input to its end into a file beside a results log: from then on it is a recipients file.

    All of it is there before anything is sent. Whatever ends the run, nobody is lost who had been named to it.

    Args:
        results: The log of the run, which is locked: nobody else keeps his recipients beside it meanwhile.
        source: What to copy instead of standard input.
        encoding: Of what comes, as `Source` takes it.

    Returns:
        The file; its name says whether it is CSV or JSON Lines.

    Raises:
        UsageError: It cannot be written, or what came is no text that records can be in.
        RunError: There is no room for it.
    """
    begun = results.with_name(f"{results.name}.recipients")
    try:
        with os.fdopen(make_anew(begun), "wb") as copy:
            shutil.copyfileobj(source or sys.stdin.buffer, copy, 1024 * 1024)
            copy.flush()
            os.fsync(copy.fileno())
        opened = Source(begun, encoding=encoding)
        opened.close()
        kind = "jsonl" if opened.start.lstrip().startswith((b"{", b"[")) else "csv"
        # What cannot be read is refused now, and is not kept.
        open_records(begun, format=kind, encoding=encoding).close()
        return begun.rename(begun.with_name(f"{begun.name}.{kind}"))
    except OSError as error:
        begun.unlink(missing_ok=True)
        what = f"{begun}: what comes by standard input cannot be kept: {error.strerror}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise RunError(what, remedy="make room, or see what is wrong with the disk") from None
        raise UsageError(what, remedy="name another --results, or do without resuming: --no-spool") from None
    except UsageError as error:
        begun.unlink(missing_ok=True)
        raise UsageError(error.message.replace(str(begun), STANDARD_INPUT), remedy=error.remedy) from None
    except BaseException:
        begun.unlink(missing_ok=True)
        raise
