"""Certificates for test servers: a private authority, and what clients and servers load from it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """A server's certificate and the authority that vouches for it, as PEM files.

    Attributes:
        ca_file: The authority's certificate: what a client trusts.
        cert_file: The server's certificate chain, for ``localhost`` and ``127.0.0.1``.
        key_file: The server's private key.
    """

    ca_file: Path
    cert_file: Path
    key_file: Path

    def server_context(self) -> ssl.SSLContext:
        """Return a server's TLS context with this certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert_file, self.key_file)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a client's TLS context that trusts this authority alone and checks the name."""
        return ssl.create_default_context(cafile=str(self.ca_file))


def issue(directory: Path, *names: str) -> Certificates:
    """Make an authority and a server certificate in a directory.

    Args:
        directory: Where the PEM files go; it exists.
        names: The names and addresses of the server; by default ``localhost`` and ``127.0.0.1``.
    """
    authority = trustme.CA()
    server = authority.issue_cert(*(names or ("localhost", "127.0.0.1")))
    made = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    authority.cert_pem.write_to_path(made.ca_file)
    made.cert_file.write_bytes(b"".join(part.bytes() for part in server.cert_chain_pems))
    server.private_key_pem.write_to_path(made.key_file)
    made.key_file.chmod(0o600)
    return made
