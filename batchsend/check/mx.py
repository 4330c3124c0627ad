"""Whether mail comes back: replies to the domain of From, bounces to that of the return path."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchsend.check.finding import Section
    from batchsend.check.lookup import Lookup


async def check_mx(domain: str, role: str, lookup: Lookup, section: Section) -> None:
    """Look at where mail to a domain goes (RFC 5321 §5.1).

    Args:
        domain: The domain.
        role: What it is the domain of, for messages.
        lookup: Whom to ask.
        section: Where findings go.

    Raises:
        UnansweredError: The DNS did not say.
    """
    where = f"MX {domain}"
    exchangers = await lookup.mail_exchangers(domain)
    if exchangers and exchangers[0].host == ".":
        section.warning(
            "mx-null",
            f"the domain of {role} takes no mail (RFC 7505), and many receivers take none from it",
            where=where,
            remedy=f"publish an MX record at {domain}",
        )
    elif exchangers:
        section.facts[f"MX ({role})"] = ", ".join(exchanger.host.rstrip(".") for exchanger in exchangers)
    elif await lookup.has_address(domain):
        what = f"the domain of {role} has no MX record; mail goes to its address, if anything listens there"
        section.note("mx-implicit", what, where=where, remedy=f"publish an MX record at {domain}")
    else:
        section.warning(
            "mx-missing",
            f"mail to the domain of {role} cannot be delivered, and many receivers take none from such a domain",
            where=where,
            remedy=f"publish an MX record at {domain}",
        )
