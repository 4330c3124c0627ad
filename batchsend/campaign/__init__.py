"""The campaign file (TOML): read, checked and turned into a :class:`Campaign`."""

from batchsend.campaign.loader import load
from batchsend.campaign.model import Campaign, Delivery, Dsn, Durability, Message, Server, Timeouts, Tls
from batchsend.campaign.overrides import Overrides, is_loopback
from batchsend.campaign.values import Duration, Rate, Secret

__all__ = [
    "Campaign",
    "Delivery",
    "Dsn",
    "Durability",
    "Duration",
    "Message",
    "Overrides",
    "Rate",
    "Secret",
    "Server",
    "Timeouts",
    "Tls",
    "is_loopback",
    "load",
]
