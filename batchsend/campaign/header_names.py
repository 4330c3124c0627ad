"""Header names: what one looks like, and which of them a campaign does not set itself."""

from __future__ import annotations

import re
from typing import Final

HEADER_NAME: Final = re.compile(r"[!-9;-~]{1,76}")
"""A header's name (RFC 5322 §3.6.8) that leaves room for a value on a line of 78 characters."""

MADE_HERE: Final = "batchsend makes this header itself"
"""What to do about a header that every message gets: nothing."""
_ONE_RECIPIENT: Final = "a message goes to its record's recipient alone"

NOT_SET_BY_CAMPAIGNS: Final = {
    "from": "set it by the key from of [message]",
    "to": "set it by the key to of [message]",
    "reply-to": "set it by the key reply_to of [message]",
    "subject": "set it by the key subject of [message]",
    "return-path": "set it by the key return_path of [message]",
    "cc": _ONE_RECIPIENT,
    "bcc": _ONE_RECIPIENT,
    "date": MADE_HERE,
    "message-id": MADE_HERE,
    "mime-version": MADE_HERE,
    "received": "servers add this header, not the sender",
}
"""Headers that a campaign may not have among its `headers`, in lower case, each with what to do instead."""
