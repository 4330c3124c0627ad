"""A server that plays a script, right or wrong, and records to the octet what the client did."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.tools.listener import Listener
from tests.tools.steps import Dialogue

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from tests.tools.steps import Step
    from tests.tools.wire import Message, Wire


class ScriptedServer(Listener):
    """Plays a list of steps to each connection and closes it after the last.

    The record of what was received is ``connections``. A client that goes away early ends the script without a failure
    (``completed`` says so); one that says something else than expected is a failure, raised when the context is left.

    Args:
        scripts: The first connection plays the first script, the second the second; all further ones play the last.
        tls: The context of implicit TLS, or None for plaintext.
        receive_buffer: Octets of the kernel's receive buffer: small, to make a zero window come soon.
    """

    def __init__(
        self, *scripts: Sequence[Step], tls: ssl.SSLContext | None = None, receive_buffer: int | None = None
    ) -> None:
        super().__init__(tls=tls, receive_buffer=receive_buffer)
        self._scripts = scripts
        self._released = asyncio.Event()

    def release(self) -> None:
        """End every silence, the ones to come included."""
        self._released.set()

    @property
    def messages(self) -> list[Message]:
        """Every message whose content arrived whole, over all connections."""
        return [message for connection in self.connections for message in connection.messages]

    async def play(self, wire: Wire) -> None:
        """Play the script of this connection."""
        number = min(wire.connection.number, len(self._scripts))
        dialogue = Dialogue(wire, self._released)
        for step in self._scripts[number - 1]:
            await step.play(dialogue)
