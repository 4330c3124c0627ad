"""What large mailbox providers ask of who sends in bulk, and which of it a campaign meets."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.check.authentication import Authentication, Compliance
from batchsend.check.finding import Section, Severity
from batchsend.check.message import BULK

if TYPE_CHECKING:
    from batchsend.check.message import Seen

# As the providers' own guidelines for senders name them; companies' domains that they host are not known by name.
_DOMAINS: Final = {
    **dict.fromkeys(("gmail.com", "googlemail.com"), "Gmail"),
    **dict.fromkeys(("yahoo.com", "ymail.com", "rocketmail.com", "aol.com", "aim.com"), "Yahoo"),
    **dict.fromkeys(("outlook.com", "hotmail.com", "live.com", "msn.com"), "Outlook.com"),
}
_NATIONAL: Final = {"yahoo": "Yahoo", "hotmail": "Outlook.com", "live": "Outlook.com", "outlook": "Outlook.com"}


class Requirement(NamedTuple):
    """Something that providers ask for.

    Attributes:
        name: What.
        state: Whether it is met.
        asked_by: Who asks for it.
        remedy: What to do where it is not met.
    """

    name: str
    state: Compliance
    asked_by: str
    remedy: str


@lru_cache(maxsize=4096)
def provider_of(domain: str) -> str | None:
    """The large provider whose mailboxes a domain has, or None.

    Args:
        domain: A domain in lower case.
    """
    name, _, suffix = domain.partition(".")
    national = _NATIONAL.get(name) if len(suffix.rpartition(".")[2]) == 2 else None
    return _DOMAINS.get(domain) or national


def requirements(authentication: Authentication, seen: Seen, tls: Compliance) -> list[Requirement]:
    """What is asked of senders of 5,000 messages a day and more, and whether it is met.

    Gmail's and Yahoo's since February 2024, Outlook.com's since May 2025. What depends on the relay's addresses (their
    reverse DNS) and on the recipients (less than 0.3 % of them complain) cannot be seen from here.

    Args:
        authentication: What the DNS says.
        seen: What the messages say.
        tls: Whether messages go to the relay by TLS.
    """
    everyone = "Gmail, Yahoo, Outlook.com"
    one_click = Compliance.MET if seen.one_click else Compliance.UNMET
    return [
        Requirement("SPF", authentication.spf, everyone, "publish an SPF record for the return path's domain"),
        Requirement("DKIM", authentication.dkim, everyone, "have messages signed for the domain of From"),
        Requirement("DMARC", authentication.dmarc, everyone, "publish a DMARC record for the domain of From"),
        Requirement(
            "alignment", authentication.aligned, everyone, "sign for, or have a return path at, the domain of From"
        ),
        Requirement(
            "one-click unsubscribe", one_click, "Gmail, Yahoo", "set List-Unsubscribe and List-Unsubscribe-Post"
        ),
        Requirement("TLS", tls, "Gmail", 'set tls in [server] to "starttls" or "implicit"'),
    ]


def judge(asked: list[Requirement], ready: int) -> Section:
    """Say which requirements are met.

    Args:
        asked: The requirements.
        ready: How many messages there are to send.
    """
    section = Section("what Gmail, Yahoo and Outlook.com ask of bulk senders")
    section.facts |= {
        requirement.name: f"{requirement.state.value}; asked for by {requirement.asked_by}" for requirement in asked
    }
    unmet = [requirement for requirement in asked if requirement.state is Compliance.UNMET]
    if unmet:
        section.add(
            "provider-requirements",
            Severity.WARNING if ready >= BULK else Severity.NOTE,
            f"from {BULK:,} messages a day on they refuse or hide messages that lack {_listed(unmet)}",
            where=", ".join(requirement.name for requirement in unmet),
            remedy="; ".join(requirement.remedy for requirement in unmet),
        )
    return section


def _listed(unmet: list[Requirement]) -> str:
    return "this" if len(unmet) == 1 else "any of these"
