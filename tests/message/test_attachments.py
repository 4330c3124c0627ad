"""Attachments: the file itself, under its name, from nowhere but the campaign's folder."""

from __future__ import annotations

import os
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import RecordError
from batchsend.message import attachments as module
from batchsend.message.attachments import AttachmentFiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "campaign"
    path.mkdir()
    (tmp_path / "outside.txt").write_text("outside")
    return path


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("terms.pdf", "application/pdf"),
        ("notes.txt", "text/plain"),
        ("photo of us.jpg", "image/jpeg"),
        ("archive.tar.gz", "application/gzip"),
        ("table.csv.bz2", "application/octet-stream"),
        ("mail.eml", "application/octet-stream"),
        ("unknown", "application/octet-stream"),
        ('quoted "name".pdf', "application/pdf"),
        ("Rechnung für Jörg.pdf", "application/pdf"),
        ("請求書" * 20 + ".pdf", "application/pdf"),
        ("x" * 200 + ".pdf", "application/pdf"),
    ],
)
def test_a_file_is_read_back_under_its_name_and_type(folder: Path, name: str, media_type: str) -> None:
    content = os.urandom(1000) + b"\r\n.\r\n"
    (folder / name).write_bytes(content)
    part = AttachmentFiles(folder, confined=True).part(name)
    assert part.isascii()
    assert all(len(line) <= 78 for line in part.split(b"\r\n"))
    parsed = message_from_bytes(part, policy=policy.default)
    assert parsed.get_payload(decode=True) == content
    assert parsed.get_filename() == name
    assert parsed.get_content_type() == media_type
    assert parsed.get_content_disposition() == "attachment"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../outside.txt", "outside the campaign's folder"),
        ("/etc/hostname", "outside the campaign's folder"),
        ("link.txt", "outside the campaign's folder"),
        ("linked/outside.txt", "outside the campaign's folder"),
        ("missing.txt", "No such file"),
        ("", "Is a directory"),
        (".", "Is a directory"),
        ("fifo", "not a file"),
        ("circle", "no such file|Too many levels|attachment 'circle'"),
        ("a\0b", "U\\+0000"),
        ("a\r\nb", "U\\+000D"),
        ("x" * 300, "too long"),
        ("huge.bin", "50000001 octets"),
    ],
)
def test_a_record_cannot_attach(folder: Path, name: str, reason: str) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "outside.txt")
    (folder / "linked").symlink_to(folder.parent)
    (folder / "circle").symlink_to(folder / "circle")
    os.mkfifo(folder / "fifo")
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(50_000_001)
    with pytest.raises(RecordError, match=reason):
        AttachmentFiles(folder, confined=True).part(name)


def test_the_campaigns_author_may_attach_from_anywhere(folder: Path) -> None:
    assert b'filename="outside.txt"' in AttachmentFiles(folder, confined=False).part("../outside.txt")


def test_a_link_is_attached_under_its_own_name(folder: Path) -> None:
    (folder / "terms-v7.pdf").write_bytes(b"terms")
    (folder / "terms.pdf").symlink_to("terms-v7.pdf")
    files = AttachmentFiles(folder, confined=True)
    assert b'filename="terms-v7.pdf"' in files.part("terms-v7.pdf")
    assert b'filename="terms.pdf"' in files.part("terms.pdf")


def test_a_file_is_encoded_once_and_again_when_it_has_changed(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"one")
    files = AttachmentFiles(folder, confined=True)
    first = files.part("a.txt")
    assert files.part("a.txt") is first
    (folder / "a.txt").write_bytes(b"three")
    assert message_from_bytes(files.part("a.txt")).get_payload(decode=True) == b"three"


def test_what_is_kept_in_memory_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", 3_000)
    files = AttachmentFiles(folder, confined=True)
    for number in range(4):
        (folder / f"{number}.bin").write_bytes(bytes(1000))
        files.part(f"{number}.bin")
    last = files.part("3.bin")
    assert files.part("3.bin") is last
    assert files.part("0.bin") is not files.part("0.bin") or sum(map(len, files._parts.values())) <= 3_000
