"""Keeping what comes by standard input or from a program, so that a run of it can be gone on with."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import sys
from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio.lowlevel
import orjson
from msgspec.structs import replace

from batchsend.errors import RunError, UsageError
from batchsend.recipients.reader import open_records
from batchsend.recipients.source import STANDARD_INPUT, Source
from batchsend.results.beside import make_anew

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import BinaryIO

    from batchsend.campaign import Campaign
    from batchsend.results.run import Run

_OCTETS: Final = 256 * 1024
_ROWS: Final = 500
"""Records of a program's iterable that are taken before other tasks have their turn."""

Rows: TypeAlias = Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
"""Records as a program has them: each a mapping of its fields."""


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
    begun = _begun(results)
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
        _remove(begun)
        remedy = "name another --results, or do without resuming: --no-spool"
        raise _not_kept(begun, "what comes by standard input", error, remedy) from None
    except UsageError as error:
        _remove(begun)
        raise UsageError(error.message.replace(str(begun), STANDARD_INPUT), remedy=error.remedy) from None
    except BaseException:
        _remove(begun)
        raise


async def spool_records(results: Path, rows: Rows) -> Path:
    """Write a program's records into a file beside a results log: from then on it is a recipients file.

    All of it is there before anything is sent, as with `spool`. Values are what JSON has; of others their text is kept.

    Args:
        results: The log of the run, which is locked.
        rows: The records, in their order.

    Returns:
        The file, JSON Lines.

    Raises:
        UsageError: It cannot be written.
        RunError: There is no room for it; or ``rows`` raised a CancelledError of its own.
        TypeError: Something in ``rows`` is no mapping of texts to values; nothing was sent.
        Exception: What ``rows`` raises; nothing was sent.
    """
    begun = _begun(results)
    count, held, size = 0, [], 0
    theirs: list[OSError] = []
    try:
        with os.fdopen(make_anew(begun), "wb") as file:
            async for row in _each(rows, theirs):
                count += 1
                held.append(line := _line(row, count))
                size += len(line)
                if size > _OCTETS:
                    file.write(b"".join(held))
                    held, size = [], 0
            file.write(b"".join(held))
            file.flush()
            os.fsync(file.fileno())
        return begun.rename(begun.with_name(f"{begun.name}.jsonl"))
    except OSError as error:
        _remove(begun)
        if error in theirs:  # such as that of a database that is gone: nothing is wrong with the file
            raise
        remedy = "give the campaign another results log, in a folder that can be written in"
        raise _not_kept(begun, "the recipients", error, remedy) from None
    except BaseException:
        _remove(begun)
        raise


def with_kept(campaign: Campaign, run: Run) -> Campaign:
    """A campaign with the records of a run that is gone on with, where they were kept beside its results log.

    Args:
        campaign: The campaign, whose own recipients are others, or standard input.
        run: The run.
    """
    recipients = run.recipients.path
    kept = _begun(campaign.results.resolve())
    if recipients not in (f"{kept}.jsonl", f"{kept}.csv"):
        return campaign
    if campaign.recipients == "-":  # kept as it came, in the encoding that the campaign says
        return replace(campaign, recipients=Path(recipients))
    if campaign.recipients.resolve() == Path(recipients):
        return campaign
    return replace(campaign, recipients=Path(recipients), encoding=None, sheet=None)


async def _each(rows: Rows, theirs: list[OSError]) -> AsyncIterator[object]:
    """Each of the records; an error of theirs that the file could have had as well is noted.

    Raises:
        RunError: The iterable raised a CancelledError of its own. Whoever takes the results is not cancelled.
        Exception: The iterable's.
    """
    source = aiter(rows) if isinstance(rows, AsyncIterable) else aiter(_in_turns(rows))
    while True:
        try:
            row = await anext(source)
        except StopAsyncIteration:
            return
        except OSError as error:
            theirs.append(error)
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise RunError("the iterable of recipients was cancelled", remedy="Nothing was sent.") from error
        yield row


async def _in_turns(rows: Iterable[Mapping[str, Any]]) -> AsyncIterator[Mapping[str, Any]]:
    for place, row in enumerate(rows):
        if place % _ROWS == 0:
            await anyio.lowlevel.checkpoint()
        yield row


def _line(row: object, place: int) -> bytes:
    if not isinstance(row, Mapping):
        raise TypeError(f"recipient {place} must be a Mapping, not {type(row).__name__}")
    try:
        try:
            line = orjson.dumps(dict(row), default=str, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:
            return _ascii_line(_as_json(dict(row)))
        # `resume` reads it in the encoding that the campaign has for its own list: nearly all begin with ASCII.
        return line if line.isascii() else _ascii_line(orjson.loads(line))
    except (TypeError, RecursionError) as error:
        raise TypeError(f"recipient {place} cannot be written as JSON: {error}") from None


def _ascii_line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _as_json(value: object) -> object:
    """What orjson would write of a value, but for what it refuses and a JSON text can say.

    That are integers beyond 64 bits, which are read again exactly, and half a character (a surrogate alone), for which
    the reader refuses this one record.
    """
    match value:
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise TypeError("Dict key must be str")
            return {key: _as_json(one) for key, one in value.items()}
        case list() | tuple():
            return [_as_json(one) for one in value]
        case str() | int():
            return value
        case _:
            return orjson.loads(orjson.dumps(value, default=str))


def _begun(results: Path) -> Path:
    return results.with_name(f"{results.name}.recipients")


def _remove(file: Path) -> None:
    with suppress(OSError):  # why nothing is kept is what is told; a folder in the way stays where it is
        file.unlink()


def _not_kept(file: Path, what: str, error: OSError, remedy: str) -> RunError | UsageError:
    text = f"{file}: {what} cannot be kept: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return RunError(text, remedy="make room, or see what is wrong with the disk")
    return UsageError(text, remedy=remedy)
