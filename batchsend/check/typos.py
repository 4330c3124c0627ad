"""Addresses that were probably meant to be at one of the big domains: the list, and how near is too near."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

# Long enough that one slip away from them there is hardly anybody but those who live on slips.
BIG_PROVIDERS: Final = (
    *("gmail.com", "googlemail.com", "yahoo.com", "yahoo.co.uk", "yahoo.fr", "yahoo.de", "yahoo.co.in", "yahoo.com.br"),
    *("hotmail.com", "hotmail.co.uk", "hotmail.fr", "hotmail.de", "hotmail.it", "outlook.com", "outlook.de"),
    *("outlook.fr", "icloud.com", "comcast.net", "verizon.net", "protonmail.com", "btinternet.com", "t-online.de"),
    *("freenet.de", "wanadoo.fr", "orange.fr", "laposte.net", "libero.it", "rediffmail.com"),
)
# One slip away from one of them, and domains of their own.
ALSO_REAL: Final = frozenset({"mail.com", "email.com", "ymail.com"})
# These are there in many countries, each under its two letters, ...
_INTERNATIONAL: Final = frozenset({"yahoo", "hotmail", "outlook", "orange", "wanadoo"})
# ... of which these are sooner a slip of .com.
_NO_COUNTRY: Final = frozenset({"cm", "co", "om"})


@lru_cache(maxsize=4096)
def likely_meant(domain: str) -> str | None:
    """The big domain that this one is a single slip of the keys away from, or None.

    Args:
        domain: A domain in lower case.
    """
    if domain in BIG_PROVIDERS or domain in ALSO_REAL:
        return None
    name, _, suffix = domain.partition(".")
    country = suffix.rpartition(".")[2]
    if name in _INTERNATIONAL and len(country) == 2 and suffix not in _NO_COUNTRY:
        return None
    return next((big for big in BIG_PROVIDERS if _is_one_slip(domain, big)), None)


def _is_one_slip(one: str, other: str) -> bool:
    """Whether one letter left out, put in, changed or swapped with the next makes one of the other (Damerau)."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    if len(one) == len(other) == 2:
        return one == other[::-1]
    return len(one) <= 1 and len(other) <= 1 and one != other
