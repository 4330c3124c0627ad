"""Warnings about a campaign: settings that are allowed and seldom meant, told once before anything is sent."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from batchsend.campaign.overrides import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batchsend.campaign.model import Server

_RELAYING: Final = 25
# Names that are nobody's on the Internet (RFC 6761, RFC 6762, RFC 8375; .internal is ICANN's for private use).
_PRIVATE: Final = (".local", ".internal", ".home.arpa", ".test", ".lan")


def server_warnings(servers: Iterable[Server]) -> Iterator[str]:
    """What to say about the servers of a campaign, one line each.

    Port 25 is for relaying between servers; submission has ports of its own (RFC 6409 §3.1, RFC 8314 §3).
    """
    for server in servers:
        if server.port != _RELAYING or is_loopback(server.host):
            continue
        if server.username is not None:
            what = "credentials on port 25"
        elif _is_public(server.host):
            what = "port 25 of a public relay"
        else:
            continue
        yield (
            f"{server.host}: {what}, which is for mail between servers and which many networks block or slow down; "
            "relays take submissions on port 587 (STARTTLS) or 465 (TLS from the start)"
        )


def _is_public(host: str) -> bool:
    """Whether a host is on the Internet by its name or address alone; no name is looked up."""
    try:
        return ip_address(host).is_global
    except ValueError:
        name = host.lower().removesuffix(".")
        return "." in name and not name.endswith(_PRIVATE)
