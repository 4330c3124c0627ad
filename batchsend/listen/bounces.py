"""The SMTP side: the embedded server as the host that a signed return path's domain has its mail at."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from batchsend.errors import BatchsendError
from batchsend.sink import Sink, SinkOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchsend.listen.run import ListenedRun
    from batchsend.sink.received import Received

MOST_HELD: Final = 64 * 1024 * 1024
"""Octets of the messages that are on their way in all sessions: who sends them may be anybody with a return path."""

_MOST_OCTETS: Final = 16 * 1024 * 1024  # of a message; reports return all of the messages they are about, or less
_MOST_SESSIONS: Final = 100
_MOST_MESSAGES: Final = 1000  # of a session
_IDLE: Final = 300.0  # seconds (RFC 5321 §4.5.3.2.7)
_LONGEST: Final = 3600.0  # seconds of a session


def bounce_host(runs: Sequence[ListenedRun], host: str, port: int, *, notice: Callable[[str], None]) -> Sink:
    """An SMTP server that takes what comes to the signed return paths of some runs, and nothing else.

    A message is answered 250 when what it says is on the disk; what cannot be kept is answered 452, and comes again.

    Args:
        runs: The runs.
        host: The address to listen on.
        port: The port; 0 for any free one.
        notice: Called with what the operator should know.
    """

    def takes(mailbox: str) -> bool:
        return any(run.owns(mailbox) for run in runs)

    def keep(message: Received) -> None:
        try:
            for run in runs:
                own = [mailbox for mailbox in message.recipients if run.owns(mailbox)]
                if own:
                    run.take_bounce(message.content, own)
        except BatchsendError as error:
            notice(f"a bounce could not be kept, it will come again: {error.message}")
            raise OSError(error.message) from error

    options = SinkOptions(
        host=host,
        port=port,
        hostname=socket.gethostname(),
        tls="starttls",
        max_size=_MOST_OCTETS,
        max_messages=_MOST_MESSAGES,
        max_sessions=_MOST_SESSIONS,
        max_held=MOST_HELD,
        idle_timeout=_IDLE,
        session_timeout=_LONGEST,
        authentication=False,
        recipients=takes,
    )
    return Sink(options, on_message=keep)
