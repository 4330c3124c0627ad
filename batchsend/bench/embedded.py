"""The embedded sink in a process of its own, so that what is measured does not share its loop and its core."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from batchsend.errors import RunError

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from batchsend.campaign import Tls

_FOLDER = Path(__file__).parents[2]
_ENDS_WITHIN = 10.0


class EmbeddedSink:
    """A context manager: a sink on loopback, in another process, while it is entered.

    Args:
        tls: Whether and how it speaks TLS, with a certificate made at its start.

    Attributes:
        host: The address it listens on, known once entered.
        port: The port.
        ca_pem: The certificate to trust; empty where TLS is not spoken.

    Raises:
        RunError: On entering: it did not start.
    """

    def __init__(self, tls: Tls = "none") -> None:
        self.host = ""
        self.port = 0
        self.ca_pem = ""
        self._tls = tls

    def __enter__(self) -> Self:
        # A session of its own: an interrupt at the terminal is for the one who measures. The folder is where this
        # package was imported from, so that the process finds the same one.
        self._process = subprocess.Popen(  # noqa: S603 - our own module, in our own interpreter
            [sys.executable, "-m", "batchsend.bench.serve", self._tls],
            cwd=_FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            told = self._told()
        except BaseException:
            self._end()
            raise
        self.host, self.port, self.ca_pem = told["host"], told["port"], told["ca"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def message_count(self) -> int:
        """How many messages it has accepted so far.

        Raises:
            RunError: It has ended.
        """
        if self._process.stdin is not None:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return int(self._told()["messages"])

    def client_context(self) -> ssl.SSLContext | None:
        """A client's TLS context that trusts this sink alone; None where TLS is not spoken."""
        if not self.ca_pem:
            return None
        import ssl  # noqa: PLC0415 - only for TLS

        return ssl.create_default_context(cadata=self.ca_pem)

    def _told(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise RunError("the embedded server has ended by itself")
        told: dict[str, Any] = json.loads(line)
        return told

    def _end(self) -> None:
        try:
            self._process.communicate(timeout=_ENDS_WITHIN)  # which closes its standard input
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
