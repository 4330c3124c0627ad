"""Campaigns with images, invitations and attachments that are told more about than their path."""

from __future__ import annotations

from tests.message.corpus.letter import INLINE, Attached
from tests.message.corpus.structures import Body, Structure

LOGO = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PHOTO = b"\xff\xd8\xff\xe0" + bytes(reversed(range(256))) * 10
BACKGROUND = b"GIF89a" + bytes(40)
TABLE = "name,value\r\nZoë,½\r\n".encode()
INVITATION = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example.com//corpus//EN\r\nMETHOD:REQUEST\r\n"
    "BEGIN:VEVENT\r\nUID:1@example.com\r\nDTSTAMP:20261122T120000Z\r\nDTSTART:20261201T180000Z\r\n"
    "SUMMARY:Lesung: Ελένη & 山田\r\nORGANIZER:mailto:hello@mail.example.com\r\n"
    "ATTENDEE:mailto:reader@example.com\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
).encode()

_PAGE = (
    '<html><body background="ground.gif"><img src="logo.png" alt="">{{ words }}'
    "<img src='pictures/photo%20of%20us.jpg'><img src=logo.png>"
    '<p style="background: url(ground.gif)">{{ words }}</p><img src="https://example.com/x.png"></body></html>\n'
)
_SHOWN_PAGE = (
    '<html><body background="cid:ground.gif"><img src="cid:logo.png" alt="">{words}'
    "<img src='cid:photo of us.jpg'><img src=\"cid:logo.png\">"
    '<p style="background: url(cid:ground.gif)">{words}</p><img src="https://example.com/x.png"></body></html>\n'
)
_IMAGES = {
    "page/page.html": _PAGE.encode(),
    "page/logo.png": LOGO,
    "page/pictures/photo of us.jpg": PHOTO,
    "page/ground.gif": BACKGROUND,
}
_SHOWN_IMAGES = (
    Attached.of("ground.gif", BACKGROUND, INLINE),
    Attached.of("logo.png", LOGO, INLINE),
    Attached.of("photo of us.jpg", PHOTO, INLINE),
)
_TABLE = {"file": "files/table.csv", "name": "Übersicht für {{ name }}.csv", "type": "text/csv; charset=utf-8"}

ENCLOSURES = (
    Structure(
        "images",
        {"html_file": "page/page.html", "text": "{{ text }}"},
        lambda fields: Body(fields["text"], _SHOWN_PAGE.format(**fields), _SHOWN_IMAGES),
        _IMAGES,
    ),
    Structure(
        "images-and-attachments",
        {"html_file": "page/page.html", "text": "{{ text }}", "attachments": ["files/table.csv"]},
        lambda fields: Body(
            fields["text"], _SHOWN_PAGE.format(**fields), (*_SHOWN_IMAGES, Attached.of("table.csv", TABLE))
        ),
        {**_IMAGES, "files/table.csv": TABLE},
    ),
    Structure(
        "named-attachments",
        {"text": "{{ text }}", "attachments": [_TABLE]},
        lambda fields: Body(fields["text"], "", (Attached.of(f"Übersicht für {fields['name']}.csv", TABLE),)),
        {"files/table.csv": TABLE},
    ),
    Structure(
        "image-by-name",
        {
            "text": "{{ text }}",
            "html": '<p>{{ words }} <img src="cid:chart"></p>\n',
            "attachments": [{"file": "files/chart.png", "name": "chart", "inline": True}, "files/table.csv"],
        },
        lambda fields: Body(
            fields["text"],
            '<p>{words} <img src="cid:chart"></p>\n'.format(**fields),
            (Attached.of("chart", LOGO, INLINE), Attached.of("table.csv", TABLE)),
        ),
        {"files/chart.png": LOGO, "files/table.csv": TABLE},
    ),
    Structure(
        "invitation",
        {"text": "{{ text }}", "html": "{{ html | safe }}", "attachments": ["invitation.ics"]},
        lambda fields: Body(
            fields["text"],
            fields["html"],
            (Attached.of("", INVITATION), Attached.of("invitation.ics", INVITATION)),
        ),
        {"invitation.ics": INVITATION},
    ),
    Structure(
        "invitation-without-html",
        {"text": "{{ text }}", "attachments": ["invitation.ics"]},
        lambda fields: Body(
            fields["text"], "", (Attached.of("", INVITATION), Attached.of("invitation.ics", INVITATION))
        ),
        {"invitation.ics": INVITATION},
    ),
)
