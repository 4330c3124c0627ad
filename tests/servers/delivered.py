"""The server's own account of a run against the results log: what was accepted is there once, and nothing else is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.servers.command import Account
    from tests.servers.stored import Stored

# The name that a server gives a message stands in its reply and in the Received field that it adds: a reply that was
# counted for another record shows.
_NAMED_IN_REPLY = re.compile(
    r"queued as (?P<postfix>\w+)|OK id=(?P<exim>[\w-]+)|2\.0\.0 (?P<opensmtpd>\w+) Message accepted for delivery"
)
_NAMED_IN_RECEIVED = re.compile(rb"\sid (?P<id>[\w-]+)[;\s]")


def delivered(account: Account, stored: Iterable[Stored]) -> dict[int, Stored]:
    """The message that the server has of each accepted record.

    Args:
        account: The log; each of its records has a recipient of its own.
        stored: Everything that the server has.

    Raises:
        AssertionError: The server has a message of no accepted record, or two of one, or none; or the reply in the log
            is that to another message.
    """
    outcomes = account.by_record()
    accepted = {record: outcome for record, outcome in outcomes.items() if outcome["status"] == "accepted"}
    records = {outcome["recipient"]: record for record, outcome in accepted.items()}
    assert len(records) == len(accepted)
    found: dict[int, Stored] = {}
    for message in stored:
        assert message.recipient in records, f"{message.recipient} is not accepted in the log"
        record = records[message.recipient]
        assert record not in found, f"{message.recipient} has the message twice"
        found[record] = message
        assert accepted[record]["stage"] == "content"
        assert accepted[record]["code"] == 250
        assert _reply_name(accepted[record]["reply"]) == _received_name(message.content), accepted[record]
    assert found.keys() == accepted.keys()
    return found


def _reply_name(reply: str) -> str:
    match = _NAMED_IN_REPLY.search(reply)
    assert match is not None, reply
    return next(name for name in match.groups() if name is not None)


def _received_name(content: bytes) -> str:
    received, _, _ = content.partition(b"\r\nDate:")
    match = _NAMED_IN_RECEIVED.search(received)
    assert match is not None, received
    return match["id"].decode()
