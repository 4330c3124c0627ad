"""Attachments: the file itself, under its name, from nowhere but the campaign's folder."""

from __future__ import annotations

import base64
import os
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest

from batchsend.campaign import load
from batchsend.campaign.own import own_files
from batchsend.errors import RecordError
from batchsend.message import attachments as module
from batchsend.message import templates
from batchsend.message.attachments import AttachmentFiles, check_media_type, file_part
from batchsend.message.composer import Composer
from batchsend.recipients import Record

if TYPE_CHECKING:
    from pathlib import Path


_CAMPAIGN = """\
recipients = "list.csv"
results = "results.jsonl"
server = {{ host = "127.0.0.1", port = 2525, tls = "none", username = "u", password_file = "password" }}
[message]
from = "from@example.com"
to = "{{{{ email }}}}"
subject = "Terms"
text = "See there."
attachments = ["{{{{ file }}}}"]
[delivery]
suppress = ["suppress.csv"]
exclude = ["gone.csv"]
[[message.dkim]]
domain = "example.com"
selector = "s1"
key_file = "key.pem"
""".replace("{{", "{").replace("}}", "}")
_INCLUDING = _CAMPAIGN.replace('attachments = ["{{ file }}"]\n', "").replace("See there.", "{% include file %}")
# What the campaign is made of, and writes, beside its file.
_OWN = (
    *(".env", ".git/config", "list.csv", "results.jsonl", "results.jsonl.inflight", "results.feedback.jsonl"),
    *("gone.csv", "suppress.csv", "key.pem", "password"),
)


def part_of(files: AttachmentFiles, name: str) -> bytes:
    return b"".join(file_part(files.read(name)))


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
        ("=?utf-8?q?x?=.txt", "text/plain"),
    ],
)
def test_a_file_is_read_back_under_its_name_and_type(folder: Path, name: str, media_type: str) -> None:
    content = os.urandom(1000) + b"\r\n.\r\n"
    (folder / name).write_bytes(content)
    part = part_of(AttachmentFiles(folder, inside=folder), name)
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
        part_of(AttachmentFiles(folder, inside=folder), name)


@pytest.mark.parametrize("name", [*_OWN, "campaign.toml", "list-by-another-name.csv"])
def test_a_record_cannot_attach_what_the_campaign_is_made_of(folder: Path, name: str) -> None:
    composer = _composer_of_campaign(folder, _CAMPAIGN)
    assert b"for-everybody.txt" in b"".join(composer.compose(_asking("for-everybody.txt")).content.splitlines())
    with pytest.raises(RecordError, match="the campaign's own, or hidden"):
        composer.compose(_asking(name))


@pytest.mark.parametrize(
    "kind", ["{% include file %}", "{% include [file, 'x'] ignore missing %}", "{% extends file %}"]
)
@pytest.mark.parametrize("name", [*_OWN, "./list.csv", "campaign.toml", "list-by-another-name.csv"])
def test_a_record_cannot_have_what_the_campaign_is_made_of_included(folder: Path, name: str, kind: str) -> None:
    composer = _composer_of_campaign(folder, _including(kind))
    assert b"everybody may have it" in composer.compose(_asking("for-everybody.txt")).content
    with pytest.raises(RecordError, match="the campaign's own, or hidden"):
        composer.compose(_asking(name))


def test_a_template_may_include_a_hidden_file_by_its_name(folder: Path) -> None:
    """Its author has put it there; also in a file that a record has chosen."""
    (folder / ".foot.txt").write_text("the foot of it")
    (folder / "chosen.txt").write_text("{% include '.foot.txt' %}")
    for source in ("{% include '.foot.txt' %}", "{% include file %}"):
        composer = _composer_of_campaign(folder, _including(source))
        assert b"the foot of it" in composer.compose(_asking("chosen.txt")).content


def _including(statement: str) -> str:
    """A campaign whose text is a statement that takes in a file."""
    return _INCLUDING.replace("{% include file %}", statement)


def _composer_of_campaign(folder: Path, campaign: str) -> Composer:
    """What composes a campaign in a folder in which it has all that it may have."""
    (folder / ".git").mkdir(exist_ok=True)
    for own in _OWN:
        (folder / own).write_text("nobody else's business")
    (folder / "for-everybody.txt").write_text("everybody may have it")
    (folder / "key.pem").write_bytes(base64.b64encode(os.urandom(32)))
    (folder / "key.pem").chmod(0o600)
    (folder / "list-by-another-name.csv").unlink(missing_ok=True)
    (folder / "list-by-another-name.csv").symlink_to("list.csv")
    (folder / "campaign.toml").write_text(campaign)
    loaded = load(folder / "campaign.toml")
    return Composer(loaded.message, directory=loaded.directory, batch_id="b1", own=own_files(loaded))


def _asking(name: str) -> Record:
    return Record(1, 2, {"email": "a@example.com", "file": name})


@pytest.mark.parametrize("content", ["{% include file %}", "{% extends file %}", "attached"])
@pytest.mark.parametrize("named", ["inside.txt", "a-list.csv"])
def test_a_record_cannot_name_what_is_elsewhere_under_another_name_here(folder: Path, named: str, content: str) -> None:
    """A hard link to what is outside of the folder, or to the list: neither is attached, nor taken into the text."""
    composer = _composer_of_campaign(folder, _CAMPAIGN if content == "attached" else _including(content))
    os.link(folder.parent / "outside.txt", folder / "inside.txt")
    os.link(folder / "list.csv", folder / "a-list.csv")
    with pytest.raises(RecordError, match=r"has another name, perhaps elsewhere \(a hard link\)"):
        composer.compose(_asking(named))
    (folder / named).unlink()
    (folder / named).write_text("a copy of it")
    assert composer.compose(_asking(named)).content


def test_a_template_may_include_a_file_with_another_name_by_its_own(folder: Path) -> None:
    """Its author has put it there; where only one name of several is written, that one is a record's like the other."""
    os.link(folder.parent / "outside.txt", folder / "inside.txt")
    composer = _composer_of_campaign(folder, _including("{% include 'inside.txt' %}"))
    assert b"outside" in composer.compose(_asking("for-everybody.txt")).content
    composer = _composer_of_campaign(folder, _including("{% include ['inside.txt', file] %}"))
    with pytest.raises(RecordError, match="a record may name a copy"):
        composer.compose(_asking("for-everybody.txt"))


def test_a_folder_that_is_swapped_after_it_was_looked_at_is_not_entered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at where a name leads and the opening, the folder becomes a link that leads elsewhere."""
    (folder / "files").mkdir()
    (folder / "files" / "outside.txt").write_text("inside")
    files = AttachmentFiles(folder, inside=folder)

    def swap(path: Path) -> None:
        (folder / "files").rename(folder / "before")
        (folder / "files").symlink_to(folder.parent)

    monkeypatch.setattr(module, "note", swap)
    with pytest.raises(RecordError, match=r"files/outside\.txt"):
        files.read("files/outside.txt")


def test_nothing_is_included_from_a_folder_that_is_swapped_after_it_was_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "files").mkdir()
    (folder / "files" / "outside.txt").write_text("inside")
    composer = _composer_of_campaign(folder, _INCLUDING)

    def swap(path: Path) -> None:
        if not (folder / "before").exists():
            (folder / "files").rename(folder / "before")
            (folder / "files").symlink_to(folder.parent)

    monkeypatch.setattr(templates, "note", swap)
    with pytest.raises(RecordError, match=r"files/outside\.txt: cannot read"):
        composer.compose(_asking("files/outside.txt"))


def test_the_campaigns_author_may_attach_from_anywhere(folder: Path) -> None:
    assert b'filename="outside.txt"' in part_of(AttachmentFiles(folder, inside=None), "../outside.txt")


def test_a_link_is_attached_under_its_own_name(folder: Path) -> None:
    (folder / "terms-v7.pdf").write_bytes(b"terms")
    (folder / "terms.pdf").symlink_to("terms-v7.pdf")
    files = AttachmentFiles(folder, inside=folder)
    assert b'filename="terms-v7.pdf"' in part_of(files, "terms-v7.pdf")
    assert b'filename="terms.pdf"' in part_of(files, "terms.pdf")


def test_a_file_is_encoded_once_and_again_when_it_has_changed(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"one")
    files = AttachmentFiles(folder, inside=folder)
    first = files.read("a.txt")
    assert files.read("a.txt") is first
    (folder / "a.txt").write_bytes(b"three")
    assert message_from_bytes(part_of(files, "a.txt")).get_payload(decode=True) == b"three"


def test_what_is_kept_in_memory_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", 3_000)
    files = AttachmentFiles(folder, inside=folder)
    for number in range(4):
        (folder / f"{number}.bin").write_bytes(bytes(1000))
        files.read(f"{number}.bin")
    last = files.read("3.bin")
    assert files.read("3.bin") is last
    assert (
        files.read("0.bin") is not files.read("0.bin")
        or sum(len(file.content) for file in files.kept.values()) <= 3_000
    )


def test_a_part_has_the_name_and_type_that_it_is_given(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"a,b")
    file = AttachmentFiles(folder, inside=folder).read("a.bin")
    parsed = message_from_bytes(
        b"".join(file_part(file, name="Übersicht.csv", media_type="text/csv; charset=utf-8", content_id="x@y")),
        policy=policy.default,
    )
    assert parsed.get_filename() == "Übersicht.csv"
    assert (parsed.get_content_type(), parsed.get_content_charset()) == ("text/csv", "utf-8")
    assert parsed["Content-ID"] == "<x@y>"
    assert parsed.get_content_disposition() == "inline"
    with pytest.raises(RecordError, match=r"the name of an attachment contains .*U\+000D"):
        file_part(file, name="a\r\nBcc: x")


@pytest.mark.parametrize("media_type", ["application/pdf", "text/csv; charset=utf-8", 'text/x; name="a b"'])
def test_a_media_type_may_have_parameters(media_type: str) -> None:
    check_media_type(media_type)


@pytest.mark.parametrize(
    "media_type", ["", "pdf", "a/b\r\nBcc: x", "a/b; c", "text/plain;", "a/é", "message/rfc822", "MULTIPART/mixed"]
)
def test_what_is_no_media_type_of_a_file_is_refused(media_type: str) -> None:
    with pytest.raises(RecordError, match=r"media type|cannot be attached as"):
        check_media_type(media_type)
