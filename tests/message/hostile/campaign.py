"""A campaign that puts every field of a record wherever a field can stand, and what its messages must then say."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import idna
from markupsafe import escape

from tests.servers.command import CampaignFolder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.message.hostile.rows import Row

MESSAGE = {
    "from": "{{ sender }} <hello@mail.example.com>",
    "to": "{{ name }} <{{ email }}>",
    "reply_to": '"{{ name }}" <{{ reply }}>',
    "return_path": "bounce+{{ token }}@mail.example.com",
    "subject": "{{ title }}",
    "text": "{{ text }}",
    "html": '<p>{{ text }}</p><img src="files/{{ image }}">{{ html | safe }}',
    "attachments": ["files/{{ file }}"],
}
HEADERS = {
    "List-Unsubscribe": "<https://example.com/u/{{ link }}>, <mailto:leave@example.com?subject={{ link }}>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    "Feedback-ID": "{{ tag }}:hostile:example",
    "References": "<{{ tag }}@example.com>",
    "X-Note": "{{ note }}",
    "X-Constant": "constant",
}
NAMES = ("Date", "Message-ID", "From", "To", "Reply-To", "Subject", *HEADERS, "MIME-Version", "Content-Type")
PARTS = ["multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"]

NOTES = b"notes\r\n.\r\nwith a dot\r\n"
INNER = bytes(range(256))
IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(20)

# What an error of a field may begin with: the places in which the campaign puts it.
PLACES = {
    "email": ("recipient ", "header To", "field 'email'", "the record has no recipient", "the address is not ASCII"),
    "sender": ("header From",),
    "name": ("header To", "header Reply-To"),
    "reply": ("header Reply-To",),
    "token": ("return path", "the address is not ASCII"),
    "link": ("header List-Unsubscribe",),
    "tag": ("header Feedback-ID", "header References"),
    "title": ("header Subject",),
    "note": ("header X-Note",),
    "text": ("message.text", "message.html", "text", "html"),
    "html": ("message.html", "html"),
    "file": ("attachment ",),
    "image": ("image ", "message.html"),
}


def write(path: Path, host: str, port: int, rows: Iterable[Row]) -> CampaignFolder:
    """Write the campaign and its recipients file into an empty folder."""
    folder = CampaignFolder(path)
    folder.write(
        top={"recipients": "recipients.jsonl", "results": "results.jsonl"},
        server={"host": host, "port": port, "tls": "none"},
        message=MESSAGE,
        delivery={"duplicates": "send"},
        **{"message.headers": HEADERS},
    )
    with (path / "recipients.jsonl").open("wb") as file:
        file.writelines(row.line + b"\n" for row in rows)
    files = path / "files"
    (files / "sub").mkdir(parents=True)
    (files / "notes.txt").write_bytes(NOTES)
    (files / "sub" / "inner.txt").write_bytes(INNER)
    (files / "link.txt").symlink_to("/etc/passwd")
    (files / "dot.png").write_bytes(IMAGE)
    (files / "link.png").symlink_to("/etc/passwd")
    return folder


class Asked(NamedTuple):
    """What the campaign asks for with one record.

    Attributes:
        recipient: The forward-path.
        sender: The reverse-path.
        from_name: The display-name in From.
        to_name: Those in To and Reply-To.
        reply_to: The address in Reply-To.
        words: Other headers by name: words in any script.
        tokens: Other headers by name: what no reader may decode.
        text: The plain text, its lines ending in LF.
        html: The HTML likewise, in the place of the image's Content-ID an empty one.
        attachments: What the attached file may hold.
    """

    recipient: str
    sender: str
    from_name: str
    to_name: str
    reply_to: str
    words: dict[str, str]
    tokens: dict[str, str]
    text: str
    html: str
    attachments: tuple[bytes, ...]


@cache
def _invisible() -> str:
    """Every character of the category Cf: zero-width, joiners, byte-order marks, marks of writing direction."""
    return "".join(chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf")


def asked(fields: dict[str, Any]) -> Asked:
    """What to find in the message for a record that was sent."""
    link, tag = _shown(fields["link"]), _shown(fields["tag"])
    return Asked(
        recipient=_with_ascii_domain(_without_what_is_around(fields["email"])),
        sender=_with_ascii_domain(f"bounce+{_shown(fields['token'])}@mail.example.com"),
        from_name=_header_text(fields["sender"]),
        to_name=_header_text(fields["name"]),
        reply_to=_with_ascii_domain(_shown(fields["reply"])),
        words={"Subject": _header_text(fields["title"]), "X-Note": _header_text(fields["note"])},
        tokens={
            "List-Unsubscribe": f"<https://example.com/u/{link}>, <mailto:leave@example.com?subject={link}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Feedback-ID": _header_text(f"{tag}:hostile:example"),
            "References": _header_text(f"<{tag}@example.com>"),
            "X-Constant": "constant",
            "MIME-Version": "1.0",
        },
        text=_lines(_shown(fields["text"])),
        html=_lines(f'<p>{escape(_shown(fields["text"]))}</p><img src="cid:">{fields["html"]}'),
        attachments=(NOTES,) if _shown(fields["file"]).endswith("notes.txt") else (NOTES, INNER),
    )


def _shown(value: object) -> str:
    return "" if value is None else str(value)


def _header_text(value: object) -> str:
    """Tabs are spaces, and white space around a text is not part of it."""
    return _shown(value).replace("\t", " ").strip(" ")


def _without_what_is_around(address: str) -> str:
    """White space and invisible characters around an address are not part of it; nor is ``mailto:``."""
    bare = address.strip().strip(_invisible()).strip()
    return bare[len("mailto:") :].strip() if bare.lower().startswith("mailto:") else bare


def _with_ascii_domain(address: str) -> str:
    local, at, domain = address.rpartition("@")
    labels = [one if one.isascii() else idna.encode(one, uts46=True).decode("ascii") for one in domain.split(".")]
    return f"{local}{at}{'.'.join(labels)}"


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
