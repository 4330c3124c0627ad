"""The ``[server]`` table of a new campaign: from a preset's name, or from a host and perhaps a port."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

from batchsend.campaign import is_loopback
from batchsend.campaign.nearest import nearest
from batchsend.campaign.presets import PRESETS
from batchsend.errors import UsageError
from batchsend.scaffold.toml import TomlEntry

if TYPE_CHECKING:
    from batchsend.campaign.presets import Preset

_HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?")
_REMEDY: Final = "expected a host such as smtp.example.com or smtp.example.com:465, or a preset: batchsend presets"

_FROM_THE_ENVIRONMENT: Final = "from the environment: see .env.example"


@dataclass(frozen=True, slots=True)
class RelayAnswers:
    """What stands in ``[server]``.

    Attributes:
        entries: Its keys.
        variables: The environment variables that they need, each with what it holds.
        note: What to know about it; empty where there is nothing.
    """

    entries: list[TomlEntry]
    variables: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def named(cls, text: str) -> Self:
        """The relay that a user names: a preset's name, or ``HOST`` or ``HOST:PORT``.

        Raises:
            UsageError: It is neither.
        """
        text = text.strip()
        preset = PRESETS.get(text.lower())
        if preset is not None:
            return cls._preset(text.lower(), preset)
        match = _HOST_AND_PORT.fullmatch(text)
        # A name without a dot is a host of one's own network, unless it looks like a preset with a slip in it.
        if match is None or ("." not in text and match["port"] is None and not is_loopback(text) and _slip(text)):
            meant = nearest(text, PRESETS)
            raise UsageError(
                f"{text!r} is neither a preset nor a host",
                remedy=_REMEDY if meant is None else f"did you mean {meant}?",
            )
        port = 587 if match["port"] is None else int(match["port"])
        if not 0 < port < 65536:
            raise UsageError(f"{text!r} has no port from 1 to 65535", remedy=_REMEDY)
        host = match["host"].strip("[]")
        answers = cls.at(host, port)
        if "." in host or ":" in host or is_loopback(host):
            return answers
        note = f"{host} is no preset (batchsend presets lists them): it is taken for a host of your network"
        return replace(answers, note=note)

    @classmethod
    def at(cls, host: str, port: int, *, tls: str | None = None, authenticated: bool = True) -> Self:
        """A relay by host and port.

        Args:
            host: Its name or address.
            port: Its port.
            tls: How it is encrypted; None for as the port and the host suggest.
            authenticated: Whether it takes credentials, unless it is on loopback and in the clear.
        """
        by_port = "implicit" if port == 465 else "starttls"
        if tls is None:
            tls = "none" if is_loopback(host) else by_port
        comment = {"implicit": "TLS from the start", "starttls": "STARTTLS", "none": "in the clear"}[tls]
        entries = [TomlEntry("host", host), TomlEntry("port", port, comment if tls == by_port else "")]
        if tls != by_port:
            entries.append(TomlEntry("tls", tls, comment))
        if not authenticated or tls == "none":
            return cls(entries)
        return cls([*entries, *_both()], {"SMTP_USERNAME": f"{host}: its username and password", "SMTP_PASSWORD": ""})

    @classmethod
    def _preset(cls, name: str, preset: Preset) -> Self:
        entries = [TomlEntry("preset", name, f"{preset.title}: {preset.host}, port {preset.port}")]
        if preset.same or preset.username is not None:
            variable = f"{name.upper().replace('-', '_')}_API_KEY"
            entries.append(TomlEntry("password", f"${{{variable}}}", _FROM_THE_ENVIRONMENT))
            return cls(entries, {variable: f"{preset.title}: {preset.credentials}"})
        what = f"{preset.title}: {preset.credentials}"
        return cls([*entries, *_both()], {"SMTP_USERNAME": what, "SMTP_PASSWORD": ""})


def _both() -> list[TomlEntry]:
    return [
        TomlEntry("username", "${SMTP_USERNAME}", _FROM_THE_ENVIRONMENT),
        TomlEntry("password", "${SMTP_PASSWORD}"),
    ]


def _slip(text: str) -> bool:
    return nearest(text, PRESETS) is not None
