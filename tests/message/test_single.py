"""`batchsend.Template`: a program composes a message and sends it itself, or looks at it only."""

from __future__ import annotations

from email import message_from_bytes
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import Message, RecordError, Template, UsageError

if TYPE_CHECKING:
    from pathlib import Path

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
        ({"text": "{{ name"}, "message.text"),
    ],
)
def test_it_is_held_to_the_rules_of_files(message: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Template(Message(**{"from_": "shop@example.com", "subject": "x", "text": "x", **message}))
    assert says in caught.value.message


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
