"""The README and the pages of the manual: their examples, run again, and the parts that are made from the program.

Three kinds of places are known by the line before them:

- a file's name in backticks and a colon, then an empty line: the block is that file, there for the document's commands;
- ``<!-- checked -->``: a console block; each line that begins with ``$ `` is a command, what follows is its output;
- ``<!-- generated: NAME -->`` … ``<!-- /generated -->``: what the function of that name says.

A document's commands run one after the other in a folder that holds its files and the samples.
``python -m tests.tools.documents`` writes the output and the generated parts of all documents anew.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from batchsend.campaign.file import TABLES
from batchsend.campaign.presets import PRESETS
from batchsend.campaign.reference import heading, reference
from batchsend.cli import batchsend
from batchsend.report import causes as report_causes
from benchmarks.documents import LOADED, RESULTS, headline, section
from benchmarks.figures import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "README.md"
MANUAL: Final = ROOT / "batchsend" / "manual"
DOCUMENTS: Final = (README, ROOT / "CONTRIBUTING.md", *sorted(MANUAL.glob("*.md")))

_CHECKED: Final = re.compile(r"(?<=<!-- checked -->\n```console\n)(?P<block>.*?\n)(?=```)", re.DOTALL)
_FILE: Final = re.compile(r"^`(?P<name>[\w./-]+)`:\n\n```\w*\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_GENERATED: Final = re.compile(
    r"(?<=<!-- generated: )(?P<name>\w+)(?P<mark> -->\n)(?P<text>.*?)(?=<!-- /generated -->)", re.DOTALL
)
_WITHIN: Final = 60.0
# What differs from run to run: times, rates, how many sessions it took, the date.
_VARYING: Final = (
    (re.compile(r"\d+\.\d+ s \([\d,]+/s\)"), "0.1 s (100/s)"),
    (re.compile(r"over \d+ sessions?"), "over 5 sessions"),
    (re.compile(r"\d{8}T\d{6}\.[0-9a-f]{12}"), "20261122T070000.0123456789ab"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000"), "Sun, 22 Nov 2026 07:00:00 +0000"),
)


def checked(text: str) -> list[str]:
    """The console blocks that are run, in order."""
    return [match["block"] for match in _CHECKED.finditer(text)]


def files(text: str) -> dict[str, str]:
    """The files of a document's examples, by their names."""
    return {match["name"]: match["text"] for match in _FILE.finditer(text)}


def generated(text: str) -> dict[str, str]:
    """What stands in the generated sections, by their names."""
    return {match["name"]: match["text"] for match in _GENERATED.finditer(text)}


def run_again(text: str) -> list[str]:
    """The checked blocks of a document with what their commands print now."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        shutil.copytree(ROOT / "samples", folder / "samples", ignore=shutil.ignore_patterns("results*"))
        for path, content in files(text).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")
        return [_run_block(block, folder) for block in checked(text)]


def steady(text: str) -> list[str]:
    """A block's lines without what differs from run to run; the kinds of a summary, which have no order, in one."""
    for pattern, same in _VARYING:
        text = pattern.sub(same, text)
    lines = text.splitlines()
    kinds = [place for place, line in enumerate(lines) if line.startswith("        ")]
    for place, line in zip(kinds, sorted(lines[place] for place in kinds), strict=True):
        lines[place] = line
    return lines


def sections() -> dict[str, Callable[[], str]]:
    """What makes each generated section."""
    return {
        "commands": commands,
        "overview": command_names,
        "options": options,
        "keys": keys,
        "presets": presets,
        "causes": causes,
        "headline": lambda: headline(Figures.load(RESULTS)),
        "figures": lambda: section(Figures.load(RESULTS), Figures.load(LOADED)),
    }


def command_names() -> str:
    """The commands of the first level, and what each is for."""
    root = click.Context(batchsend, info_name="batchsend")
    found = [(name, batchsend.get_command(root, name)) for name in batchsend.list_commands(root)]
    rows = [(f"batchsend {name}", command.get_short_help_str(200)) for name, command in found if command is not None]
    width = max(len(usage) for usage, _ in rows) + 2
    return "```text\n" + "".join(f"{usage:<{width}}{help_}\n" for usage, help_ in rows) + "```\n"


def commands() -> str:
    """One line for each command."""
    rows = [
        (f"batchsend {name} {' '.join(_arguments(context))}".rstrip(), context.command.get_short_help_str(200))
        for name, context in _contexts()
    ]
    width = max(len(usage) for usage, _ in rows) + 2
    return "```text\n" + "".join(f"{usage:<{width}}{help_}\n" for usage, help_ in rows) + "```\n"


def options() -> str:
    """What each command says of itself with ``--help``."""
    parts = []
    for name, context in _contexts():
        parts.append(f"\n### batchsend {name}\n\n```text\n{context.get_help()}\n```\n")
    return "".join([*parts, "\n"])


def keys() -> str:
    """A table for each table of a campaign file."""
    lines = []
    for table in TABLES:
        rows = [key for key in reference() if key.table == table]
        if not rows:
            continue
        title = f"`{heading(table)}`" if table else "At the beginning"
        lines += ["", f"### {title}", "", "| key | expected | default | |", "| --- | --- | --- | --- |"]
        for key in rows:
            default = "required" if key.default is None else f"`{key.default}`" if key.default else ""
            cells = (f"`{key.name}`", key.expected, default, key.meaning.replace("``", "`"))
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, "", ""])


def presets() -> str:
    """A row for each relay, and one for the regions of each that has many."""
    rows: dict[str, str] = {}
    for name, preset in PRESETS.items():
        region = re.search(r"[a-z]{2}(-gov)?-[a-z]+-\d$", name)
        shown = name if region is None else name.replace(region[0], "REGION")
        host = preset.host if region is None else preset.host.replace(region[0], "REGION")
        ports = f"{preset.port}, {preset.other_port}" if preset.other_port else str(preset.port)
        limits = "; ".join(text for text in (preset.rate, preset.note) if text)
        username = f"; the username is `{preset.username}`" if preset.username else ""
        rows[shown] = f"| `{shown}` | {host} | {ports} | {preset.credentials}{username} | {limits} |"
    return "\n".join(
        ["", "| preset | host | ports | key | limits |", "| --- | --- | --- | --- | --- |", *rows.values(), "", ""]
    )


def causes() -> str:
    """A row for each cause that a report names."""
    found = {cause.name: cause for cause in vars(report_causes).values() if isinstance(cause, report_causes.Cause)}
    rows = [f"| {cause.name} | {cause.advice} |" for cause in found.values()]
    return "\n".join(["", "| cause | what to do |", "| --- | --- |", *rows, "", ""])


def refreshed(text: str) -> str:
    """A document with every checked block and every generated section as they should be."""
    made = sections()
    text = _GENERATED.sub(lambda match: f"{match['name']}{match['mark']}{made[match['name']]()}", text)
    now = iter(run_again(text))
    return _CHECKED.sub(lambda match: _unless_steady(match["block"], next(now)), text)


def _unless_steady(before: str, after: str) -> str:
    return before if steady(before) == steady(after) else after


def _contexts() -> Iterator[tuple[str, click.Context]]:
    root = click.Context(batchsend, info_name="batchsend", max_content_width=100, terminal_width=100)
    root.help_option_names = ["-h", "--help"]
    for name in batchsend.list_commands(root):
        command = batchsend.get_command(root, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=root)
        if isinstance(command, click.Group):
            for inner, one in command.commands.items():
                yield f"{name} {inner}", click.Context(one, info_name=inner, parent=context)
        else:
            yield name, context


def _arguments(context: click.Context) -> list[str]:
    return [piece for piece in context.command.collect_usage_pieces(context) if piece != "[OPTIONS]"]


def _run_block(block: str, folder: Path) -> str:
    lines = [line for line in block.splitlines() if line.startswith("$ ")]
    return "".join(f"{line}\n{_run(shlex.split(line[2:]), folder)}" for line in lines)


def _run(words: list[str], folder: Path) -> str:
    """What a command prints, on both streams, as in a pipe of 100 columns."""
    started = {"batchsend": [sys.executable, "-m", "batchsend"], "python": [sys.executable]}
    assert words[0] in started, f"only batchsend and python are run again, not {words[0]}"
    variables = {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1", "HOME": str(folder)}
    ran = subprocess.run(
        [*started[words[0]], *words[1:]],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_WITHIN,
        check=False,
    )
    assert "Traceback" not in ran.stdout, ran.stdout
    return ran.stdout.replace(f"{folder}{os.sep}", "")


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(refreshed(document.read_text(encoding="utf-8")), encoding="utf-8")
