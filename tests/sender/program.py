"""A program that sends numbered messages with a results log, in a process of its own that a test kills.

Arguments: the server's port, the log, how many messages, how many sessions, the durability.
"""

from __future__ import annotations

import asyncio
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

from batchsend import Delivery, RunError, Sender, Server

if TYPE_CHECKING:
    from collections.abc import Iterator


def numbered(count: int) -> Iterator[EmailMessage]:
    """So many messages, each to a recipient of its own, and every tenth to a second one."""
    for number in range(1, count + 1):
        message = EmailMessage()
        message["From"], message["Subject"] = "shop@example.com", f"Order {number}"
        message["To"] = f"r{number}@example.com" + (f", s{number}@example.com" if number % 10 == 0 else "")
        message.set_content("It is on its way.\n")
        yield message


def key(message: EmailMessage) -> str:
    """What a message is called, whichever process sends it; not all of it can be shown as it is."""
    return str(message["Subject"]).replace(" ", "\n")


async def main() -> None:
    port, results, count, connections, durability = sys.argv[1:]
    server = Server(host="127.0.0.1", port=int(port), tls="none")
    delivery = Delivery(max_connections=int(connections), max_messages=20, give_up_after=5, durability=durability)  # type: ignore[arg-type]
    sender = Sender(server, delivery=delivery, results=Path(results), notice=lambda text: print(text, flush=True))
    async with sender:
        try:
            async for _ in sender.send(numbered(int(count)), key=key):
                pass
        except RunError as error:
            print(error, flush=True)
            sys.exit(3)


if __name__ == "__main__":
    asyncio.run(main())
