"""`[events]` in a campaign: a process of its own that tells an endpoint what becomes of the messages.

It follows the log, as ``batchsend events`` does; a receiver that is slow or dead costs the run nothing.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from batchsend.trace import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.campaign import Campaign

_GRACE: Final = 5.0
"""Seconds that the endpoint has at the end of the run for what it was not told yet."""


class EventsProcess:
    """Tells the endpoint of a campaign, if it has one, from `start` to `finish`.

    Args:
        campaign: The campaign.
        notice: Called with what the user should know.

    Raises:
        UsageError: Its endpoint or secret is none, or the extra ``events`` is not installed.
    """

    def __init__(self, campaign: Campaign, notice: Callable[[str], None]) -> None:
        self._events = campaign.events
        self._results = campaign.results
        self._notice = notice
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        if self._events is not None:
            from batchsend.events.telling import require_endpoint  # noqa: PLC0415 - most campaigns tell nobody

            require_endpoint(self._events.url, self._events.secret)

    def start(self) -> None:
        """Begin; the results log is there by now. A process that cannot be started costs the run nothing either."""
        if self._events is None:
            return
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `finish`
        command = [sys.executable, "-m", "batchsend", "events", str(self._results), "--url", self._events.url]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this program itself
                [*command, "--while-open"],
                env={**os.environ, "BATCHSEND_EVENTS_SECRET": str(self._events.secret)},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                # What interrupts the run lets this one tell what is left.
                start_new_session=True,
            )
        except OSError as error:
            self._notice(f"events are not told: {error.strerror}; {self._way_on()}")

    async def finish(self) -> None:
        """End the process; it has some seconds for what is left, and the log keeps the rest for later."""
        process, said = self._process, self._said
        try:
            if process is None:
                return
            if process.stdin is not None:
                process.stdin.close()
            with anyio.move_on_after(_GRACE):
                await anyio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
            is_too_slow = process.poll() is None
            if is_too_slow:
                process.terminate()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(process.wait)
            if process.returncode and said is not None:
                said.seek(0)
                lines = said.read(1 << 16).decode("utf-8", "replace").splitlines()
                for line in lines[-3:]:
                    log.info("events: %s", line)
                # Its last line but for a remedy, which is indented, is why it has ended.
                told = [line.removeprefix("batchsend: ") for line in lines if not line.startswith(" ")]
                if is_too_slow or not told:
                    why = "it was too slow" if is_too_slow else "the endpoint did not take them"
                else:
                    why = told[-1]
                self._notice(f"not all events are told: {why}; {self._way_on()}")
        finally:
            if said is not None:
                said.close()

    def _way_on(self) -> str:
        url = "" if self._events is None else self._events.url
        return f"to tell the rest: batchsend events {shlex.quote(str(self._results))} --url {shlex.quote(url)}"
