"""What is wrong with the HTML of messages, where that is certain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from batchsend.check.domains import host_of, is_registrable, organisational
from batchsend.check.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Container

    from batchsend.check.gathering import Gathering
    from batchsend.check.html import Html, Image, Link
    from batchsend.recipients import Record

# Octets of HTML after which Gmail shows no more of it.
_CLIPPED: Final = 102 * 1024
# Characters: less beside an image than an unsubscribe line and an address have.
_LEAST_TEXT: Final = 100
_URL_AS_TEXT: Final = re.compile(r"(?:https?://|www\.)[^\s/?#]++\S*+", re.IGNORECASE)
_SCRIPTS: Final = frozenset({"javascript", "vbscript", "data"})
_SHOWN_FROM: Final = ("https:", "http:", "cid:", "data:")
_ENCODED_MARK: Final = re.compile(r"%7B(?:%7B|%25|%)|%7B\{|\{%7B", re.IGNORECASE)
_ELSEWHERE: Final = frozenset({"https", "mailto", "tel", "sms", "cid"})


class Markup:
    """Looks into the HTML of messages.

    Args:
        gathering: Where findings go.
        where: What the HTML is called, as its author knows it.
    """

    def __init__(self, gathering: Gathering, where: str) -> None:
        self._gathering = gathering
        self._where = where

    def look(self, html: Html, size: int, row: Record, inline: Container[str] = ()) -> None:
        """Look into the HTML of one message.

        Args:
            html: What was found in it.
            size: Its octets.
            row: The record that the message is for.
            inline: The Content-IDs of the message's parts, without angle brackets.
        """
        nowhere: list[str] = []
        for link in html.links:
            self._look_at_link(link, row, nowhere)
        if nowhere:
            what = f"links lead nowhere from within a message: {_named(nowhere)}"
            self._warn("link-nowhere", what, row, "write the whole URL: https://…")
        nowhere = []
        for image in html.images:
            self._look_at_image(image, row, nowhere)
        others = [*html.candidates, *(one for one in html.backgrounds if not one.startswith("#"))]
        nowhere += [source for source in others if not source.lower().startswith(_SHOWN_FROM)]
        everywhere = [*(image.source for image in html.images), *others]
        nowhere += [one for one in everywhere if one[:4].lower() == "cid:" and not _is_part(one[4:], inline)]
        if nowhere:
            what = f"images cannot be found from within a message: {_named(nowhere)}"
            self._warn("image-nowhere", what, row, "write the whole URL: https://…, or put the file beside the HTML")
        for sheet in dict.fromkeys(html.sheets):
            what = f"the style sheet {sheet!r} is linked to, and mail readers load none"
            self._warn("sheet-linked", what, row, "put it beside the HTML and set inline_css = true")
        for tag in dict.fromkeys(html.active):
            self._warn(
                "html-active", f"<{tag}> does nothing in mail readers, and filters distrust it", row, "take it out"
            )
        if html.images and html.readable < _LEAST_TEXT:
            self._warn(
                "image-only",
                "there is hardly anything to read beside the images, as in spam that hides its words in them",
                row,
                "say in text what the images say",
            )
        if size > _CLIPPED:
            self._warn(
                "html-long",
                "the HTML has more than 102 KB, and Gmail shows no more of it than that",
                row,
                "shorten it; what unsubscribes may be in the part that is cut off",
            )

    def _look_at_link(self, link: Link, row: Record, nowhere: list[str]) -> None:
        try:
            scheme, shown = urlsplit(link.target).scheme, link.text.strip()
        except ValueError:  # it is not a URL
            nowhere.append(link.target)
            return
        host = host_of(link.target)
        if _ENCODED_MARK.search(link.target):
            self._warn(
                "link-mark",
                f"a link to {link.target!r} has template marks that are percent-encoded: nothing is filled in there",
                row,
                "write {{ … }} with braces; the filter urlencode encodes what is filled in",
            )
        if scheme in _SCRIPTS:
            self._warn("link-script", f"a link runs {scheme}:, which mail readers do not", row, "link to a page")
        elif scheme in ("http", "https") and not host:  # as where a field is empty, or the rest was never written
            nowhere.append(link.target)
        elif scheme == "http":
            self._warn("link-http", f"a link goes to http://{host}, which is not encrypted", row, "write https://")
        elif link.target[-1:] == ":" or (scheme not in _ELSEWHERE and not link.target.startswith("#")):
            nowhere.append(link.target)
        if scheme in ("http", "https") and _URL_AS_TEXT.fullmatch(shown):
            said = host_of(shown if "://" in shown else f"https://{shown}")
            if is_registrable(said) and organisational(said) != organisational(host):
                self._warn(
                    "link-differs",
                    f"a link that reads {said} goes to {host}, as in phishing",
                    row,
                    "show words instead of a URL, or the URL that it goes to",
                )

    def _look_at_image(self, image: Image, row: Record, nowhere: list[str]) -> None:
        scheme = image.source.partition(":")[0].lower() if ":" in image.source else ""
        if not image.described:
            self._warn(
                "image-alt",
                "an image has no alt text: whoever cannot see it is told nothing",
                row,
                'give it alt="…", or alt="" where it only decorates',
            )
        if scheme == "http":
            self._warn(
                "image-http", f"an image at http://{host_of(image.source)} is not encrypted", row, "use https://"
            )
        elif scheme == "data":
            self._warn(
                "image-data",
                "an image is in a data: URL, which Gmail and Outlook do not show",
                row,
                "link to it by https://, or attach it",
            )
        elif scheme not in ("https", "cid"):
            nowhere.append(image.source)

    def _warn(self, kind: str, what: str, row: Record, remedy: str) -> None:
        self._gathering.add(kind, Severity.WARNING, f"{self._where}: {what}", row, remedy=remedy)


def _named(sources: list[str]) -> str:
    return ", ".join(map(repr, dict.fromkeys(sources)))


def _is_part(content_id: str, inline: Container[str]) -> bool:
    """Whether a message has the part that ``cid:`` names (RFC 2392 §2): percent-encoded, or as it is."""
    return unquote(content_id) in inline or content_id in inline
