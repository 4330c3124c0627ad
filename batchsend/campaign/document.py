"""A campaign file as it is written: its tables, what the command line puts in their place, and names for its keys."""

from __future__ import annotations

import re
import shlex
import tomllib
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from batchsend.campaign.list_names import is_called_a_list
from batchsend.campaign.nearest import suggestion
from batchsend.display import printable
from batchsend.errors import UsageError
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Key = tuple[str | int, ...]
"""The way to a value: table and key names, and places in arrays from 0."""

_LARGEST: Final = 10 * 1024 * 1024
_SHOWN: Final = 60
_ARRAYS: Final[tuple[tuple[str, ...], ...]] = (("server",), ("message", "dkim"))
_SECRET: Final = frozenset({"username", "password", "token"})
_RESULTS_LOG: Final = b'{"run":'
_SYNTAX_ERROR: Final = late_pattern(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)"
)


class Option(NamedTuple):
    """A command-line option, as it was given."""

    name: str
    given: str


class Document:
    """The tables of a campaign file.

    ``[server]`` and ``[message.dkim]`` are kept as arrays of one, so that they read like several ``[[server]]``.

    Attributes:
        path: The file, as it was given.
        tables: Its content.
    """

    def __init__(self, path: Path, tables: dict[str, Any]) -> None:
        self.path = path
        self.tables = tables
        self._options: dict[Key, Option] = {}
        self._single = {array for array in _ARRAYS if isinstance(self.value(array), dict)}
        for array in self._single:
            table = self.value(array[:-1])
            if isinstance(table, dict):
                table[array[-1]] = [table[array[-1]]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and parse a file.

        Raises:
            UsageError: It cannot be read, is larger than 10 MiB, or is not TOML in UTF-8.
        """
        content = _content(path)
        try:
            return cls(path, tomllib.loads(_text(path, content)))
        except UsageError as error:
            raise _taken_for_campaign(path, content) or error from None
        except RecursionError:
            raise UsageError(f"{path}: nested too deeply", remedy="a campaign file has tables within tables") from None
        except ValueError as error:
            raise _taken_for_campaign(path, content) or _syntax_error(path, str(error)) from None

    def put(self, key: tuple[str, ...], value: object, option: Option) -> None:
        """Put an option's value in the place of the file's, in a table that is made if it is not there."""
        table: object = self.tables
        for name in key[:-1]:
            if isinstance(table, dict):
                table = table.setdefault(name, {})
        if isinstance(table, dict):  # Where the file has something else, the check of types says so.
            table[key[-1]] = value
        self._options[key] = option

    def put_server(self, values: dict[str, object], option: Option) -> None:
        """Put an option's values in the place of the first server's; the other servers are left out."""
        servers = self.tables.get("server")
        first = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], dict) else {}
        self.tables["server"] = [first | values]
        self._single.add(("server",))
        self._options.update({("server", 0, name): option for name in values})

    def value(self, key: Key) -> object:
        """What stands there, or None."""
        value: Any = self.tables
        for name in key:
            if isinstance(value, dict):
                value = value.get(str(name))
            elif isinstance(value, list) and isinstance(name, int) and name < len(value):
                value = value[name]
            else:
                return None
        return value

    def wrong(self, key: Key, remedy: str) -> UsageError:
        """The error for a value that is not what it should be."""
        option = self._options.get(key)
        if option is not None:
            return UsageError(f"{option.name} {shown(option.given, quotes='')}", remedy=remedy)
        found = "********" if key[-1] in _SECRET else _found(self.value(key))
        return UsageError(f"{self.path}: {self.name(key)} = {found}", remedy=remedy)

    def missing(self, key: Key, remedy: str) -> UsageError:
        """The error for a key that has to be there and is not."""
        return UsageError(f"{self.path}: {self.name(key)} is missing", remedy=remedy)

    def about(self, key: Key, what: str, remedy: str) -> UsageError:
        """An error about a table or about several of its keys."""
        return UsageError(f"{self.path}: {self.name(key)} {what}", remedy=remedy)

    def refuse_unknown(self, table: Key, known: Iterable[str], elsewhere: dict[str, str]) -> None:
        """Check the keys of one table.

        Args:
            table: The table; one that is absent, or is no table, has no keys.
            known: The keys it may have.
            elsewhere: Where keys of other tables belong.

        Raises:
            UsageError: It has another key; the remedy names the one that was probably meant.
        """
        found = self.value(table)
        if not isinstance(found, dict):
            return
        known = list(known)
        for name in found:
            if name in known:
                continue
            if name in elsewhere:
                remedy = f"it belongs in {elsewhere[name]}"
            else:
                remedy = suggestion(name, known, otherwise=f"the keys here are {', '.join(known)}")
            raise self.about((*table, name), "is not a key that batchsend knows", remedy)

    def name(self, key: Key) -> str:
        """The key as a reader of the file finds it: ``[delivery] rate``, ``[[server]] #2 port``, ``[message]``."""
        tables, last, items = self._split(key)
        if not tables:
            return f"[{last}]" if isinstance(self.value(key), dict) else f"{last}{items}"
        return f"{tables} {last}{items}".rstrip()

    def _split(self, key: Key) -> tuple[str, str, str]:
        """The key's table in brackets, its own name, and its place in an array if it has one."""
        table = items = ""
        for array in _ARRAYS:
            if key[: len(array)] == array and len(key) > len(array):
                name, place = ".".join(array), key[len(array)]
                table = f"[{name}]" if array in self._single else f"[[{name}]] #{int(place) + 1}"
                key = key[len(array) + 1 :]
        for number, place in enumerate(key):
            if isinstance(place, int):  # of a value or, where the array may hold both, of a table
                items = f" #{place + 1}{''.join(f' {_bare(str(inner))}' for inner in key[number + 1 :])}"
                key = key[:number]
                break
        if len(key) > 1:
            table = f"[{'.'.join(_bare(str(name)) for name in key[:-1])}]"
        return table, _bare(str(key[-1])) if key else "", items


def shown(text: str, *, quotes: str = '"') -> str:
    """A text for an error message: what is not printable escaped, what is long cut."""
    if len(text) > _SHOWN:
        text = text[: _SHOWN - 1] + "…"
    return quotes + printable(text) + quotes


def _bare(name: str) -> str:
    """A key as TOML writes it: quoted where it has to be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else shown(name)


def _found(value: object) -> str:
    """A value as TOML writes it, a table or an array by its kind."""
    match value:
        case str():
            return shown(value)
        case bool():
            return "true" if value else "false"
        case dict():
            return "a table"
        case list():
            return "an array" if value else "[]"
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return shown(str(value), quotes="")


def _content(path: Path) -> bytes:
    """The file's octets, or as many of them as are too many."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST + 1)
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory", remedy="name the campaign file in it") from None
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file", remedy="name a campaign file (TOML)") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path} cannot be read: {reason}", remedy="name a campaign file (TOML)") from None


def _text(path: Path, content: bytes) -> str:
    """The file's text, its line ends as they are."""
    if len(content) > _LARGEST:
        raise UsageError(
            f"{path} is larger than 10 MiB",
            remedy="a campaign file is a short TOML file; recipients and templates are files that it names",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8", remedy="save the campaign file as UTF-8") from None


def _taken_for_campaign(path: Path, content: bytes) -> UsageError | None:
    """The error for a list or a results log that was named where a campaign file is expected; None for other files."""
    name = shlex.quote(str(path))
    if content.startswith(_RESULTS_LOG):
        remedy = f"go on with its run: batchsend resume {name}; or see what became of it: batchsend report {name}"
        return UsageError(f"{path} is a results log, not a campaign file", remedy=remedy)
    if is_called_a_list(path):
        remedy = f"make a campaign of it: batchsend init --recipients {name}; or name a campaign file (TOML)"
        return UsageError(f"{path} is a list, not a campaign file", remedy=remedy)
    return None


def _syntax_error(path: Path, text: str) -> UsageError:
    """The parser's error with the line in its usual place."""
    match = _SYNTAX_ERROR.fullmatch(text)
    remedy = "fix the line; texts need quotes, and a key may stand only once in its table"
    if match is None:
        return UsageError(f"{path}: not TOML: {text}", remedy=remedy)
    if match["line"] is None:
        return UsageError(f"{path}: not TOML: {match['what']} at the end of the file", remedy=remedy)
    return UsageError(f"{path}:{match['line']}: not TOML: {match['what']} at column {match['column']}", remedy=remedy)
