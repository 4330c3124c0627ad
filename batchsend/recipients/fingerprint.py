"""The recipients file as a run line describes it: what it was, whether it still is, and whether it has only grown."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from batchsend.campaign.list_names import WORKBOOKS
from batchsend.errors import RunError, UsageError
from batchsend.recipients.reader import open_records
from batchsend.recipients.source import COMPRESSIONS, Source, file_mark
from batchsend.results.run import RecipientsFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batchsend.recipients.reader import RecordReader
    from batchsend.recipients.record import BadRecord, Record

_BLOCK: Final = 1024 * 1024
_UTF8_MARK: Final = b"\xef\xbb\xbf"


def describe(path: Path) -> RecipientsFile:
    """Size and digest of a recipients file; of a pipe, neither. Reads it whole.

    Of a compressed file the text beneath is described, too: a list that has grown is compressed anew.

    Raises:
        UsageError: It cannot be read.
    """
    if not _is_regular(path):
        return RecipientsFile(path=str(path))
    return _described(path)[0]


def require_kept(before: RecipientsFile, results: Path) -> None:
    """Check that a run's recipients can be read a second time.

    Args:
        before: What the run line says of them.
        results: The results log, for the remedy.

    Raises:
        UsageError: They came by a pipe.
    """
    if before.sha256 is None:
        where = "standard input" if before.path == "-" else f"the pipe {before.path}"
        raise UsageError(
            f"the recipients came by {where} and were not kept, so nobody can say who is left",
            remedy=_as_a_new_run("send the list", results),
        )


def require_continued(
    before: RecipientsFile, path: Path | Literal["-"], results: Path, *, encoding: str | None = None
) -> RecipientsFile:
    """Check that a recipients file is the one that a run began with, or begins with all of it, record for record.

    Records are known by their places in the file, so more may be appended, and nothing else may change. Octets are
    compared; of a compressed file, those of the text beneath. A results log as the list must be as it was: a line that
    is appended to it may be of a record that is known by an earlier one.

    Args:
        before: What the run line says of it.
        path: The file now, or ``-`` for standard input.
        results: The results log, for the remedy.
        encoding: Its encoding, as `open_records` takes it.

    Returns:
        What it is now.

    Raises:
        UsageError: It is another one, cannot be read, or was not kept.
        RunError: It cannot be read to its end.
    """
    require_kept(before, results)
    if path == "-":
        raise UsageError(
            "what comes by standard input cannot be compared with the list that the run began with",
            remedy="put it into a file, and name that",
        )
    if not _is_regular(path):
        raise _changed(path, "it is no regular file", results)
    now, begins_alike = _described(path, before)
    if now.sha256 == before.sha256:
        return now
    is_alike = begins_alike and not before.only and _kind(path) == _kind(Path(before.path))
    if is_alike and _begins_with(path, before, encoding):
        return now
    if now.size == before.size:
        raise _changed(path, "it is as long as it was, and its content another", results)
    change = f"it had {before.size:,} octets, and has {now.size:,}"
    if (now.size or 0) > (before.size or 0):
        change += ", which do not begin with the records that it had"
    raise _changed(path, change, results)


class FileWatch:
    """Notices whether a recipients file that is read again and again is still the one that it was.

    Args:
        path: The file.
        described: What it was when the run began.
        encoding: Its encoding, as `open_records` takes it.

    Attributes:
        mark: The file's mark when it was last seen to be what it was; None where there was none.
    """

    def __init__(self, path: Path, described: RecipientsFile, *, encoding: str | None = None) -> None:
        self._encoding = encoding
        self._path = path
        self._described = described
        self.mark = file_mark(path)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing has happened to the file, by what the system says of it: no more than a look."""
        return self.mark is not None and file_mark(self._path) == self.mark

    @property
    def is_same_file(self) -> bool:
        """Whether the name still leads to the file that it led to, whatever has become of its content."""
        now = file_mark(self._path)
        return now is not None and self.mark is not None and now[:2] == self.mark[:2]

    def change(self) -> str | None:
        """What has changed; None where its records are still there in their places. May read it whole."""
        mark = file_mark(self._path)
        if mark is None:
            return f"{self._path} is gone"
        if mark == self.mark:
            return None
        try:
            require_continued(self._described, self._path, Path(), encoding=self._encoding)
        except (UsageError, RunError) as error:
            return error.message
        self.mark = mark
        return None


def _is_regular(path: Path) -> bool:
    try:
        # Opening a pipe would take from its reader.
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(path, error) from None


def _described(path: Path, before: RecipientsFile | None = None) -> tuple[RecipientsFile, bool]:
    """What a regular file is, and whether its octets, or those of its text, begin with those of an earlier one."""
    try:
        stored = _digest(_octets(path), before.size if before is not None else None)
    except OSError as error:
        raise _unreadable(path, error) from None
    now = RecipientsFile(path=str(path), size=stored.size, sha256=stored.sha256)
    if before is None or before.text_sha256 is None:
        begins_alike = before is not None and stored.beginning == before.sha256
        if before is None and path.suffix.lower() in COMPRESSIONS:
            now = _with_text(now, _text_digest(path, None))
        return now, begins_alike
    text = _text_digest(path, before.text_size)
    return _with_text(now, text), text is not None and text.beginning == before.text_sha256


class _Digest(NamedTuple):
    size: int
    sha256: str
    beginning: str | None  # of as many octets as were asked about, where there are so many


def _digest(blocks: Iterable[bytes], length: int | None) -> _Digest:
    whole = hashlib.sha256()
    beginning: str | None = None
    size = 0
    for block in blocks:
        if length is not None and size <= length < size + len(block):
            part = whole.copy()
            part.update(block[: length - size])
            beginning = part.hexdigest()
        whole.update(block)
        size += len(block)
    return _Digest(size, whole.hexdigest(), whole.hexdigest() if size == length else beginning)


def _octets(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            yield block


def _text_digest(path: Path, length: int | None) -> _Digest | None:
    """The digest of a file's text; None where it cannot be read to its end, which reading its records will say."""
    source = Source(path, raw=True)
    try:
        return _digest(iter(source.read, b""), length)
    except RunError:
        return None
    finally:
        source.close()


def _with_text(described: RecipientsFile, text: _Digest | None) -> RecipientsFile:
    if text is None:
        return described
    return RecipientsFile(
        path=described.path,
        size=described.size,
        sha256=described.sha256,
        text_size=text.size,
        text_sha256=text.sha256,
    )


def _kind(path: Path) -> str:
    """The suffix that says what records are written as."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _begins_with(path: Path, before: RecipientsFile, encoding: str | None) -> bool:
    """Whether the records at a file's beginning are those that it had when its text ended where it ended then.

    That its octets begin alike is not enough: the last record may have had no line end, or an open quotation mark.
    """
    if _kind(path) in WORKBOOKS:
        return False  # Its octets do not stand in the order of its rows.
    if (end := before.text_size) is None:
        with path.open("rb") as file:
            end = (before.size or 0) - len(_UTF8_MARK) * (file.read(len(_UTF8_MARK)) == _UTF8_MARK)
    with open_records(path, encoding=encoding, end=end) as had, open_records(path, encoding=encoding) as has:
        if had.fields != has.fields:
            return False
        now = _rows(has)
        return all(row == next(now, None) for row in _rows(had))


def _rows(reader: RecordReader) -> Iterator[Record | BadRecord]:
    while rows := reader.read(1000):
        yield from rows


def _changed(path: Path, change: str, results: Path) -> UsageError:
    return UsageError(
        f"{path} has changed: {change}",
        remedy="a record is known by its place in this file: bring it back as it was; or "
        + _as_a_new_run("send the new list", results),
    )


def _as_a_new_run(what: str, results: Path) -> str:
    return (
        f'{what} as a new run that has exclude = ["{results}"] in [delivery], '
        "so that nobody who got the message gets it again"
    )


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path}: the recipients file cannot be read: {error.strerror}",
        remedy="a record is known by its place in this file: bring it back as it was",
    )
