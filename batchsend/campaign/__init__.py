"""The campaign file (TOML): read, checked and turned into a :class:`Campaign`."""

from batchsend.campaign.header_names import refusal as header_refusal
from batchsend.campaign.loader import load
from batchsend.campaign.model import (
    Attachment,
    Campaign,
    Delivery,
    Dkim,
    Dsn,
    Durability,
    Events,
    Message,
    Server,
    SuppressionList,
    Timeouts,
    Tls,
)
from batchsend.campaign.order import Preference, most_in_doubt, options_for, places
from batchsend.campaign.overrides import Overrides, is_loopback, server_place
from batchsend.campaign.rules import check_message, check_objects
from batchsend.campaign.values import Duration, Quota, Quotas, Rate, Secret
from batchsend.campaign.warnings import server_warnings

__all__ = [
    "Attachment",
    "Campaign",
    "Delivery",
    "Dkim",
    "Dsn",
    "Durability",
    "Duration",
    "Events",
    "Message",
    "Overrides",
    "Preference",
    "Quota",
    "Quotas",
    "Rate",
    "Secret",
    "Server",
    "SuppressionList",
    "Timeouts",
    "Tls",
    "check_message",
    "check_objects",
    "header_refusal",
    "is_loopback",
    "load",
    "most_in_doubt",
    "options_for",
    "places",
    "server_place",
    "server_warnings",
]
