"""Files as MIME parts: found in a folder, read and encoded once as long as they stay the same."""

from __future__ import annotations

import errno
import mimetypes
import os
import stat
from collections import OrderedDict
from functools import partial
from io import FileIO
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from batchsend.campaign.own import NO_FILES, OwnFiles
from batchsend.errors import RecordError
from batchsend.message.calendars import request
from batchsend.message.encoding import BASE64, encode_base64
from batchsend.message.files_read import note
from batchsend.message.named_by_records import below, open_inside, open_named, require_no_secret
from batchsend.message.words import clean
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_SIZE = 50_000_000
"""Octets of one attached file."""

MAX_NAME = 255
"""Characters of an attachment's name: no file can have a longer one."""

MAX_CACHED = 64 << 20
"""Octets of encoded files that are kept in memory for the next record that attaches the same file."""

_NAME_LINE = 56  # characters of a file name, encoded, on one line
_ATTR_CHAR = "!#$&+-.^_`|~"  # what RFC 5987 §3.2.1 leaves as it is, beside letters and digits
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+"  # noqa: S105 - RFC 2045 §5.1
_MEDIA_TYPE = late_pattern(rf'{_TOKEN}/{_TOKEN}(?:; *{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]*"))*')


class AttachedFile(NamedTuple):
    """A file as it was read.

    Attributes:
        name: The last component of the name that it was asked for by, whatever a symbolic link leads to.
        content: Its octets in base64, in lines.
        calendar: Of a calendar that asks for something (RFC 5546 §1.4), the method and its text; otherwise None.
    """

    name: str
    content: bytes
    calendar: tuple[str, str] | None = None


class AttachmentFiles:
    """Finds files by name in a folder and encodes them.

    Args:
        directory: The folder that names are relative to.
        inside: The folder outside which no file is taken, wherever symbolic links and ``..`` lead, nor one whose name,
            or whose folder's, begins with a dot; None for anywhere.
        own: The campaign's own files, which are not taken either, where there is such a folder.
        linked: Files with other names (hard links), which may be anywhere, are taken, too: no record has named them.

    Attributes:
        kept: The files that are in memory, the one used last at the end.
    """

    def __init__(self, directory: Path, *, inside: Path | None, own: OwnFiles = NO_FILES, linked: bool = True) -> None:
        self._directory = str(directory.resolve())
        self._inside = None if inside is None else str(inside.resolve())
        self._own = own
        self._linked = linked
        self.kept: OrderedDict[_Version, AttachedFile] = OrderedDict()
        self._cached = 0

    def read(self, name: str, what: str = "attachment", *, folder: Path | None = None) -> AttachedFile:
        """The file, encoded.

        Args:
            name: Its path from the folder.
            what: What it is, as errors call it.
            folder: Another folder that the name is relative to.

        Raises:
            RecordError: There is no such file in the folder, or it is not regular, too large or cannot be read.
        """
        where = f"{what} {name!r}"
        path = self._find(name, where, self._directory if folder is None else str(folder))
        note(path)
        try:
            with FileIO(path, opener=self._opener(where)) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise RecordError(f"{where} is not a file")
                if status.st_size > MAX_SIZE:
                    raise RecordError(f"{where} has {status.st_size} octets, and {MAX_SIZE} is the most")
                version = _Version(
                    PurePath(name).name, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
                )
                if found := self.kept.get(version):
                    self.kept.move_to_end(version)
                    return found
                content = file.read(MAX_SIZE)
        except OSError as error:
            raise RecordError(f"{where}: {error.strerror}") from error
        found = AttachedFile(version.name, encode_base64(content), _request(version.name, content))
        self._keep(version, found)
        return found

    def _find(self, name: str, where: str, folder: str) -> str:
        """Where a name leads: by texts, for a `Path` of each step takes longer than all the rest of reading a file."""
        clean(name, where)
        try:
            path = os.path.realpath(os.path.join(folder, name), strict=True)  # noqa: PTH118 - see above
        except ValueError as error:  # characters that no path can have
            raise RecordError(f"{where}: there is no such file") from error
        except OSError as error:
            reason = "there is no such file" if error.errno == errno.ELOOP else error.strerror
            raise RecordError(f"{where}: {reason}") from error
        if self._inside is None:
            return path
        rest = below(self._inside, path)
        if rest is None:
            raise RecordError(f"{where} is outside the campaign's folder")
        require_no_secret(rest, path, self._own, where)
        return path

    def _opener(self, where: str) -> Callable[[str, int], int]:
        if self._inside is None:
            return _open
        return partial(open_inside, self._inside) if self._linked else partial(open_named, self._inside, where)

    def _keep(self, version: _Version, file: AttachedFile) -> None:
        self.kept[version] = file
        self._cached += len(file.content)
        while self._cached > MAX_CACHED:
            self._cached -= len(self.kept.popitem(last=False)[1].content)


def file_part(
    file: AttachedFile, *, name: str | None = None, media_type: str | None = None, content_id: str | None = None
) -> list[bytes]:
    """A file as a part, in pieces: its headers with the blank line, and its content.

    Args:
        file: The file.
        name: What a mail reader calls it; None for its own name.
        media_type: Its Content-Type, as `check_media_type` lets it pass; None for what its own name says.
        content_id: What HTML refers to it by (RFC 2392); with it, the part is shown inline. None for an attachment.

    Raises:
        RecordError: The name holds a control character, or is longer than any file's.
    """
    shown = file.name if name is None else clean(name, "the name of an attachment")
    if len(shown) > MAX_NAME:
        raise RecordError(f"the name of an attachment has {len(shown):,} characters, and {MAX_NAME} is the most")
    headers = f"Content-Type: {media_type or _media_type(file)}\r\n"
    if content_id is not None:
        headers += f"Content-ID: <{content_id}>\r\n"
    disposition = "attachment" if content_id is None else "inline"
    headers += f"Content-Disposition: {disposition};\r\n {_filename_parameter(shown)}\r\n"
    return [headers.encode("ascii"), BASE64, file.content]


def check_media_type(text: str) -> None:
    """Let a Content-Type of the campaign's pass, or not.

    Raises:
        RecordError: It is not a media type (RFC 2045 §5.1), or one that no file can have.
    """
    if len(text) > 200 or not _MEDIA_TYPE.fullmatch(text):
        raise RecordError(f"{text[:80]!r} is not a media type such as 'application/pdf' or 'text/csv; charset=utf-8'")
    if text.lower().startswith(("message/", "multipart/")):
        # Such a part may not be in base64 (RFC 2046 §5.2.1, RFC 2045 §6.4).
        raise RecordError(f"a file cannot be attached as {text}: use 'application/octet-stream'")


def _open(path: str, flags: int) -> int:
    """Not blocking, as opening a FIFO would wait for its writer; not following, as the path is resolved already."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


class _Version(NamedTuple):
    """What tells one state of a file from another, and the name it was asked for by."""

    name: str
    device: int
    inode: int
    modified: int
    size: int


def _request(filename: str, content: bytes) -> tuple[str, str] | None:
    if not filename.lower().endswith(".ics"):
        return None
    return request(content)


def _media_type(file: AttachedFile) -> str:
    if file.calendar is not None:
        return "application/ics"  # a second text/calendar would be taken for a second invitation
    guessed, compression = mimetypes.guess_type(file.name)
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
        and "=?" not in filename  # some readers take that for an encoded-word, although RFC 2047 §5 has none there
    ):
        return f'filename="{filename}"'
    encoded = quote(filename, safe=_ATTR_CHAR, errors="surrogateescape")
    if len(encoded) <= _NAME_LINE:
        return f"filename*=utf-8''{encoded}"
    sections: list[str] = []
    start = 0
    while start < len(encoded):
        end = start + _NAME_LINE
        if (cut := encoded.find("%", end - 2, end)) >= 0:  # a section ends between octets
            end = cut
        sections.append(encoded[start:end])
        start = end
    first, *others = sections
    lines = [f"filename*0*=utf-8''{first}", *(f"filename*{number}*={other}" for number, other in enumerate(others, 1))]
    return ";\r\n ".join(lines)
