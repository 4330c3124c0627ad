"""A PostgreSQL server of a test's own: Debian's programs, in a folder of its own, as an unprivileged user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Self

from tests.servers import requirements
from tests.servers.daemon import DaemonError, free_ports, private_directory

REPLICA = "replica"
"""What replicas call themselves, for ``synchronous_standby_names``."""

_NOBODY = 65534
_READY_WITHIN = 30.0
_POLL = 0.02


@cache
def programs() -> Path:
    """Return the folder of the newest PostgreSQL that is installed; without one the test is skipped."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        requirements.missing("PostgreSQL is not on this machine")
    return found[-1].parent


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, user=_user(), group=_user(), capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise DaemonError(f"{command[0]} has failed: {done.stderr}")


def _user() -> int | None:
    """PostgreSQL does not run as root."""
    return _NOBODY if os.geteuid() == 0 else None


class Postgres:
    """A server that can be killed and started again; what it had acknowledged must be there then.

    Args:
        options: Settings beside the defaults, as the command line has them: ``name=value``.
        primary: The server that it is a replica of, or None.
        on_disk: Its files are not in memory.
    """

    def __init__(self, *options: str, primary: Postgres | None = None, on_disk: bool = False) -> None:
        programs()
        self._stack = ExitStack()
        directory = self._stack.enter_context(private_directory("postgres", on_disk=on_disk))
        self._data = directory / "data"
        self._log = directory / "log"
        (self.port,) = free_ports(1)
        self._options = options
        self._primary = primary
        self._process: subprocess.Popen[bytes] | None = None
        if (user := _user()) is not None:
            os.chown(directory, user, user)

    @property
    def url(self) -> str:
        """The URL of the server's database."""
        return self.url_at(self.port)

    @staticmethod
    def url_at(*ports: int) -> str:
        """The URL where it is reached at other ports: its own, and those of its replicas."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgresql://postgres@{hosts}/postgres?sslmode=disable"

    def __enter__(self) -> Self:
        try:
            self._make()
            self.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._stack.close()

    def _make(self) -> None:
        if self._primary is None:
            trust = ("-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8")
            _run(programs() / "initdb", "-D", self._data, *trust)
        else:
            source = f"host=127.0.0.1 port={self._primary.port} user=postgres application_name={REPLICA}"
            _run(programs() / "pg_basebackup", "-D", self._data, "-d", source, "-R", "-c", "fast", "-X", "stream")

    def promote(self) -> None:
        """Make a replica a primary, and wait until it takes writes."""
        _run(programs() / "pg_ctl", "promote", "-w", "-D", self._data)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._data}"]
        command: list[str | Path] = [programs() / "postgres", "-D", self._data]
        for setting in (*settings, "max_connections=50", "shared_buffers=64MB", *self._options):
            command += ["-c", setting]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                user=_user(),
                group=_user(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + _READY_WITHIN
        ready = [str(programs() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > until:
                raise DaemonError(f"PostgreSQL has not started: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(_POLL)

    def stop(self) -> None:
        """Stop it in order: sessions are broken off, what was committed is written."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(_READY_WITHIN)
        self._process = None

    def freeze(self) -> None:
        """Stop all its processes where they are: it takes connections, and answers nothing."""
        for pid in self._processes():
            os.kill(pid, signal.SIGSTOP)

    def kill(self) -> None:
        """End all its processes as `kill -9` does, and wait until they are gone."""
        if self._process is None:
            return
        # All are of one session; the children notice that their parent is gone, but not at once.
        for pid in self._processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        until = time.monotonic() + _READY_WITHIN
        while self._processes() and time.monotonic() < until:
            time.sleep(_POLL)
        self._process = None
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _processes(self) -> list[int]:
        """The server and its children: of a postmaster, each child leads a session of its own."""
        assert self._process is not None
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            pid, parent = int(entry.name), int(stat[1])
            if stat[0] == "Z":
                continue
            if pid == self._process.pid or parent == self._process.pid or str(self._data).encode() in command:
                found.append(pid)
        return found


def available() -> bool:
    """Whether there is a PostgreSQL to start."""
    return bool(list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))) and shutil.which("sh") is not None
