"""DKIM (RFC 6376): whether the key is there that receivers verify signatures with, and is good for it."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from batchsend.check.authentication import Compliance

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from batchsend.check.finding import Section
    from batchsend.check.lookup import Lookup

_LEAST_BITS: Final = 1024  # RFC 8301 §3.2: verifiers take nothing shorter
_GOOD_BITS: Final = 2048
_ED25519_OCTETS: Final = 32


async def check_key(
    domain: str, selector: str, lookup: Lookup, section: Section, *, expected: str | None = None
) -> Compliance:
    """Look at the public key of one selector.

    Args:
        domain: The domain that signs.
        selector: Which of its keys.
        lookup: Whom to ask.
        section: Where findings go.
        expected: The record that goes with the private key, or None where that is not known.

    Returns:
        Whether receivers can make use of it.

    Raises:
        UnansweredError: The DNS did not say.
    """
    name = f"{selector}._domainkey.{domain}"
    where = f"TXT {name}"
    remedy = (
        f'publish at {name}: "{expected}"' if expected else f"publish at {name} the record that your relay gives you"
    )
    records = (await lookup.texts(name)).records
    if not records:
        section.warning(
            "dkim-missing", "there is no DKIM key: signatures cannot be verified", where=where, remedy=remedy
        )
        return Compliance.UNMET
    if len(records) > 1:
        what = f"there are {len(records)} records, and receivers take one of them, or none (RFC 6376 §3.6.2.2)"
        section.warning("dkim-several", what, where=where, remedy="leave one")
        return Compliance.UNMET
    tags = read_tags(records[0])
    if tags is None or "p" not in tags or tags.get("v", "DKIM1") != "DKIM1":
        what = "the DKIM record cannot be read: receivers ignore it"
        section.warning("dkim-syntax", what, where=where, remedy=remedy)
        return Compliance.UNMET
    if "y" in tags.get("t", "").split(":"):
        what = "the key is marked as a test (t=y): some receivers treat its messages as unsigned"
        section.note("dkim-testing", what, where=where, remedy="take t=y out when you are done")
    if not _look_at_key(tags, section, where, remedy):
        return Compliance.UNMET
    wanted = None if expected is None else read_tags(expected)
    if wanted is not None and _squeezed(wanted["p"]) != _squeezed(tags["p"]):
        what = "the key is another than the one the campaign signs with: every signature fails"
        section.warning("dkim-differs", what, where=where, remedy=remedy)
        return Compliance.UNMET
    return Compliance.MET


async def look_for_any_key(domain: str, lookup: Lookup, section: Section) -> Compliance:
    """Find out what can be known where no selector is: that there cannot be a key.

    Raises:
        UnansweredError: The DNS did not say.
    """
    name = f"_domainkey.{domain}"
    if await lookup.exists(name):  # RFC 8020: what exists below a name makes the name exist
        section.note(
            "dkim-unknown",
            "there are DKIM keys, and which of them the relay signs with is not known",
            where=f"TXT {name}",
            remedy="name it by --dkim-selector to have it looked at",
        )
        return Compliance.UNKNOWN
    section.warning(
        "dkim-none",
        "there is no DKIM key at all: messages are unsigned, or signed for another domain",
        where=f"TXT {name}",
        remedy="have your relay sign for this domain, and publish the key that it gives you",
    )
    return Compliance.UNMET


def _look_at_key(tags: dict[str, str], section: Section, where: str, remedy: str) -> bool:
    """Whether the key itself can be used."""
    kind = tags.get("k", "rsa")
    if not tags["p"]:
        section.warning("dkim-revoked", "the DKIM key is revoked (p= is empty)", where=where, remedy=remedy)
        return False
    try:
        octets = base64.b64decode(_squeezed(tags["p"]), validate=True)
        bits = 256 if kind == "ed25519" and len(octets) == _ED25519_OCTETS else _rsa(octets).key_size
    except (binascii.Error, ValueError):
        bits = 0
    if kind not in ("rsa", "ed25519") or not bits:
        section.warning("dkim-syntax", f"p= holds no {kind} key", where=where, remedy=remedy)
        return False
    section.facts["DKIM key"] = f"{where.removeprefix('TXT ')}: {kind}, {bits:,} bits"
    if kind == "ed25519":
        what = "Ed25519 (RFC 8463) is not verified by all large providers yet"
        section.note("dkim-ed25519", what, where=where, remedy="sign with an RSA key besides")
    elif bits < _LEAST_BITS:
        what = f"the DKIM key has {bits} bits, and receivers take none below {_LEAST_BITS} (RFC 8301)"
        section.warning("dkim-weak", what, where=where, remedy=f"make one of {_GOOD_BITS} bits")
        return False
    elif bits < _GOOD_BITS:
        what = f"the DKIM key has {bits:,} bits; {_GOOD_BITS:,} is what is asked for today (RFC 8301)"
        section.note("dkim-short", what, where=where, remedy=f"make one of {_GOOD_BITS} bits")
    return True


def _rsa(octets: bytes) -> RSAPublicKey:
    """A key as SubjectPublicKeyInfo or as RSAPublicKey; both are met with (RFC 6376, erratum 3017).

    Raises:
        ValueError: It is neither.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    try:
        key = load_der_public_key(octets)
    except UnsupportedAlgorithm as error:
        raise ValueError("another kind of key") from error
    if not isinstance(key, RSAPublicKey):
        raise ValueError("another kind of key")  # noqa: TRY004 - what was published is wrong, not the caller
    return key


def _squeezed(text: str) -> str:
    """Base64 without the white space that may stand in it (RFC 6376 §3.2)."""
    return "".join(text.split())


def read_tags(text: str) -> dict[str, str] | None:
    """The tags of a tag=value list and their values, in order (RFC 6376 §3.2; DMARC policies are such lists, too).

    None where it is no such list, or a tag stands in it twice. White space around names and values is taken off; a name
    is kept as it is, because case counts.
    """
    tags: dict[str, str] = {}
    for part in text.rstrip().removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier() or name in tags:
            return None
        tags[name] = value.strip()
    return tags
