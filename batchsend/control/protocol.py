"""What is said through a control socket: one JSON object and a line feed each way, then the connection is closed.

A request is ``{"command": "rate", "value": "50/s"}``; the answer ``{"ok": true, "message": "…", "status": {…}}``, or
``{"ok": false, "message": "…", "remedy": "…"}``. Both are bounded, and what is not understood is answered with why.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from batchsend.campaign import Rate
from batchsend.errors import UsageError

MAX_REQUEST: Final = 4096
"""Octets of a request, its line feed included."""

MAX_ANSWER: Final = 64 * 1024
"""Octets of an answer, its line feed included."""

MAX_CONNECTIONS: Final = 1000
"""The most sessions that can be asked for: as many as a campaign file may."""

NO_RATE: Final = "none"
"""How a rate without a limit is written."""


class ControlCommand(StrEnum):
    """What a run can be told."""

    STATUS = "status"
    """Say where it stands."""

    PAUSE = "pause"
    """Begin nothing more until `CONTINUE`; what was begun is finished, and sessions end in order."""

    CONTINUE = "continue"
    """Go on after a pause."""

    RATE = "rate"
    """Send no faster than this from now on."""

    CONNECTIONS = "connections"
    """Have so many sessions at once from now on."""

    STOP = "stop"
    """End in order, as at the first SIGINT; it can be resumed."""


class ControlRequest(Struct, frozen=True):
    """One request.

    Attributes:
        command: What is asked for.
        value: Of ``rate`` the rate or ``none``, of ``connections`` the number; otherwise None.
    """

    command: Literal["status", "pause", "continue", "rate", "connections", "stop"]
    value: str | int | None = None

    def __post_init__(self) -> None:
        # msgspec makes a refusal of this that says where in the request it is.
        match self.command, self.value:
            case "rate", str(text):
                rate_of(text)
            case "connections", int(number) if not isinstance(number, bool):
                if not 1 <= number <= MAX_CONNECTIONS:
                    raise ValueError(f"connections {number}: a whole number from 1 to {MAX_CONNECTIONS} is expected")
            case "rate" | "connections", _:
                raise ValueError(f"{self.command} needs a value")
            case _, None:
                return
            case _:
                raise ValueError(f"{self.command} has no value")


class ControlAnswer(Struct, frozen=True, omit_defaults=True):
    """What is answered.

    Attributes:
        ok: It was done.
        message: What was done, or why it was not; one line.
        remedy: What to do about it, or None.
        status: Where the run stands afterwards; empty where it was not done.
    """

    ok: bool
    message: str
    remedy: str | None = None
    status: dict[str, Any] = msgspec.field(default_factory=dict)


def rate_of(text: str) -> Rate | None:
    """The rate that a value names; None for no limit.

    Raises:
        ValueError: It names none.
    """
    if text == NO_RATE:
        return None
    try:
        return Rate.parse(text)
    except ValueError:
        raise ValueError(f'rate {text}: a rate such as 100/s, 600/min or 5000/h is expected, or "{NO_RATE}"') from None


_request_decoder = msgspec.json.Decoder(ControlRequest)
_answer_decoder = msgspec.json.Decoder(ControlAnswer)


def request_of(line: bytes) -> ControlRequest:
    """Read a request.

    Raises:
        UsageError: It is none, or asks for something impossible.
    """
    try:
        return _request_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"the request is not understood: {error}", remedy=f"there are {', '.join(ControlCommand)}"
        ) from None


def answer_of(line: bytes) -> ControlAnswer:
    """Read an answer.

    Raises:
        UsageError: It is none.
    """
    try:
        return _answer_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UsageError("what listens there is no run of batchsend", remedy="see what has made the socket") from None


def encoded(said: ControlRequest | ControlAnswer) -> bytes:
    """A request or an answer as it is sent."""
    return msgspec.json.encode(said) + b"\n"
