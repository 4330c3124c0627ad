"""What the DNS lets receivers find out about a sender, requirement by requirement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Compliance(StrEnum):
    """Whether a requirement is met."""

    MET = "met"
    UNMET = "not met"
    UNKNOWN = "not known"


@dataclass(slots=True)
class Authentication:
    """What was found out about a campaign's domains.

    Attributes:
        spf: The domain of the return path has a usable SPF record.
        dkim: There is a usable key for the signature.
        dmarc: The domain of From has a usable DMARC record.
        spf_aligned: The domain that SPF is about aligns with From.
        dkim_aligned: The domain that signs aligns with From.
    """

    spf: Compliance = Compliance.UNKNOWN
    dkim: Compliance = Compliance.UNKNOWN
    dmarc: Compliance = Compliance.UNKNOWN
    spf_aligned: Compliance = Compliance.UNKNOWN
    dkim_aligned: Compliance = Compliance.UNKNOWN

    @property
    def aligned(self) -> Compliance:
        """DMARC can pass by one of the two (RFC 7489 §4.2)."""
        ways = (_both(self.spf, self.spf_aligned), _both(self.dkim, self.dkim_aligned))
        if Compliance.MET in ways:
            return Compliance.MET
        return Compliance.UNKNOWN if Compliance.UNKNOWN in ways else Compliance.UNMET


def _both(one: Compliance, other: Compliance) -> Compliance:
    if Compliance.UNMET in (one, other):
        return Compliance.UNMET
    return Compliance.MET if one is other is Compliance.MET else Compliance.UNKNOWN
