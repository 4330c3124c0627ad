"""Writes a report's files: whole or not at all, with the log's permissions, never over the log or the campaign."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from batchsend.errors import UsageError, not_writable
from batchsend.results.journal import journal_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchsend.report.report import CampaignReport


class Output:
    """Where a report goes.

    Args:
        report: What a results log comes to. The log, its journal, the campaign and the recipients file are not
            written over.
    """

    def __init__(self, report: CampaignReport) -> None:
        self._log = report.results
        self._kept = {
            "the results log itself": [report.results],
            "the journal of the results log": [journal_path(report.results)],
            "the campaign file": [Path(run.first.campaign) for run in report.runs if run.first.campaign],
            "the recipients file": [Path(run.first.recipients.path) for run in report.runs],
        }

    def write(self, path: Path, content: Iterable[bytes]) -> None:
        """Write a file, with the permissions of the log; another file of that name is replaced when all is written.

        Args:
            path: The file; ``-`` is standard output. What is no regular file is written to as it is.
            content: What to write, piece by piece.

        Raises:
            UsageError: It cannot be written, or is one of the files that are kept.
        """
        if str(path) == "-":
            for piece in content:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        self._refuse_kept(path)
        try:
            if path.exists() and not path.is_file():
                with path.open("wb") as file:
                    file.writelines(content)
            else:
                self._replace(path.resolve(), content)
        except OSError as error:
            raise not_writable(path, error) from None

    def _refuse_kept(self, path: Path) -> None:
        for what, kept in self._kept.items():
            if any(_is_same(path, other) for other in kept):
                raise UsageError(f"{path} is {what}: it is not written over", remedy="name another file")

    def _replace(self, path: Path, content: Iterable[bytes]) -> None:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), stat.S_IMODE(self._log.stat().st_mode))
                file.writelines(content)
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return path.resolve() == other.resolve()
