"""The HTML of a message as its readers and their filters see it: links, images, and what neither of them wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batchsend.message.html_tokens import candidates, text_of, tokens
from batchsend.message.images import css_images

if TYPE_CHECKING:
    from batchsend.message.html_tokens import Token

_ACTIVE: Final = frozenset({"script", "iframe", "object", "embed", "applet", "form"})
_UNSEEN: Final = frozenset({"script", "style", "title", "template", "head"})


@dataclass(slots=True)
class Link:
    """A link.

    Attributes:
        target: Its URL.
        pieces: What the reader sees of it, in the pieces that it stands in.
    """

    target: str
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What the reader sees of it."""
        return "".join(self.pieces)


@dataclass(slots=True)
class Image:
    """An image.

    Attributes:
        source: Its URL.
        described: It has an ``alt``, which may be empty for one that only decorates.
    """

    source: str
    described: bool


@dataclass(slots=True)
class Html:
    """What was found in a document.

    Attributes:
        links: Its links, in order.
        images: Its images, in order.
        candidates: The images that ``srcset`` offers beside them, by their URLs.
        backgrounds: The images behind others, those of style sheets included, by their URLs.
        sheets: The style sheets that are linked to, by their URLs.
        active: The elements that mail readers do not run, by name.
        text: What there is to read, the white space as it came.
    """

    links: list[Link] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    candidates: list[str] = field(default_factory=list)
    backgrounds: list[str] = field(default_factory=list)
    sheets: list[str] = field(default_factory=list)
    active: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, source: str) -> Html:
        """Read a document; whatever it is like, it is one."""
        reader = _Reader()
        for token in tokens(source):
            if token.kind == "start":
                reader.start(token)
            elif token.kind == "end":
                reader.end(token.name)
            elif token.kind == "text" and token.name == "style":
                reader.found.backgrounds += css_images(text_of(source, token))
            elif token.kind == "text":
                reader.read(text_of(source, token))
        return reader.found

    @property
    def readable(self) -> int:
        """How many characters there are to read."""
        return len("".join("".join(self.text).split()))


class _Reader:
    def __init__(self) -> None:
        self.found = Html()
        self._link: Link | None = None
        self._unseen: set[str] = set()

    def start(self, tag: Token) -> None:
        """A start tag."""
        if background := (tag.value("background") or "").strip():
            self.found.backgrounds.append(background)
        self.found.backgrounds += css_images(tag.value("style") or "")
        if tag.name in _ACTIVE:
            self.found.active.append(tag.name)
        if tag.name in _UNSEEN:
            self._unseen.add(tag.name)
        elif tag.name in ("a", "area") and (target := tag.value("href")) is not None:
            link = Link(target.strip())
            self.found.links.append(link)
            self._link = link if tag.name == "a" else self._link
        elif tag.name == "link":
            if "stylesheet" in (tag.value("rel") or "").lower():
                self.found.sheets.append((tag.value("href") or "").strip())
        elif tag.name in ("img", "source"):
            self._image(tag)
        elif tag.name == "body":
            self._unseen.clear()

    def _image(self, tag: Token) -> None:
        srcset = tag.value("srcset") or ""
        self.found.candidates += [srcset[start:end] for start, end in candidates(srcset)]
        if tag.name == "img":
            described = tag.value("alt") is not None
            self.found.images.append(Image((tag.value("src") or "").strip(), described))

    def end(self, name: str) -> None:
        """An end tag."""
        if name == "a":
            self._link = None
        self._unseen.discard(name)

    def read(self, text: str) -> None:
        """A text, which is seen or not."""
        if self._unseen:
            return
        self.found.text.append(text)
        if self._link is not None:
            self._link.pieces.append(text)
