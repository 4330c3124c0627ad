"""The ``[server]`` tables by which a campaign reaches the tests' real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.servers.postfix import Postfix

_FROM_ENVIRONMENT = {"username": "${SMTP_USERNAME}", "password": "${SMTP_PASSWORD}"}


def credentials(postfix: Postfix) -> dict[str, str]:
    """The environment in which `starttls` and `implicit_tls` find what Postfix wants."""
    return {"SMTP_USERNAME": postfix.username, "SMTP_PASSWORD": postfix.password}


def starttls(postfix: Postfix) -> dict[str, Any]:
    """Postfix's submission port, as RFC 6409 has it: STARTTLS, then AUTH."""
    return _verified(postfix) | {"port": postfix.submission_port, "tls": "starttls"} | _FROM_ENVIRONMENT


def implicit_tls(postfix: Postfix) -> dict[str, Any]:
    """Postfix's submissions port (RFC 8314 §3.3): TLS from the start, then AUTH."""
    return _verified(postfix) | {"port": postfix.smtps_port, "tls": "implicit"} | _FROM_ENVIRONMENT


def plain(port: int) -> dict[str, Any]:
    """A port of any server on loopback that wants neither TLS nor AUTH."""
    return {"host": "127.0.0.1", "port": port, "tls": "none"}


def _verified(postfix: Postfix) -> dict[str, Any]:
    return {"host": postfix.host, "ca_file": str(postfix.ca_file)}
