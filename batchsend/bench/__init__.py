"""Measures a relay: what it takes over how many connections at which depth, and what that means for a campaign."""

from batchsend.bench.grid import GridPoint
from batchsend.bench.messages import CampaignMessages, Messages
from batchsend.bench.runner import Bench

__all__ = ["Bench", "CampaignMessages", "GridPoint", "Messages"]
