"""The skeleton of every message of a campaign: MIME headers and boundaries (RFC 2045, RFC 2046), built once."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSION = b"MIME-Version: 1.0\r\n"
_PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n"
_HTML = b"Content-Type: text/html; charset=utf-8\r\n"


class Skeleton:
    """What is the same in all messages: text alone, or text and HTML as alternatives; attachments around them.

    Args:
        html: Whether there is an HTML body beside the text.
        attachments: Whether anything is attached.

    Attributes:
        delimiter: What begins every boundary; it must not occur in a body. It begins with ``=_``, which no
            quoted-printable or base64 body can contain (RFC 2045 §6.7).
    """

    def __init__(self, *, html: bool, attachments: bool) -> None:
        self.delimiter = f"=_{secrets.token_hex(12)}"
        mixed, alternative = f"{self.delimiter}_m".encode(), f"{self.delimiter}_a".encode()
        body = _PLAIN
        self._between = self._after_bodies = b""
        if html:
            body = _multipart(b"alternative", alternative) + body
            self._between = b"\r\n--" + alternative + b"\r\n" + _HTML
            self._after_bodies = b"\r\n--" + alternative + b"--"
        if attachments:
            body = _multipart(b"mixed", mixed) + body
        self._opening = _VERSION + body
        self._before_attachment = b"\r\n--" + mixed + b"\r\n"
        self._after_attachments = b"\r\n--" + mixed + b"--"

    def assemble(
        self, text: tuple[bytes, bytes], html: tuple[bytes, bytes] | None, attachments: Sequence[bytes]
    ) -> list[bytes]:
        """A message from MIME-Version to its end, in pieces to be joined.

        Args:
            text: The text body as `encode_text` made it.
            html: The HTML body likewise; None where the skeleton has no place for it.
            attachments: The parts of the attached files, headers and all; empty where it has none for them.
        """
        pieces = [self._opening, *text]
        if html is not None:
            pieces += [self._between, *html, self._after_bodies]
        for part in attachments:
            pieces += [self._before_attachment, part]
        if attachments:
            pieces.append(self._after_attachments)
        if not pieces[-1].endswith(b"\r\n"):
            pieces.append(b"\r\n")
        return pieces


def _multipart(subtype: bytes, boundary: bytes) -> bytes:
    """The header of a multipart entity and the delimiter of its first part."""
    return b"Content-Type: multipart/" + subtype + b';\r\n boundary="' + boundary + b'"\r\n\r\n--' + boundary + b"\r\n"
