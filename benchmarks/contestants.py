"""The contestants: how each is called, what it needs on the machine, and by which clock it is measured."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.process import ROOT, execute

if TYPE_CHECKING:
    from benchmarks.job import Job

_CLIENTS = Path(__file__).parent / "clients"
NOT_COMPILED = {"PYTHONPATH": str(ROOT)}
"""The environment in which the checkout's files are imported as they are."""

_SYSTEM_DIRECTORIES = "/usr/local/sbin:/usr/sbin:/sbin"


class Run(NamedTuple):
    """What one run took.

    Attributes:
        seconds: How long, by the contestant's clock.
        peak: The most memory its process held, in MB.
        beside: The most memory that one of the processes it started held, in MB; None where there was none.
    """

    seconds: float
    peak: float
    beside: float | None = None


class Contestant(ABC):
    """One way of doing a job."""

    @abstractmethod
    def run(self, job: Job) -> Run:
        """Do the job.

        Raises:
            RuntimeError: It could not be done.
        """

    def missing(self) -> str | None:
        """What this machine lacks for it, or None."""
        return None


class Batchsend(Contestant):
    """The command line: records, templates, journal and log; from the interpreter's start to its end.

    Args:
        logged: False for a ledger that keeps nothing; compiled modules take none but their own.
        running: Count only what the run itself says it took, without the interpreter's start.
        compiled: False for the checkout's files as they are, whatever is compiled of them.
    """

    def __init__(self, *, logged: bool = True, running: bool = False, compiled: bool = True) -> None:
        self._module = "batchsend" if logged else "benchmarks.clients.unlogged"
        self._running = running
        self._variables = {} if compiled and logged else NOT_COMPILED

    def run(self, job: Job) -> Run:
        campaign = job.write_campaign()
        with tempfile.TemporaryDirectory(dir=job.home) as folder:
            log = f"{folder}/results.jsonl"
            words = ["send", str(campaign), "--no-progress", "--json", "--results", log]
            ran = execute([sys.executable, "-m", self._module, *words], self._variables)
        summary = json.loads(ran.output)
        if summary["accepted"] != job.messages:
            raise RuntimeError(f"batchsend: {summary['accepted']:,} of {job.messages:,} messages were accepted")
        return Run(summary["elapsed"] if self._running else ran.seconds, ran.peak, ran.beside)


class Program(Contestant):
    """A program of ``clients/``, by its own clock: from its first message on, neither its start nor its imports.

    Args:
        name: The program's file name without its suffix, or with that of another language.
        needs: The modules it imports that may not be there.
    """

    def __init__(self, name: str, *needs: str) -> None:
        self._name = name
        self._needs = needs

    def run(self, job: Job) -> Run:
        ran = execute([*self._command(), str(job.write_task())], self._environment())
        return Run(json.loads(ran.output.splitlines()[-1])["seconds"], ran.peak)

    def missing(self) -> str | None:
        absent = [name for name in self._needs if find_spec(name) is None]
        return f"{', '.join(absent)} cannot be imported" if absent else None

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", f"benchmarks.clients.{self._name}"]

    def _environment(self) -> dict[str, str]:
        return {}


class Nodemailer(Program):
    """Nodemailer's pool."""

    def __init__(self) -> None:
        super().__init__("nodemailer.cjs")

    def missing(self) -> str | None:
        if shutil.which("node") is None:
            return "there is no node"
        return None if (nodemailer_folder() / "package.json").exists() else "Nodemailer is not installed"

    def _command(self) -> list[str | Path]:
        return ["node", _CLIENTS / self._name]

    def _environment(self) -> dict[str, str]:
        return {"NODE_PATH": str(nodemailer_folder().parent)}


class PhpMailer(Program):
    """PHPMailer with SMTPKeepAlive."""

    def __init__(self) -> None:
        super().__init__("phpmailer.php")

    def missing(self) -> str | None:
        if shutil.which("php") is None:
            return "there is no php"
        library = Path("/usr/share/php/libphp-phpmailer/src/PHPMailer.php")
        return None if library.exists() else "PHPMailer is not installed"

    def _command(self) -> list[str | Path]:
        return ["php", _CLIENTS / self._name]


class SmtpSource(Contestant):
    """Postfix's own load generator, in C: one fixed message again and again, over sessions that are kept open.

    Args:
        length: Octets of the message.
    """

    def __init__(self, length: int) -> None:
        self._length = length

    def run(self, job: Job) -> Run:
        program = _system_program("smtp-source") or "smtp-source"
        options = f"-d -s {job.connections} -l {self._length} -m {job.messages} -f a@example.org -t b@example.com"
        ran = execute([program, *options.split(), f"{job.place.host}:{job.place.port}"])
        return Run(ran.seconds, ran.peak)

    def missing(self) -> str | None:
        return None if _system_program("smtp-source") else "there is no smtp-source"


class Imports(Contestant):
    """An interpreter that imports what batchsend cannot do without, and does nothing: the measure of its start."""

    def run(self, job: Job) -> Run:  # noqa: ARG002 - nothing of it is to be done
        ran = execute([sys.executable, "-c", "import aiosmtplib, jinja2, orjson"])
        return Run(ran.seconds, ran.peak)


def nodemailer_folder() -> Path:
    """Where ``benchmarks/setup`` puts Nodemailer: outside the checkout."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    rivals = Path(os.environ.get("BATCHSEND_RIVALS") or cache / "batchsend-bench")
    return rivals / "node_modules" / "nodemailer"


def _system_program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_DIRECTORIES}")
