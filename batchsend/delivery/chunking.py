"""Whether a relay takes content by BDAT (RFC 3030), as the ends of its sessions show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from batchsend.delivery.relay import Relay
    from batchsend.delivery.session import Session

# Sessions with BDAT whose replies could not be believed, from which the relay gets DATA: there the 354 tells which
# reply is whose, and far less is in doubt.
_BROKEN: Final = 2
# Sessions with BDAT that were lost with messages in doubt, from which it gets DATA if these are more than it has taken.
_LOST: Final = 3


class ChunkingRecord:
    """What sessions with BDAT have come to at one relay.

    Args:
        relay: The relay; its ``no_chunking`` is set where it is to get DATA from now on.
        notice: Called with what the user should know, one line each.
    """

    def __init__(self, relay: Relay, notice: Callable[[str], None]) -> None:
        self._relay = relay
        self._notice = notice
        self._broken = 0  # sessions
        self._lost = 0  # sessions with messages in doubt
        self._doubted = 0  # messages
        self._taken = 0  # messages

    def ended(self, session: Session, others: Iterable[Session]) -> None:
        """Take note of what the end of a session says of BDAT, and of a server that answers something twice.

        Args:
            session: The session.
            others: Those that are open: where the relay is to get DATA, they end if they send by BDAT.
        """
        relay = self._relay
        if session.chunking_refused or (session.probed_in_vain and session.trouble is not None):
            relay.no_chunking = True
            self._notice(f"{relay.name} offers CHUNKING, and does not take it: DATA from now on")
        if session.says_twice and not session.chunked:
            self._notice(f"{relay.name} says 250 twice to one command: the second one is passed over")
        if not session.chunked or relay.no_chunking:
            return
        self._broken += session.broken
        self._lost += session.doubted > 1
        self._doubted += session.doubted
        self._taken += session.took
        if session.says_twice:
            what = "says 250 twice to one command"
        elif self._lost >= _LOST and self._doubted > self._taken:
            what = f"ends sessions in the midst of messages, {self._doubted} of which are in doubt"
        elif self._broken >= _BROKEN:
            what = "sends replies that do not fit"
        else:
            return
        relay.no_chunking = True
        self._notice(f"{relay.name} {what}: DATA from now on, one message after the other, as if depth were 1")
        for other in [other for other in others if other.chunked and other.begun]:
            other.finish()
