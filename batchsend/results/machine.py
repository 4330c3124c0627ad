"""The machine that a run is on, as far as its journal has to know it."""

from __future__ import annotations

from pathlib import Path


def boot() -> bytes:
    """What tells one start of the machine from another; the same for all where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b""
