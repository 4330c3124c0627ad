"""The cases of the corpus: structures, scripts, encodings and sizes, combined the same way each time."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from tests.message.corpus import oddities
from tests.message.corpus.enclosures import ENCLOSURES
from tests.message.corpus.letter import Attached, Mailbox, shown
from tests.message.corpus.scripts import SCRIPTS, Script
from tests.message.corpus.structures import SIMPLE, Body, Structure
from tests.message.corpus.whole import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.message.corpus.structures import Fields

STRUCTURES = (*SIMPLE, *ENCLOSURES, *WHOLE)
MB = 1_000_000
SIZES = (1, 56, 57, 58, 75, 100, 997, 4_096, 65_536, MB)


@dataclass(frozen=True, slots=True)
class Case:
    """One record of one campaign.

    Attributes:
        name: What it is about.
        structure: The campaign.
        fields: The record's.
        files: What it needs in the campaign's folder beside the structure's files.
    """

    name: str
    structure: Structure
    fields: Fields
    files: dict[str, bytes]

    def says(self) -> dict[str, Any]:
        """What the message must say, by the attributes of `ParsedMessage` that can be known before it is composed."""
        body: Body = self.structure.says(self.fields)
        name, token = _trimmed(self.fields["name"]), self.fields["token"]
        return {
            "sender": (Mailbox(_trimmed(self.fields["sender"]), "hello@mail.example.com"),),
            "to": (Mailbox(name, self.fields["email"]),),
            "reply_to": (Mailbox(name, "reply@example.com"), Mailbox("Desk", "desk@example.org")),
            "subject": _trimmed(self.fields["title"]),
            "note": _trimmed(self.fields["note"]),
            "list_unsubscribe": f"<https://example.com/u/{token}>, <mailto:leave@example.com?subject={token}>",
            "text": shown(_lines(body.text).removesuffix("\n") if body.bare else _lines(body.text)),
            "html": shown(_lines(body.html)),
            "attachments": body.attachments,
        }


def cases() -> Iterator[Case]:
    """All of them."""
    for place, structure in enumerate(STRUCTURES):
        # All scripts in the first structures, which the others are made of; every third one in each of these.
        for number in range(len(SCRIPTS)) if place < 3 else range(place % 3, len(SCRIPTS), 3):
            yield _in_script(structure, SCRIPTS[number], SCRIPTS[number - 1])
    for structure in STRUCTURES:
        if structure.name in {"text", "alternative-and-attachments", "eml-with-parts"}:
            for number, text in enumerate(oddities.TEXTS):
                html = oddities.TEXTS[number - 7]
                yield _case(f"text {number}", structure, text=text, html=html)
    alternative, own_file = _named("alternative"), _named("text-and-its-own-file")
    for number, text in enumerate(oddities.HEADER_TEXTS):
        yield _case(f"header {number}", alternative, name=text, sender=text, title=text, note=text)
    for number, filename in enumerate(oddities.FILENAMES):
        yield _case(f"filename {number}", own_file, file=filename)
    yield from _of_sizes()


def _of_sizes() -> Iterator[Case]:
    text, alternative = _named("text"), _named("alternative")
    # What each becomes where octets above 127 may not be sent.
    for kind, words in (
        ("7bit", "plain words\n"),
        ("quoted-printable", "mostly plain wörds\n"),
        ("base64", "漢字と仮名\n"),
    ):
        for size in SIZES:
            body = (words * (size // len(words) + 1))[:size]
            yield _case(f"{kind}, {size} characters", text, text=body)
            if size < MB:
                yield _case(f"{kind}, {size} characters", alternative, text=body, html=f"<p>{body}</p>")
    yield _case("base64, 10 MB", text, text="漢字と仮名\n" * (10 * MB // 16))
    random = Random(5)
    for size in (0, *SIZES, 10 * MB):
        structure = Structure(
            f"file-of-{size}",
            {"text": "{{ text }}", "attachments": ["random.bin"]},
            _with_file(content := random.randbytes(size)),
            {"random.bin": content},
        )
        yield _case("random octets", structure)


def _with_file(content: bytes) -> Callable[[Fields], Body]:
    return lambda fields: Body(fields["text"], "", (Attached.of("random.bin", content),))


def _in_script(structure: Structure, script: Script, other: Script) -> Case:
    paragraphs = "".join(f"{script.words}\n{other.words}\n\n" for _ in range(5))
    return _case(
        script.name,
        structure,
        sender=f"{other.person} & {script.person}",
        name=script.person,
        title=f"{script.title} " * 6,
        note=f"{other.title}: {script.title}",
        words=script.words,
        text=paragraphs,
        html="".join(f"<p>{line}</p>\n" for line in paragraphs.splitlines()),
        file=script.filename,
    )


def _case(name: str, structure: Structure, /, **fields: str) -> Case:
    defaults = {
        "sender": "The Reading Room",
        "name": "Ada",
        "email": "reader@example.com",
        "title": "Your book is due",
        "note": "a note",
        "words": "The tea is on the house",
        "text": "Hello\n",
        "html": "<p>Hello</p>\n",
        "token": "0123456789abcdef",
        "file": "notes.txt",
    }
    all_fields = defaults | fields
    needs_file = "each/{{ file }}" in structure.message.get("attachments", ())
    file = all_fields["file"]
    return Case(name, structure, all_fields, {f"each/{file}": file.encode()} if needs_file else {})


def _named(name: str) -> Structure:
    return next(structure for structure in STRUCTURES if structure.name == name)


def _trimmed(text: str) -> str:
    """A header's text: white space around it is not part of it, a tab is a space (RFC 5322 §3.2.2)."""
    return text.replace("\t", " ").strip(" ")


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
