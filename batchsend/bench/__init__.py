"""Measures a relay: what it takes over how many connections at which depth, and what that means for a campaign."""

from batchsend.bench.climb import Bench
from batchsend.bench.messages import Messages
from batchsend.bench.rungs import Rung

__all__ = ["Bench", "Messages", "Rung"]
