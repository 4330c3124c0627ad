"""From a campaign file to a :class:`Campaign`: types and defaults by msgspec, every error in the file's own terms."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from batchsend.campaign.document import Document, Key
from batchsend.campaign.file import TABLES, File, expected
from batchsend.campaign.model import Campaign, Delivery, SuppressionList
from batchsend.campaign.named_files import is_file
from batchsend.campaign.overrides import Overrides
from batchsend.campaign.rules import check
from batchsend.campaign.values import PROOFS, Duration, Quotas, Rate, Secret, Wait
from batchsend.campaign.windows import Start, Window
from batchsend.errors import is_path, require, require_path
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from msgspec import Struct

    from batchsend.errors import UsageError

_MISSING: Final = late_pattern(r"missing required field `(\w+)`")
_PLACE: Final = late_pattern(r"`\$(?P<place>[^`]*)`$")
_STEP: Final = late_pattern(r"\.(?P<name>\w+)|\[(?P<index>\d+|\.\.\.)\]")
_VARIABLE: Final = late_pattern(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_CREDENTIALS: Final = frozenset({"username", "password", "password_file", "token"})


def load(
    path: Path | str,
    *,
    overrides: Overrides | None = None,
    environ: Mapping[str, str] | None = None,
    resolve_credentials: bool = True,
) -> Campaign:
    """Read a campaign file and check all of it, the files it names included; the recipients file is left to its reader.

    >>> load("campaign.toml").servers[0].host
    '127.0.0.1'

    Args:
        path: The campaign file.
        overrides: What the command line says in its place.
        environ: Where ``${NAME}`` in ``[server]`` is looked up; None for the environment of this process.
        resolve_credentials: False where nothing is sent to the campaign's server: the credentials become None, and
            what they name need not be set.

    Raises:
        UsageError: Something in it is wrong; the message names file and key, or the option, and what was found there;
            the remedy says what is expected.
        TypeError: An argument is of a wrong type.
    """
    path = require_path(path, "path")
    require(overrides, "overrides", Overrides, NoneType)
    require(environ, "environ", Mapping, NoneType)
    require(resolve_credentials, "resolve_credentials", bool)
    document = Document.read(path)
    if overrides is not None:
        overrides.lay_over(document)
    return load_document(document, environ=environ, resolve_credentials=resolve_credentials)


def load_document(
    document: Document, *, environ: Mapping[str, str] | None = None, resolve_credentials: bool = True
) -> Campaign:
    """A campaign from tables that are known already; otherwise as `load`.

    Args:
        document: The tables, and the path of the file that they are of: other paths are relative to its folder.
        environ: As for `load`.
        resolve_credentials: As for `load`.

    Raises:
        UsageError: As `load`.
    """
    path = document.path
    _refuse_unknown_keys(document)
    _apply_presets(document, is_used=resolve_credentials)
    directory = path.parent.resolve()
    names = os.environ if environ is None else environ
    file = _convert(document, directory, _expand(document, names, resolve_credentials=resolve_credentials))
    if not is_path(file.recipients):
        raise document.wrong(("recipients",), f"expected {_expected(('recipients',))}")
    campaign = Campaign(
        path=path,
        directory=directory,
        recipients="-" if file.recipients == "-" else directory / file.recipients,
        results=directory / file.results,
        recipient_field=file.recipient_field,
        encoding=file.encoding,
        sheet=file.sheet,
        where=file.where,
        servers=file.server,
        message=file.message,
        delivery=_with_suppression_lists(file.delivery, directory, document),
        events=file.events,
    )
    check(campaign, document)
    if resolve_credentials:
        _require_password_files(campaign, document)
        return campaign
    nobody = dict.fromkeys(("username", *PROOFS))
    servers = tuple(msgspec.structs.replace(server, **nobody) for server in campaign.servers)
    return msgspec.structs.replace(campaign, servers=servers, events=None)


def _require_password_files(campaign: Campaign, document: Document) -> None:
    for place, server in enumerate(campaign.servers):
        path = server.password_file
        if path is not None and not is_file(path):
            key = ("server", place, "password_file")
            raise document.wrong(key, f"expected {_expected(key)}; {path} is not there, or is none")


def _apply_presets(document: Document, *, is_used: bool) -> None:
    servers = document.tables.get("server")
    if isinstance(servers, list) and any(isinstance(server, dict) and "preset" in server for server in servers):
        from batchsend.campaign import presets  # noqa: PLC0415 - a long table, which most campaigns do not need

        presets.apply(document, is_used=is_used)


def _refuse_unknown_keys(document: Document) -> None:
    home = {
        name: f"[{'.'.join(table)}]" if table else "the file's beginning, before the first [table]"
        for table, struct in TABLES.items()
        for name in _keys(struct)
    }
    for table, struct in TABLES.items():
        for place in _places(document, table):
            document.refuse_unknown(place, _keys(struct), home)


def _places(document: Document, table: tuple[str, ...]) -> Iterator[Key]:
    """Where a table stands: as itself, or as each one of an array of tables."""
    places: list[Key] = [()]
    for name in table:
        places = [place for outer in places for place in _items(document, (*outer, name))]
    yield from places


def _items(document: Document, key: Key) -> list[Key]:
    found = document.value(key)
    return [(*key, number) for number in range(len(found))] if isinstance(found, list) else [key]


def _keys(struct: type[Struct]) -> list[str]:
    return list(struct.__struct_encode_fields__)


def _expand(document: Document, environ: Mapping[str, str], *, resolve_credentials: bool) -> dict[str, Any]:
    """The tables with every ``${NAME}`` in ``[server]`` and ``[events]`` replaced, once.

    Raises:
        UsageError: Variables are not set; all of them are named.
    """
    tables = document.tables
    missing: list[tuple[Key, str]] = []
    events = tables.get("events")
    if isinstance(events, dict) and resolve_credentials:
        expanded_events = {
            name: _expand_text(value, document, ("events", name), environ, missing) if isinstance(value, str) else value
            for name, value in events.items()
        }
        tables = tables | {"events": expanded_events}
    servers = tables.get("server")
    if not isinstance(servers, list):
        return tables
    expanded = []
    for place, server in enumerate(servers):
        if not isinstance(server, dict):
            return tables
        values = dict(server)
        for name, value in server.items():
            if isinstance(value, str) and (resolve_credentials or name not in _CREDENTIALS):
                values[name] = _expand_text(value, document, ("server", place, name), environ, missing)
        expanded.append(values)
    if missing:
        raise _not_set(missing, document, environ)
    return tables | {"server": expanded}


def _expand_text(
    text: str, document: Document, key: Key, environ: Mapping[str, str], missing: list[tuple[Key, str]]
) -> str:
    def look_up(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            raise document.about(key, "has ${ without a variable's name", "write ${NAME}: letters, digits, underscores")
        if not environ.get(name):
            missing.append((key, name))
        return environ.get(name, "")

    return _VARIABLE.sub(look_up, text)


def _not_set(missing: list[tuple[Key, str]], document: Document, environ: Mapping[str, str]) -> UsageError:
    """The error for variables that are not set, all of them in one, each with the first key that needs it."""
    needed: dict[str, Key] = {}
    for needing, its in missing:
        needed.setdefault(its, needing)
    (name, key), *rest = needed.items()
    state = "empty" if name in environ else "not set"
    what = f"needs the environment variable {name}, which is {state}"
    if rest:
        others = (f"{document.name(key)} {name}{' (empty)' if name in environ else ''}" for name, key in rest)
        what = f"{what}; missing as well: {', '.join(others)}"
    return document.about(key, what, f"export {' '.join(f'{name}=…' for name in needed)}")


def _convert(document: Document, directory: Path, tables: dict[str, Any]) -> File:
    def decode(kind: type, value: object) -> object:
        if kind is Quotas:
            return Quotas.parse(value)
        if not isinstance(value, str):
            raise TypeError(kind)
        if kind is Path:
            if not value or "\0" in value:
                raise ValueError(value)
            return directory / value
        if issubclass(kind, Rate | Duration | Wait | Window | Start):
            return kind.parse(value)
        return Secret(value)

    try:
        return msgspec.convert(tables, File, dec_hook=decode)
    except msgspec.ValidationError as error:
        raise _in_the_files_terms(str(error), document) from None


def _with_suppression_lists(delivery: Delivery, directory: Path, document: Document) -> Delivery:
    """The delivery with each file of addresses by its absolute path, as the other files of a campaign are."""
    lists: list[SuppressionList] = []
    for place, given in enumerate(delivery.suppress):
        if isinstance(given, str) and not is_path(given):
            raise document.wrong(("delivery", "suppress", place), "expected the path of a file of addresses")
        lists.append(given if isinstance(given, SuppressionList) else SuppressionList(file=directory / given))
    return msgspec.structs.replace(delivery, suppress=tuple(lists))


def _in_the_files_terms(error: str, document: Document) -> UsageError:
    """The error for the place that msgspec's message names; of its words only "missing" is used."""
    key: Key = ()
    place = _PLACE.search(error)
    for step in _STEP.finditer(place["place"] if place is not None else ""):
        if step["name"] is not None:
            key = (*key, step["name"])
        elif step["index"] != "...":
            key = (*key, int(step["index"]))
        else:  # A value in a table of texts: msgspec does not say which.
            key = (*key, *_first_no_text(document.value(key)))
    missing = _MISSING.search(error)
    if missing is not None:
        key = (*key, missing[1])
        return document.missing(key, f"expected {_expected(key)}")
    return document.wrong((*key, *_first_no_quota(key, document.value(key))), f"expected {_expected(key)}")


def _first_no_quota(key: Key, value: object) -> list[int]:
    """The place of the first text in an array of quotas that is none; nothing where the value is something else."""
    if key[-1:] in (("quota",), ("warm_up",)) and isinstance(value, list):
        for place, text in enumerate(value):
            try:
                Quotas.parse(text)
            except (TypeError, ValueError):
                return [place]
    return []


def _first_no_text(table: object) -> list[str]:
    names = [name for name, value in table.items() if not isinstance(value, str)] if isinstance(table, dict) else []
    return names[:1]


def _expected(key: Key) -> str:
    """What the model says that a key expects: the description of its field, or of the field that it is an item of."""
    names = tuple(name for name in key if isinstance(name, str))
    while names[:-1] not in TABLES:
        names = names[:-1]
    return expected(next(f for f in msgspec.structs.fields(TABLES[names[:-1]]) if f.encode_name == names[-1]))
