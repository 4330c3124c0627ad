"""The whole check: records and messages, then the server and the DNS, each as far as it can be known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from batchsend.campaign import is_loopback
from batchsend.check.authentication import Authentication, Compliance
from batchsend.check.finding import Section
from batchsend.check.lookup import Lookup
from batchsend.check.message import Seen
from batchsend.check.providers import judge, requirements
from batchsend.check.recipient_domains import check_domains
from batchsend.check.records import Counted, RecordsCheck
from batchsend.check.sender import SenderCheck, Signing
from batchsend.check.server import ServerCheck
from batchsend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.campaign import Campaign
    from batchsend.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What to check, and how.

    Attributes:
        campaign: The campaign, without its credentials.
        authenticate: Returns the campaign with its credentials; it raises UsageError where they are not there.
        limit: Look at the first records only; None for all.
        offline: Ask neither the server nor the DNS.
        selector: The DKIM selector that the relay signs with for the domain of From, or None.
        resolver: The address and port of the resolver to ask; None for the system's.
        tick: As of `RecordsCheck`.
        trace: Where the sessions with the servers are written; None for nowhere.
    """

    campaign: Campaign
    authenticate: Callable[[], Campaign]
    limit: int | None = None
    offline: bool = False
    selector: str | None = None
    resolver: tuple[str, int] | None = None
    tick: Callable[[int, float | None], None] = lambda *_: None
    trace: Trace | None = None

    def look_at_records(self) -> tuple[list[Section], Seen, Counted]:
        """Render everything; no loop is needed for it.

        What is wrong with a template or a file of the campaign is a finding: the rest can be looked at all the same.
        """
        try:
            check = RecordsCheck(self.campaign, limit=self.limit, tick=self.tick)
            sections = check.run()
        except UsageError as error:
            broken = Section("campaign")
            broken.error("campaign-invalid", error.message, where=str(self.campaign.path), remedy=error.remedy)
            return [broken], Seen(one_click=False), Counted()
        return list(sections), check.messages.seen, check.counted

    async def look_around(self, seen: Seen, counted: Counted) -> list[Section]:
        """Ask the server and the DNS at the same time, unless that is not wanted; then say what providers will."""
        servers: list[Section] = []
        domains: list[Section] = []
        authentication = Authentication()
        if not self.offline:
            lookup = Lookup(self.resolver)

            async def ask_servers() -> None:
                servers.extend(await self._look_at_servers(counted))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask_servers)
                found, authentication = await SenderCheck(seen, self._signings(seen), lookup).run()
                domains.extend(found)
                if (recipients := await check_domains(seen.recipient_domains, Lookup(self.resolver))) is not None:
                    domains.append(recipients)
        tls = _tls(self.campaign)
        asked = judge(requirements(authentication, seen, tls), counted.ready) if seen.from_domains else None
        return [*servers, *domains, *([asked] if asked is not None else [])]

    async def _look_at_servers(self, counted: Counted) -> list[Section]:
        try:
            campaign = self.authenticate()
        except UsageError as error:
            sections = await ServerCheck(self.campaign, counted, credentials=False, trace=self.trace).run()
            where = str(self.campaign.path)
            sections[0].error("server-credentials", error.message, where=where, remedy=error.remedy)
            return sections
        return await ServerCheck(campaign, counted, trace=self.trace).run()

    def _signings(self, seen: Seen) -> list[Signing]:
        """The signatures that are known: the campaign's own, and the relay's where its selector was given."""
        if not seen.from_domains:  # nothing could be rendered, perhaps for the want of a key
            return []
        signings = [] if self.selector is None else [Signing(seen.from_domains[0], self.selector)]
        if self.campaign.message.dkim:
            from batchsend.message.dkim_key import dns_record, read_key  # noqa: PLC0415 - cryptography is slow to import

            signings += [
                Signing(dkim.domain, dkim.selector, dns_record(read_key(dkim.key_file)))
                for dkim in self.campaign.message.dkim
            ]
        return signings


def _tls(campaign: Campaign) -> Compliance:
    in_the_clear = any(server.tls == "none" and not is_loopback(server.host) for server in campaign.servers)
    return Compliance.UNMET if in_the_clear else Compliance.MET
