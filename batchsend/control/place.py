"""Where a run's control socket is: beside its results log, for its owner alone.

A socket's address holds 107 octets of path (unix(7)), and logs lie in deeper folders than that: so the folder is
opened, and the socket is reached as a name in ``/proc/self/fd/N``, whatever the folder is called. That also keeps to
one folder from the look at what is there to the binding. Only who has the log locked binds, so a socket that is there
is what a killed run has left, and is replaced; anything else of that name stays, and a link is never followed.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import socket
import stat
import struct
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchsend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX: Final = ".control"
_LONGEST: Final = 80
"""Octets of a socket's name: with ``/proc/self/fd/`` and a descriptor before it, it fits into an address."""

_CREDENTIALS: Final = struct.Struct("iII")


def socket_path(log: Path) -> Path:
    """The control socket of the run that keeps a results log: beside the log itself, whatever link leads to it."""
    log = Path(os.path.realpath(log))
    name = os.fsencode(log.name) + _SUFFIX.encode()
    if len(name) > _LONGEST:
        digest = hashlib.sha256(name).hexdigest()[:32]
        name = f".batchsend-{digest}{_SUFFIX}".encode()
    return log.parent / os.fsdecode(name)


@contextmanager
def bound(path: Path) -> Iterator[socket.socket]:
    """A socket that listens at this path while the context lasts; only who has locked the log may do that.

    Raises:
        OSError: It cannot be made; `FileExistsError` where something else is in its place.
    """
    with _folder(path) as (folder, address), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        _remove_stale(path.name, folder)
        # The file gets the mode of the socket (unix(7)), so nobody else can open it at any time.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(address)
        made = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        try:
            listener.setblocking(False)
            listener.listen(16)
            yield listener
        finally:
            with suppress(OSError):
                if os.path.samestat(made, os.stat(path.name, dir_fd=folder, follow_symlinks=False)):
                    os.unlink(path.name, dir_fd=folder)


def connected(log: Path, seconds: float) -> socket.socket:
    """A connection to the run that keeps a results log.

    Args:
        log: The log.
        seconds: How long each step may take from now on.

    Raises:
        UsageError: There is no such run, it lets nobody control it, or it is another user's.
    """
    path = socket_path(log)
    if not log.exists():
        raise UsageError(f"{log}: there is no such results log", remedy="name the results log of a run under way")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        with _folder(path) as (folder, address):
            found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISSOCK(found.st_mode):
                raise UsageError(f"{path} is not a socket", remedy="see what has made it, and remove it")
            connection.connect(address)
        if peer(connection) not in {os.geteuid(), 0, log.stat().st_uid}:
            raise UsageError(f"{path}: what listens there is another user's", remedy="see what has made the socket")
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        raise UsageError(
            f"{log}: no run is under way on it, or it runs with --no-control",
            remedy=f"see what became of it: batchsend report {shlex.quote(str(log))}",
        ) from None
    except OSError as error:
        connection.close()
        raise UsageError(f"{path}: {error.strerror or error}", remedy="be the user whose run it is") from None
    except BaseException:
        connection.close()
        raise
    return connection


def peer(connection: socket.socket) -> int:
    """The user at the other end of a connection, as the kernel knows it (SO_PEERCRED, unix(7))."""
    octets = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(octets)
    return int(user)


@contextmanager
def _folder(path: Path) -> Iterator[tuple[int, str]]:
    """The descriptor of a path's folder, and the address of a socket of that name in it."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder, f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _remove_stale(name: str, folder: int) -> None:
    """Remove the socket of a run that was killed.

    Raises:
        FileExistsError: Something else is there, or another user's socket.
    """
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise FileExistsError(None, "something else is in its place")
    os.unlink(name, dir_fd=folder)
