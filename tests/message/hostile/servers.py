"""The servers that a hostile campaign is sent to: each keeps every message as it came."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from tests.servers.smtp_sink import SmtpSink
from tests.servers.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LISTENING = re.compile(r"listening on 127\.0\.0\.1 port (\d+)")
_STORED = re.compile(rb"Return-Path: <([^\r\n]*)>\r\n((?:Delivered-To: [^\r\n]*\r\n)+)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Keeper:
    """A server that runs.

    Attributes:
        port: Its port on loopback.
        finish: Ends it and yields what it has.
        eight_bit: Whether it offers 8BITMIME.
    """

    port: int
    finish: Callable[[], Iterator[Stored]]
    eight_bit: bool = True


@contextmanager
def smtp_sink(*, eight_bit: bool = True) -> Iterator[Keeper]:
    """Postfix's smtp-sink: PIPELINING, lines that may end in LF alone, no SMTPUTF8."""
    with SmtpSink(*([] if eight_bit else ["-8"]), dump=True) as server:
        yield Keeper(server.port, server.received, eight_bit)


@contextmanager
def batchsend_sink(directory: Path) -> Iterator[Keeper]:
    """``batchsend sink`` in a process of its own: CHUNKING and SMTPUTF8, and a count of its errors."""
    maildir = directory / "maildir"
    command = [sys.executable, "-m", "batchsend", "sink", "--port", "0", "--maildir", str(maildir), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            listening = _LISTENING.match(process.stderr.readline())
            assert listening is not None

            def finish() -> Iterator[Stored]:
                process.terminate()
                output, _ = process.communicate()
                counts = orjson.loads(output)
                files = sorted((maildir / "new").iterdir())
                assert counts["errors"] == 0, "a command was not one"
                assert counts["messages"] == counts["recipients"] == len(files)
                for file in files:
                    yield _stored(file.read_bytes())

            yield Keeper(int(listening[1]), finish)
        finally:
            process.kill()


def _stored(octets: bytes) -> Stored:
    match = _STORED.fullmatch(octets)
    assert match is not None
    recipients = [line.removeprefix("Delivered-To: ") for line in match[2].decode().splitlines()]
    assert len(recipients) == 1, recipients
    return Stored(recipients[0], match[1].decode(), match[3])
