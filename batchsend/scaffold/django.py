"""Makes a relay and a sender from the e-mail settings of a Django project, which are read and not run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.campaign import is_loopback
from batchsend.errors import UsageError
from batchsend.scaffold.relay import RelayAnswers
from batchsend.scaffold.toml import TomlEntry

if TYPE_CHECKING:
    from pathlib import Path

# Django's own defaults; docs.djangoproject.com/en/stable/ref/settings
_DEFAULTS: Final[dict[str, str | int | bool]] = {
    "EMAIL_HOST": "localhost",
    "EMAIL_PORT": 25,
    "EMAIL_USE_TLS": False,
    "EMAIL_USE_SSL": False,
    "EMAIL_HOST_USER": "",
    "EMAIL_HOST_PASSWORD": "",
    "DEFAULT_FROM_EMAIL": "webmaster@localhost",
}
_LEFT_OUT: Final = {
    "EMAIL_TIMEOUT": "batchsend has a time of its own for each step: [delivery.timeouts]",
    "EMAIL_SSL_CERTFILE": "batchsend authenticates by password or token",
    "EMAIL_SSL_KEYFILE": "batchsend authenticates by password or token",
}
# Ways to say that a setting comes from the environment: os, django-environ, python-decouple.
_LOOK_UPS: Final = frozenset({"getenv", "get", "env", "str", "config"})


class _Variable(NamedTuple):
    """A setting that comes from an environment variable."""

    name: str


_Value = str | int | bool | _Variable


class Settings(NamedTuple):
    """What a Django project sends through, and as whom.

    Attributes:
        relay: What stands in ``[server]``.
        sender: Its ``DEFAULT_FROM_EMAIL``.
        notes: What is different, one line each.
    """

    relay: RelayAnswers
    sender: str
    notes: list[str]


def read_settings(path: Path) -> Settings:
    """Read ``EMAIL_*`` and ``DEFAULT_FROM_EMAIL`` out of a settings module.

    Raises:
        UsageError: It cannot be read; or a setting is neither a literal nor an environment variable.
    """
    found, notes = _assignments(path)
    values = {**_DEFAULTS, **found}
    host, port = _text(path, values, "EMAIL_HOST"), values["EMAIL_PORT"]
    if type(port) is not int or not 0 < port < 65536:
        raise _not_literal(path, "EMAIL_PORT", "expected a port number")
    if values["EMAIL_USE_TLS"] and values["EMAIL_USE_SSL"]:
        raise UsageError(f"{path}: EMAIL_USE_TLS and EMAIL_USE_SSL are both true", remedy="Django allows one of them")
    tls = "implicit" if values["EMAIL_USE_SSL"] else "starttls" if values["EMAIL_USE_TLS"] else "none"
    if tls == "none" and values["EMAIL_HOST_USER"] and not is_loopback(host):
        tls = "starttls"
        notes.append("STARTTLS is used although EMAIL_USE_TLS is not: credentials are never sent in the clear")
    relay = RelayAnswers.at(host, port, tls=tls, authenticated=False)
    if values["EMAIL_HOST_USER"]:
        relay = _with_credentials(relay, values)
    return Settings(relay, _text(path, values, "DEFAULT_FROM_EMAIL"), notes)


def _with_credentials(relay: RelayAnswers, values: dict[str, _Value]) -> RelayAnswers:
    """The relay with the variables that the settings name; a literal is a secret that belongs in one."""
    entries, variables = list(relay.entries), {}
    for key, setting in (("username", "EMAIL_HOST_USER"), ("password", "EMAIL_HOST_PASSWORD")):
        value = values[setting]
        name = value.name if isinstance(value, _Variable) else f"SMTP_{key.upper()}"
        entries.append(TomlEntry(key, f"${{{name}}}", f"Django's {setting}"))
        variables[name] = f"Django's {setting}"
    return RelayAnswers(entries, variables)


_LARGEST: Final = 1 << 20
"""Octets of a settings module: Python takes a hundred times as much memory to read one."""


def _assignments(path: Path) -> tuple[dict[str, _Value], list[str]]:
    """The settings that the module assigns at its top level, the last one winning, and notes on those left out."""
    try:
        with path.open("rb") as file:
            source = file.read(_LARGEST + 1)
        if len(source) > _LARGEST:
            raise UsageError(f"{path} is larger than {_LARGEST >> 20} MiB", remedy="name the settings.py")
        module = ast.parse(source, filename=str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", remedy="name the settings.py") from None
    except (SyntaxError, ValueError, RecursionError) as error:
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UsageError(f"{path} is not Python: {what}", remedy="name the settings.py") from None
    found: dict[str, _Value] = {}
    notes: list[str] = []
    for statement in module.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for name in (target.id for target in targets if isinstance(target, ast.Name)):
            if name in _DEFAULTS:
                found[name] = _value(path, name, statement.value)
            elif name in _LEFT_OUT:
                notes.append(f"{name} is left out: {_LEFT_OUT[name]}")
    return found, notes


def _value(path: Path, name: str, node: ast.expr) -> _Value:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int):
        return node.value
    argument: ast.expr | None = None
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
        argument = node.slice
    elif isinstance(node, ast.Call) and node.args and ast.unparse(node.func).rpartition(".")[2] in _LOOK_UPS:
        argument = node.args[0]
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return _Variable(argument.value)
    raise _not_literal(path, name, "expected a literal, or an environment variable by os.environ")


def _text(path: Path, values: dict[str, _Value], name: str) -> str:
    value = values[name]
    if not isinstance(value, str):
        raise _not_literal(path, name, "expected a text that stands in the settings")
    return value


def _not_literal(path: Path, name: str, expected: str) -> UsageError:
    return UsageError(
        f"{path}: {name} cannot be taken from there: settings are read, not run", remedy=f"{expected}; or use --relay"
    )
