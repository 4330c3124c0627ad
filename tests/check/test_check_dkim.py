"""DKIM keys that receivers cannot use, and what is said of them; asked of a real DNS server."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from batchsend.check import Severity
from batchsend.check.authentication import Compliance
from batchsend.check.sender import Signing
from tests.check.harness import ask, found, kinds

if TYPE_CHECKING:
    from tests.check.name_server import Zone

NAME = "s1._domainkey.example.com"
BEYOND = {"dkim-short", "dkim-ed25519", "dkim-testing"}


def rsa(bits: int, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    """A public key of so many bits; a modulus that nobody can factor is not needed to look at its length."""
    key = RSAPublicNumbers(65537, (1 << bits) - 159).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, form)).decode()


# The keys are the same in every process: they are in the names of tests, which processes that share the work compare.
SEED = bytes(range(32))
ED25519 = base64.b64encode(Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()).decode()
CURVE = base64.b64encode(
    derive_private_key(4711, SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


def zone(*records: str) -> Zone:
    """A domain with these keys, and everything else as it should be."""
    return {
        "example.com TXT": ["v=spf1 mx -all"],
        "example.com MX": ["10 mail.example.com."],
        "_dmarc.example.com TXT": ["v=DMARC1; p=reject; rua=mailto:d@example.com"],
        f"{NAME} TXT": list(records),
    }


SIGNED = Signing("example.com", "s1")


@pytest.mark.parametrize(
    ("record", "kind", "usable"),
    [
        (f"v=DKIM1; k=rsa; p={rsa(2048)}", None, True),
        (f"p={rsa(2048, PublicFormat.PKCS1)}", None, True),
        (f"v=DKIM1; p={rsa(2048)[:50]} {rsa(2048)[50:]};", None, True),
        (f"v=DKIM1; p={rsa(1024)}", "dkim-short", True),
        (f"v=DKIM1; p={rsa(1016)}", "dkim-weak", False),
        (f"v=DKIM1; k=ed25519; p={ED25519}", "dkim-ed25519", True),
        (f"v=DKIM1; t=y:s; p={rsa(2048)}", "dkim-testing", True),
        ("v=DKIM1; p=", "dkim-revoked", False),
        ("v=DKIM1; k=rsa", "dkim-syntax", False),
        (f"v=DKIM2; p={rsa(2048)}", "dkim-syntax", False),
        ("v=DKIM1; p=not base64!", "dkim-syntax", False),
        (f"v=DKIM1; k=rsa; p={ED25519}", "dkim-syntax", False),
        (f"v=DKIM1; k=rsa; p={CURVE}", "dkim-syntax", False),
        (f"v=DKIM1; k=dsa; p={rsa(2048)}", "dkim-syntax", False),
        (f"v=DKIM1; p={rsa(2048)}; p={rsa(2048)}", "dkim-syntax", False),
        ("no tags at all", "dkim-syntax", False),
    ],
)
async def test_a_key(record: str, kind: str | None, *, usable: bool) -> None:
    section, authentication = await ask(zone(record), SIGNED)
    assert kinds(section) == ({kind} if kind else set())
    assert authentication.dkim is (Compliance.MET if usable else Compliance.UNMET)
    assert authentication.dkim_aligned is Compliance.MET
    if kind:
        assert found(kind, section).severity is (Severity.NOTE if kind in BEYOND else Severity.WARNING)
    assert ("DKIM key" in section.facts) is (usable or kind == "dkim-weak")


async def test_no_key_and_what_to_publish() -> None:
    section, authentication = await ask(zone(), SIGNED._replace(record="v=DKIM1; p=AAAA"))
    finding = found("dkim-missing", section)
    assert finding.remedy == f'publish at {NAME}: "v=DKIM1; p=AAAA"'
    assert authentication.dkim is Compliance.UNMET


async def test_two_keys_at_one_name() -> None:
    record = f"v=DKIM1; p={rsa(2048)}"
    section, authentication = await ask(zone(record, f"{record};"), SIGNED)
    assert found("dkim-several", section).where == f"TXT {NAME}"
    assert authentication.dkim is Compliance.UNMET


async def test_a_key_that_is_not_the_one_that_signs() -> None:
    record = f"v=DKIM1; p={rsa(2048)}"
    section, authentication = await ask(zone(record), SIGNED._replace(record=f"v=DKIM1; p={rsa(2056)}"))
    assert rsa(2056) in (found("dkim-differs", section).remedy or "")
    assert authentication.dkim is Compliance.UNMET
    section, authentication = await ask(zone(record), SIGNED._replace(record=record))
    assert kinds(section) == set()
    assert authentication.dkim is Compliance.MET


async def test_one_good_signature_is_enough() -> None:
    section, authentication = await ask(zone(f"v=DKIM1; p={rsa(2048)}"), Signing("example.com", "s2"), SIGNED)
    assert kinds(section) == {"dkim-missing"}
    assert authentication.dkim is Compliance.MET


async def test_a_signature_for_another_domain() -> None:
    elsewhere = {"s1._domainkey.example.net TXT": [f"v=DKIM1; p={rsa(2048)}"]}
    section, authentication = await ask({**zone(), **elsewhere}, Signing("example.net", "s1"))
    assert found("dkim-alignment", section).remedy == "sign for example.com"
    assert (authentication.dkim, authentication.dkim_aligned) == (Compliance.MET, Compliance.UNMET)


async def test_a_strict_policy_wants_exactly_the_domain() -> None:
    strict = {"_dmarc.example.com TXT": ["v=DMARC1; p=reject; adkim=s; rua=mailto:d@example.com"]}
    key = {"s1._domainkey.mail.example.com TXT": [f"v=DKIM1; p={rsa(2048)}"]}
    section, authentication = await ask({**zone(), **strict, **key}, Signing("mail.example.com", "s1"))
    assert kinds(section) == {"dkim-alignment"}
    assert authentication.dkim_aligned is Compliance.UNMET


async def test_without_a_selector_the_dns_still_tells_whether_there_is_any_key() -> None:
    section, authentication = await ask(zone("x"))
    assert "--dkim-selector" in (found("dkim-unknown", section).remedy or "")
    assert authentication.dkim is Compliance.UNKNOWN
    section, authentication = await ask({name: texts for name, texts in zone("x").items() if NAME not in name})
    assert found("dkim-none", section).severity is Severity.WARNING
    assert authentication.dkim is Compliance.UNMET
