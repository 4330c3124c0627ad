"""What is sent: a message as templates, and the records that fill them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FILLER = "The reading room is on the first floor, and the tea is on the house.\n"
_FACTS = "Your book is due in {{ city }} on {{ due }}; the desk is open until {{ hours }}."
_ITEMS = 12

KEY_FILE = "dkim.pem"
KEY_BITS = 2048

Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of message.

    Attributes:
        name: What it is called.
        text: The plain text, with ``{{ field }}`` marks and nothing else of a template language.
        html: The HTML, likewise.
        fields: Makes a record's fields from its number.
        subject: The subject, likewise with marks.
        signed: Whether each message is signed with DKIM, by an RSA key of 2048 bits.
    """

    name: str
    text: str
    html: str
    fields: Callable[[int], Fields]
    subject: str = "Your book is due, {{ name }}"
    signed: bool = False

    def write(self, folder: Path, messages: int) -> Path:
        """Write templates and records into a folder of its own; what is there already is kept.

        Returns:
            That folder. The records are in ``recipients-N.jsonl``: each run has a file of just its length, because
            batchsend reads all of it, for the checksum by which it knows it again.
        """
        home = folder / self.name
        home.mkdir(exist_ok=True)
        (home / "message.txt").write_text(self.text)
        (home / "message.html").write_text(self.html)
        if self.signed and not (home / KEY_FILE).exists():
            _write_key(home / KEY_FILE)
        recipients = home / f"recipients-{messages}.jsonl"
        if not recipients.exists():
            with recipients.open("w") as file:
                for number in range(1, messages + 1):
                    file.write(json.dumps(self.fields(number), ensure_ascii=False) + "\n")
        return home


def _write_key(path: Path) -> None:
    """Make a key to sign with; it may be read by its owner alone."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    path.touch(0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _reader(number: int) -> Fields:
    return {
        "email": f"reader{number}@example.com",
        "name": f"Reader {number}",
        "city": "Dublin" if number % 2 else "York",
        "due": f"{number % 28 + 1} March",
        "hours": f"{16 + number % 6}:00",
        "token": f"{number:016x}",
    }


def _borrower(number: int) -> Fields:
    """Every second one writes and reads in more than ASCII."""
    plain = number % 2 == 0
    items = {}
    for place in range(1, _ITEMS + 1):
        items[f"item{place}"] = f"Atlas, volume {place}" if plain else f"Übersee-Atlas, tome {place}, édition reliée"
        items[f"count{place}"] = str((number + place) % 5)
        items[f"fee{place}"] = f"{(number * place) % 90 / 10:.2f}"
    names = {} if plain else {"name": f"Zoë Łęcka {number}", "city": "Kraków"}
    return {**_reader(number), **names, **items}


def _notice(name: str, paragraphs: int) -> Work:
    return Work(
        name,
        f"Hello {{{{ name }}}},\n\n{_FACTS}\n{_FILLER * (3 * paragraphs // 4)}\n"
        "Your token is {{ token }}, for {{ email }}.\n",
        "<!doctype html>\n<html><head><title>Hello {{ name }}</title></head>\n<body>\n<h1>Hello {{ name }}</h1>\n"
        f"<p>{_FACTS}</p>\n{f'<p>{_FILLER}</p>' * paragraphs}\n"
        '<p><a href="https://example.com/unsubscribe/{{ token }}">Unsubscribe</a> {{ email }}</p>\n</body></html>\n',
        _reader,
    )


def _statement() -> Work:
    rows = "".join(
        f"<tr><td>{{{{ item{n} }}}}</td><td>{{{{ count{n} }}}}</td><td>{{{{ fee{n} }}}}</td></tr>\n"
        for n in range(1, _ITEMS + 1)
    )
    lines = "".join(f"- {{{{ item{n} }}}}\n" for n in range(1, 9))
    return Work(
        "statement",
        f"Hello {{{{ name }}}},\n\n{_FACTS}\n{lines}\nYour token is {{{{ token }}}}, for {{{{ email }}}}.\n",
        f"<!doctype html>\n<html><head><title>{{{{ name }}}}</title></head>\n<body>\n<h1>Hello {{{{ name }}}}</h1>\n"
        f"<p>{_FACTS}</p>\n<table>\n{rows}</table>\n"
        '<p><a href="https://example.com/u/{{ token }}">Unsubscribe</a> {{ email }}</p>\n</body></html>\n',
        _borrower,
    )


NOTICE = _notice("notice", 8)
"""About 2 KB, eleven substitutions: what a notification looks like."""

NEWSLETTER = _notice("newsletter", 150)
"""About 20 KB."""

CATALOGUE = _notice("catalogue", 1540)
"""About 200 KB."""

STATEMENT = _statement()
"""The size of a notice with fifty-seven substitutions, every second record beyond ASCII."""

SIGNED = replace(NOTICE, name="signed", signed=True)
"""A notice that is signed with DKIM."""
