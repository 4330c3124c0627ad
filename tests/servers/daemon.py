"""A server's process in namespaces of its own: it sees the files given to it, and whatever it forks ends with it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import requirements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# The accounts that the servers' programs insist on; they exist only in the servers' own view of /etc/passwd.
ACCOUNTS = {"Debian-exim": 64901, "opensmtpd": 64902, "opensmtpq": 64903}
_READY_WITHIN = 30.0
_POLL = 0.02


class DaemonError(AssertionError):
    """A server did not start, or ended by itself."""


@contextmanager
def private_directory(name: str, *, on_disk: bool = False) -> Iterator[Path]:
    """Make a directory that a server's unprivileged processes can enter, in memory where the machine has that.

    ``BATCHSEND_TEST_MEMORY`` names a folder in memory, for whoever removes what tests leave that are broken off.

    Args:
        name: What is to be in its name.
        on_disk: Not in memory, for what is measured.
    """
    memory = Path(os.environ.get("BATCHSEND_TEST_MEMORY", "/dev/shm"))
    in_memory = memory.is_dir() and not on_disk
    directory = Path(tempfile.mkdtemp(prefix=f"batchsend-{name}-", dir=memory if in_memory else None))
    try:
        directory.chmod(0o755)
        yield directory
    finally:
        shutil.rmtree(directory)


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nothing listens on; all are held until the last is found, so they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(listening.getsockname()[1]) for listening in held]
    finally:
        for listening in held:
            listening.close()


def accounts(directory: Path) -> dict[str, Path]:
    """Write the machine's passwd and group with the servers' accounts added.

    Returns:
        What to show the server in place of which file.
    """
    passwd, group = directory / "passwd", directory / "group"
    lines = [f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n" for name, number in ACCOUNTS.items()]
    passwd.write_text(_without_accounts("/etc/passwd") + "".join(lines))
    lines = [f"{name}:x:{number}:\n" for name, number in ACCOUNTS.items()]
    group.write_text(_without_accounts("/etc/group") + "".join(lines))
    return {"/etc/passwd": passwd, "/etc/group": group}


def _without_accounts(file: str) -> str:
    lines = Path(file).read_text().splitlines(keepends=True)
    return "".join(line for line in lines if line.split(":")[0] not in ACCOUNTS)


class Daemon:
    """A running server.

    Args:
        command: The server's program and arguments, so that it stays in the foreground.
        output: The file that takes its standard output and error.
        shows: Paths that the server finds replaced by others: ``{"/etc/passwd": private_file}``.
    """

    def __init__(self, command: Sequence[str | Path], *, output: Path, shows: Mapping[str, Path] | None = None) -> None:
        requirements.namespaces()
        mounts = [str(word) for shown, private in (shows or {}).items() for word in (private, shown)]
        script = 'while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"'
        isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--"]
        self._output = output
        with output.open("ab") as log:
            self._process = subprocess.Popen(
                [*isolated, "sh", "-ec", script, "sh", *mounts, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, *ports: int, greeting: bytes = b"220") -> None:
        """Wait until each port accepts a connection and greets.

        Raises:
            DaemonError: The server ended, or did not greet in time; with what it had to say.
        """
        deadline = time.monotonic() + _READY_WITHIN
        for port in ports:
            while not greets(port, greeting):
                self._tick(deadline, f"port {port} does not answer")

    def _tick(self, deadline: float, complaint: str) -> None:
        try:
            self._process.wait(_POLL)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                return
        else:
            complaint = f"the server has ended with status {self._process.returncode}"
        said = self._output.read_text(errors="replace")
        self.stop()
        raise DaemonError(f"{complaint}; it said:\n{said}")

    def run(self, *command: str | Path, group: int = 0) -> None:
        """Run a program where the server runs, so that both see the same files, and wait for its end.

        Args:
            command: The program and its arguments.
            group: The number of the group that it runs as.

        Raises:
            DaemonError: It failed; with what it had to say.
        """
        inner = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        entered = ["nsenter", "--target", inner[0], "--mount", "--pid", f"--setgid={group}", "--", *map(str, command)]
        ended = subprocess.run(entered, check=False, capture_output=True, text=True, timeout=_READY_WITHIN)
        if ended.returncode != 0:
            raise DaemonError(f"{command} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")

    def stop(self) -> None:
        """Kill the server and everything it has started, and wait until all of it is gone."""
        if self._process.poll() is not None:
            return
        # The namespace's first process: its end is the end of all others, and complete only when they are gone
        # (pid_namespaces(7)). Killing `unshare` would leave them a moment to write into a directory being removed.
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children or [str(self._process.pid)]:
            os.kill(int(child), signal.SIGKILL)
        self._process.wait()


def greets(port: int, greeting: bytes) -> bool:
    """Return whether something on loopback answers at a port, and with these octets."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_READY_WITHIN) as connection:
            return not greeting or connection.recv(1000).startswith(greeting)
    except OSError:
        return False
