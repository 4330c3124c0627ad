"""The version, in one place, and whether the hot path that runs is compiled."""

from __future__ import annotations

from importlib.util import find_spec

__version__ = "0.1.0"


def compiled() -> bool:
    """Whether the modules that every message passes through are compiled, or run as they are written."""
    spec = find_spec("batchsend.smtp.client")
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")
