"""The command line as its users run it: a process of its own, a campaign's folder, and what is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

import batchsend

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WITHIN = 120.0
_ROOT = Path(batchsend.__file__).parents[1]
# For its last child: what subprocess.run has waited for, in KiB (getrusage(2)).
_MEASURE = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended.

    Attributes:
        code: Its exit code.
        output: What it said on standard output.
        errors: What it said on standard error.
    """

    code: int
    output: str
    errors: str


class Account:
    """A results log, read back.

    Args:
        path: The log.

    Attributes:
        runs: Its run lines.
        outcomes: Its other lines, in order.
    """

    def __init__(self, path: Path) -> None:
        lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        self.runs: list[dict[str, Any]] = [line["run"] for line in lines if "run" in line]
        self.outcomes: list[dict[str, Any]] = [line for line in lines if "run" not in line]

    def by_record(self) -> dict[int, dict[str, Any]]:
        """The one outcome of each record.

        Raises:
            AssertionError: A record has two.
        """
        outcomes: dict[int, dict[str, Any]] = {}
        for outcome in self.outcomes:
            assert outcome["record"] not in outcomes, f"record {outcome['record']} has two outcomes"
            outcomes[outcome["record"]] = outcome
        return outcomes

    def records(self, status: str) -> set[int]:
        """The records with this outcome, each of which must have no other."""
        return {record for record, outcome in self.by_record().items() if outcome["status"] == status}

    def message_counts(self) -> list[int]:
        """How many outcomes each session has."""
        counts: dict[int, int] = {}
        for outcome in self.outcomes:
            counts[outcome["session"]] = counts.get(outcome["session"], 0) + 1
        return list(counts.values())


class CampaignFolder:
    """A folder with a campaign file and all that it names.

    Args:
        path: The folder; it exists.
        environment: What the campaign file finds in the environment.
    """

    def __init__(self, path: Path, environment: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.campaign = path / "campaign.toml"
        self.results = path / "results.jsonl"
        self._environment = dict(environment or {})

    def write(self, **tables: Mapping[str, Any]) -> None:
        """Write ``campaign.toml``.

        Args:
            **tables: Each table's keys; those of ``top`` stand before the first table.
        """
        lines: list[str] = []
        for name, table in tables.items():
            if name != "top":
                lines.append(f"[{name}]")
            # A text, number or array of texts of JSON is one of TOML too.
            lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
        self.campaign.write_text("\n".join(lines) + "\n")

    def send(self, *options: str) -> Ended:
        """Run ``batchsend send`` to its end; warnings are errors there too."""
        with self.start(*options) as process:
            return self.wait(process)

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Run ``batchsend send``."""
        return self._run(self.command(*options))

    def command(self, *options: str) -> list[str]:
        """The words of ``batchsend send`` with this campaign."""
        return [sys.executable, "-W", "error", "-m", "batchsend", "send", str(self.campaign), *options]

    def peak_memory(self, *options: str) -> tuple[Ended, int]:
        """Run ``batchsend send`` to its end; its largest resident set is in KiB.

        The process is measured by a small one: from its parent it inherits the parent's size until it has begun.
        """
        with self._run([sys.executable, "-c", _MEASURE, *self.command(*options)]) as process:
            ended = self.wait(process)
        return ended, int(ended.output.splitlines()[-1])

    def wait(self, process: subprocess.Popen[str], *, within: float = _WITHIN) -> Ended:
        """Wait for its end.

        Args:
            process: What `start` has returned.
            within: How long, in seconds.

        Raises:
            subprocess.TimeoutExpired: It has not ended in time; it is killed.
        """
        try:
            output, errors = process.communicate(timeout=within)
        except BaseException:
            process.kill()
            raise
        assert "Traceback" not in errors, errors
        assert "Exception ignored" not in errors, errors
        return Ended(process.returncode, output, errors)

    def account(self) -> Account:
        """The results log."""
        return Account(self.results)

    def files(self) -> Iterator[Path]:
        """Every file in the folder."""
        return (path for path in self.path.rglob("*") if path.is_file())

    def _run(self, command: list[str]) -> subprocess.Popen[str]:
        # Nothing of this machine's user, whose settings are none of the test's.
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        python_path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(_ROOT)]))
        environment = inherited | {"HOME": str(self.path), "PYTHONPATH": python_path} | self._environment
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
