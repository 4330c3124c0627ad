"""`batchsend.Template`: a program composes a message and sends it itself, or looks at it only."""

from __future__ import annotations

from base64 import b64encode
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from batchsend import Message, RecordError, Template, UsageError
from batchsend.campaign import Attachment, Dkim

MESSAGE = Message(from_="shop@example.com", subject="Hello, {{ name }}", text="Dear {{ name }}")
ADA = {"email": "ada@example.com", "name": "Ada"}


def test_each_record_has_a_message_of_its_own() -> None:
    template = Template(MESSAGE)
    first, second = template.render(ADA), template.render({"email": "eve@example.com", "name": "Eve"})
    assert (first.record, second.record, template.render(ADA, number=9).record) == (1, 2, 9)
    assert first.envelope.forward_path == "ada@example.com"
    parsed = message_from_bytes(second.content)
    assert (parsed["To"], parsed["Subject"]) == ("eve@example.com", "Hello, Eve")
    other = Template(MESSAGE).render(ADA)
    assert len({first.message_id, second.message_id, other.message_id}) == 3


def test_files_are_those_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Dear {{ name }}, from a file")
    message = Message(from_="shop@example.com", subject="x", text_file=tmp_path / "text.txt")
    assert b"Dear Ada, from a file" in Template(message, directory=str(tmp_path)).render(ADA).content


def test_a_record_that_cannot_be_sent_is_said_of_its_field() -> None:
    for record in ({"email": "ada@example.com"}, {**ADA, "email": "ada"}, {**ADA, "email": 7}, {"name": "Ada"}):
        with pytest.raises(RecordError):
            Template(MESSAGE).render(record)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"text": None}, "Message has no body"),
        ({"subject": None}, "Message.subject is missing"),
        ({"headers": {"Cc": "b@example.com"}}, "Message.headers Cc cannot be set"),
        ({"unsubscribe": "https://lists.example.com/u"}, "Message.unsubscribe is a link"),
        ({"text": "{{ name"}, "Message.text, line 1: "),
    ],
)
def test_it_is_held_to_the_rules_of_files(message: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Template(Message(**{"from_": "shop@example.com", "subject": "x", "text": "x", **message}))
    assert says in caught.value.message


WHOLE = {"from_": None, "subject": None, "text": None}
LOGO = Attachment(file="logo.png", inline=True)
OTHERS_KEY = Dkim(domain="example.org", selector="s", key_file=Path("key"))


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"from_": "nobody"}, "Message.from_: header From"),
        ({"to": "{{ name"}, "Message.to: header To, line 1: "),
        ({"reply_to": "x"}, "Message.reply_to: header Reply-To"),
        ({"return_path": "x"}, "Message.return_path: "),
        ({"subject": "{% if %}"}, "Message.subject: header Subject, line 1: "),
        ({"headers": {"List-Unsubscribe": "https://example.com"}}, "Message.headers: header List-Unsubscribe"),
        ({"headers": {"From": "a@example.com"}}, "Message.headers From cannot be set"),
        ({"text": "{% include 'none.txt' %}"}, "Message.text, line 1: there is no file 'none.txt'"),
        ({"html": "\n{{ name"}, "Message.html, line 2: "),
        ({"text": None, "markdown": "{{ name"}, "Message.markdown, line 1: "),
        ({"text": None, "markdown": "---\nsubject: x\n---\nHello"}, "Message.markdown: it begins with front matter"),
        ({"text": None, "markdown": "x", "style_file": "latin-1"}, "Message.style_file: "),
        ({"text": None, "text_file": "latin-1"}, "Message.text_file: "),
        ({"text": None, "text_file": "/etc/hostname"}, "Message.text_file is PosixPath"),
        ({"text": None, "html_file": "message.html"}, "Message.html: message.html, line 1: "),
        ({"attachments": ("none.pdf",)}, "Message.attachments is 'none.pdf'"),
        ({"attachments": (Attachment(file="logo.png", type="image"),)}, "Message.attachments: 'image'"),
        ({"attachments": (LOGO,)}, "Message.attachments: inline is for what HTML shows"),
        ({"dkim": (OTHERS_KEY,)}, "Message.dkim: "),
        ({**WHOLE, "eml_file": "whole.eml"}, "Message.eml_file: has no header From"),
    ],
)
def test_what_is_wrong_is_said_in_the_terms_of_a_program(
    message: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"latin-1": b"\xff", "message.html": b"{{ name", "logo.png": b"PNG", "whole.eml": b"Subject: x\n\nHello\n"}
    for name, content in {**files, "key": b64encode(bytes(32))}.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    with pytest.raises(UsageError) as caught:
        Template(Message(**{"from_": "shop@example.com", "subject": "x", "text": "x", **message}))
    error = caught.value
    assert error.message.startswith(says)
    assert error.remedy
    assert error.args == (error.message, error.remedy)
    for of_a_file in ("campaign", "[message", "key from"):
        assert of_a_file not in str(error)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"text": "{{ nmae }}"}, "Message.text: 'nmae' is undefined"),
        ({"html": "{% include name %}"}, "Message.html: there is no template 'Ada' in the message's directory"),
        (
            {"attachments": ("../{{ name }}",)},
            "attachment '../Ada' leads upwards, and perhaps outside the message's directory",
        ),
        ({"text": "{{ batch.unsubscribe_url }}"}, 'batch.unsubscribe_url needs Message(unsubscribe="https://…")'),
    ],
)
def test_so_is_what_is_wrong_with_a_record(message: dict[str, Any], says: str, tmp_path: Path) -> None:
    made = Message(**{"from_": "shop@example.com", "subject": "x", "text": "x", **message})
    with pytest.raises(RecordError) as caught:
        Template(made, directory=tmp_path).render(ADA)
    assert (caught.value.message, caught.value.args) == (says, (says,))


def test_wrong_use_is_said_at_once() -> None:
    wrong: Any
    for wrong in (None, "text", 3, {}):
        with pytest.raises(TypeError, match="message must be"):
            Template(wrong)
    for wrong in ({"directory": 3}, {"recipient_field": 3}):
        with pytest.raises(TypeError, match="must be"):
            Template(MESSAGE, **wrong)
    for wrong in (None, "text", [("email", "a@example.com")], {3: "x"}):
        with pytest.raises(TypeError):
            Template(MESSAGE).render(wrong)
    for wrong in ("1", True, 1.5):
        with pytest.raises(TypeError, match="number must be"):
            Template(MESSAGE).render(ADA, number=wrong)
    with pytest.raises(UsageError, match="number is 0"):
        Template(MESSAGE).render(ADA, number=0)
