"""What a run may take, whatever it is given: each bound by itself, with the figure that it comes to here."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.sink import SinkOptions
from tests.bounds.measuring import Took, run
from tests.cli.commandline import make_campaign, serving
from tests.delivery.harness import GREETED
from tests.report.logs import begin, outcome, rejected
from tests.tools.scripted import ScriptedServer
from tests.tools.sink_thread import SinkThread
from tests.tools.steps import Expect, Repeat, Send, Silence, StopReading, reply

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from tests.tools.steps import Step

_ATTACHED: Final = 20_000_000
_MILLIONS: Final = 5_000_000
_BLOCK: Final = 10_000


class Bound(NamedTuple):
    """One bound.

    Attributes:
        what: What is tried.
        measure: Tries it in a folder.
        memory: MiB that it may take.
        seconds: That it may take, where there is nothing to wait for; on a machine that does nothing else.
        codes: The exit codes that are right.
        says: What its output or errors have to say; empty for anything.
    """

    what: str
    measure: Callable[[Path], Took]
    memory: float
    seconds: float
    codes: tuple[int, ...] = (0,)
    says: str = ""


def _attached(sessions: int) -> Callable[[Path], Took]:
    """A file of 20 MB with each of some messages, of which each record has one of its own."""

    def measure(folder: Path) -> Took:
        with SinkThread(SinkOptions(chunking=False)) as sink:
            return run(folder, "send", _with_files(folder, sink.port, sessions), "--no-progress")

    return measure


def _with_files(folder: Path, port: int, sessions: int, *, more: str = "") -> Path:
    count = max(10, sessions * 2)
    for number in range(count):
        with (folder / f"{number}.bin").open("wb") as file:
            file.write(b"%d" % number)
            file.truncate(_ATTACHED)
    rows = "".join(f"r{number}@example.com,{number}\n" for number in range(count))
    path = make_campaign(
        folder,
        f"email,name\n{rows}",
        message='attachments = ["{{ name }}.bin"]',
        delivery=f"max_connections = {sessions}\nmax_attempts = 1\n{more}",
    )
    _to(path, port)
    return path


def _to(path: Path, port: int) -> None:
    """Have a campaign sent to a port of loopback."""
    near = f'"127.0.0.1"\nport = {port}\ntls = "none"'
    path.write_text(path.read_text().replace('"smtp.example.com"', near))


def _never_reading(folder: Path) -> Took:
    """Servers that answer DATA, and read nothing of what follows."""
    asked = [Expect(""), Expect(""), Expect("")]  # MAIL, RCPT and DATA, or a QUIT without them
    script: list[Step] = [*GREETED, *asked, reply("250 ok", "250 ok", "354 go"), StopReading(), Silence()]
    with serving(ScriptedServer(script, receive_buffer=4096)) as server:
        path = _with_files(folder, server.port, 20, more='give_up_after = "5s"\n[delivery.timeouts]\ncontent = "3s"')
        return run(folder, "send", path, "--no-progress")


def _endless_replies(folder: Path) -> Took:
    """A server whose reply to EHLO has no end, and whose lines have none."""
    script: list[Step] = [Send(b"220 ready\r\n"), Repeat([Send(b"250-more\r\n" * 1000)])]
    with serving(ScriptedServer(script)) as server:
        path = make_campaign(folder, delivery='max_attempts = 1\ngive_up_after = "2s"')
        _to(path, server.port)
        return run(folder, "send", path, "--no-progress")


def _tabs(folder: Path) -> Took:
    log = folder / "results.jsonl"
    log.write_bytes(begin() + rejected(1, reply="\t" * 60_000 + "=1"))
    return run(folder, "report", log, "--csv", folder / "made.csv")


def _columns(folder: Path) -> Took:
    header = ",".join(["email", *(f"c{number}" for number in range(40_000))])
    return run(folder, "check", make_campaign(folder, f"{header}\n{'a@example.com,' + ',' * 39_999}\n"), "--offline")


def _compressed(suffix: str, *, line: bool) -> Callable[[Path], Took]:
    """A list of a few hundred kilobytes that unpacks to a gigabyte: one line, or ever the same."""

    def measure(folder: Path) -> Took:
        path = make_campaign(folder)
        path.write_text(path.read_text().replace("recipients.csv", f"list.csv.{suffix}"))
        block = b"a" * (1 << 20) if line else b"a@example.com,A\n" * (1 << 16)
        name = folder / f"list.csv.{suffix}"
        with gzip.open(name, "wb", compresslevel=1) if suffix == "gz" else zstd.ZstdFile(name, "wb") as file:
            file.write(b"email,name\n")
            for _ in range((1 << 30) // len(block) if line else 100):
                file.write(block)
        return run(folder, "preview", path, "--record", "2" if line else "5000000")

    return measure


def _millions_of_records(folder: Path) -> Took:
    path = make_campaign(folder)
    with (folder / "recipients.csv").open("w") as file:
        file.write("email,name\n")
        for begun in range(0, _MILLIONS, _BLOCK):
            file.writelines(f"r{number}@example.com,Name {number}\n" for number in range(begun, begun + _BLOCK))
    return run(folder, "preview", path, "--record", str(_MILLIONS))


def _millions_of_outcomes(folder: Path) -> Took:
    log = folder / "results.jsonl"
    with log.open("wb") as file:
        file.write(begin())
        for begun in range(1, _MILLIONS, _BLOCK):
            file.write(b"".join(outcome(number) for number in range(begun, begun + _BLOCK)))
    return run(folder, "report", log)


def _one_record(folder: Path) -> Took:
    """A record of 100 MB between two others: it costs itself."""
    path = make_campaign(folder)
    with (folder / "recipients.csv").open("w") as file:
        file.write("email,name\na@example.com,A\nb@example.com,")
        for _ in range(100):
            file.write("x" * 1_000_000)
        file.write("\nc@example.com,C\n")
    with SinkThread() as sink:
        _to(path, sink.port)
        took = run(folder, "send", path, "--no-progress")
        assert [message.recipients for message in sink.received] == [["a@example.com"], ["c@example.com"]], took
    return took


def _descriptors(folder: Path) -> Took:
    """Fifty sessions where there are descriptors for a few: with fewer of them everything goes out."""
    rows = "".join(f"r{number}@example.com,{number}\n" for number in range(2000))
    path = make_campaign(folder, f"email,name\n{rows}", delivery="max_connections = 50\nmax_messages = 10")
    with SinkThread() as sink:
        _to(path, sink.port)
        took = run(folder, "send", path, "--no-progress", descriptors=32)
        assert len(sink.received) == 2000, (len(sink.received), took)
    return took


BOUNDS: Final = (
    Bound("20 MB attached, 1 session", _attached(1), 450, 60),
    Bound("20 MB attached, 20 sessions", _attached(20), 500, 120),
    Bound("20 MB attached, 20 servers that never read", _never_reading, 500, 120, (1, 3)),
    Bound("replies without an end", _endless_replies, 100, 20, (1, 3)),
    Bound("report --csv, a row of 60,000 tabs", _tabs, 150, 10),
    Bound("a CSV header of 40,000 columns", _columns, 300, 10, (0, 1, 2)),
    Bound(".gz, a line of 1 GiB in 1 MB", _compressed("gz", line=True), 200, 20, (2,), "longer than 16 MiB"),
    Bound(".zst, a line of 1 GiB in 100 kB", _compressed("zst", line=True), 200, 20, (2,), "longer than 16 MiB"),
    Bound(".gz, 6,500,000 rows", _compressed("gz", line=False), 150, 60),
    Bound(".zst, 6,500,000 rows", _compressed("zst", line=False), 150, 60),
    Bound("a list of 5,000,000 records", _millions_of_records, 150, 60),
    Bound("a log of 5,000,000 outcomes", _millions_of_outcomes, 400, 180),
    Bound("one record of 100 MB", _one_record, 200, 20, (1,)),
    Bound("50 sessions with 32 descriptors", _descriptors, 120, 60),
)
