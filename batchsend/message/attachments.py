"""Attachments: files as MIME parts, read and encoded once as long as they stay the same."""

from __future__ import annotations

import mimetypes
import os
import stat
from collections import OrderedDict
from io import FileIO
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from batchsend.errors import RecordError
from batchsend.message.encoding import encode_base64
from batchsend.message.words import clean

if TYPE_CHECKING:
    from pathlib import Path

MAX_SIZE = 50_000_000
"""Octets of one attached file."""

MAX_CACHED = 64 << 20
"""Octets of encoded parts that are kept in memory for the next record that attaches the same file."""

_NAME_LINE = 56  # characters of a file name, encoded, on one line
_ATTR_CHAR = "!#$&+-.^_`|~"  # what RFC 5987 §3.2.1 leaves as it is, beside letters and digits


class AttachmentFiles:
    """Finds files by name in a folder and makes MIME parts of them.

    Args:
        directory: The folder that names are relative to.
        confined: Whether a file outside the folder is refused, wherever symbolic links and ``..`` lead.
    """

    def __init__(self, directory: Path, *, confined: bool) -> None:
        self._directory = directory.resolve()
        self._confined = confined
        self._parts: OrderedDict[_Version, bytes] = OrderedDict()
        self._cached = 0

    def part(self, name: str) -> bytes:
        """The file as a part: its headers, a blank line and its content in base64.

        It is attached under the last component of the name, whatever a symbolic link leads to.

        Raises:
            RecordError: There is no such file in the folder, or it is not regular, too large or cannot be read.
        """
        path = self._find(name)
        try:
            with FileIO(path, opener=_open) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise RecordError(f"attachment {name!r} is not a file")
                if status.st_size > MAX_SIZE:
                    raise RecordError(f"attachment {name!r} has {status.st_size} octets, and {MAX_SIZE} is the most")
                version = _Version(
                    PurePath(name).name, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
                )
                if part := self._parts.get(version):
                    self._parts.move_to_end(version)
                    return part
                content = file.read(MAX_SIZE)
        except OSError as error:
            raise RecordError(f"attachment {name!r}: {error.strerror}") from error
        part = _headers(version.name) + encode_base64(content)
        self._keep(version, part)
        return part

    def _find(self, name: str) -> Path:
        clean(name, f"attachment {name!r}")
        try:
            path = (self._directory / name).resolve(strict=True)
        except OSError as error:
            raise RecordError(f"attachment {name!r}: {error.strerror}") from error
        except (RuntimeError, ValueError) as error:  # links in a circle; characters that no path can have
            raise RecordError(f"attachment {name!r}: there is no such file") from error
        if self._confined and not path.is_relative_to(self._directory):
            raise RecordError(f"attachment {name!r} is outside the campaign's folder")
        return path

    def _keep(self, version: _Version, part: bytes) -> None:
        self._parts[version] = part
        self._cached += len(part)
        while self._cached > MAX_CACHED:
            self._cached -= len(self._parts.popitem(last=False)[1])


def _open(path: str, flags: int) -> int:
    """Not blocking, as opening a FIFO would wait for its writer; not following, as the path is resolved already."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


class _Version(NamedTuple):
    """What tells one state of a file from another, and the name it is attached under."""

    name: str
    device: int
    inode: int
    modified: int
    size: int


def _headers(filename: str) -> bytes:
    return (
        f"Content-Type: {_media_type(filename)}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;\r\n {_filename_parameter(filename)}\r\n\r\n"
    ).encode("ascii")


def _media_type(filename: str) -> str:
    guessed, compression = mimetypes.guess_type(filename)
    if compression == "gzip":
        return "application/gzip"
    # A message may not be in base64 (RFC 2046 §5.2.1), and what is compressed is not of the type inside.
    if guessed is None or compression is not None or guessed.startswith(("message/", "multipart/")):
        return "application/octet-stream"
    return guessed


def _filename_parameter(filename: str) -> str:
    """The ``filename`` parameter, by RFC 2231 §3 and §4 where it is long or not plain ASCII."""
    if (
        len(filename) <= _NAME_LINE
        and filename.isascii()
        and filename.isprintable()
        and '"' not in filename
        and "\\" not in filename
    ):
        return f'filename="{filename}"'
    encoded = quote(filename, safe=_ATTR_CHAR, errors="surrogateescape")
    if len(encoded) <= _NAME_LINE:
        return f"filename*=utf-8''{encoded}"
    sections: list[str] = []
    while encoded:
        end = _NAME_LINE
        if "%" in encoded[end - 2 : end]:  # a section ends between octets
            end = encoded.rindex("%", 0, end)
        sections.append(encoded[:end])
        encoded = encoded[end:]
    first, *others = sections
    lines = [f"filename*0*=utf-8''{first}", *(f"filename*{number}*={other}" for number, other in enumerate(others, 1))]
    return ";\r\n ".join(lines)
