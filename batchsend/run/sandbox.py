"""The sandbox: an embedded server in the place of the campaign's, with the same TLS and a demand for credentials."""

from __future__ import annotations

import secrets
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from batchsend.campaign import Campaign, Secret, Server
from batchsend.sink import Sink, SinkOptions, parse_rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


# Addresses for trying out what goes wrong; ".example" is nobody's (RFC 2606 §2).
_RULES = (
    parse_rule("reject", "*@rejected.example"),
    parse_rule("defer", "*@deferred.example=450 4.7.1 Greylisted, please try again later"),
    parse_rule("drop", "*@dropped.example=content"),
)


class Sandboxed(NamedTuple):
    """A campaign turned towards the sandbox.

    Attributes:
        campaign: The campaign with the sandbox as its only server.
        context: What verifies the sandbox's certificate; None where the campaign uses no TLS.
        sink: The embedded server, which counts what it receives.
    """

    campaign: Campaign
    context: ssl.SSLContext | None
    sink: Sink


@asynccontextmanager
async def sandbox(campaign: Campaign) -> AsyncIterator[Sandboxed]:
    """Serve on loopback while the context lasts.

    Everything is real, TLS with a verified certificate and AUTH too; the campaign's own credentials are not used, so
    they need not even be set. Recipients in the domains ``rejected.example`` and ``deferred.example`` are refused, for
    good and for now; a message to ``dropped.example`` costs its session the connection before the last reply, and so
    ends in doubt.

    Args:
        campaign: The campaign; its server's ``tls`` is kept.
    """
    server = campaign.servers[0]
    username, password = Secret("sandbox"), Secret(secrets.token_urlsafe(12))
    options = SinkOptions(tls=server.tls, require_auth=True, username=username, password=password, rules=_RULES)
    async with Sink(options) as sink:
        here = Server(host=sink.hosts[0], port=sink.port, tls=server.tls, username=username, password=password)
        yield Sandboxed(
            campaign=msgspec.structs.replace(campaign, servers=(here,)),
            context=None if server.tls == "none" else sink.client_context(),
            sink=sink,
        )
