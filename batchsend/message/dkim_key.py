"""The private key of a DKIM signature, and the DNS record that publishes its public half."""

from __future__ import annotations

import hashlib
import os
import stat
from base64 import b64decode, b64encode
from functools import partial
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from batchsend.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

SHORTEST_RSA = 1024
"""Bits: verifiers take no shorter key for a signature (RFC 8301 §3.2); 2048 is what new keys should have."""

LONGEST_RSA = 4096
"""Bits: no verifier has to know longer ones (RFC 8301 §3.2)."""

_LARGEST: Final = 64 * 1024
_ED25519_SEED: Final = 32
_REMEDY: Final = (
    "key_file in [message.dkim] names a private key without a password: RSA or Ed25519 as PEM, or Ed25519 in base64"
)


class SigningKey:
    """A key that signs for a domain, by RSA (RFC 6376 §3.3) or Ed25519 (RFC 8463).

    A signature by RSA with 2048 bits takes about 0.3 ms of one core, with 4096 bits 1.5 ms, by Ed25519 0.03 ms. Other
    threads run meanwhile.

    Args:
        private: The key itself; not shown by ``repr()``.

    Attributes:
        algorithm: ``rsa-sha256`` or ``ed25519-sha256``, as the tag a= names it (RFC 6376 §3.5).
        bits: The length of an RSA modulus; 256 for Ed25519.
    """

    __slots__ = ("_private", "_sign", "algorithm", "bits")

    def __init__(self, private: RSAPrivateKey | Ed25519PrivateKey) -> None:
        self._private = private
        if isinstance(private, RSAPrivateKey):
            self.algorithm = "rsa-sha256"
            self.bits = private.key_size
            self._sign = partial(private.sign, padding=PKCS1v15(), algorithm=hashes.SHA256())
        else:
            self.algorithm = "ed25519-sha256"
            self.bits = 256
            self._sign = partial(_sign_digest, private)

    def sign(self, text: bytes) -> bytes:
        """The signature of a text of any length, as the algorithm defines it."""
        return self._sign(text)

    @property
    def public(self) -> bytes:
        """The public key as the tag p= of a DNS record holds it, before base64."""
        if isinstance(self._private, RSAPrivateKey):
            # RFC 6376 §3.6.1 says RSAPublicKey; what is published and read is SubjectPublicKeyInfo.
            return self._private.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        return self._private.public_key().public_bytes_raw()


def _sign_digest(private: Ed25519PrivateKey, text: bytes) -> bytes:
    """RFC 8463 §3: what PureEdDSA signs is the text's SHA-256, not the text."""
    return private.sign(hashlib.sha256(text).digest())


def dns_record(key: SigningKey) -> str:
    """The text of the TXT record at ``SELECTOR._domainkey.DOMAIN`` that publishes a key (RFC 6376 §3.6.1, RFC 8463 §4).

    One of RSA is longer than the 255 octets of one character-string: in a zone file it is written as several, which
    readers join without anything between them (§3.6.2.2).
    """
    kind = key.algorithm.removesuffix("-sha256")
    return f"v=DKIM1; k={kind}; p={b64encode(key.public).decode('ascii')}"


def read_key(path: Path) -> SigningKey:
    """Read a private key: PEM (PKCS #8, or PKCS #1 for RSA), or the 32 octets of an Ed25519 key in base64.

    Raises:
        UsageError: It cannot be read, everybody on the machine may read it, it is encrypted, of another kind, too
            short or too long.
    """
    content = _content(path)
    private = _from_pem(content, path) if b"-----BEGIN " in content else _from_base64(content)
    if private is None:
        raise UsageError(f"{path} holds no private key", remedy=_REMEDY)
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise UsageError(f"{path} holds a key of another kind than RSA and Ed25519", remedy=_REMEDY)
    if isinstance(private, RSAPrivateKey) and not SHORTEST_RSA <= private.key_size <= LONGEST_RSA:
        raise UsageError(
            f"{path} holds an RSA key of {private.key_size} bits, with which no verifier has to agree (RFC 8301)",
            remedy=f"make one of 2048 bits; {SHORTEST_RSA} is the least and {LONGEST_RSA} the most",
        )
    return SigningKey(private)


def _content(path: Path) -> bytes:
    try:
        # Not blocking, as opening a FIFO would wait for its writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{path} is not a regular file", remedy=_REMEDY)
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", remedy=_REMEDY) from None
    if len(content) > _LARGEST:
        raise UsageError(f"{path} is too large for a private key", remedy=_REMEDY)
    if os.name == "posix" and status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        # Whoever has the key can write in the domain's name.
        raise UsageError(
            f"{path} holds a private key that every user of this machine may read or change",
            remedy=f"chmod o= {path}; and a new key, if others had access",
        )
    return content


def _from_pem(content: bytes, path: Path) -> PrivateKeyTypes | None:
    try:
        return serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise UsageError(f"{path} holds a private key that is encrypted", remedy=_REMEDY) from None
    except (ValueError, UnsupportedAlgorithm):
        return None


def _from_base64(content: bytes) -> Ed25519PrivateKey | None:
    try:
        seed = b64decode(b"".join(content.split()), validate=True)
    except ValueError:
        return None
    return Ed25519PrivateKey.from_private_bytes(seed) if len(seed) == _ED25519_SEED else None
