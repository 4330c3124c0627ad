"""Private keys for DKIM: every usual form is read, everything else is refused by file, reason and remedy."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519

from batchsend.errors import UsageError
from batchsend.message.dkim_key import SigningKey, dns_record, read_key

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PKCS1 = serialization.PrivateFormat.TraditionalOpenSSL
PLAIN = serialization.NoEncryption()

# RFC 8463, appendix A.
SEED = b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
RECORD = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

RSA = rsa.generate_private_key(65537, 1024)


def pem(key: PrivateKeyTypes, form: serialization.PrivateFormat = PKCS8) -> bytes:
    return key.private_bytes(PEM, form, PLAIN)


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as error:
        read_key(path)
    assert str(path) in error.value.message
    assert error.value.remedy
    return error.value.message.replace(str(path), "FILE")


@pytest.mark.parametrize("form", [PKCS8, PKCS1], ids=["PKCS #8", "PKCS #1"])
def test_rsa_is_read_as_pem(tmp_path: Path, form: serialization.PrivateFormat) -> None:
    key = read_key(key_file(tmp_path, b"a comment\r\n" + pem(RSA, form).replace(b"\n", b"\r\n")))
    assert (key.algorithm, key.bits) == ("rsa-sha256", 1024)
    RSA.public_key().verify(key.sign(b"text"), b"text", padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("content", [SEED, b" " + SEED[:20] + b"\r\n" + SEED[20:] + b"\n"])
def test_ed25519_is_read_in_base64(tmp_path: Path, content: bytes) -> None:
    assert dns_record(read_key(key_file(tmp_path, content))) == RECORD


def test_ed25519_is_read_as_pem(tmp_path: Path) -> None:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(b64decode(SEED))
    key = read_key(key_file(tmp_path, pem(private)))
    assert (key.algorithm, key.bits) == ("ed25519-sha256", 256)
    assert dns_record(key) == RECORD


def test_the_record_of_an_rsa_key_holds_its_public_half(tmp_path: Path) -> None:
    record = dns_record(SigningKey(RSA))
    assert record.startswith("v=DKIM1; k=rsa; p=")
    public = serialization.load_der_public_key(b64decode(record.partition("p=")[2], validate=True))
    assert public == RSA.public_key()


def test_a_key_does_not_show_itself() -> None:
    shown = repr(SigningKey(RSA)) + str(SigningKey(RSA))
    assert str(RSA.private_numbers().d) not in shown
    assert "PrivateKey" not in shown


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent") == "FILE cannot be read: No such file or directory"
    assert refusal(tmp_path) == "FILE cannot be read: Is a directory"
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert refusal(tmp_path / "pipe") == "FILE is not a regular file"
    assert refusal(key_file(tmp_path, b"A" * 70_000)) == "FILE is too large for a private key"


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_a_key_that_everybody_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    assert "every user of this machine" in refusal(key_file(tmp_path, SEED, mode))


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640])
def test_a_key_that_some_may_read_is_read(tmp_path: Path, mode: int) -> None:
    assert read_key(key_file(tmp_path, SEED, mode)).bits == 256


def test_a_key_with_a_password_is_refused(tmp_path: Path) -> None:
    for form in (PKCS8, PKCS1):
        locked = RSA.private_bytes(PEM, form, serialization.BestAvailableEncryption(b"secret"))
        assert refusal(key_file(tmp_path, locked)) == "FILE holds a private key that is encrypted"


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ed448.Ed448PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
    ],
    ids=["EC", "Ed448", "X25519"],
)
def test_a_key_of_another_kind_is_refused(tmp_path: Path, key: PrivateKeyTypes) -> None:
    assert refusal(key_file(tmp_path, pem(key))) == "FILE holds a key of another kind than RSA and Ed25519"


def rsa_of(p: int, q: int) -> rsa.RSAPrivateKey:
    """A key of two primes: where the library makes none of that length, or takes too long for it."""
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


@pytest.mark.parametrize(
    ("p", "q", "bits"),
    [
        pytest.param(2**256 - 189, 2**255 - 19, 511, id="short"),
        pytest.param(2**2203 - 1, 2**2281 - 1, 4484, id="long", marks=pytest.mark.slow),
    ],
)
def test_an_rsa_key_that_no_verifier_has_to_take_is_refused(tmp_path: Path, p: int, q: int, bits: int) -> None:
    found = refusal(key_file(tmp_path, pem(rsa_of(p, q))))
    assert found == f"FILE holds an RSA key of {bits} bits, with which no verifier has to agree (RFC 8301)"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 32,
        SEED[:-4],
        SEED[:-1],
        b64encode(b"x" * 33),
        b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=?",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN NONSENSE-----\nAAAA\n-----END NONSENSE-----\n",
        RSA.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        pem(RSA)[:200],
    ],
)
def test_what_holds_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    assert refusal(key_file(tmp_path, content)) == "FILE holds no private key"
