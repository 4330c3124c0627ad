"""What holds for a campaign's values however they are made: objects built in code are checked like files.

A file's errors name file and key; an object's name its class and attribute.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import force_setattr

from batchsend.campaign.values import Duration, Quotas, Rate, Secret
from batchsend.campaign.windows import Start, Window
from batchsend.errors import UsageError, is_path

if TYPE_CHECKING:
    from batchsend.campaign.document import Key

_SHOWN: Final = 80

PathOrInput: TypeAlias = Path | Literal["-"]
"""A file, or standard input."""


def check_values(built: Struct) -> None:
    """Check the type and the range of each value of an object, and take the values in the types that it declares.

    Raises:
        UsageError: One of them is impossible; the message names it, the remedy says what is expected.
    """
    # Most values are the defaults, which are right; to ask for the types of all takes longer than to send a message.
    defaults = dict(zip(reversed(built.__struct_fields__), reversed(built.__struct_defaults__), strict=False))
    given = [name for name in built.__struct_fields__ if getattr(built, name) is not defaults.get(name, NODEFAULT)]
    if not given:
        return
    fields = _fields(type(built))
    for name in given:
        field, value = fields[name], getattr(built, name)
        try:
            taken = _converted(value, field.type)
        except (msgspec.ValidationError, TypeError, ValueError, AttributeError):  # the last by what seems a mapping
            raise _wrong(built, field.name, value, f"expected {_description(field.type)}") from None
        if taken is not value:
            force_setattr(built, field.name, taken)


def _converted(value: object, kind: Any) -> object:
    """A value as its declared type; of a path or standard input by hand, for msgspec knows no such union."""
    if getattr(kind, "__origin__", None) == PathOrInput:
        return value if value == "-" else _taken(Path, value)
    return msgspec.convert(value, kind, dec_hook=_taken)


@cache
def _fields(made: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The attributes of a class with their types, which msgspec finds anew whenever it is asked for them."""
    return {field.name: field for field in msgspec.structs.fields(made)}


class Objects:
    """Speaks of the values of objects, as `Document` does of those of a file.

    Args:
        root: What has them; a key leads from it to a value, by the names that files have for them.
        above: How many steps of a key lead to the root, as "message" does where that is the root itself.
    """

    def __init__(self, root: Struct, *, above: int = 0) -> None:
        self._root = root
        self._above = above

    def wrong(self, key: Key, remedy: str) -> UsageError:
        """The error for an impossible value."""
        owner, name = self._find(key)
        value = getattr(owner, name, None) if name else owner
        places = [place for place in key if isinstance(place, int)]
        if isinstance(value, list | tuple) and places and places[-1] < len(value):
            value = value[places[-1]]
        return _wrong(owner, name, value, remedy)

    def missing(self, key: Key, remedy: str) -> UsageError:
        """The error for a value that has to be there and is not."""
        owner, name = self._find(key)
        return UsageError(f"{_named(owner, name)} is missing", remedy=remedy)

    def about(self, key: Key, what: str, remedy: str) -> UsageError:
        """An error about an object or about several of its values."""
        owner, name = self._find(key)
        inner = [str(step) for step in key[1:] if isinstance(step, str) and step != name]
        return UsageError(f"{_named(owner, ' '.join([name, *inner[-1:]]).strip())} {what}", remedy=remedy)

    def _find(self, key: Key) -> tuple[Struct, str]:
        """The innermost object on the way, and the name of its attribute; none where the key is the object's own."""
        owner, name = self._root, ""
        value: Any = self._root
        for step in key[self._above :]:
            if isinstance(step, int):
                value = value[step] if isinstance(value, list | tuple) and step < len(value) else None
            elif isinstance(value, Struct):
                attribute = _attribute(value, step)
                owner, name, value = value, attribute, getattr(value, attribute, None)
            if isinstance(value, Struct):
                owner, name = value, ""
        return owner, name


def _attribute(owner: Struct, key: str) -> str:
    """The attribute that a file's key is; the tables ``[[server]]`` are the attribute ``servers``."""
    by_key = {field.encode_name: field.name for field in msgspec.structs.fields(owner)}
    return by_key.get(key) or (f"{key}s" if f"{key}s" in by_key else key)


def _named(owner: Struct, name: str) -> str:
    return f"{type(owner).__name__}.{name}" if name else type(owner).__name__


def _wrong(owner: Struct, name: str, value: object, remedy: str) -> UsageError:
    shown = (
        "'********'" if name in ("username", "password", "password_command", "token", "token_command") else repr(value)
    )
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
    return UsageError(f"{_named(owner, name)} is {shown}", remedy=remedy)


# What descriptions say in the words of TOML.
_OF_TOML: Final = (
    ("a table [message.dkim], or several [[message.dkim]]", "a list of Dkim(…)"),
    ("of tables of file, name, type and inline", "of Attachment(…)"),
    ("of tables of file, field, encoding and sheet", "of SuppressionList(…)"),
    ("a table of notify and ret", "a Dsn(…)"),
    ("a table of durations", "a Timeouts(…)"),
    ("a table of", "a dict of"),
    ("an array of", "a list of"),
    ("true or false", "True or False"),
    ("the campaign's folder", "the message's directory"),
)


def _description(kind: Any) -> str:
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, Meta) and meta.description:
            text = meta.description
            for of_toml, of_python in _OF_TOML:
                text = text.replace(of_toml, of_python)
            return text
    return f"{kind}"


def _taken(kind: type, value: object) -> object:
    """A value as the type that is declared, which is none of msgspec's own."""
    match value:
        case Rate() | Duration() | Window() | Start() if isinstance(value, kind):
            return value.checked()
        case _ if kind is Quotas:
            return Quotas.parse(value)
        case str() if issubclass(kind, Rate | Duration | Window | Start):
            return kind.parse(value)
        case int() | float() if issubclass(kind, Duration) and not isinstance(value, bool):
            return kind(value).checked()
        case str() if kind is Secret:
            return value if isinstance(value, Secret) else Secret(value)
        case str() | Path() if kind is Path and is_path(str(value)):
            return Path(value)
    raise TypeError(kind)
