"""``python -m tests.servers.far_campaign [RECORDS [SERVER]]``: campaigns to real servers over a bad way, as a table.

Mixed records: most are taken, some refused, deferred or invalid. On their way are delay, small segments, and
connections that are reset. Each server has its own account of what it took, and the log is held against that.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.servers.command import Account, CampaignFolder
from tests.servers.exim import Exim
from tests.servers.opensmtpd import OpenSmtpd
from tests.servers.postfix import Postfix
from tests.servers.relay_tables import plain
from tests.tools.byte_proxy import ByteProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUND_TRIP: Final = 0.01
SEGMENT: Final = 200
RESETS_EVERY: Final = 100
"""Lines of the log after which a connection is reset."""

WITHIN: Final = 900.0
"""Seconds that a campaign may take."""

MODES: Final[dict[str, Mapping[str, int]]] = {"one at a time": {"depth": 1}, "16 at a time": {"depth": 16}}
_CONNECTIONS: Final = 6

# Loopback is not excepted from Postfix's limits, of which there are connections, errors and refusals.
_LIMITS: Final = {
    "smtpd_client_event_limit_exceptions": "",
    "smtpd_client_connection_count_limit": "3",
    "smtpd_soft_error_limit": "1000",
    "smtpd_hard_error_limit": "5",
}
_BARE: Final = {"smtpd_discard_ehlo_keywords": "pipelining,chunking", "smtpd_soft_error_limit": "1000"}

Server = Postfix | Exim | OpenSmtpd
SERVERS: Final[dict[str, Callable[[], Server]]] = {
    "postfix": lambda: Postfix(settings={"smtpd_soft_error_limit": "1000", "smtpd_hard_error_limit": "1000"}),
    "postfix with limits": lambda: Postfix(settings=_LIMITS),
    "postfix, lockstep": lambda: Postfix(settings=_BARE),
    "exim": Exim,
    "opensmtpd": OpenSmtpd,
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


def campaign(server: Server, folder: CampaignFolder, records: int, mode: str, port: int) -> None:
    """Write a campaign to a port before a server."""
    addresses = recipients_of(records)
    rows = "".join(f"{address},{'x' * (7919 * number % 3000)}\n" for number, address in enumerate(addresses))
    (folder.path / "recipients.csv").write_text(f"email,filling\n{rows}")
    patient = {"max_messages": 10} if isinstance(server, Exim) else {}
    folder.write(
        top={"recipients": "recipients.csv", "results": "results.jsonl"},
        server=plain(port),
        message={
            "from": "accounts@mail.example.com",
            "subject": "Record {{ batch.record }}",
            "text": "For {{ email }} alone.\n.\n{{ filling }}\n..\n",
        },
        delivery={"max_connections": _CONNECTIONS, "max_attempts": 1, **MODES[mode], **patient},
    )


async def send(
    server: Server, folder: CampaignFolder, records: int, mode: str, *, every: int = RESETS_EVERY, limited: bool = False
) -> Came:
    """Send a campaign to a server, and hold the log against what it has.

    Args:
        server: The server.
        folder: Where the campaign is written.
        records: How many records it has.
        mode: One of `MODES`.
        every: After how many lines of the log a connection is reset.
        limited: The server ends sessions itself, which leaves messages in doubt, too.
    """
    choose = random.Random(records)
    resets = 0
    began = time.monotonic()
    async with ByteProxy(server.host, server.plain_port, round_trip=ROUND_TRIP, segment=SEGMENT) as proxy:
        campaign(server, folder, records, mode, proxy.port)
        process = folder.start("--no-progress")
        waiting = asyncio.create_task(asyncio.to_thread(folder.wait, process, within=WITHIN))
        lines = 0
        while not waiting.done():
            await asyncio.wait([waiting], timeout=0.05)
            now = folder.results.read_bytes().count(b"\n") if folder.results.exists() else 0
            for _ in range((now - lines) // every):
                lines += every
                if proxy.ends:
                    choose.choice(sorted(proxy.ends, key=id)).break_off()
                    resets += 1
        ended = await waiting
    seconds = time.monotonic() - began
    wrong = [] if ended.code == 1 else [f"exit code {ended.code}: {ended.errors[-500:]}"]
    outcomes, found = judge(folder.account(), server, records)
    most = resets * MODES[mode]["depth"]
    if not limited and outcomes["in_doubt"] > most:
        wrong.append(f"{outcomes['in_doubt']} are in doubt, {most} may be")
    counts = folder.account().message_counts()
    return Came(outcomes, resets, len(counts), seconds, [*wrong, *found])


def judge(account: Account, server: Server, records: int) -> tuple[Counter[str], list[str]]:
    """Hold a log against what the server has: outcomes, and what must not be."""
    last = {outcome["record"]: outcome for outcome in account.outcomes}
    stored = Counter(message.recipient for message in server.received())
    counts: Counter[str] = Counter()
    wrong = []
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


def main(records: int, names: list[str]) -> int:
    """Send to some servers in each mode; returns the exit code."""
    failed = 0
    print(f"| server | mode | {' | '.join(_COLUMNS)} | resets | sessions | s |")
    print(f"|{' --- |' * (len(_COLUMNS) + 5)}")
    for name in names:
        for mode in MODES:
            if mode != "one at a time" and name in ("postfix, lockstep", "opensmtpd"):
                continue  # it offers no PIPELINING
            with SERVERS[name]() as server, tempfile.TemporaryDirectory(prefix="batchsend-far-") as folder:
                came = asyncio.run(send(server, CampaignFolder(Path(folder)), records, mode, limited="limits" in name))
            cells = " | ".join(str(came.outcomes[column]) for column in _COLUMNS)
            print(f"| {name} | {mode} | {cells} | {came.resets} | {came.sessions} | {came.seconds:.0f} |", flush=True)
            for line in came.wrong[:5]:
                print(f"  wrong: {line[:500]}")
            failed += bool(came.wrong)
    return 1 if failed else 0


_COLUMNS: Final = ("accepted", "rejected", "deferred", "invalid", "in_doubt", "none")

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000, sys.argv[2:] or list(SERVERS)))
