"""The version and the distribution's name, in one place, and whether the hot path that runs is compiled."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

__version__ = "0.1.0"
DISTRIBUTION: Final = "batchsend-smtp"
"""What is installed is called so: the public index has another project called batchsend."""


def with_extra(extra: str) -> str:
    """The command that installs this distribution with one of its extras.

    Args:
        extra: Its name in pyproject.toml.
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def compiled() -> bool:
    """Whether the modules that every message passes through are compiled, or run as they are written."""
    spec = find_spec("batchsend.smtp.client")
    return spec is not None and spec.origin is not None and not spec.origin.endswith(".py")
