"""Asks the run that keeps a results log for something, through its control socket, and waits for the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batchsend.control.place import connected
from batchsend.control.protocol import MAX_ANSWER, answer_of, encoded
from batchsend.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.control.protocol import ControlAnswer, ControlRequest

_SECONDS: Final = 15.0
"""Longer than a run waits for a request, so that it is the run that says what was wrong."""


def ask(log: Path, request: ControlRequest) -> ControlAnswer:
    """Ask a run for something.

    Args:
        log: Its results log.
        request: What is asked for.

    Returns:
        The answer; it may be a refusal.

    Raises:
        UsageError: No run is under way, it does not answer, or it is another user's.
    """
    with connected(log, _SECONDS) as connection:
        try:
            connection.sendall(encoded(request))
            answer = b""
            while b"\n" not in answer and len(answer) < MAX_ANSWER:
                octets = connection.recv(MAX_ANSWER)
                if not octets:
                    break
                answer += octets
        except OSError as error:
            why = "it does not answer" if isinstance(error, TimeoutError) else str(error.strerror)
            raise UsageError(f"{log}: the run cannot be asked: {why}", remedy="see whether it is still there") from None
    if not answer:
        raise UsageError(
            f"{log}: the run has ended, or does not answer this user", remedy="be the user whose run it is"
        )
    return answer_of(answer.partition(b"\n")[0])
