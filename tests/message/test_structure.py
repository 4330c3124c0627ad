"""The structure of messages: what belongs together stands together, where mail readers look for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batchsend.campaign import Attachment
from batchsend.errors import RecordError, UsageError
from batchsend.message.calendars import request
from tests.message.composing import ANN, body, compose, composer, parse, shape

if TYPE_CHECKING:
    from pathlib import Path

INVITATION = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
    "SUMMARY:Tee für Ann\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
TEXT, HTML, BOTH = {"html": None}, {"text": None, "html": "<p>x</p>"}, {"html": "<p>x</p>"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logo.png").write_bytes(b"logo")
    (tmp_path / "terms.pdf").write_bytes(b"terms")
    (tmp_path / "ann.pdf").write_bytes(b"for Ann")
    (tmp_path / "invite.ics").write_text(INVITATION, newline="")
    return tmp_path


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (TEXT, "text/plain"),
        (HTML, "alternative(text/plain, text/html)"),
        (BOTH, "alternative(text/plain, text/html)"),
        ({"attachments": ("terms.pdf",)}, "mixed(text/plain, application/pdf)"),
        (
            {**BOTH, "attachments": ("terms.pdf", "{{ name }}.pdf")},
            "mixed(alternative(text/plain, text/html), application/pdf, application/pdf)",
        ),
        ({"html": '<img src="logo.png">'}, "alternative(text/plain, related(text/html, image/png))"),
        (
            {"html": '<img src="logo.png">', "attachments": ("terms.pdf",)},
            "mixed(alternative(text/plain, related(text/html, image/png)), application/pdf)",
        ),
        ({"attachments": ("invite.ics",)}, "mixed(alternative(text/plain, text/calendar), application/ics)"),
        (
            {"html": '<img src="logo.png">', "attachments": ("invite.ics", "terms.pdf")},
            (
                "mixed(alternative(text/plain, related(text/html, image/png), text/calendar), "
                "application/ics, application/pdf)"
            ),
        ),
    ],
)
def test_what_belongs_together_stands_together(folder: Path, keys: dict[str, Any], expected: str) -> None:
    assert shape(parse(compose(folder, {**ANN, "name": "ann"}, **keys))) == expected


def test_an_attachment_has_the_name_and_type_that_the_campaign_says(folder: Path) -> None:
    options = Attachment(file="{{ name }}.pdf", name="Für {{ name }}.bin", type="application/x-own; version=1")
    (found,) = parse(compose(folder, {**ANN, "name": "ann"}, attachments=(options,))).iter_attachments()
    assert found.get_filename() == "Für ann.bin"
    assert found.get_content_type() == "application/x-own"
    assert found.get_content_disposition() == "attachment"
    assert found.get_content() == b"for Ann"


def test_an_inline_attachment_is_what_the_html_refers_to(folder: Path) -> None:
    options = Attachment(file="logo.png", name="the logo.png", inline=True)
    for source in ("cid:the logo.png", "cid:{{ picture }}"):
        parsed = parse(
            compose(folder, {**ANN, "picture": "the logo.png"}, html=f'<img src="{source}">', attachments=(options,))
        )
        assert shape(parsed) == "alternative(text/plain, related(text/html, image/png))"
        (image,) = [part for part in parsed.walk() if part.get_content_type() == "image/png"]
        assert image.get_content_disposition() == "inline"
        assert f'src="cid:{image["Content-ID"].strip("<>")}"' in body(parsed, "html")


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"attachments": (Attachment(file="logo.png", inline=True),)}, "inline is for what HTML shows"),
        ({**BOTH, "attachments": (Attachment(file="{{ name }}.pdf", inline=True),)}, "inline and has no name"),
        ({"attachments": (Attachment(file="logo.png", type="image"),)}, "message.attachments: 'image' is not a media"),
        ({"attachments": (Attachment(file="logo.png", name="a\nb"),)}, r"message.attachments: the name .*U\+000A"),
    ],
)
def test_options_that_cannot_be_are_said_before_any_record(folder: Path, keys: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        composer(folder, **keys)


def test_a_record_cannot_put_a_header_into_a_name(folder: Path) -> None:
    options = Attachment(file="terms.pdf", name="{{ name }}.pdf")
    with pytest.raises(RecordError, match=r"U\+000D"):
        compose(folder, {**ANN, "name": "x\r\nBcc: y@example.net\r\n\r\n"}, attachments=(options,))


def test_an_invitation_has_its_method_where_readers_look_for_it(folder: Path) -> None:
    """RFC 6047 §2.4; the file itself is attached as well, as Outlook and Gmail send their own invitations."""
    parsed = parse(compose(folder, attachments=("invite.ics",)))
    (calendar,) = [part for part in parsed.walk() if part.get_content_type() == "text/calendar"]
    assert calendar["Content-Type"].params == {"charset": "utf-8", "method": "REQUEST"}
    assert calendar.get_content().replace("\n", "\r\n").replace("\r\r", "\r") == INVITATION
    (attached,) = parsed.iter_attachments()
    assert attached.get_filename() == "invite.ics"
    assert attached.get_content() == INVITATION.encode()


def test_a_calendar_that_asks_for_nothing_is_a_file(folder: Path) -> None:
    (folder / "dates.ics").write_text(INVITATION.replace("METHOD:REQUEST", "METHOD:PUBLISH"))
    assert shape(parse(compose(folder, attachments=("dates.ics",)))) == "mixed(text/plain, text/calendar)"


def test_the_method_is_the_calendars_own_and_not_some_texts() -> None:
    assert request(INVITATION.encode()) == ("REQUEST", INVITATION)
    assert request(b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nDESCRIPTION:x\nMETHOD:REQUEST\nEND:VEVENT\n") is None
    assert request(b"METHOD:REQUEST\nno calendar") is None
    assert request(b"BEGIN:VCALENDAR\nmethod:cancel\nBEGIN:VEVENT\n") == (
        "CANCEL",
        "BEGIN:VCALENDAR\nmethod:cancel\nBEGIN:VEVENT\n",
    )
    assert request(b"\xff" + INVITATION.encode()) is None
