"""The reference of the campaign file's keys, made from the models for the manual: type, default and meaning."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

from batchsend.campaign.file import TABLES, Table, expected

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATTRIBUTE: Final = re.compile(r"(?P<name>\w+): (?P<meaning>.*)")


class KeyReference(NamedTuple):
    """One key.

    Attributes:
        table: The table it stands in, by the names that lead to it.
        name: Its name.
        expected: What its value has to be.
        default: What holds where it is absent, as TOML writes it; ``""`` for nothing, None where it must be there.
        meaning: What it is for.
    """

    table: Table
    name: str
    expected: str
    default: str | None
    meaning: str


def reference() -> Iterator[KeyReference]:
    """Every key that is not a table and nothing else, in the order of the model."""
    for table, struct in TABLES.items():
        meanings = attributes(struct)
        for field in msgspec.structs.fields(struct):
            if (*table, field.encode_name) not in TABLES or _holds_values(field.type):
                default = _default(field)
                meaning = _in_the_files_terms(meanings.get(field.name, ""))
                yield KeyReference(table, field.encode_name, expected(field), default, meaning)


def heading(table: Table) -> str:
    """A table's header as a campaign file has it; ``""`` for the file's beginning."""
    name = ".".join(table)
    if not table:
        return ""
    fields = msgspec.structs.fields(TABLES[table[:-1]])
    kind = next(field.type for field in fields if field.encode_name == table[-1])
    if _holds_values(kind):
        return f"[[{name}]]"
    return (
        f"[{name}], or several [[{name}]]" if any(get_origin(part) is tuple for part in _parts(kind)) else f"[{name}]"
    )


def _holds_values(kind: Any) -> bool:
    """Whether a type has room for something beside tables: as an array of paths and of tables has."""
    leaves = [part for part in _parts(kind) if isinstance(part, type) and get_origin(part) is None]
    return any(part is not type(None) and not issubclass(part, Struct) for part in leaves)


def _parts(kind: Any) -> Iterator[Any]:
    """A type, and the types that it is made of."""
    yield kind
    for part in get_args(kind):
        yield from _parts(part)


def attributes(model: type) -> dict[str, str]:
    """What a class's docstring says about its attributes, by their names."""
    found: dict[str, str] = {}
    name = ""
    lines = (inspect.getdoc(model) or "").partition("\nAttributes:\n")[2].splitlines()
    for line in lines:
        if line and not line.startswith("    "):
            break
        if (match := _ATTRIBUTE.fullmatch(line[4:])) and not line.startswith("     "):
            name = match["name"]
            found[name] = match["meaning"]
        elif name and line:
            found[name] += f" {line.strip()}"
    return found


def _in_the_files_terms(meaning: str) -> str:
    """A meaning without Python's words: what is None is absent in a file, and the key of ``from_`` is ``from``."""
    meaning = re.sub(r"(, or)? None for\b", "; absent:", meaning).replace(";;", ";").replace("from_", "from")
    return re.sub(r"\bNone\b", "absent", re.sub(r",? or None\b", "", meaning))


def _default(field: msgspec.structs.FieldInfo) -> str | None:
    value = field.default_factory() if field.default_factory is not NODEFAULT else field.default
    match value:
        case _ if value is NODEFAULT:
            return None
        case None | Struct():
            return ""
        case bool():
            return str(value).lower()
        case int() if type(value) is int:
            return str(value)
        case tuple() | dict():
            return f"[{', '.join(map(_quoted, value))}]" if value else ""
        case _:
            return _quoted(value) if str(value) else ""


def _quoted(value: object) -> str:
    return f'"{value}"'
