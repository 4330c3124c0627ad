"""Every command on an input that is empty, one that is huge, and one that is broken."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from tests.cli.commandline import make_campaign
from tests.feedback.letters import dsn
from tests.report.logs import begin, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HUGE: Final = 200_000
"""Records of a list or a log that is huge here; there are millions in `bounds.py`."""

_LARGE: Final = 30 << 20

_NOISE: Final = random.Random(1).randbytes(1 << 20)
Inputs = dict[str, bytes]


def lists() -> Inputs:
    """Lists of recipients."""
    rows = b"".join(b"r%d@example.com,Name %d\n" % (number, number) for number in range(HUGE))
    return {"empty": b"", "huge": b"email,name\n" + rows, "broken": b"email,name\n" + _NOISE}


def logs() -> Inputs:
    """Results logs."""
    lines = b"".join(outcome(number) for number in range(1, HUGE))
    return {"empty": b"", "huge": begin() + lines, "broken": begin() + _NOISE}


def letters() -> Inputs:
    """Messages that have come back."""
    return {"empty": b"", "huge": dsn() + b"x" * 70 * (_LARGE // 70), "broken": _NOISE}


def campaigns() -> Inputs:
    """Campaign files."""
    return {"empty": b"", "huge": b'x = "' + b"a" * _LARGE + b'"\n', "broken": _NOISE}


def templates() -> Inputs:
    """Templates of a message."""
    return {"empty": b"", "huge": b"{{ name }} " * (_LARGE // 11), "broken": b"{{ {% " + _NOISE}


def on_list(*command: str) -> Callable[[Path, bytes], list[str | Path]]:
    """A command on a campaign whose list is the input."""

    def arguments(folder: Path, octets: bytes) -> list[str | Path]:
        path = make_campaign(folder, "email\n")
        (folder / "recipients.csv").write_bytes(octets)
        return [command[0], path, *command[1:]]

    return arguments


def on_file(name: str, *command: str) -> Callable[[Path, bytes], list[str | Path]]:
    """A command on a file: its name stands at the place of ``{}``."""

    def arguments(folder: Path, octets: bytes) -> list[str | Path]:
        (folder / name).write_bytes(octets)
        return [folder / name if word == "{}" else word for word in command]

    return arguments


def on_template(*command: str) -> Callable[[Path, bytes], list[str | Path]]:
    """A command on a campaign whose text is the input."""

    def arguments(folder: Path, octets: bytes) -> list[str | Path]:
        path = make_campaign(folder)
        path.write_text(path.read_text().replace('text = "Hello {{ name }}"', 'text_file = "text.txt"'))
        (folder / "text.txt").write_bytes(octets)
        return [command[0], path, *command[1:]]

    return arguments


COMMANDS: Final[dict[str, tuple[Callable[[Path, bytes], list[str | Path]], Callable[[], Inputs]]]] = {
    "check, its list": (on_list("check", "--offline"), lists),
    "preview, its list": (on_list("preview", "--record", "1"), lists),
    "send, its list": (on_list("send", "--sandbox", "--no-progress", "--limit", "100"), lists),
    "init, a list": (on_file("list.csv", "init", "made", "--recipients", "{}"), lists),
    "check, its text": (on_template("check", "--offline"), templates),
    "preview, its text": (on_template("preview"), templates),
    "check": (on_file("campaign.toml", "check", "{}", "--offline"), campaigns),
    "send": (on_file("campaign.toml", "send", "{}"), campaigns),
    "bench": (on_file("campaign.toml", "bench", "{}"), campaigns),
    "report": (on_file("results.jsonl", "report", "{}"), logs),
    "report, csv": (on_file("results.jsonl", "report", "{}", "--csv", "made.csv"), logs),
    "report, html": (on_file("results.jsonl", "report", "{}", "--html", "made.html"), logs),
    "resume": (on_file("results.jsonl", "resume", "{}"), logs),
    "control": (on_file("results.jsonl", "control", "{}", "status"), logs),
    "listen": (on_file("results.jsonl", "listen", "{}", "--http", "127.0.0.1:0"), logs),
    "events": (on_file("results.jsonl", "events", "{}", "--url", "nothing"), logs),
    "feedback": (on_file("letter.eml", "feedback", "{}"), letters),
    "feedback, a log": (on_file("results.jsonl", "feedback", "--results", "{}", "{}"), logs),
    "explain": (lambda _, octets: ["explain", octets[:100_000].decode("latin-1").replace("\0", "") or " "], letters),
}
"""For each command that reads something: its words for an input, and the inputs."""


def cases() -> Iterator[tuple[str, str, Callable[[Path], list[str | Path]]]]:
    """Each command on each of its inputs."""
    for name, (arguments, inputs) in COMMANDS.items():
        for kind, octets in inputs().items():
            yield name, kind, lambda folder, arguments=arguments, octets=octets: arguments(folder, octets)  # type: ignore[misc]
