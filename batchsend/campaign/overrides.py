"""What the command line says in place of the campaign file."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from batchsend.campaign.document import Document, Option, shown
from batchsend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchsend.campaign.model import Tls

_URL_REMEDY: Final = "expected smtp://HOST:PORT or smtps://HOST:PORT"
_OF_EACH_RELAY: Final = frozenset({"max_connections", "max_messages", "depth"})
_HELD: Final = ("server", "max_connections", "max_messages", "depth", "rate")


class Overrides(Struct, frozen=True, kw_only=True):
    """Values that take the place of the campaign file's, each None where the file's stands.

    They are checked as the file's are; an error names the option instead of the key.

    Attributes:
        recipients: ``--recipients``: a path relative to the current directory, or ``-`` for standard input.
        results: ``--results``: a path relative to the current directory.
        server: ``--server``: ``smtp://HOST[:PORT]`` or ``smtps://HOST[:PORT]``. It replaces the first server's host,
            port and tls, keeps its other keys, and leaves further servers out. ``smtps`` is implicit TLS, by default
            on port 465; ``smtp`` is STARTTLS, by default on port 587, but in the clear where the host is loopback.
        max_connections: ``--max-connections``.
        max_messages: ``--max-messages``.
        depth: ``--depth``.
        rate: ``--rate``.
        max_attempts: 1 for ``--no-retry``.
        max_wait: ``forever`` for ``--wait``.
    """

    recipients: str | None = None
    results: str | None = None
    server: str | None = None
    max_connections: int | None = None
    max_messages: int | None = None
    depth: int | None = None
    rate: str | None = None
    max_attempts: int | None = None
    max_wait: str | None = None

    @property
    def held(self) -> dict[str, str | int]:
        """Those that say where and how to send, by name: they hold for whoever goes on with the run.

        The others are of one command: its files, that it offers no record twice, and how long it waits.
        """
        return {name: value for name in _HELD if (value := getattr(self, name)) is not None}

    def upon(self, earlier: Mapping[str, str | int]) -> Self:
        """These and, where they say nothing, those that an earlier run held."""
        kept: dict[str, Any] = {name: earlier[name] for name in _HELD if name in earlier and name not in self.held}
        return replace(self, **kept)

    def lay_over(self, document: Document) -> None:
        """Put the values in the place of the document's.

        Raises:
            UsageError: The server's URL is not one.
        """
        for name in ("recipients", "results"):
            given: str | None = getattr(self, name)
            if given is not None:
                is_stream = name == "recipients" and given == "-"
                # Only made absolute: what an empty or impossible path is, the check of the value says.
                value = given if is_stream or not given else str(Path.cwd() / given)
                document.put((name,), value, Option(f"--{name}", given))
        for name in ("max_connections", "max_messages", "depth", "rate", "max_attempts", "max_wait"):
            value = getattr(self, name)
            if value is not None:
                document.put(("delivery", name), value, Option("--" + name.replace("_", "-"), str(value)))
                _leave_out(document, name)
        if self.server is not None:
            host, port, tls = server_place(self.server)
            document.put_server({"host": host, "port": port, "tls": tls}, Option("--server", self.server))


def _leave_out(document: Document, name: str) -> None:
    """What is said for every relay holds for those, too, that have a limit of their own."""
    servers = document.tables.get("server")
    if name in _OF_EACH_RELAY and isinstance(servers, list):
        for server in servers:
            if isinstance(server, dict):
                server.pop(name, None)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its name or address alone (RFC 6761 §6.3); no name is looked up."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def server_place(url: str) -> tuple[str, int, Tls]:
    """Host, port and kind of TLS of a server's URL, as `Overrides` describes it.

    Raises:
        UsageError: It is not one, or holds credentials.
    """
    if "@" in url:  # The URL is not shown: it may hold a password.
        raise UsageError(
            "--server holds credentials", remedy="put username and password in [server]; the host and port go here"
        )
    failure = UsageError(f"--server {shown(url, quotes='')}", remedy=_URL_REMEDY)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise failure from None
    if (
        parts.scheme not in ("smtp", "smtps")
        or not host
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
    ):
        raise failure
    if parts.scheme == "smtps":
        return host, port if port is not None else 465, "implicit"
    return host, port if port is not None else 587, "none" if is_loopback(host) else "starttls"
