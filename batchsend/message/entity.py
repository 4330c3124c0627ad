"""A message without the header fields that the campaign asks for, and what makes one of each record."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - a Struct resolves its hints
from typing import Any, Protocol

from msgspec import Struct


class Entity(Struct):
    """A message without the fields that the campaign asks for: from MIME-Version to its end.

    Attributes:
        pieces: Its octets, to be joined.
        eight_bit: Whether there are any above 127 among them.
        seven_bit: Makes the same entity without them.
    """

    pieces: list[bytes]
    eight_bit: bool
    seven_bit: Callable[[], list[bytes]] | None


class Body(Protocol):
    """What makes the entities of a campaign's messages."""

    def render(self, variables: dict[str, Any]) -> Entity:
        """Fill in one record.

        Raises:
            RecordError: The record cannot be sent; the message names the template or file, and why.
        """
