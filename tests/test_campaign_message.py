"""The keys of [message] that go together, or do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchsend.campaign import Attachment, load
from batchsend.errors import UsageError

HEAD = 'recipients = "recipients.csv"\nserver = { host = "smtp.example.com" }\n[message]\n'
ORDINARY = HEAD + 'from = "a@example.com"\nsubject = "x"\ntext = "x"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("terms.pdf", "message.eml"):
        (tmp_path / name).write_text("x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(text: str) -> str:
    Path("campaign.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load(Path("campaign.toml"))
    return str(caught.value)


def test_attachments_are_paths_or_tables(folder: Path) -> None:
    tables = '{ file = "terms.pdf", name = "Terms {{ name }}", type = "a/b", inline = true }'
    Path("campaign.toml").write_text(f'{ORDINARY}attachments = ["terms.pdf", {tables}, "{{{{ own }}}}.pdf"]\n')
    assert load(Path("campaign.toml")).message.attachments == (
        "terms.pdf",
        Attachment(file="terms.pdf", name="Terms {{ name }}", type="a/b", inline=True),
        "{{ own }}.pdf",
    )


@pytest.mark.parametrize(
    ("attachment", "message"),
    [
        ('{ file = "gone.pdf" }', '[message] attachments #2 file = "gone.pdf"\nexpected the path of a file inside'),
        ('{ file = "../x.pdf" }', '[message] attachments #2 file = "../x.pdf"\nexpected the path of a file inside'),
        ('{ name = "x" }', "[message] attachments #2 file is missing\nexpected the path of a file"),
        ('{ file = "terms.pdf", inline = "yes" }', '[message] attachments #2 inline = "yes"\nexpected true or false'),
        ('{ file = "terms.pdf", type = "" }', '[message] attachments #2 type = ""\nexpected a media type such as'),
        (
            '{ fiel = "terms.pdf" }',
            "[message] attachments #2 fiel is not a key that batchsend knows\ndid you mean file?",
        ),
        ("5", "[message] attachments #2 = 5\nexpected an array of paths"),
        ('"gone.pdf"', '[message] attachments #2 = "gone.pdf"\nexpected the path of a file inside'),
    ],
)
def test_what_an_attachment_cannot_be_is_named(folder: Path, attachment: str, message: str) -> None:
    assert refusal(f'{ORDINARY}attachments = ["terms.pdf", {attachment}]\n').startswith(f"campaign.toml: {message}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("from", '"a@example.com"'),
        ("to", '"a@example.com"'),
        ("reply_to", '"a@example.com"'),
        ("subject", '"x"'),
        ("text", '"x"'),
        ("html", '"x"'),
        ("html_file", '"terms.pdf"'),
        ("inline_css", "true"),
        ("attachments", '["terms.pdf"]'),
        ("headers", '{ X-A = "1" }'),
    ],
)
def test_a_whole_message_stands_alone(folder: Path, key: str, value: str) -> None:
    said = refusal(f'{HEAD}eml_file = "message.eml"\n{key} = {value}\n')
    assert said == f"campaign.toml: [message] {key} is there besides eml_file, a whole message\ngive one of them"


def test_a_whole_message_may_have_an_envelope_and_an_encoding(folder: Path) -> None:
    Path("campaign.toml").write_text(
        f'{HEAD}eml_file = "message.eml"\nreturn_path = "b@example.com"\nencoding = "7bit"\n'
    )
    message = load(Path("campaign.toml")).message
    assert message.eml_file == folder / "message.eml"
    assert (message.from_, message.subject, message.encoding) == (None, None, "7bit")


def test_a_whole_message_is_a_file_of_the_folder(folder: Path) -> None:
    assert refusal(f'{HEAD}eml_file = "gone.eml"\n').startswith('campaign.toml: [message] eml_file = "gone.eml"')


def test_an_encoding_is_one_of_two(folder: Path) -> None:
    assert refusal(f'{ORDINARY}encoding = "8bit"\n') == (
        'campaign.toml: [message] encoding = "8bit"\nexpected "auto" or "7bit"'
    )
