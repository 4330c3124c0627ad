"""What a session asks of the owner of its connection, and what it expects to read next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, then call the session's ``resume``.

    Attributes:
        seconds: How long.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class StartTls:
    """Negotiate TLS as the server, then call the session's ``tls_started``."""


@dataclass(frozen=True, slots=True)
class Close:
    """Send what was written before, then close the connection."""


Step = bytes | Pause | StartTls | Close
"""What the owner of the connection has to do next: write octets, or one of the others."""


class Mode(Enum):
    """What the next octets are."""

    COMMAND = auto()
    """A command line."""

    RESPONSE = auto()
    """The answer to an AUTH challenge."""

    DATA = auto()
    """The content after DATA."""

    CHUNK = auto()
    """The content after BDAT."""

    PAUSED = auto()
    """Anything, to be read after a pause."""

    TLS = auto()
    """Nothing until TLS is negotiated."""

    CLOSED = auto()
    """Nothing any more."""
