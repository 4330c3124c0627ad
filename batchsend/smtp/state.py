"""Where a session is in its life."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where a session is in its life."""

    OPEN = "open"
    QUITTING = "quitting"
    CLOSED = "closed"
