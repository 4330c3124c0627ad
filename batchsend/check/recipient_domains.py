"""Whether there is anybody to take the mail of the recipients' domains; each is asked for once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from batchsend.check.domains import is_reserved
from batchsend.check.finding import Section
from batchsend.check.lookup import UnansweredError

if TYPE_CHECKING:
    from collections import Counter

    from batchsend.check.lookup import Lookup

MOST: Final = 50
"""Domains that are asked for: those with the fewest recipients, among which the slips of the keys are."""
_AT_ONCE: Final = 10


async def check_domains(domains: Counter[str], lookup: Lookup) -> Section | None:
    """Look at where mail to the recipients goes (RFC 5321 §5.1).

    Args:
        domains: The domains, with how many recipients they have.
        lookup: Whom to ask.

    Returns:
        What was found; None where nothing was wrong.
    """
    asked = [domain for domain, _ in reversed(domains.most_common()) if not is_reserved(domain)][:MOST]
    dead: list[str] = []
    at_once = anyio.CapacityLimiter(_AT_ONCE)

    async def ask(domain: str) -> None:
        async with at_once:
            try:
                if not await _takes_mail(domain, lookup):
                    dead.append(domain)
            except UnansweredError:  # it is not known, and nothing is said of it
                return

    async with anyio.create_task_group() as tasks:
        for domain in asked:
            tasks.start_soon(ask, domain)
    if not dead:
        return None
    section = Section("recipients' domains")
    listed = ", ".join(sorted(dead)[:10]) + (f" and {len(dead) - 10} more" if len(dead) > 10 else "")
    count = sum(domains[domain] for domain in dead)
    section.warning(
        "recipient-domain",
        f"{listed}: {'these domains take' if len(dead) > 1 else 'this domain takes'} no mail; {count:,} "
        f"{'records are' if count > 1 else 'record is'} there",
        where="MX",
        remedy="correct the addresses, or take the records out",
    )
    return section


async def _takes_mail(domain: str, lookup: Lookup) -> bool:
    """Whether a domain has an MX record that is not null (RFC 7505), or else an address."""
    exchangers = await lookup.mail_exchangers(domain)
    if exchangers:
        return exchangers[0].host != "."
    return await lookup.has_address(domain)
