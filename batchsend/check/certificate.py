"""The certificate of a server that has been verified: whose it is, whose word that is, and for how long."""

from __future__ import annotations

import time
from dataclasses import dataclass
from ssl import cert_time_to_seconds
from typing import Any

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a reader wants to know of a certificate.

    Attributes:
        subject: Its common name, or the first of the names it is for.
        issuer: Who issued it.
        days: Days until it expires, whole ones.
    """

    subject: str
    issuer: str
    days: int

    @classmethod
    def read(cls, peer: dict[str, Any]) -> Certificate:
        """Read what `ssl.SSLObject.getpeercert` returns of a certificate that was verified."""
        names = peer.get("subjectAltName") or (("DNS", "?"),)
        seconds = cert_time_to_seconds(str(peer["notAfter"])) - time.time()
        issuer = peer.get("issuer", ())
        return cls(
            subject=_attribute(peer.get("subject", ()), "commonName") or str(names[0][1]),
            issuer=_attribute(issuer, "organizationName") or _attribute(issuer, "commonName") or "?",
            days=int(seconds // _DAY),
        )


def _attribute(name: Any, wanted: str) -> str | None:
    """One attribute of a distinguished name, in the form that the standard library gives it."""
    return next((str(value) for part in name for key, value in part if key == wanted), None)
