"""The skeleton of every message of a campaign: MIME headers and boundaries (RFC 2045, RFC 2046), built once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from batchsend.message.encoding import Encoded

_VERSION = b"MIME-Version: 1.0\r\n"
_PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n"
_HTML = b"Content-Type: text/html; charset=utf-8\r\n"


# Digits whose lower six bits are those of no small letter, digit or blank, nor of a line's end: by these bits Python
# skips what is no part of what it searches a text for, and every text is searched for its delimiter.
_DIGITS = str.maketrans("0123456789abcdef", "ABCDEFGHKLNOPQRS")


def new_delimiter() -> str:
    """What begins the boundaries of a campaign, for `Skeleton.delimiter`: nobody who writes a text can know it."""
    return f"=_{secrets.token_hex(12).translate(_DIGITS)}"


class Files(NamedTuple):
    """The files of one message; each is a whole part, headers and all, in pieces to be joined.

    Attributes:
        related: What the HTML shows.
        calendars: Invitations, which are another alternative of the same message (RFC 6047 §2.4).
        attached: What stands beside the text.
    """

    related: Sequence[Sequence[bytes]] = ()
    calendars: Sequence[Sequence[bytes]] = ()
    attached: Sequence[Sequence[bytes]] = ()


class Skeleton:
    """What is the same in all messages: ``mixed(alternative(text, related(html, images), calendar), attachments)``.

    The images belong to the HTML, so they are related to it and not to the alternatives together (RFC 2387 §3): who
    shows the text has nothing of them, and no image is listed as an attachment. The best alternative stands last
    (RFC 2046 §5.1.4). What has one part only is left out.

    Attributes:
        delimiter: What begins every boundary; it must not occur in a body. It begins with ``=_``, which no
            quoted-printable or base64 body can contain (RFC 2045 §6.7).
    """

    def __init__(self) -> None:
        self.delimiter = new_delimiter()
        self._mixed = Boundary("mixed", f"{self.delimiter}_m")
        self._alternative = Boundary("alternative", f"{self.delimiter}_a")
        self._related = Boundary("related", f"{self.delimiter}_r", parameters=' type="text/html";\r\n')
        self._two_texts = [_VERSION + self._alternative.opening + _PLAIN, self._alternative.between + _HTML]

    def assemble(self, text: Encoded, html: Encoded | None, files: Files) -> list[bytes]:
        """A message from MIME-Version to its end, in pieces to be joined.

        Args:
            text: The text body.
            html: The HTML body, or None.
            files: What belongs to it.
        """
        if html is not None and not (files.related or files.calendars or files.attached):
            opening, between = self._two_texts
            return [opening, *text, between, *html, self._alternative.end]
        pieces = [_PLAIN, *text]
        if html is not None or files.calendars:
            pieces = [self._alternative.opening, *pieces]
            if html is not None:
                pieces += [self._alternative.between, *self._with_images(html, files.related)]
            for part in files.calendars:
                pieces += [self._alternative.between, *part]
            pieces.append(self._alternative.end)
        if files.attached:
            pieces = [self._mixed.opening, *pieces]
            for part in files.attached:
                pieces += [self._mixed.between, *part]
            pieces.append(self._mixed.end)
        elif not pieces[-1].endswith(b"\r\n"):
            pieces.append(b"\r\n")
        return [_VERSION, *pieces]

    def _with_images(self, html: Encoded, images: Sequence[Sequence[bytes]]) -> list[bytes]:
        pieces = [_HTML, *html]
        if images:
            pieces = [self._related.opening, *pieces]
            for part in images:
                pieces += [self._related.between, *part]
            pieces.append(self._related.end)
        return pieces


class Boundary:
    """What stands before, between and after the parts of a multipart entity (RFC 2046 §5.1.1).

    Args:
        subtype: The kind of multipart.
        boundary: The boundary, without the hyphens before it.
        parameters: Further parameters of its Content-Type, each with a space before it and its line ended.

    Attributes:
        opening: The header of the entity, and the delimiter of its first part.
        between: The delimiter of each further part, line end before it included.
        end: The delimiter after the last part, and the end of its line.
    """

    def __init__(self, subtype: str, boundary: str, *, parameters: str = "") -> None:
        self.opening = (
            f'Content-Type: multipart/{subtype};\r\n{parameters} boundary="{boundary}"\r\n\r\n--{boundary}\r\n'
        ).encode("ascii")
        self.between = f"\r\n--{boundary}\r\n".encode("ascii")
        self.end = f"\r\n--{boundary}--\r\n".encode("ascii")
