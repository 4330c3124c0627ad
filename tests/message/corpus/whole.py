"""Campaigns whose message is a file of its own: headers, texts and parts as some mail program has saved them."""

from __future__ import annotations

from base64 import encodebytes

from tests.message.corpus.letter import Attached
from tests.message.corpus.structures import COMMON, Body, Structure

BINARY = bytes(range(256)) * 4
NOTES = b"kept as they are\r\n..\r\n"

_HEADER = "".join(
    f"{name}: {value}\r\n"
    for name, value in (
        ("Received", "from elsewhere.example.org by mail.example.com; Sun, 22 Nov 2026 12:00:00 +0000"),
        ("Message-ID", "<old@example.org>"),
        ("From", COMMON["from"]),
        ("To", COMMON["to"]),
        ("Reply-To", COMMON["reply_to"]),
        ("Subject", COMMON["subject"]),
        *COMMON["headers"].items(),
        ("MIME-Version", "1.0"),
    )
)
_TEXT = f"{_HEADER}Content-Type: text/plain; charset=utf-8\r\n\r\n{{{{ text }}}}\r\n".encode()
_PARTS = (
    f"{_HEADER}Content-Type: multipart/mixed;\r\n boundary=outer\r\n\r\n"
    "A preamble that nobody sees\r\n"
    '--outer\r\nContent-Type: multipart/alternative; boundary="in ner"\r\n\r\n'
    "--in ner\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{{ text }}\r\n"
    "--in ner\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    "<p>Gr=FC=DFe, {{ words=20=\r\n}}</p>\r\n"
    "--in ner--\r\n\r\n"
    "--outer\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
    "Content-Disposition: attachment;\r\n filename*=utf-8''Gr%C3%BC%C3%9Fe.bin\r\n\r\n"
).encode()
_LAST = (
    b'\r\n--outer\r\nContent-Type: text/plain; name="notes.txt"\r\n'
    b'Content-Disposition: attachment; filename="notes.txt"\r\n\r\n' + NOTES + b"\r\n--outer--\r\nAn epilogue\r\n"
)


WHOLE = (
    Structure(
        "eml-text",
        {"eml_file": "message.eml"},
        lambda fields: Body(f"{fields['text']}\n", bare=True),
        {"message.eml": _TEXT},
    ),
    Structure(
        "eml-with-parts",
        {"eml_file": "message.eml"},
        lambda fields: Body(
            fields["text"],
            "<p>Grüße, {words}</p>".format(**fields),
            (Attached.of("Grüße.bin", BINARY), Attached.of("notes.txt", NOTES)),
        ),
        {"message.eml": _PARTS + encodebytes(BINARY).replace(b"\n", b"\r\n") + _LAST},
    ),
)
