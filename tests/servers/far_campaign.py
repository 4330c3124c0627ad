"""``python -m tests.servers.far_campaign [SERVER …]``: campaigns to real servers over a bad way, as a table.

Mixed records: most are taken, some refused, deferred or invalid. On their way are delay, small segments, and
connections that are reset. Each server has its own account of what it took, and the log is held against that.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.servers.command import Account, CampaignFolder
from tests.servers.dovecot import Dovecot
from tests.servers.exim import Exim
from tests.servers.opensmtpd import OpenSmtpd
from tests.servers.policies import Greylist, PolicyService, QuotaDaemon
from tests.servers.postfix import REFUSES, Postfix
from tests.servers.relay_tables import plain, starttls
from tests.servers.smtp_server import SmtpServer
from tests.tools.byte_proxy import ByteProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.command import Ended

ROUND_TRIP: Final = 0.01
SEGMENT: Final = 200
RESETS_EVERY: Final = 100
"""Lines of the log after which a connection is reset."""

WITHIN: Final = 900.0
"""Seconds that a campaign may take."""

_CONNECTIONS: Final = 6


class Mode(NamedTuple):
    """How commands are sent.

    Attributes:
        depth: How many messages a session has under way.
        pipelining: Whether commands are sent in groups, where the server takes that.
    """

    depth: int
    pipelining: bool = True


ONE: Final = "one at a time"
MODES: Final = {"lockstep": Mode(1, pipelining=False), ONE: Mode(1), "16 at a time": Mode(16)}
"""Each command by itself; those of one message together; sixteen messages under way."""

# Loopback is not excepted from Postfix's limits, of which there are connections, errors and messages in some time.
_LIMITS: Final = {
    "smtpd_client_event_limit_exceptions": "",
    "smtpd_client_connection_count_limit": "3",
    "smtpd_soft_error_limit": "1000",
    "smtpd_hard_error_limit": "1",
}
_BARE: Final = {"smtpd_discard_ehlo_keywords": "pipelining,chunking", "smtpd_soft_error_limit": "1000"}
_PATIENT: Final = {"smtpd_soft_error_limit": "1000", "smtpd_hard_error_limit": "1000"}

RATE: Final = 200
"""Messages that a Postfix with a rate takes in two seconds: its anvil begins a new count after more than one."""

GREYLISTED_FOR: Final = 2.0
"""Seconds after which a recipient that was greylisted is taken."""

QUOTA: Final = (400, 10.0)
"""What the policy daemon takes, and for how many seconds."""

Server = Postfix | Exim | OpenSmtpd | SmtpServer


class Place(NamedTuple):
    """A server as a campaign reaches it.

    Attributes:
        server: It.
        port: Which of its ports stands behind the proxy.
        table: The campaign's ``[server]`` for a port.
        environment: What the campaign file finds in the environment.
        has_refused: Whether its limits were met, or the policy service that it asks has refused somebody; if any.
    """

    server: Server
    port: int
    table: Callable[[int], Mapping[str, Any]] = plain
    environment: Mapping[str, str] = MappingProxyType({})
    has_refused: Callable[[], bool] = lambda: True


class Kind(NamedTuple):
    """One kind of server.

    Attributes:
        open: Runs it for as long as the context lasts.
        delivery: What the campaign says of delivery to it.
        ends_sessions: It ends sessions itself, which leaves messages in doubt, too.
        pipelines: It offers PIPELINING; where it does not, there is one mode, for what is found out by itself.
    """

    open: Callable[[], AbstractContextManager[Place]]
    delivery: Mapping[str, Any] = MappingProxyType({})
    ends_sessions: bool = False
    pipelines: bool = True


def _rate() -> dict[str, str]:
    """The settings of a Postfix that takes so many messages and no more in some time."""
    limit = {"smtpd_client_message_rate_limit": str(RATE), "anvil_rate_time_unit": "1s"}
    return {**_PATIENT, "smtpd_client_event_limit_exceptions": "", **limit}


def _of(make: Callable[[], Server]) -> Callable[[], AbstractContextManager[Place]]:
    @contextmanager
    def opened() -> Iterator[Place]:
        with make() as server:
            yield Place(server, server.plain_port)

    return opened


def _limited(settings: Callable[[], Mapping[str, str]], *met: str) -> Callable[[], AbstractContextManager[Place]]:
    """A Postfix with limits, and what it logs when they are met."""

    @contextmanager
    def opened() -> Iterator[Place]:
        with Postfix(settings=settings()) as server:
            yield Place(server, server.plain_port, has_refused=lambda: all(one in server.log_text() for one in met))

    return opened


def _asking(make: Callable[[], PolicyService]) -> Callable[[], AbstractContextManager[Place]]:
    """A Postfix that asks a policy service of our own at each recipient."""

    @contextmanager
    def opened() -> Iterator[Place]:
        with make() as service:
            asks = f"{REFUSES}, check_policy_service inet:127.0.0.1:{service.port}"
            with Postfix(settings={**_PATIENT, "smtpd_recipient_restrictions": asks}) as server:
                yield Place(server, server.plain_port, has_refused=lambda: bool(service.refused))

    return opened


@contextmanager
def _with_sasl() -> Iterator[Place]:
    """A Postfix that has Dovecot authenticate who submits, over STARTTLS."""
    with Dovecot() as dovecot:
        sasl = {"smtpd_sasl_type": "dovecot", "smtpd_sasl_path": f"inet:127.0.0.1:{dovecot.sasl_port}"}
        with Postfix(settings={**_PATIENT, **sasl}) as server:
            given = {"SMTP_USERNAME": "campaign@example.org", "SMTP_PASSWORD": dovecot.password}
            port = server.submission_port
            yield Place(server, port, lambda near: starttls(server) | {"port": near}, given)


SERVERS: Final[dict[str, Kind]] = {
    "postfix": Kind(_of(lambda: Postfix(settings=_PATIENT))),
    "postfix with limits": Kind(
        _limited(lambda: _LIMITS, "Connection concurrency limit exceeded", "too many errors after"), ends_sessions=True
    ),
    "postfix with a rate": Kind(_limited(_rate, "Message delivery request rate limit exceeded")),
    "postfix without PIPELINING": Kind(_of(lambda: Postfix(settings=_BARE)), pipelines=False),
    "postfix, greylisting": Kind(
        _asking(lambda: Greylist(GREYLISTED_FOR)), {"max_attempts": 3, "retry_after": f"{GREYLISTED_FOR:g}s"}
    ),
    "postfix, quota daemon": Kind(_asking(lambda: QuotaDaemon(*QUOTA)), {"max_wait": "10m"}),
    "postfix, SASL by Dovecot": Kind(_with_sasl),
    "exim": Kind(_of(Exim), {"max_messages": 10}),
    "opensmtpd": Kind(_of(OpenSmtpd), pipelines=False),
    "npm smtp-server": Kind(_of(SmtpServer)),
}


class Came(NamedTuple):
    """What a campaign has come to.

    Attributes:
        outcomes: How many records have each.
        resets: How many connections were reset.
        sessions: How many sessions have decided messages.
        seconds: How long it took.
        wrong: What must not be.
    """

    outcomes: Counter[str]
    resets: int
    sessions: int
    seconds: float
    wrong: list[str]


def recipients_of(records: int) -> list[str]:
    """The addresses: of ten, one is unknown, one deferred; of a hundred, one is no address."""
    domains = {4: "unknown.example.com", 7: "later.example.com"}
    return [
        f"r{number}@{domains.get(number % 10, 'example.com')}" if number % 100 != 50 else f"r{number} at example.com"
        for number in range(1, records + 1)
    ]


def campaign(kind: Kind, place: Place, folder: CampaignFolder, records: int, mode: str, port: int) -> None:
    """Write a campaign to a port before a server."""
    addresses = recipients_of(records)
    rows = "".join(f"{address},{'x' * (7919 * number % 3000)}\n" for number, address in enumerate(addresses))
    (folder.path / "recipients.csv").write_text(f"email,filling\n{rows}")
    folder.write(
        top={"recipients": "recipients.csv", "results": "results.jsonl"},
        server={**place.table(port), "pipelining": MODES[mode].pipelining},
        message={
            "from": "accounts@mail.example.com",
            "subject": "Record {{ batch.record }}",
            "text": "For {{ email }} alone.\n.\n{{ filling }}\n..\n",
        },
        delivery={"max_connections": _CONNECTIONS, "max_attempts": 1, "depth": MODES[mode].depth, **kind.delivery},
    )


async def send(name: str, folder: Path, records: int, mode: str, *, every: int = RESETS_EVERY) -> Came:
    """Send a campaign to a server, and hold the log against what it has.

    Args:
        name: The server: one of `SERVERS`.
        folder: Where the campaign is written.
        records: How many records it has.
        mode: One of `MODES`.
        every: After how many lines of the log a connection is reset.
    """
    kind = SERVERS[name]
    with kind.open() as place:
        written = CampaignFolder(folder, place.environment)
        began = time.monotonic()
        async with ByteProxy(place.server.host, place.port, round_trip=ROUND_TRIP, segment=SEGMENT) as proxy:
            campaign(kind, place, written, records, mode, proxy.port)
            ended, resets = await _resetting(proxy, written, records, every)
        seconds = time.monotonic() - began
        wrong = [] if ended.code == 1 else [f"exit code {ended.code}: {ended.errors[-2000:]}"]
        if wrong and not isinstance(place.server, SmtpServer):
            wrong.append(f"the server said: {place.server.log_text()[-4000:]}")
        if not place.has_refused():
            wrong.append("no limit was met, or the policy service has refused nothing")
        outcomes, found = judge(written.account(), place.server, records)
    most = resets * MODES[mode].depth
    if not kind.ends_sessions and outcomes["in_doubt"] > most:
        wrong.append(f"{outcomes['in_doubt']} are in doubt, {most} may be")
    return Came(outcomes, resets, len(written.account().message_counts()), seconds, [*wrong, *found])


async def _resetting(proxy: ByteProxy, written: CampaignFolder, records: int, every: int) -> tuple[Ended, int]:
    """Run the campaign to its end, and reset a connection now and then; how it ended, and how many were reset."""
    choose = random.Random(records)
    process = written.start("--no-progress")
    waiting = asyncio.create_task(asyncio.to_thread(written.wait, process, within=WITHIN))
    lines = resets = 0
    while not waiting.done():
        await asyncio.wait([waiting], timeout=0.05)
        now = written.results.read_bytes().count(b"\n") if written.results.exists() else 0
        for _ in range((now - lines) // every):
            lines += every
            if proxy.ends:
                choose.choice(sorted(proxy.ends, key=id)).break_off()
                resets += 1
    return await waiting, resets


def judge(account: Account, server: Server, records: int) -> tuple[Counter[str], list[str]]:
    """Hold a log against what the server has: outcomes, and what must not be."""
    last = {outcome["record"]: outcome for outcome in account.outcomes}
    stored: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    wrong = []
    for message in server.received():
        stored[message.recipient] += 1
        number = message.recipient.partition("@")[0].removeprefix("r")
        if f"\r\nSubject: Record {number}\r\n".encode() not in message.content:
            wrong.append(f"{message.recipient} has another's message")
    later = "accepted" if isinstance(server, OpenSmtpd) else "deferred"  # that one defers nobody
    for record, address in enumerate(recipients_of(records), 1):
        status = last[record]["status"] if record in last else "none"
        counts[status] += 1
        times = stored.pop(address, 0)
        if times not in {"accepted": (1,), "in_doubt": (0, 1)}.get(status, (0,)):
            wrong.append(f"record {record} is {status}, and was stored {times} times")
        expected = {"unknown.example.com": "rejected", "later.example.com": later}.get(
            address.rpartition("@")[2], "accepted" if "@" in address else "invalid"
        )
        if status not in (expected, "in_doubt"):
            wrong.append(f"record {record} is {status}, not {expected}: {last.get(record)}")
    wrong += [f"{address} was never on the list" for address in stored]
    return counts, wrong


def main(records: int, names: list[str], modes: list[str]) -> int:
    """Send to some servers in some modes; returns the exit code."""
    failed = 0
    print(f"| server | mode | {' | '.join(_COLUMNS)} | resets | sessions | s |")
    print(f"|{' --- |' * (len(_COLUMNS) + 5)}", flush=True)
    for name in names:
        for mode in modes if SERVERS[name].pipelines else [ONE]:
            with tempfile.TemporaryDirectory(prefix="batchsend-far-") as folder:
                came = asyncio.run(send(name, Path(folder), records, mode))
            cells = " | ".join(str(came.outcomes[column]) for column in _COLUMNS)
            print(f"| {name} | {mode} | {cells} | {came.resets} | {came.sessions} | {came.seconds:.0f} |", flush=True)
            for line in came.wrong[:5]:
                print(f"  wrong: {line[:500]}", flush=True)
            failed += bool(came.wrong)
    return 1 if failed else 0


_COLUMNS: Final = ("accepted", "rejected", "deferred", "invalid", "in_doubt", "none")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.servers.far_campaign")
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"some of: {'; '.join(SERVERS)}")
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--mode", choices=MODES, action="append", help="how commands are sent; all, unless it is given")
    given = parser.parse_args()
    if unknown := set(given.servers) - set(SERVERS):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    sys.exit(main(given.records, given.servers or list(SERVERS), given.mode or list(MODES)))
