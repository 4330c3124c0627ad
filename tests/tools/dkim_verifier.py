"""dkimpy as the verifier of what was signed, with the DNS records that it looks up; and keys to sign with."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from batchsend.message.dkim import Identity
from batchsend.message.dkim_key import SigningKey, dns_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

DOMAIN = "mail.example.com"


@cache
def rsa_key(bits: int = 2048) -> SigningKey:
    """Return one key for all tests: making it takes a moment."""
    return SigningKey(rsa.generate_private_key(65537, bits))


@cache
def ed25519_key() -> SigningKey:
    """Return one key for all tests."""
    return SigningKey(ed25519.Ed25519PrivateKey.generate())


def by_rsa() -> Identity:
    """Return who signs by RSA."""
    return Identity(DOMAIN, "rsa", rsa_key())


def by_ed25519() -> Identity:
    """Return who signs by Ed25519."""
    return Identity(DOMAIN, "ed25519", ed25519_key())


def write_keys(folder: Path, identities: Iterable[Identity]) -> str:
    """Write the keys into a folder, each in a file called as its selector.

    Returns:
        The tables of a campaign file that sign with them.
    """
    tables = ""
    for domain, selector, key in identities:
        path = folder / selector
        path.touch(mode=0o600)
        path.write_bytes(
            key._private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        tables += f'[[message.dkim]]\ndomain = "{domain}"\nselector = "{selector}"\nkey_file = "{path}"\n'
    return tables


def published(identities: Iterable[Identity]) -> dict[str, str]:
    """Return the text records by which the identities' public keys are found."""
    return {f"{one.selector}._domainkey.{one.domain}": dns_record(one.key) for one in identities}


def verdicts(message: bytes, records: Mapping[str, str]) -> list[bool]:
    """Return what the verifier says of each signature of a message, from the top."""

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        record = records.get(name.decode("ascii").rstrip("."))
        return None if record is None else record.encode("ascii")

    head, _, _ = message.partition(b"\r\n\r\n")
    signatures = sum(line.startswith(b"DKIM-Signature:") for line in head.split(b"\r\n"))
    said: list[bool] = []
    for number in range(signatures):
        try:
            said.append(bool(dkim.DKIM(message).verify(idx=number, dnsfunc=look_up)))
        except dkim.DKIMException:
            said.append(False)
    return said
