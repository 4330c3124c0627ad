"""What tells one start of the machine from another, which a journal has to know."""

from __future__ import annotations

from pathlib import Path


def boot_id() -> bytes:
    """What tells one start of the machine from another; the same for all where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b""
