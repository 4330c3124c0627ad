"""Images that HTML shows from files beside it: found, attached and referred to by Content-ID (RFC 2392)."""

from __future__ import annotations

import mimetypes
import re
import secrets
from functools import cache
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import unquote

from markupsafe import Markup

from batchsend.errors import RecordError
from batchsend.message.attachments import file_part

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchsend.message.attachments import AttachmentFiles

FILTER = "image_reference"
"""The name of the filter that decides about references that a record makes."""

# Template marks may hold whatever ends the HTML around them.
_MARKS = r"\{\{.*?\}\}|\{%.*?%\}"
_IN_DOUBLE, _IN_SINGLE = rf"(?>{_MARKS}|[^\"])*+", rf"(?>{_MARKS}|[^'])*+"
_TAG = re.compile(
    rf"<(?:img|input|body|table|tr|td|th|div|v:\w+)(?=[\s/])(?>{_MARKS}|\"{_IN_DOUBLE}\"|'{_IN_SINGLE}'|[^>\"'])*+>",
    re.IGNORECASE | re.DOTALL,
)
_SHOWS_SOURCE = re.compile(r"<(?:img|input|v:)", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    rf"(?P<before>\s(?P<name>src|background)\s*=\s*)"
    rf"(?:\"(?P<double>{_IN_DOUBLE})\"|'(?P<single>{_IN_SINGLE})'|(?P<bare>[^\s\"'>{{}}]++)(?=[\s>]))",
    re.IGNORECASE | re.DOTALL,
)
_CSS_URL = re.compile(
    rf"(?P<before>\burl\(\s*(?P<quote>\"|'|&quot;|&\#39;|))(?P<reference>(?>{_MARKS}|[^\"'()\s&])++)(?P<after>(?P=quote)\s*\))",
    re.IGNORECASE | re.DOTALL,
)
_RAW = re.compile(r"(\{%[-+]?\s*raw\s*-?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\})", re.DOTALL)
_BASE = re.compile(r"<base\s", re.IGNORECASE)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/#?\\]|\Z")
_PLAIN = re.compile(r"[^A-Za-z0-9-]")


class Images:
    """Rewrites a template's references to image files, and finds the files of those that a message has.

    A reference becomes ``cid:`` and a name that says which file it is and that nobody could have written before the
    run. So what a rendered message refers to tells which files belong to it. What the template names is read once.

    Args:
        files: Finds files in the campaign's folder only.
        folder: The folder of the HTML, to which references are relative.
        named: The names of files that the campaign attaches inline: ``cid:`` with one of them means that file.
    """

    def __init__(self, files: AttachmentFiles, folder: Path, named: frozenset[str] = frozenset()) -> None:
        self._files = files
        self._folder = folder
        self._constant: dict[str, list[bytes]] = {}
        self._named = named
        self._domain = secrets.token_hex(10)
        self._reference = re.compile(rf"cid:([A-Za-z0-9_-]+)@{re.escape(self._domain)}")

    def content_id(self, name: str) -> str:
        """The Content-ID of a file, without angle brackets: letters and digits that no mail reader has to decode."""
        return f"{_PLAIN.sub(_encoded, name)}@{self._domain}"

    def rewrite(self, source: str, parses: Callable[[str], bool]) -> str:
        """A template's source with its references to images rewritten.

        Those without template marks that name no image file stay as they are; those with marks are decided for each
        record, by the filter `FILTER` around them.

        Args:
            source: The template; with a ``<base>``, its references are not to files beside it, and all stay.
            parses: Tells whether a text is a template by itself.
        """
        if _BASE.search(source):
            return source

        @cache
        def reference(text: str) -> str:
            if "{{" in text or "{%" in text:
                return f"{{% filter {FILTER} %}}{text}{{% endfilter %}}" if parses(text) else text
            name = self._name(text)
            if name is None or not self._is_image(name):
                return text
            if name not in self._named:
                self._constant[name] = self._part(name)
            return f"cid:{self.content_id(name)}"

        def attribute(match: re.Match[str]) -> str:
            quotes = "'" if match["single"] is not None else '"'
            found = next(text for text in match.group("double", "single", "bare") if text is not None)
            new = reference(found)
            return match[0] if new == found else f"{match['before']}{quotes}{new}{quotes}"

        def tag(match: re.Match[str]) -> str:
            shows_source = _SHOWS_SOURCE.match(match[0])
            return _ATTRIBUTE.sub(
                lambda found: attribute(found) if shows_source or found["name"].lower() != "src" else found[0], match[0]
            )

        def url(match: re.Match[str]) -> str:
            return f"{match['before']}{reference(match['reference'])}{match['after']}"

        pieces = _RAW.split(source)
        pieces[::2] = [_CSS_URL.sub(url, _TAG.sub(tag, piece)) for piece in pieces[::2]]
        return "".join(pieces)

    def reference(self, text: str) -> str:
        """What takes the place of a reference that a record has made.

        Raises:
            RecordError: It is relative, and no image in the campaign's folder.
        """
        name = self._name(str(text))
        if name is None:
            return text
        if name not in self._named:
            if not _is_image_name(name):
                raise RecordError(f"image {name!r} is not an image, by its name")
            self._part(name)
        return Markup(f"cid:{self.content_id(name)}")  # noqa: S704 - it is letters and digits

    def parts(self, html: str) -> list[list[bytes]]:
        """The parts of the images that a rendered message refers to, each once.

        Raises:
            RecordError: One of them is not there any more, or too large.
        """
        if self._domain not in html:
            return []
        names = dict.fromkeys(_decoded(found) for found in self._reference.findall(html))
        return [self._constant.get(name) or self._part(name) for name in names if name not in self._named]

    def _part(self, name: str) -> list[bytes]:
        file = self._files.read(name, "image", folder=self._folder)
        return file_part(file, content_id=self.content_id(name))

    def _name(self, reference: str) -> str | None:
        """The file that a reference means, or None if it is not to a file."""
        name = unescape(reference).strip()
        if name[:4].lower() == "cid:":
            name = name[4:]
            return name if name in self._named or self._is_image(name) else None
        if _ABSOLUTE.match(name):
            return None
        return name if self._is_image(name) else unquote(name)

    def _is_image(self, name: str) -> bool:
        if name in self._named:
            return True
        if not _is_image_name(name):
            return False
        try:
            self._part(name)
        except RecordError:
            return False
        return True


def _is_image_name(name: str) -> bool:
    """Whether a file is one by its name: nothing else of the campaign's folder is ever shown, whatever data says."""
    return (mimetypes.guess_type(name)[0] or "").startswith("image/")


def _encoded(match: re.Match[str]) -> str:
    return "".join([f"_{octet:02x}" for octet in match[0].encode(errors="surrogateescape")])


def _decoded(name: str) -> str:
    octets = re.sub("_([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), name)
    return octets.encode("latin-1").decode(errors="surrogateescape")
