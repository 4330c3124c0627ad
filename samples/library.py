"""batchsend as a library: a campaign file, and submissions of your own.

Run it against a server that takes everything and delivers nothing:

    batchsend sink --port 2525 &
    python samples/library.py smtp://127.0.0.1:2525
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import batchsend
from batchsend.campaign import Overrides

if TYPE_CHECKING:
    from collections.abc import Iterator

WELCOME = Path(__file__).parent / "welcome" / "campaign.toml"


def send_a_campaign(server: str) -> batchsend.Summary:
    """The campaign file says what is sent to whom; here only the server and the results log are other ones."""
    with tempfile.TemporaryDirectory() as directory:
        overrides = batchsend_overrides(server, Path(directory) / "results.jsonl")
        campaign = batchsend.load(WELCOME, overrides=overrides, resolve_credentials=False)
        return batchsend.send(campaign)


def batchsend_overrides(server: str, results: Path) -> Overrides:
    """What the command line would say with --server and --results."""
    return Overrides(server=server, results=str(results))


def messages(count: int) -> Iterator[batchsend.Submission]:
    """Submissions made by any means: what a session needs is an envelope and the message's octets."""
    for number in range(1, count + 1):
        message = EmailMessage()
        message["From"] = "Library <library@example.com>"
        message["To"] = f"reader{number}@example.com"
        message["Subject"] = f"Message {number}"
        message.set_content("Your book is due on Friday.\n")
        yield batchsend.Submission(
            record=number,
            envelope=batchsend.Envelope("library@example.com", f"reader{number}@example.com"),
            content=message.as_bytes(),
        )


async def send_submissions(server: str, count: int) -> dict[batchsend.Outcome, int]:
    """A pool that stays open: results come as they are known, in no particular order."""
    parts = urlsplit(server)
    host, port = parts.hostname or "127.0.0.1", parts.port or 2525
    counts: dict[batchsend.Outcome, int] = {}
    async with batchsend.Sender(batchsend.Server(host=host, port=port, tls="none")) as sender:
        async for result in sender.send(messages(count)):
            counts[result.status] = counts.get(result.status, 0) + 1
            if result.status is not batchsend.Outcome.ACCEPTED:
                print(result.record, result.recipient, result.status, result.reply)
    return counts


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "smtp://127.0.0.1:2525"
    for line in send_a_campaign(url).lines():
        print(line)
    for outcome, number in asyncio.run(send_submissions(url, 1000)).items():
        print(f"{outcome}: {number}")
