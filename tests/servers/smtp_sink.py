"""Postfix's own test programs: smtp-sink, which takes and forgets, and smtp-source, the yardstick of speed."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.servers import requirements
from tests.servers.daemon import Daemon, free_ports, private_directory
from tests.servers.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

# The lines that smtp-sink puts before the message: X-Client-Addr … X-Rcpt-Args, and a Received field of three lines.
_DUMP = re.compile(
    rb"(?:X-(?!Mail|Rcpt)[^\n]*\n)*X-Mail-Args: <(?P<sender>[^\n]*?)>[^\n]*\n"
    rb"(?P<recipients>(?:X-Rcpt-Args: [^\n]*\n)+)Received: [^\n]*\n\t[^\n]*\n\t[^\n]*\n(?P<content>.*)\n",
    re.DOTALL,
)
_RECIPIENT = re.compile(rb"X-Rcpt-Args: <([^\n]*?)>[^\n]*\n")
_COUNTERS = re.compile(rb"sess=(\d+) quit=(\d+) mesg=(\d+)")
_LAST_WORDS = 4096


class SmtpSink:
    """A context manager that runs smtp-sink, without TLS and CHUNKING, on a loopback port.

    Args:
        options: Its options, as in smtp-sink(1): ``-f RCPT`` refuses, ``-r RCPT`` defers (both switch PIPELINING off),
            ``-q .`` drops, ``-W RCPT:1`` delays …
        dump: Keep every transaction, each in a file: an oracle, and a brake.

    Attributes:
        host: The address it listens on.
        port: The port.
    """

    host = "127.0.0.1"

    def __init__(self, *options: str, dump: bool = False) -> None:
        (self.port,) = free_ports(1)
        self._options = options
        self._dump = dump
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        program = requirements.program("smtp-sink")
        with ExitStack() as stack:
            self._directory = stack.enter_context(private_directory("smtp-sink"))
            (self._directory / "dump").mkdir()
            (self._directory / "dump").chmod(0o777)  # smtp-sink gives up root's rights
            dumping = ["-d", f"{self._directory}/dump/"] if self._dump else []
            # -m: without it 256 connections are served, the others wait unanswered.
            command: list[str | Path] = [program, "-c", "-u", "nobody", "-m", "2000", *dumping, *self._options]
            daemon = Daemon([*command, f"{self.host}:{self.port}", "1024"], output=self._output)
            stack.callback(daemon.stop)
            daemon.wait_ready(self.port, greeting=b"")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def _output(self) -> Path:
        return self._directory / "output"

    def message_count(self) -> int:
        """Return how many messages it has taken, by its own count."""
        with self._output.open("rb") as output:
            # It says so for each message anew: only the last is of use.
            output.seek(max(0, self._output.stat().st_size - _LAST_WORDS))
            counted = _COUNTERS.findall(output.read())
        return int(counted[-1][2]) if counted else 0

    def received(self) -> Iterator[Stored]:
        """Yield every transaction that was dumped whole, for each recipient; only with ``dump``."""
        for file in sorted((self._directory / "dump").iterdir()):
            match = _DUMP.fullmatch(file.read_bytes())
            if match is None:
                continue  # A transaction that was begun and not finished.
            content = match["content"].replace(b"\n", b"\r\n")
            for recipient in _RECIPIENT.findall(match["recipients"]):
                yield Stored(recipient.decode(), match["sender"].decode(), content)


@dataclass(frozen=True, slots=True)
class SourceRun:
    """What a run of smtp-source took.

    Attributes:
        messages: How many were sent.
        seconds: How long that took, from start to exit of the program.
    """

    messages: int
    seconds: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


def smtp_source(
    port: int, *, messages: int, sessions: int = 20, length: int = 2000, recipient: str = "b@example.com"
) -> SourceRun:
    """Send one fixed message again and again with smtp-source, with sessions kept open (``-d``).

    Args:
        port: The server's port on loopback.
        messages: How many to send.
        sessions: Over how many sessions at once.
        length: Octets of a message's content.
        recipient: To whom.

    Raises:
        subprocess.CalledProcessError: A command was refused, or a connection lost.
    """
    options = [
        "-d",
        "-s",
        str(sessions),
        "-l",
        str(length),
        "-m",
        str(messages),
        "-f",
        "a@example.org",
        "-t",
        recipient,
    ]
    command: list[str | Path] = [requirements.program("smtp-source"), *options, f"127.0.0.1:{port}"]
    began = time.monotonic()
    subprocess.run(command, check=True)
    return SourceRun(messages, time.monotonic() - began)
