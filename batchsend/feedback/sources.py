"""Where messages that came back are read: maildirs, mboxes, files of one message, standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from batchsend.errors import UsageError
from batchsend.feedback.entities import MOST_READ

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDIN: Final = "-"
_MAILDIR: Final = ("new", "cur")
_BLOCK: Final = 65536


def messages(sources: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Each message of the sources, and where it was read; of a very large one only its beginning.

    A folder is a maildir where it has ``new`` or ``cur``; otherwise its ``.eml`` files are read. A file is an mbox
    where its first line begins with ``From ``; otherwise it is one message. ``-`` is standard input, one or the other.

    Raises:
        UsageError: A source is not there, or cannot be read.
    """
    for source in sources:
        try:
            if source == STDIN:
                yield from _of_stream(source, sys.stdin.buffer)
            elif "://" in source:
                raise UsageError(
                    f"{source}: mail is not read from there",
                    remedy="fetch it into a maildir or an mbox first, or pipe it into batchsend feedback -",
                )
            elif (path := Path(source)).is_dir():
                yield from _of_directory(path)
            else:
                with path.open("rb") as file:
                    yield from _of_stream(source, file)
        except OSError as error:
            raise UsageError(
                f"{source}: the mail cannot be read: {error.strerror}",
                remedy="name a maildir, an mbox, .eml files, or - for standard input",
            ) from None


def _of_directory(path: Path) -> Iterator[tuple[str, bytes]]:
    folders = [path / name for name in _MAILDIR if (path / name).is_dir()]
    names = (
        sorted(file for folder in folders for file in folder.iterdir() if not file.name.startswith("."))
        if folders
        else sorted(file for file in path.iterdir() if file.suffix.lower() == ".eml")
    )
    for name in names:
        if not name.is_file():
            continue
        try:
            with name.open("rb") as file:
                yield str(name), file.read(MOST_READ)
        except FileNotFoundError:
            continue  # a mail program has moved or removed it in the meantime


def _of_stream(source: str, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    first = file.readline(_BLOCK)
    if not first.startswith(b"From "):
        yield source, first + file.read(MOST_READ)
        return
    number = 0
    pieces: list[bytes] = []
    size = 0
    blank = False
    while line := file.readline(_BLOCK):
        if blank and line.startswith(b"From "):
            number += 1
            yield f"{source}:{number}", b"".join(pieces)
            pieces, size, blank = [], 0, False
            continue
        blank = line in (b"\n", b"\r\n")
        if size < MOST_READ:
            # Of the quoted forms, mboxrd's and mboxo's, this undoes both as well as it can be done.
            pieces.append(line[1:] if line.startswith(b">") and line.lstrip(b">").startswith(b"From ") else line)
            size += len(line)
    yield f"{source}:{number + 1}", b"".join(pieces)
