"""The signature of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 of identity, time and body."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

PREFIX: Final = "whsec_"
"""What a secret begins with, as it is shown to people."""

FEWEST_OCTETS: Final = 16
"""Octets of a key; the specification asks for 24 at least, and what is shorter than this is none at all."""


def key_of(secret: str) -> bytes | None:
    """The key that a secret stands for; None where it is none, or too short to be one."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) >= FEWEST_OCTETS else None


def signature(key: bytes, identity: str, timestamp: str, body: bytes) -> str:
    """``v1,`` and the signature in base64.

    Args:
        key: As `key_of` has it.
        identity: The message's.
        timestamp: When it is sent: whole seconds since the epoch.
        body: The request's body.
    """
    digest = hmac.digest(key, f"{identity}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"
