"""DMARC (RFC 7489): what the domain of From asks of receivers, and whether the campaign's messages can pass it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.check.authentication import Compliance
from batchsend.check.dkim import read_tags
from batchsend.check.domains import align, organisational
from batchsend.check.lookup import UnansweredError

if TYPE_CHECKING:
    from batchsend.check.finding import Section
    from batchsend.check.lookup import Lookup

_POLICIES: Final = ("none", "quarantine", "reject")


class Policy(NamedTuple):
    """What a domain asks for.

    Attributes:
        strict_spf: SPF has to be about exactly the domain of From.
        strict_dkim: The signature has to be of exactly the domain of From.
    """

    strict_spf: bool = False
    strict_dkim: bool = False


async def check_dmarc(domain: str, lookup: Lookup, section: Section) -> tuple[Compliance, Policy]:
    """Look at the policy that holds for a domain: its own, or its organisational domain's (RFC 7489 §6.6.3).

    Receivers that walk up the tree (RFC 9989) come to the same, where no domain in between has a policy.

    Args:
        domain: The domain of From.
        lookup: Whom to ask.
        section: Where findings go.

    Returns:
        Whether receivers can make use of it, and how domains are compared under it.

    Raises:
        UnansweredError: The DNS did not say.
    """
    for holder in dict.fromkeys((domain, organisational(domain))):
        name = f"_dmarc.{holder}"
        records = [text for text in (await lookup.texts(name)).records if text.startswith("v=DMARC1")]
        if len(records) > 1:
            what = f"{len(records)} DMARC records: receivers ignore all of them"
            section.warning("dmarc-several", what, where=f"TXT {name}", remedy="leave one")
            return Compliance.UNMET, Policy()
        if records:
            section.facts["DMARC"] = f"{records[0]} (at {name})"
            return await _judge(domain, holder, records[0], lookup, section)
    name = f"_dmarc.{organisational(domain)}"
    section.warning(
        "dmarc-missing",
        "there is no DMARC record, which large providers ask of bulk senders",
        where=f"TXT {name}",
        remedy=f'publish at {name}: "v=DMARC1; p=none; rua=mailto:dmarc-reports@{organisational(domain)}"',
    )
    return Compliance.UNMET, Policy()


async def _judge(domain: str, holder: str, record: str, lookup: Lookup, section: Section) -> tuple[Compliance, Policy]:
    where = f"TXT _dmarc.{holder}"
    tags = read_tags(record)
    asked = None if tags is None else tags.get("p", "none" if "rua" in tags else None)
    if tags is None or asked not in _POLICIES:
        what = f"the DMARC record cannot be read: p= is to be one of {', '.join(_POLICIES)}"
        section.warning("dmarc-syntax", what, where=where, remedy='write it as "v=DMARC1; p=none; rua=mailto:…"')
        return Compliance.UNMET, Policy()
    asked = tags.get("sp", asked) if holder != domain else asked
    if asked == "none":
        section.note(
            "dmarc-none",
            "the policy is p=none: receivers report, and let through who pretends to be you",
            where=where,
            remedy="go on to p=quarantine and p=reject, when the reports show that your own mail passes",
        )
    reports = [uri.strip() for uri in tags.get("rua", "").split(",") if uri.strip()]
    if not reports:
        section.note(
            "dmarc-unreported",
            "nobody gets the reports by which you would see what fails",
            where=where,
            remedy=f"add rua=mailto:dmarc-reports@{organisational(holder)}",
        )
    for uri in reports:
        await _check_report(holder, uri, lookup, section)
    return Compliance.MET, Policy(tags.get("aspf") == "s", tags.get("adkim") == "s")


async def _check_report(holder: str, uri: str, lookup: Lookup, section: Section) -> None:
    """Who gets reports at another domain has to have agreed to it (RFC 7489 §7.1).

    The policy is known by now, and stays so where the DNS does not say whether somebody has agreed.
    """
    target = uri.partition("!")[0].rpartition("@")[2].lower()
    if not uri.lower().startswith("mailto:") or align(target, holder):
        return
    name = f"{holder}._report._dmarc.{target}"
    try:
        records = (await lookup.texts(name)).records
    except UnansweredError as error:
        what = f"whether {target} has agreed to take reports could not be looked up: {error}"
        section.note("dmarc-report-unanswered", what, where=f"TXT {name}")
        return
    if not any(text.startswith("v=DMARC1") for text in records):
        section.warning(
            "dmarc-report-refused",
            f"{target} has not agreed to take reports, so none are sent to it",
            where=f"TXT {name}",
            remedy=f'have "v=DMARC1" published at {name}, or take reports at a domain of your own',
        )
