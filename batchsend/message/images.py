"""Images that HTML shows from files beside it: found, attached and referred to by Content-ID (RFC 2392)."""

from __future__ import annotations

import mimetypes
import posixpath
import re
import secrets
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from markupsafe import Markup

from batchsend.errors import RecordError
from batchsend.message.attachments import file_part
from batchsend.message.html_tokens import candidates, unescaped
from batchsend.message.marks import COVER, covered
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batchsend.message.attachments import AttachmentFiles

FILTER = "image_reference"
"""The name of the filter that decides about references that a record makes."""

# Of a source whose template marks are covered. Outside of quotation marks a tag ends where the next one begins, so
# that no text is looked at again for each tag that is never closed.
_TAG = late_pattern(
    r"<(?:img|source|input|body|table|tr|td|th|div|v:\w+)(?=[\s/])(?>\"[^\"]*+\"|'[^']*+'|[^<>\"'])*+>", re.IGNORECASE
)
_SHOWS_SOURCE = late_pattern(r"<(?:img|input|v:)", re.IGNORECASE)
_OFFERS_SOURCES = late_pattern(r"<(?:img|source)", re.IGNORECASE)
_ATTRIBUTE = late_pattern(
    r"\s(?P<name>src|srcset|background)\s*+=\s*+"
    r"(?P<value>\"(?P<double>[^\"]*+)\"|'(?P<single>[^']*+)'|(?P<bare>[^\s\"'>{}\0]++)(?=[\s>]))",
    re.IGNORECASE,
)
_CSS_URL = late_pattern(
    r"\burl\(\s*+(?P<quote>\"|'|&quot;|&\#39;|)(?P<reference>[^\"'()\s&]++)(?P=quote)\s*+\)", re.IGNORECASE
)
_BASE = late_pattern(r"<base\s", re.IGNORECASE)
_ABSOLUTE = late_pattern(r"[A-Za-z][A-Za-z0-9+.-]*:|[/#?\\]|\Z")
_PLAIN = late_pattern(r"[^A-Za-z0-9-]")


class Images:
    """Rewrites a template's references to image files, and finds the files of those that a message has.

    A reference becomes ``cid:`` and a name that says which file it is and that nobody could have written before the
    run. So what a rendered message refers to tells which files belong to it. What the template names is read once.

    Args:
        files: Finds files in the campaign's folder only.
        folder: The folder of the HTML, to which references are relative.
        named: The names of files that the campaign attaches inline: ``cid:`` with one of them means that file.
        named_by_records: Finds those that a record has named; None for the same.

    Attributes:
        folder: As given.
    """

    def __init__(
        self,
        files: AttachmentFiles,
        folder: Path,
        named: frozenset[str] = frozenset(),
        *,
        named_by_records: AttachmentFiles | None = None,
    ) -> None:
        self._files = files
        self._named_by_records = named_by_records or files
        self.folder = folder
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
                self._constant[name] = self._part(name, self._files)
            return f"cid:{self.content_id(name)}"

        changes: list[tuple[int, int, str]] = []
        for start, end, quotes, old in _references(source):
            if (new := reference(old)) != old:
                changes.append((start, end, f"{quotes}{new}{quotes}"))
        return _changed(source, changes)

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
            self._of_message(name)
        return Markup(f"cid:{self.content_id(name)}")  # noqa: S704 - it is letters and digits

    def parts(self, html: str) -> list[list[bytes]]:
        """The parts of the images that a rendered message refers to, each once.

        Raises:
            RecordError: One of them is not there any more, or too large.
        """
        if self._domain not in html:
            return []
        names = dict.fromkeys(_decoded(found) for found in self._reference.findall(html))
        return [self._of_message(name) for name in names if name not in self._named]

    def _of_message(self, name: str) -> list[bytes]:
        """The part of an image: read once where the template names it, for each record where that does."""
        return self._constant.get(name) or self._part(name, self._named_by_records)

    def _part(self, name: str, files: AttachmentFiles) -> list[bytes]:
        file = files.read(name, "image", folder=self.folder)
        return file_part(file, content_id=self.content_id(name))

    def _name(self, reference: str) -> str | None:
        """The file that a reference means, or None if it is not to a file."""
        name = unescaped(reference).strip()
        if name[:4].lower() == "cid:":
            name = name[4:]
            return name if name in self._named or self._is_image(name) else None
        if _ABSOLUTE.match(name):
            return None
        name = posixpath.normpath(name)  # one file is one part, however it is referred to
        return name if self._is_image(name) else unquote(name)

    def _is_image(self, name: str) -> bool:
        if name in self._named:
            return True
        if not _is_image_name(name):
            return False
        try:
            self._part(name, self._files)
        except RecordError:
            return False
        return True


def css_images(style: str) -> Iterator[str]:
    """The image files, by their names, that a style sheet or a style attribute shows by ``url(…)``."""
    names = (unescaped(url["reference"]) for url in _CSS_URL.finditer(style))
    return (name for name in names if _is_image_name(name.partition("?")[0]))


def _references(source: str) -> Iterator[tuple[int, int, str, str]]:
    """What a template's source refers to: where that stands, the quotation marks it is to have, and what it says."""
    hidden = covered(source)
    for tag in _TAG.finditer(hidden):
        shows_source = _SHOWS_SOURCE.match(tag[0])
        for attribute in _ATTRIBUTE.finditer(hidden, *tag.span()):
            name = attribute["name"].lower()
            kind = next(kind for kind in ("double", "single", "bare") if attribute[kind] is not None)
            if name == "srcset":
                if _OFFERS_SOURCES.match(tag[0]):
                    yield from _offered(source, attribute[kind], attribute.start(kind))
            elif shows_source or name != "src":
                quotes = "'" if kind == "single" else '"'
                yield *attribute.span("value"), quotes, source[slice(*attribute.span(kind))]
    for url in _CSS_URL.finditer(hidden):
        yield *url.span("reference"), "", source[slice(*url.span("reference"))]


def _offered(source: str, srcset: str, at: int) -> Iterator[tuple[int, int, str, str]]:
    """What a ``srcset`` refers to, as `_references` has it; it stands there in the source, and its marks are covered.

    What is all of it and nothing but marks may be a whole ``srcset`` that a record makes, and is none.
    """
    if srcset.strip(COVER):
        for start, end in candidates(srcset):
            yield at + start, at + end, "", source[at + start : at + end]


def _changed(source: str, changes: list[tuple[int, int, str]]) -> str:
    """The source with these pieces of it replaced; of two that overlap, the one that begins first."""
    pieces: list[str] = []
    at = 0
    for start, end, new in sorted(changes):
        if start >= at:
            pieces += [source[at:start], new]
            at = end
    pieces.append(source[at:])
    return "".join(pieces)


def _is_image_name(name: str) -> bool:
    """Whether a file is one by its name: nothing else of the campaign's folder is ever shown, whatever data says."""
    return (mimetypes.guess_type(name)[0] or "").startswith("image/")


def _encoded(match: re.Match[str]) -> str:
    return "".join([f"_{octet:02x}" for octet in match[0].encode(errors="surrogateescape")])


def _decoded(name: str) -> str:
    octets = re.sub("_([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), name)
    return octets.encode("latin-1").decode(errors="surrogateescape")
