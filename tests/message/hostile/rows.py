"""Hostile records by a seeded generator: what is known, combined, mutated and made up; the same for the same seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from tests.message.hostile import fragments, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIELDS = ("email", "sender", "name", "reply", "token", "link", "tag", "title", "note", "text", "html", "file", "image")

_ANYWHERE = (
    *fragments.BREAKS,
    *fragments.HEADERS,
    *fragments.COMMANDS,
    *fragments.TEMPLATES,
    *fragments.MIME,
    *fragments.SIGNS,
)
_KNOWN = {
    "email": values.ADDRESSES,
    "reply": values.ADDRESSES,
    "link": values.URLS,
    "tag": values.URLS,
    "file": values.FILES,
    "image": values.IMAGES,
}
_OTHER_TYPES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 2**70, 1.5, 1e300, [], {}, ["a@example.com"], {"a": 1}, [None, [1, "\r\n"]], [[[]]]),
    *({"\r\nBcc": "x"}, {"a": {"b": ["<>"]}}, ["a@example.com", "b@example.com"], {"name": "x"}),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the recipients file.

    Attributes:
        fields: The record; None where the line is none.
        line: The line, without its end.
        hostile: The fields in which something stands that is not meant to be there.
    """

    fields: dict[str, Any] | None
    line: bytes
    hostile: frozenset[str]

    @classmethod
    def of(cls, fields: dict[str, Any], hostile: frozenset[str]) -> Row:
        """The line of a record; integers may be larger than 64 bits."""
        try:
            line = orjson.dumps(fields)
        except TypeError:
            line = json.dumps(fields).encode()
        return cls(fields, line, hostile)


def rows(count: int, seed: int) -> Iterator[Row]:
    """So many rows."""
    random = Random(seed)
    kinds: tuple[Callable[[Random, int], Row], ...] = (_harmless, _columns, _types, _line, _everywhere, _some)
    yield _harmless(random, 1)  # what a file begins with says in which encoding it is
    for number in range(2, count + 1):
        (kind,) = random.choices(kinds, weights=(10, 10, 8, 4, 8, 60))
        yield kind(random, number)


def harmless(number: int) -> dict[str, Any]:
    """A record with which nothing is wrong."""
    return {
        "email": f"reader{number}@example.com",
        "sender": "The Reading Room",
        "name": f"Reader {number}",
        "reply": f"reply{number}@example.org",
        "token": f"t{number}",
        "link": f"l{number}",
        "tag": f"g{number}",
        "title": "Your book is due",
        "note": "a note",
        "text": f"Hello, reader {number}.\n",
        "html": "<b>Hello</b>",
        "file": "notes.txt",
        "image": "dot.png",
    }


def _harmless(_: Random, number: int) -> Row:
    return Row.of(harmless(number), frozenset())


def _some(random: Random, number: int) -> Row:
    return _with_values(random, number, random.choices((1, 2, 3), weights=(6, 3, 1))[0])


def _everywhere(random: Random, number: int) -> Row:
    return _with_values(random, number, len(FIELDS))


def _with_values(random: Random, number: int, how_many: int) -> Row:
    hostile = frozenset(random.sample(FIELDS, how_many))
    fields = harmless(number)
    for name in FIELDS:  # not by the set, whose order is another one in each process
        if name in hostile:
            fields[name] = _value(random, name, fields[name])
    return Row.of(fields, hostile)


def _columns(random: Random, number: int) -> Row:
    """Columns that nothing asks for: they do nothing, whatever they are called."""
    fields = harmless(number)
    for _ in range(random.randint(1, 4)):
        key = random.choice(values.KEYS)
        fields[key] = _value(random, "name", "x") if random.random() < 0.8 else random.choice(_OTHER_TYPES)
    return Row.of(fields, frozenset())


def _types(random: Random, number: int) -> Row:
    """Values that are no texts, and fields that are not there."""
    fields = harmless(number)
    name = random.choice([field for field in FIELDS if field != "html"])
    if random.random() < 0.3:
        del fields[name]
    else:
        fields[name] = random.choice(_OTHER_TYPES)
    return Row.of(fields, frozenset({name}))


def _line(random: Random, number: int) -> Row:
    return Row(None, random.choice(values.BAD_LINES).replace(b"\n", b" "), frozenset())


def _value(random: Random, field: str, harmless_value: str) -> str:
    way = random.random()
    if field in _KNOWN and way < 0.4:
        return random.choice(_KNOWN[field])
    if way < 0.55:
        return harmless_value + random.choice(_ANYWHERE)
    if way < 0.6:
        return random.choice(_ANYWHERE)
    if way < 0.9:
        known = random.choice(_KNOWN.get(field, _ANYWHERE)) if random.random() < 0.5 else harmless_value
        return _mutated(random, known)
    if way < 0.98:
        return "".join(random.choice(_ANYWHERE) for _ in range(random.randint(2, 6)))
    return _mutated(random, random.choice(fragments.LONG))


def _mutated(random: Random, text: str) -> str:
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(text))
        match random.randrange(6):
            case 0 | 1:
                text = text[:at] + random.choice(_ANYWHERE) + text[at:]
            case 2:
                text = text[:at] + text[at + random.randint(1, 5) :]
            case 3:
                text = text[:at] + _character(random) + text[at + 1 :]
            case 4:
                text = text[:at] + text[max(0, at - 8) : at] + text[at:]
            case _:
                text = text[:at] + _character(random) + text[at:]
    return text


def _character(random: Random) -> str:
    """Any character but half of one: control characters and ASCII more often than others."""
    ranges = ((0x00, 0x20), (0x20, 0x7F), (0x7F, 0xA1), (0xA1, 0xD800), (0xE000, 0x110000))
    return chr(random.randrange(*random.choice(ranges)))
