"""Domains as DMARC sees them: organisational domains, and whether two domains align."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_RESERVED: Final = ("example.com", "example.net", "example.org", "example", "test", "invalid", "localhost")


def organisational(domain: str) -> str:
    """The domain under which somebody registered it, by the public suffix list (RFC 7489 §3.2).

    Args:
        domain: A domain of A-labels or in any script.

    Returns:
        In lower case; a public suffix, and what is under none, is returned as it is.
    """
    name = domain.lower().rstrip(".")
    return _suffixes().privatesuffix(name) or name


def is_registrable(domain: str) -> bool:
    """Whether it is, or is under, a name in a top-level domain that exists."""
    return _real_suffixes().privatesuffix(domain.lower().rstrip(".")) is not None


def align(one: str, other: str, *, strict: bool = False) -> bool:
    """Whether two domains align (RFC 7489 §3.1).

    Args:
        one: A domain.
        other: Another one.
        strict: They have to be the same, instead of having the same organisational domain.
    """
    one, other = one.lower().rstrip("."), other.lower().rstrip(".")
    return one == other or (not strict and organisational(one) == organisational(other))


def is_reserved(domain: str) -> bool:
    """Whether it is nobody's, being reserved for examples and tests (RFC 2606)."""
    name = domain.lower().rstrip(".")
    return any(name == reserved or name.endswith(f".{reserved}") for reserved in _RESERVED)


def host_of(url: str) -> str:
    """The host of a URL in lower case, or an empty text where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - reads a list of ten thousand suffixes

    return PublicSuffixList()


@cache
def _real_suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - reads a list of ten thousand suffixes

    return PublicSuffixList(accept_unknown=False)
