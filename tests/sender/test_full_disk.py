"""A sender whose log cannot be written, because the disk is full: its callers are told, and nothing goes unrecorded."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batchsend import Outcome, Sender
from tests.delivery.harness import GUARD, CountingServer, message, options, server, well_behaved

ROOT = Path(__file__).resolve().parents[2]

# It limits how large a file may grow, which the system says as a full disk is said: by an error of the write.
PROGRAM = """
import asyncio, json, resource, signal, sys
from pathlib import Path
from batchsend import Delivery, RunError, Sender, Server, UnfinishedError
from tests.delivery.harness import message

port, log, growing, key_length, ends = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
told, errors, full = {}, [], None


def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def call(sender, name):
    for place in range(100):
        key = f"{name}p{place}"
        try:
            results = await sender.send_message(message(f"{key}@example.com"), key=key + "k" * key_length)
        except UnfinishedError as error:
            errors.append(str(error))
            results = error.results
        told.update((result.recipient, result.status) for result in results)
        if errors:
            break


async def main():
    global full
    server = Server(host="127.0.0.1", port=port, tls="none")
    async with Sender(server, delivery=Delivery(max_connections=2, max_messages=20), results=log) as sender:
        await sender.send_message(message("first@example.com"), key="first")
        limit(log.with_name(growing).stat().st_size + 3000)
        await asyncio.gather(*(call(sender, f"c{number}") for number in range(8)))
        for send in (lambda one: sender.send_message(one, key="full"), lambda one: sender.send_all([one])):
            try:
                await send(message("full@example.com"))
            except RunError as error:
                full = str(error)
        if ends == "killed":
            print(json.dumps([told, errors, full]), flush=True)
            signal.raise_signal(signal.SIGKILL)
        limit(resource.RLIM_INFINITY)
        [result] = await sender.send_message(message("after@example.com"), key="after")
        told[result.recipient] = result.status
    print(json.dumps([told, errors, full]))


asyncio.run(main())
"""


def outcomes(log: Path) -> dict[str, str]:
    """The last outcome of each recipient."""
    said = (json.loads(line) for line in log.read_bytes().splitlines())
    return {line["recipient"]: line["status"] for line in said if "record" in line}


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["closed", "killed"])
@pytest.mark.parametrize(
    ("growing", "key_length"),
    [("mail.jsonl", 1), ("mail.messages.jsonl", 900)],
    ids=["the log does not fit", "the list does not fit"],
)
async def test_callers_are_told_and_what_was_sent_is_written_down(
    tmp_path: Path, growing: str, key_length: int, ends: str
) -> None:
    log = tmp_path / "mail.jsonl"
    async with CountingServer(well_behaved) as peer, asyncio.timeout(GUARD):
        command = ["-c", PROGRAM, peer.port, log, growing, key_length, ends]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *map(str, command), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        told, errors, full = json.loads(printed)
        received = Counter(one.recipients[0] for one in peer.accepted)

        assert errors, "the callers that wait are told"
        assert all("cannot be written" in error for error in [*errors, full])
        assert "full@example.com" not in received, "nothing is sent while it cannot be written down"
        assert set(received.values()) == {1}
        assert set(told.values()) <= {"accepted", "in_doubt"}
        if ends == "closed":
            assert told["after@example.com"] == "accepted"
            assert outcomes(log).keys() == received.keys(), "each message the server has is in the log"
            assert {told.get(one, status) for one, status in outcomes(log).items()} <= {"accepted", "in_doubt"}

        async with Sender(server(peer), delivery=options(), results=log) as sender:
            known = {name: await asked(sender, name, key_length) for name in received if name.startswith("c")}
        assert set(known.values()) <= {Outcome.ACCEPTED, Outcome.IN_DOUBT}
        assert Counter(one.recipients[0] for one in peer.accepted) == received, "and none is sent again"


async def asked(sender: Sender, recipient: str, key_length: int) -> Any:
    """What a sender says of a message that an earlier process has sent."""
    [result] = await sender.send_message(message(recipient), key=recipient.partition("@")[0] + "k" * key_length)
    return result.status
