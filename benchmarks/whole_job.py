"""The whole job (JSONL in, personalised HTML and text, a results log written) against smtp-source, to one smtp-sink.

From the checkout, as root (the sink runs in a namespace of its own), with what `bash .ci/servers` installs:

    .venv/bin/python -m benchmarks.whole_job --messages 50000 --rounds 5

Each round runs every contestant once, each time in another order, and checks that the sink has received every message.
A rate is messages by the seconds from the start of a program to its end: the interpreter's start counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers.smtp_sink import SmtpSink, smtp_source

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS = 20
YARDSTICK = "smtp-source -d -s 20 -l 2000"
# More than any session will send.
NEVER = 1_000_000_000

# Six fields, HTML and text, about 2 KB in all: what a notification looks like.
FACTS = "Your book is due in {{ city }} on {{ due }}; the desk is open until {{ hours }}."
FILLER = "The reading room is on the first floor, and the tea is on the house.\n"
TEXT = f"Hello {{{{ name }}}},\n\n{FACTS}\n{FILLER * 6}\nYour token is {{{{ token }}}}, for {{{{ email }}}}.\n"
HTML = (
    "<!doctype html>\n<html><head><title>Hello {{ name }}</title></head>\n<body>\n<h1>Hello {{ name }}</h1>\n"
    f"<p>{FACTS}</p>\n{f'<p>{FILLER}</p>' * 8}\n"
    '<p><a href="https://example.com/unsubscribe/{{ token }}">Unsubscribe</a> {{ email }}</p>\n</body></html>\n'
)

CAMPAIGN = """\
recipients = "recipients.jsonl"
results = "results.jsonl"
[server]
host = "127.0.0.1"
port = {port}
tls = "none"
[message]
from = "The Reading Room <hello@mail.example.com>"
to = "{{{{ name }}}} <{{{{ email }}}}>"
subject = "Your book is due, {{{{ name }}}}"
text_file = "message.txt"
html_file = "message.html"
[delivery]
max_connections = {connections}
"""


@dataclass(slots=True)
class Contestant:
    """One way of sending the messages.

    Attributes:
        name: What it is.
        run: Sends them all.
        rates: Messages a second, round by round.
    """

    name: str
    run: Callable[[], object]
    rates: list[float] = field(default_factory=list)


class Batchsend:
    """The command line at work in a folder of its own.

    Args:
        folder: Where the campaign is written; it exists.
        port: The sink's port on loopback.
        messages: How many records there are.
    """

    def __init__(self, folder: Path, port: int, messages: int) -> None:
        self._folder = folder
        self._campaign = folder / "campaign.toml"
        self._campaign.write_text(CAMPAIGN.format(port=port, connections=CONNECTIONS))
        (folder / "message.txt").write_text(TEXT)
        (folder / "message.html").write_text(HTML)
        with (folder / "recipients.jsonl").open("w") as file:
            for number in range(1, messages + 1):
                record = {
                    "email": f"reader{number}@example.com",
                    "name": f"Reader {number}",
                    "city": "Dublin" if number % 2 else "York",
                    "due": f"{number % 28 + 1} March",
                    "hours": f"{16 + number % 6}:00",
                    "token": f"{number:016x}",
                }
                file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def send(self, max_messages: int) -> None:
        """Send the campaign anew, with a results log of its own."""
        with tempfile.TemporaryDirectory(dir=self._folder) as results:
            log = f"{results}/results.jsonl"
            self._run("send", "--no-progress", "--json", "--results", log, "--max-messages", str(max_messages))

    def octets(self) -> int:
        """How large the first message is, header and all."""
        message = self._folder / "message.eml"
        self._run("preview", "--eml", str(message))
        return message.stat().st_size

    def _run(self, command: str, *options: str) -> None:
        words = [sys.executable, "-m", "batchsend", command, str(self._campaign), *options]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def race(sink: SmtpSink, contestants: list[Contestant], messages: int, rounds: int) -> None:
    """Run every contestant once a round.

    Raises:
        RuntimeError: The sink has not received what was sent.
    """
    for number in range(rounds):
        turn = number % len(contestants)
        for contestant in contestants[turn:] + contestants[:turn]:
            before, began = sink.message_count(), time.monotonic()
            contestant.run()
            seconds = time.monotonic() - began
            received = sink.message_count() - before
            if received != messages:
                raise RuntimeError(f"{contestant.name}: {received:,} of {messages:,} messages were received")
            contestant.rates.append(messages / seconds)
            print(f"round {number + 1}: {contestant.name:<32} {contestant.rates[-1]:>8,.0f}/s", flush=True)


def report(yardstick: Contestant, contestants: list[Contestant]) -> None:
    """Print medians, spread, and the median of each round's ratio to the yardstick's rate of the same round."""
    print(f"\n{'':<32} {'median':>9}  {'least to most':>17}  {'ratio':>5}  {'least to most':>13}")
    for contestant in contestants:
        rates = contestant.rates
        ratios = [rate / measure for rate, measure in zip(rates, yardstick.rates, strict=True)]
        spread, ratio_spread = f"{min(rates):,.0f} to {max(rates):,.0f}", f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(
            f"{contestant.name:<32} {statistics.median(rates):>7,.0f}/s  {spread:>17}  "
            f"{statistics.median(ratios):>5.2f}  {ratio_spread:>13}"
        )


def main() -> None:
    """Read the options, run the rounds, print the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=50_000, metavar="N", help="messages of each run (50000)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="runs of each contestant (5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, SmtpSink() as sink:
        job = Batchsend(Path(directory), sink.port, options.messages)
        yardstick = Contestant(
            YARDSTICK, lambda: smtp_source(sink.port, messages=options.messages, sessions=CONNECTIONS, length=2000)
        )
        contestants = [
            yardstick,
            Contestant("batchsend, max_messages 100", lambda: job.send(100)),
            Contestant("batchsend, never rotating", lambda: job.send(NEVER)),
        ]
        print(
            f"{options.messages:,} messages, {CONNECTIONS} connections; batchsend's first has {job.octets():,} octets"
        )
        race(sink, contestants, options.messages, options.rounds)
        report(yardstick, contestants)


if __name__ == "__main__":
    try:
        main()
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(str(missing))
