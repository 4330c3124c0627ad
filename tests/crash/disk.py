"""A disk that the power can be cut from: of what was written, it has what was synced, and of the rest what it likes."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from batchsend.results import syncpoint

if TYPE_CHECKING:
    import random

_SECTOR = 512


class Disk:
    """What is on the disk of one directory, beside what its files say. Used by the process that writes and by the test.

    Args:
        directory: The directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept = directory.with_name(f"{directory.name}.disk")
        self._kept.mkdir(exist_ok=True)

    def attach(self, boot: str) -> None:
        """Make this process's syncs known to the disk, on a machine that was started anew."""
        for module, name in ((os, "fsync"), (os, "fdatasync"), (syncpoint, "sync")):
            getattr(module, name)  # what is patched must be what is called
            setattr(module, name, self.sync)
        setattr(syncpoint, "boot_id", boot.encode)  # noqa: B010 - as the others

    def cut(self, choose: random.Random) -> None:
        """Cut the power: the directory becomes what is left of it."""
        now = self._names()
        synced = self._synced_names()
        names = choose.choice((synced, now))
        left = {name: self._left(inode, now, choose) for name, inode in names.items()}
        for name in now:
            (self._directory / name).unlink()
        for name, octets in left.items():
            (self._directory / name).write_bytes(octets)
        for kept in self._kept.iterdir():
            kept.unlink()
        for name in left:
            file = os.open(self._directory / name, os.O_RDONLY)
            self.sync(file)
            os.close(file)
        self._keep("names", json.dumps(self._names()).encode())

    def copy(self, directory: Path) -> Disk:
        """The same disk with copies of the files in another directory, which is made: they are as far on it as here."""
        shutil.copytree(self._directory, directory)
        other = Disk(directory)
        names, synced = self._names(), self._synced_names()
        there = {inode: (directory / name).stat().st_ino for name, inode in names.items()}
        for inode, new in there.items():
            if (kept := self._kept / str(inode)).exists():
                other._keep(str(new), kept.read_bytes())
        # A file that has no name any more is on the disk by its old number, which none of the new ones is to have.
        other._keep("names", json.dumps({name: there.get(inode, -inode) for name, inode in synced.items()}).encode())
        for inode in synced.values():
            if inode not in there and (kept := self._kept / str(inode)).exists():
                other._keep(str(-inode), kept.read_bytes())
        return other

    def sync(self, file: int) -> None:
        """Bring what a descriptor is of to the disk, as `os.fsync` does."""
        found = os.fstat(file)
        if stat.S_ISDIR(found.st_mode):
            self._keep("names", json.dumps(self._names()).encode())
        else:
            # By another name for the same file: the descriptor may be for appending only.
            self._keep(str(found.st_ino), Path(f"/proc/self/fd/{file}").read_bytes())

    def _keep(self, name: str, octets: bytes) -> None:
        new = self._kept / f"{name}.new"
        new.write_bytes(octets)
        new.replace(self._kept / name)

    def _names(self) -> dict[str, int]:
        """The files by name, and what each is; the socket of a run under way is none."""
        return {path.name: path.stat().st_ino for path in self._directory.glob("results.jsonl*") if path.is_file()}

    def _synced_names(self) -> dict[str, int]:
        try:
            names: dict[str, int] = json.loads((self._kept / "names").read_bytes())
        except FileNotFoundError:
            return {}
        return names

    def _left(self, inode: int, now: dict[str, int], choose: random.Random) -> bytes:
        """What was synced of a file, with any of the sectors that were written since."""
        kept = self._kept / str(inode)
        synced = kept.read_bytes() if kept.exists() else b""
        written = next(((self._directory / name).read_bytes() for name, other in now.items() if other == inode), synced)
        size = choose.choice((len(synced), len(written))) if len(written) > len(synced) else len(written)
        left = bytearray(synced[:size].ljust(size, b"\0"))
        share = choose.random()
        for at in range(0, size, _SECTOR):
            if choose.random() < share:
                left[at : at + _SECTOR] = written[at : min(at + _SECTOR, size)]
        return bytes(left)
