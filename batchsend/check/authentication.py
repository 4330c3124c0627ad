"""What the DNS lets receivers find out about a sender, requirement by requirement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
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

    spf: State = State.UNKNOWN
    dkim: State = State.UNKNOWN
    dmarc: State = State.UNKNOWN
    spf_aligned: State = State.UNKNOWN
    dkim_aligned: State = State.UNKNOWN

    @property
    def aligned(self) -> State:
        """DMARC can pass by one of the two (RFC 7489 §4.2)."""
        ways = (_both(self.spf, self.spf_aligned), _both(self.dkim, self.dkim_aligned))
        if State.MET in ways:
            return State.MET
        return State.UNKNOWN if State.UNKNOWN in ways else State.UNMET


def _both(one: State, other: State) -> State:
    if State.UNMET in (one, other):
        return State.UNMET
    return State.MET if one is other is State.MET else State.UNKNOWN
