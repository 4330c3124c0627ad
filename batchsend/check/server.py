"""The server as a session finds it: every address, TLS, AUTH, extensions, round trip. Sends no message."""

from __future__ import annotations

import socket
import statistics
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import msgspec

from batchsend import figures
from batchsend.campaign import Duration, is_loopback, options_for, places, server_warnings
from batchsend.check.certificate import Certificate
from batchsend.check.finding import Section, Severity
from batchsend.check.lookup import SECONDS
from batchsend.delivery.connector import ConnectError, Connector
from batchsend.delivery.dialogue import Dialogue
from batchsend.errors import SessionError, UsageError
from batchsend.outcome import Stage
from batchsend.smtp.extensions import KEYWORDS

if TYPE_CHECKING:
    from batchsend.campaign import Campaign, Server, Timeouts
    from batchsend.check.records import Counted
    from batchsend.delivery.connector import Opened
    from batchsend.smtp.extensions import Extensions
    from batchsend.trace import Trace

_SECONDS: Final = 10.0
"""The most that any one step may take: a server that is slower is not worth waiting for at a terminal."""
_ALL_SECONDS: Final = 30.0
_DAYS: Final = 21
_ROUND_TRIPS: Final = 5
_DEEP: Final = 16
_FAR_SECONDS: Final = 0.001
"""The round trip from which on it, and not the server, is what a session waits for."""
_OFFERS: Final = {name: keyword for name, keyword in KEYWORDS.items() if name != "starttls"}


class ServerCheck:
    """Opens one session to each address of each server, and asks it for nothing.

    Args:
        campaign: The campaign.
        counted: What there is to send.
        credentials: Whether the campaign's credentials are in it; without them, what needs none is looked at.
        trace: Where each session's dialogue is written; None for nowhere.
    """

    def __init__(
        self, campaign: Campaign, counted: Counted, *, credentials: bool = True, trace: Trace | None = None
    ) -> None:
        self._trace = trace
        self._campaign = campaign
        self._credentials = credentials
        self._counted = counted
        self._options = campaign.delivery  # of the server that is looked at
        self._opened = 0
        self._failures: list[tuple[Section, str, ConnectError]] = []

    async def run(self) -> list[Section]:
        """Look at all of them; one section each."""
        sections = [await self._look(server) for server in self._campaign.servers]
        for section, address, error in self._failures:
            trouble = error.failure
            if not self._opened:
                severity = Severity.ERROR
            else:  # A network without IPv6, say, is no fault of the server's.
                severity = Severity.NOTE if trouble.stage is Stage.CONNECT else Severity.WARNING
            section.add(
                f"server-{trouble.stage.value}",
                severity,
                trouble.what,
                where=_at(section.title.removeprefix("server: "), address),
                remedy=trouble.remedy or "see the server's log",
            )
        return sections

    async def _look(self, server: Server) -> Section:
        where = f"{server.host}:{server.port}"
        section = Section(f"server: {where}")
        servers = self._campaign.servers
        self._options = options_for(server, self._campaign.delivery, alone=len(servers) == 1)
        self._state_place(server, section)
        for warning in server_warnings([server]):
            section.warning("server-port", warning, where="[server] port", remedy="set port = 587, or 465")
        if server.tls == "none" and not is_loopback(server.host):
            section.warning(
                "server-clear",
                "messages go to the server in the clear: everybody on the way can read and change them",
                where="[server] tls",
                remedy='set tls = "starttls" or "implicit", where the server offers it',
            )
        try:
            connector = Connector(
                server,
                _impatient(self._campaign.delivery.timeouts),
                require_tls=self._campaign.delivery.require_tls,
                trace=self._trace,
            )
        except UsageError as error:
            section.error("server-settings", error.message, where="[server]", remedy=error.remedy)
            return section
        if (obstacle := await _cannot_resolve(server)) is not None:
            what = f"{server.host} could not be looked up: {obstacle}"
            section.note("server-unanswered", what, where="DNS", remedy="try again where the DNS can be asked")
            return section
        with anyio.move_on_after(_ALL_SECONDS) as scope:
            await self._look_at_each(connector, server, section)
        if scope.cancelled_caught:
            section.add(
                "server-slow",
                Severity.NOTE if "reached" in section.facts else Severity.ERROR,
                f"not all its addresses were done with within {_ALL_SECONDS:g} s",
                where=where,
                remedy="see the server's log, or try again later",
            )
        return section

    async def _look_at_each(self, connector: Connector, server: Server, section: Section) -> None:
        reached: list[str] = []
        async with aclosing(connector.open_each()) as openings:
            async for address, opened in openings:
                if isinstance(opened, ConnectError):
                    self._failures.append((section, address, opened))
                    continue
                self._opened += 1
                reached.append(address)
                section.facts["reached"] = ", ".join(reached)
                self._state_tls(opened.transport.get_extra_info("ssl_object"), server, section, address)
                trips = await self._talk(opened, section)
                if len(reached) == 1:  # What is offered is the server's, whatever the address.
                    self._state_offers(opened.extensions, server, section)
                    if trips:
                        self._state_pace(opened.extensions, statistics.median(trips), section)

    async def _talk(self, opened: Opened, section: Section) -> list[float]:
        """The round trips of a session, in seconds; the session is over then."""
        dialogue = Dialogue(opened.transport, opened.where)
        trips: list[float] = []
        try:
            with anyio.fail_after(_SECONDS):
                for _ in range(_ROUND_TRIPS):
                    trips.append(await dialogue.round_trip())  # noqa: PERF401 - those before a failure count
                await dialogue.quit()
        except SessionError as error:
            section.warning("server-session", error.message, where=opened.where, remedy="see the server's log")
        except TimeoutError:
            what = f"no answer to NOOP or QUIT within {_SECONDS:g} s"
            section.warning("server-session", what, where=opened.where, remedy="see the server's log")
        finally:
            dialogue.close()
        return trips

    def _state_tls(self, tls: Any, server: Server, section: Section, address: str) -> None:
        if tls is None:
            section.facts["TLS"] = "none"
            return
        cipher = tls.cipher()
        section.facts["TLS"] = f"{tls.version()}, {cipher[0] if cipher else '?'} ({server.tls})"
        certificate = Certificate.read(tls.getpeercert())
        section.facts["certificate"] = f"{certificate.subject}, by {certificate.issuer}, {certificate.days} days left"
        if certificate.days < _DAYS:
            section.warning(
                "certificate-expires",
                f"the certificate expires in {certificate.days} days; from then on nothing is sent to it",
                where=f"{server.host}:{server.port} ({address})",
                remedy="tell whoever runs the server",
            )

    def _state_offers(self, extensions: Extensions, server: Server, section: Section) -> None:
        where = f"{server.host}:{server.port}"
        if not self._credentials:
            section.facts["AUTH"] = "not tried"
        elif server.username is not None:
            section.facts["AUTH"] = "accepted"
        elif extensions.auth:
            section.facts["AUTH"] = "offered, and not used: there is no username in [server]"
        offers = [name for attribute, name in _OFFERS.items() if getattr(extensions, attribute)]
        if extensions.size is not None:
            offers.append(f"SIZE {extensions.size:,}")
        if extensions.mail_max is not None:
            offers.append(f"LIMITS MAILMAX={extensions.mail_max:,}")
        section.facts["offers"] = " ".join(offers) or "no extension that batchsend uses"
        self._hold_against(extensions, section, where)

    def _hold_against(self, extensions: Extensions, section: Section, where: str) -> None:
        """What there is to send against what the server takes."""
        size, record = self._counted.largest
        delivery = self._options
        if extensions.size and size > extensions.size:
            what = f"the message of record {record:,} has {size:,} octets, and the server takes {extensions.size:,}"
            section.warning("server-size", what, where=where, remedy="link to what is large instead of attaching it")
        if self._counted.need_utf8 and not extensions.smtputf8:
            need = figures.count(self._counted.need_utf8, "address needs", "addresses need")
            what = f"{need} SMTPUTF8, which the server does not offer"
            section.warning("server-utf8", what, where=where, remedy="send these through another server")
        if delivery.dsn is not None and not extensions.dsn:
            what = "the server does not offer DSN: [delivery.dsn] has no effect"
            section.note("server-dsn", what, where=where)
        if extensions.mail_max is not None and extensions.mail_max < delivery.max_messages:
            what = f"the server ends sessions after {extensions.mail_max:,} messages, not {delivery.max_messages:,}"
            section.note("server-limit", what, where=where)

    def _state_place(self, server: Server, section: Section) -> None:
        """What the campaign file says of a relay among others, and of what it may be given."""
        servers = self._campaign.servers
        place = places(servers)[servers.index(server)]
        if len(servers) > 1:
            section.facts["name"] = place.name
            section.facts["place"] = f"priority {place.priority}, weight {place.weight}"
        if server.rate is not None:
            section.facts["rate"] = str(server.rate)
        if server.quota:
            section.facts["quota"] = str(server.quota)
        if server.warm_up:
            section.facts["warm-up"] = str(server.warm_up)

    def _state_pace(self, extensions: Extensions, seconds: float, section: Section) -> None:
        """What the round trip makes of the sending, and what an extension buys: a reply is what a session waits for."""
        section.facts["round trip"] = f"{seconds * 1000:.1f} ms"
        delivery, where = self._options, section.title.removeprefix("server: ")
        is_far = seconds >= _FAR_SECONDS
        if is_far:
            trips = 1 if extensions.pipelining else 4
            depth = delivery.depth if extensions.chunking else 1
            pace = delivery.max_connections * depth / (trips * seconds)
            section.facts["at most"] = (
                f"{pace:,.0f} messages/s over {delivery.max_connections} sessions, as far as the round trip goes: "
                f"{_duration(self._counted.ready / pace)} for these"
            )
        if not extensions.pipelining:
            section.warning(
                "server-lockstep",
                "the server does not offer PIPELINING: each message costs four round trips instead of one",
                where=where,
                remedy=f"set max_connections = {4 * delivery.max_connections} in [delivery], if the server allows it",
            )
        elif extensions.chunking and delivery.depth == 1 and is_far:
            what = (
                f"the server offers CHUNKING: depth = {_DEEP} in [delivery] makes up to {_DEEP} times as many a second"
            )
            section.note("server-depth", what, where=where)
        elif not extensions.chunking and delivery.depth > 1:
            what = f"the server does not offer CHUNKING: depth = {delivery.depth} has no effect"
            section.note("server-depth", what, where=where)


async def _cannot_resolve(server: Server) -> str | None:
    """Why the DNS does not say where the server is; None where it does, or says that it is nowhere."""
    with anyio.move_on_after(SECONDS):
        try:
            await anyio.to_thread.run_sync(
                partial(socket.getaddrinfo, server.host, server.port), abandon_on_cancel=True
            )
        except socket.gaierror as error:
            return error.strerror if error.errno == socket.EAI_AGAIN else None
        except (OSError, UnicodeError):  # the opening says what is wrong with the name
            return None
        return None
    return "no answer in time"


def _impatient(timeouts: Timeouts) -> Timeouts:
    names = timeouts.__struct_fields__
    return msgspec.structs.replace(
        timeouts, **{name: Duration(min(getattr(timeouts, name), _SECONDS)) for name in names}
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _at(server: str, address: str) -> str:
    """Which address of a server it is about; no address where its name has none."""
    return server if address == server else f"{server} ({address})"
