"""Every command on an input that is empty, one that is huge, and one that is broken."""

from __future__ import annotations

import base64
import hashlib
import random
from typing import TYPE_CHECKING, Final

from batchsend.results.run import RecipientsFile
from tests.bounds.measuring import Took, run
from tests.cli.commandline import make_campaign
from tests.feedback.letters import dsn, results_log
from tests.recipients.sheets import xlsx
from tests.report.logs import begin, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HUGE: Final = 50 << 20
"""Octets of an input that is huge; there are larger lists and logs in `bounds.py`."""

READ_NOTHING: Final = frozenset({"completion", "manual", "presets", "sink"})
"""Commands that have no input."""

ELSEWHERE: Final = frozenset({"cluster"})
"""What needs a database before it looks at anything: its tests are in ``tests/cluster``."""

GIVEN: Final = "given"
"""The file that a command finds on its standard input, if there is one."""

_SECRETS: Final = {"BATCHSEND_EVENTS_SECRET": f"whsec_{base64.b64encode(bytes(32)).decode()}"}

_NOISE: Final = random.Random(1).randbytes(1 << 20)
Inputs = dict[str, bytes]
"""Inputs by their kind: empty; huge; one that begins well and is broken then; and noise, which is nothing at all."""


def _inputs(huge: bytes, broken: bytes) -> Inputs:
    return {"empty": b"", "huge": huge, "broken": broken + _NOISE, "noise": _NOISE}


def lists(octets: int) -> Inputs:
    """Lists of recipients."""
    rows = b"".join(b"r%08d@example.com,Name %08d\n" % (number, number) for number in range(octets // 40))
    return _inputs(b"email,name\n" + rows, b"email,name\na@example.com,A\n")


def json_lists(octets: int) -> Inputs:
    """Lists as JSON lines."""
    line = b'{"email": "r%08d@example.com", "name": "Name"}\n'
    return _inputs(b"".join(line % number for number in range(octets // 50)), line % 1)


def workbooks(octets: int) -> Inputs:
    """Workbooks: one with so much in a cell, one that breaks off."""
    sound = xlsx(A=[["email", "name"], ["a@example.com", "A"]])
    large = xlsx(A=[["email", "name"], ["a@example.com", "A" * octets]])
    return _inputs(large, sound[: len(sound) // 2])


def logs(octets: int) -> Inputs:
    """Results logs."""
    lines = b"".join(outcome(number) for number in range(1, octets // len(outcome(1))))
    return _inputs(begin() + lines, begin() + outcome(1))


def letters(octets: int) -> Inputs:
    """Messages that have come back."""
    return _inputs(dsn() + b"x" * 70 * (octets // 70), dsn()[:400])


def boxes(octets: int) -> Inputs:
    """Many such messages in one file."""
    one = b"From MAILER-DAEMON Thu Nov 26 10:00:00 2026\n" + dsn().replace(b"\r\n", b"\n") + b"\n\n"
    return _inputs(one * (octets // len(one)), one)


def campaigns(octets: int) -> Inputs:
    """Campaign files."""
    return _inputs(b'x = "' + b"a" * octets + b'"\n', b'recipients = "recipients.csv"\n')


def templates(octets: int) -> Inputs:
    """Templates of a message."""
    return _inputs(b"{{ name }} " * (octets // 11), b"{{ name }} {{ {% ")


def whole_messages(octets: int) -> Inputs:
    """Messages that a campaign takes as they are."""
    head = b"From: a@example.com\r\nTo: {{ email }}\r\nSubject: x\r\n\r\n"
    return _inputs(head + b"Hello {{ name }}\r\n" + b"one of many lines\r\n" * (octets // 19), head)


def settings(octets: int) -> Inputs:
    """A Django project's settings."""
    return _inputs(b"NAMES = [\n" + b'    "a name",\n' * (octets // 14) + b"]\n", b'EMAIL_HOST = "smtp.example.com"\n')


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
        make_campaign(folder)
        (folder / name).write_bytes(octets)
        return [folder / name if word == "{}" else word for word in command]

    return arguments


def on_campaign(line: str, name: str, *command: str) -> Callable[[Path, bytes], list[str | Path]]:
    """A command on a campaign that names the input in a line of ``[delivery]``."""

    def arguments(folder: Path, octets: bytes) -> list[str | Path]:
        (folder / name).write_bytes(octets)
        return [command[0], make_campaign(folder, delivery=line), *command[1:]]

    return arguments


def on_template(*command: str) -> Callable[[Path, bytes], list[str | Path]]:
    """A command on a campaign whose text is the input."""

    def arguments(folder: Path, octets: bytes) -> list[str | Path]:
        path = make_campaign(folder)
        path.write_text(path.read_text().replace('text = "Hello {{ name }}"', 'text_file = "text.txt"'))
        (folder / "text.txt").write_bytes(octets)
        return [command[0], path, *command[1:]]

    return arguments


def on_message(*command: str) -> Callable[[Path, bytes], list[str | Path]]:
    """A command on a campaign whose whole message is the input."""

    def arguments(folder: Path, octets: bytes) -> list[str | Path]:
        (folder / "message.eml").write_bytes(octets)
        path = make_campaign(folder)
        head, _, _ = path.read_text().partition("[message]")
        path.write_text(f'{head}[message]\neml_file = "message.eml"\n')
        return [command[0], path, *command[1:]]

    return arguments


def on_mailmerge(folder: Path, octets: bytes) -> list[str | Path]:
    """The three files of mailmerge, of which the template is the input."""
    (folder / "mailmerge_template.txt").write_bytes(octets)
    (folder / "mailmerge_database.csv").write_text("email,name\na@example.com,A\n")
    (folder / "mailmerge_server.conf").write_text("[smtp_server]\nhost = smtp.example.com\nport = 25\n")
    return ["init", "--from-mailmerge", folder]


def on_killed_run(*command: str) -> Callable[[Path, bytes], list[str | Path]]:
    """A command on the log of a run that was killed; its list has a hundred records more than that has lines."""

    def arguments(folder: Path, octets: bytes) -> list[str | Path]:
        rows = (f"r{number}@example.com,A\n" for number in range(1, octets.count(b"\n") + 100))
        path = make_campaign(folder, f"email,name\n{''.join(rows)}")
        written = (folder / "recipients.csv").read_bytes()
        digest = hashlib.sha256(written).hexdigest()
        recipients = RecipientsFile(path=str(folder / "recipients.csv"), size=len(written), sha256=digest)
        begun = begin(campaign=str(path), recipients=recipients)
        (folder / "results.jsonl").write_bytes(octets.replace(begin(), begun, 1))
        return [folder / "results.jsonl" if word == "{}" else word for word in command]

    return arguments


def on_grown_list(folder: Path, octets: bytes) -> list[str | Path]:
    """A report that comes back, and a list of whom not to write to that is there already."""
    (folder / "letter.eml").write_bytes(dsn())
    (folder / "not.csv").write_bytes(octets)
    log = results_log(folder)
    return ["feedback", folder / "letter.eml", "--results", log, "--suppress", folder / "not.csv"]


_SENT_AGAIN: Final = (
    *("send", "campaign.toml", "--recipients", "{}", "--only", "accepted"),
    *("--results", "new.jsonl", "--sandbox", "--no-progress", "--limit", "100"),
)
COMMANDS: Final[dict[str, tuple[Callable[[Path, bytes], list[str | Path]], Callable[[int], Inputs]]]] = {
    "check, its list": (on_list("check", "--offline"), lists),
    "preview, its list": (on_list("preview", "--record", "1"), lists),
    "send, its list": (on_list("send", "--sandbox", "--no-progress", "--limit", "100"), lists),
    "send, a list of JSON": (
        on_file("list.jsonl", "send", "campaign.toml", "--recipients", "{}", "--sandbox", "--limit", "100"),
        json_lists,
    ),
    "send, a workbook": (
        on_file("list.xlsx", "send", "campaign.toml", "--recipients", "{}", "--sandbox", "--limit", "100"),
        workbooks,
    ),
    "send, who is left out": (
        on_campaign('suppress = ["not.csv"]', "not.csv", "send", "--sandbox", "--no-progress"),
        lists,
    ),
    "send, a log as its list": (on_killed_run(*_SENT_AGAIN), logs),
    "init, a list": (on_file("list.csv", "init", "made", "--recipients", "{}"), lists),
    "init, Django": (on_file("settings.py", "init", "made", "--from-django", "{}"), settings),
    "init, mailmerge": (on_mailmerge, whole_messages),
    "check, its text": (on_template("check", "--offline"), templates),
    "preview, its text": (on_template("preview"), templates),
    "preview, its message": (on_message("preview"), whole_messages),
    "send, its message": (on_message("send", "--sandbox", "--no-progress"), whole_messages),
    "check": (on_file("campaign.toml", "check", "{}", "--offline"), campaigns),
    "preview": (on_file("campaign.toml", "preview", "{}"), campaigns),
    "send": (on_file("campaign.toml", "send", "{}"), campaigns),
    "bench": (on_file("campaign.toml", "bench", "--campaign", "{}", "--to", "a@example.com"), campaigns),
    "report": (on_file("results.jsonl", "report", "{}"), logs),
    "report, csv": (on_file("results.jsonl", "report", "{}", "--csv", "made.csv"), logs),
    "report, html": (on_file("results.jsonl", "report", "{}", "--html", "made.html"), logs),
    "resume": (on_killed_run("resume", "{}", "--accept-duplicates", "--dry-run", "--no-progress"), logs),
    "control": (on_file("results.jsonl", "control", "{}", "status"), logs),
    "listen": (on_file("results.jsonl", "listen", "{}", "--http", "127.0.0.1:0"), logs),
    "events": (on_file("results.jsonl", "events", "{}", "--url", "http://127.0.0.1:9/", "--while-open"), logs),
    "feedback": (on_file("letter.eml", "feedback", "{}"), letters),
    "feedback, an mbox": (on_file("returned.mbox", "feedback", "{}"), boxes),
    "feedback, a log": (on_file("results.jsonl", "feedback", "--results", "{}", "{}"), logs),
    "feedback, a list that grows": (on_grown_list, lists),
    "explain": (on_file(GIVEN, "explain", "-"), letters),
}
"""For each command that reads something: its words for an input, and the inputs."""


REFUSED: Final = frozenset(
    {"init, Django", "check, its text", "preview, its text", "check", "preview", "send", "bench", "control", "listen"}
    | {"explain"}
)
"""Commands that refuse their huge input, too: every other one does its work with it."""


def cases(octets: int = HUGE) -> Iterator[tuple[str, str, Callable[[Path], list[str | Path]]]]:
    """Each command on each of its inputs, of which the huge one has about so many octets."""
    for name, (arguments, inputs) in COMMANDS.items():
        for kind, content in inputs(octets).items():
            yield name, kind, lambda folder, arguments=arguments, content=content: arguments(folder, content)  # type: ignore[misc]


def measure(folder: Path, arguments: Callable[[Path], list[str | Path]]) -> Took:
    """Run one of `cases` in a folder."""
    words = arguments(folder)
    return run(folder, *words, given=folder / GIVEN, variables=_SECRETS)
