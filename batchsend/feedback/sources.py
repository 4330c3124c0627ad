"""Where messages that came back are read: maildirs, mboxes, files of one message, standard input, IMAP servers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from batchsend.errors import UsageError
from batchsend.feedback.entities import MOST_READ
from batchsend.feedback.imap import SCHEME, fetched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import ExitStack

STDIN: Final = "-"
_MAILDIR: Final = ("new", "cur")
_BLOCK: Final = 65536
_SINGLE: Final = ".eml"
"""What files end with that hold one message, also where a line ``From …`` of the mailbox that they were in is left."""


class Mail(NamedTuple):
    """A message that came back.

    Attributes:
        file: Where it was read.
        octets: The message; of a very large one only its beginning.
        done: To be called when its reports have been kept; None where nobody waits for that.
    """

    file: str
    octets: bytes
    done: Callable[[], None] | None = None


def messages(
    sources: Iterable[str], stack: ExitStack, *, move: str | None = None, mark: bool = False
) -> Iterator[Mail]:
    """Each message of the sources.

    A folder is a maildir where it has ``new`` or ``cur``; otherwise its ``.eml`` files are read. A file is an mbox
    where its first line begins with ``From ``; otherwise it is one message, as is whatever is called ``.eml``. ``-`` is
    standard input, one or the other. Of several messages in a file each is called by the file and its number.

    Args:
        sources: Paths, ``-``, and ``imaps://`` URLs.
        stack: What ends the connections to servers.
        move: Where on an IMAP server messages go when they are done; None marks them as seen.
        mark: Whether they are marked or moved at all.

    Raises:
        UsageError: A source is not there, or cannot be read.
        RunError: An IMAP server cannot be reached.
    """
    for source in sources:
        if source.startswith(SCHEME):
            yield from (Mail(*one) for one in fetched(source, move, mark=mark, stack=stack))
        else:
            yield from (Mail(*one) for one in _of_files(source))


def _of_files(source: str) -> Iterator[tuple[str, bytes]]:
    try:
        if source == STDIN:
            yield from _of_stream(source, sys.stdin.buffer)
        elif (path := Path(source)).is_dir():
            yield from _of_directory(path)
        else:
            with path.open("rb") as file:
                if path.suffix.lower() == _SINGLE:
                    yield source, file.read(MOST_READ)
                else:
                    yield from _of_stream(source, file)
    except OSError as error:
        raise UsageError(
            f"{source}: the mail cannot be read: {error.strerror}",
            remedy="name a maildir, an mbox, .eml files, an imaps:// URL, or - for standard input",
        ) from None


def _of_directory(path: Path) -> Iterator[tuple[str, bytes]]:
    folders = [path / name for name in _MAILDIR if (path / name).is_dir()]
    names = (
        sorted(file for folder in folders for file in folder.iterdir() if not file.name.startswith("."))
        if folders
        else sorted(file for file in path.iterdir() if file.suffix.lower() == _SINGLE)
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
    yield f"{source}:{number + 1}" if number else source, b"".join(pieces)
