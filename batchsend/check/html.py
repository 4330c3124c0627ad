"""The HTML of a message as its readers and their filters see it: links, images, and what neither of them wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

_ACTIVE: Final = frozenset({"script", "iframe", "object", "embed", "applet", "form"})
_UNSEEN: Final = frozenset({"script", "style", "title", "template", "head"})


@dataclass(slots=True)
class Link:
    """A link.

    Attributes:
        target: Its URL.
        text: What the reader sees of it.
    """

    target: str
    text: str = ""


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
        active: The elements that mail readers do not run, by name.
        text: What there is to read, the white space as it came.
    """

    links: list[Link] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    active: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, source: str) -> Html:
        """Read a document; whatever it is like, it is one."""
        reader = _Reader()
        reader.feed(source)
        reader.close()
        return reader.found

    @property
    def readable(self) -> int:
        """How many characters there are to read."""
        return len("".join("".join(self.text).split()))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Html()
        self._link: Link | None = None
        self._unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag in _ACTIVE:
            self.found.active.append(tag)
        if tag in _UNSEEN:
            self._unseen.append(tag)
        elif tag in ("a", "area") and "href" in attributes:
            link = Link(attributes["href"].strip())
            self.found.links.append(link)
            self._link = link if tag == "a" else self._link
        elif tag == "img":
            self.found.images.append(Image(attributes.get("src", "").strip(), "alt" in attributes))
        elif tag == "body":
            self._unseen.clear()

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._link = None
        elif tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        self.found.text.append(data)
        if self._link is not None:
            self._link.text += data
