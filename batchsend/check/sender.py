"""The DNS of the domains that a campaign sends as: SPF, DKIM, DMARC and MX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from batchsend.check.authentication import Authentication, Compliance
from batchsend.check.dkim import check_key, look_for_any_key
from batchsend.check.dmarc import Policy, check_dmarc
from batchsend.check.domains import align, is_registrable
from batchsend.check.finding import Section
from batchsend.check.lookup import UnansweredError
from batchsend.check.mx import check_mx
from batchsend.check.spf import check_spf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from batchsend.check.lookup import Lookup
    from batchsend.check.message import Seen

Result = TypeVar("Result")

_ORDER: Final = [Compliance.UNMET, Compliance.UNKNOWN, Compliance.MET]


class Signing(NamedTuple):
    """A signature that the campaign's messages bear.

    Attributes:
        domain: The domain that signs.
        selector: Which of its keys.
        record: The record that has to be published, or None where only the relay knows it.
    """

    domain: str
    selector: str
    record: str | None = None


class SenderCheck:
    """Asks the DNS about the domains of From and of the return path.

    Args:
        seen: The domains.
        signings: The signatures; none where the relay signs and nobody has said how.
        lookup: Whom to ask.
    """

    def __init__(self, seen: Seen, signings: Sequence[Signing], lookup: Lookup) -> None:
        self._seen = seen
        self._signings = signings
        self._lookup = lookup

    async def run(self) -> tuple[list[Section], Authentication]:
        """Look at all of them: one section for each domain of From, and what they come to together."""
        sections: list[Section] = []
        states: list[Authentication] = []
        for domain in self._seen.from_domains:
            section = Section(f"DNS: {domain}")
            sections.append(section)
            states.append(await self._look(domain, section))
        return sections, _together(states)

    async def _look(self, domain: str, section: Section) -> Authentication:
        authentication = Authentication()
        try:
            exists = await self._lookup.exists(domain)
        except UnansweredError as error:
            what = f"{domain} could not be looked up: {error}"
            section.note("dns-unanswered", what, where="DNS", remedy="try again where the DNS can be asked")
            return authentication
        if not exists and not await self._knows_registry_of(domain):
            what = f"{domain} could not be looked up: this resolver does not know its top-level domain either"
            section.note("dns-unanswered", what, where="DNS", remedy="try again where the DNS can be asked")
            return authentication
        if not exists:
            what = f"there is no domain {domain}: receivers refuse mail from it"
            section.error(
                "from-missing", what, where="[message] from", remedy="fix the address, or register the domain"
            )
            return Authentication(
                Compliance.UNMET,
                Compliance.UNMET,
                Compliance.UNMET,
                Compliance.UNMET,
                Compliance.UNMET,
            )
        dmarc, policy = await self._answered(
            check_dmarc(domain, self._lookup, section), section, (Compliance.UNKNOWN, Policy())
        )
        authentication.dmarc = dmarc
        await self._look_at_return_path(domain, policy, section, authentication)
        await self._look_at_signatures(domain, policy, section, authentication)
        await self._answered(check_mx(domain, "From", self._lookup, section), section, None)
        return authentication

    async def _knows_registry_of(self, domain: str) -> bool:
        """Whether "no such domain" means anything: cut off from the Internet, some resolvers say it of everything."""
        try:
            return not is_registrable(domain) or await self._lookup.exists(domain.rpartition(".")[2])
        except UnansweredError:
            return False

    async def _look_at_return_path(
        self, domain: str, policy: Policy, section: Section, authentication: Authentication
    ) -> None:
        # Without a return path SPF is about the name in the relay's EHLO (RFC 7208 §2.4), which is not ours to know.
        for returning in self._seen.return_domains:
            spf = await self._answered(check_spf(returning, self._lookup, section), section, Compliance.UNKNOWN)
            aligned = align(returning, domain, strict=policy.strict_spf)
            if not aligned and align(returning, domain):
                section.warning(
                    "dmarc-strict",
                    f"aspf=s asks for a return path at exactly {domain}, and it is at {returning}",
                    where="[message] return_path",
                    remedy="take aspf=s out of the DMARC record, or use a return path at that domain",
                )
            # What holds for the messages holds for those of every return path.
            first = returning == self._seen.return_domains[0]
            authentication.spf = _worse(authentication.spf, spf, first=first)
            alignment = Compliance.MET if aligned else Compliance.UNMET
            authentication.spf_aligned = _worse(authentication.spf_aligned, alignment, first=first)
            if returning != domain:
                await self._answered(check_mx(returning, "the return path", self._lookup, section), section, None)

    async def _look_at_signatures(
        self, domain: str, policy: Policy, section: Section, authentication: Authentication
    ) -> None:
        if not self._signings:
            any_key = look_for_any_key(domain, self._lookup, section)
            authentication.dkim = await self._answered(any_key, section, Compliance.UNKNOWN)
            return
        states = [
            await self._answered(
                check_key(signing.domain, signing.selector, self._lookup, section, expected=signing.record),
                section,
                Compliance.UNKNOWN,
            )
            for signing in self._signings
        ]
        authentication.dkim = max(states, key=_ORDER.index)  # one signature that verifies is enough
        aligned = any(align(signing.domain, domain, strict=policy.strict_dkim) for signing in self._signings)
        authentication.dkim_aligned = Compliance.MET if aligned else Compliance.UNMET
        if not aligned:
            section.warning(
                "dkim-alignment",
                f"messages are signed for {self._signings[0].domain}, which does not align with From",
                where="[message.dkim] domain",
                remedy=f"sign for {domain}",
            )

    async def _answered(self, question: Awaitable[Result], section: Section, otherwise: Result) -> Result:
        """What came of a question, or ``otherwise`` and a note where the DNS did not say."""
        try:
            return await question
        except UnansweredError as error:
            if not any(finding.kind == "dns-unanswered" for finding in section.findings):
                what = f"not everything could be looked up: {error}"
                section.note("dns-unanswered", what, where="DNS", remedy="try again where the DNS can be asked")
            return otherwise


def _worse(one: Compliance, other: Compliance, *, first: bool) -> Compliance:
    return other if first else min(one, other, key=_ORDER.index)


def _together(states: Sequence[Authentication]) -> Authentication:
    """What holds for messages from every one of the domains."""
    if not states:
        return Authentication()
    names = ("spf", "dkim", "dmarc", "spf_aligned", "dkim_aligned")
    return Authentication(*(min((getattr(one, name) for one in states), key=_ORDER.index) for name in names))
