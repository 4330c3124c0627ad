"""What the real servers share: a private directory, a certificate, a place to deliver to, and an end for sure."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from tests.servers.catcher import Catcher
from tests.servers.daemon import private_directory
from tests.tools import certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from tests.servers.daemon import Daemon
    from tests.servers.stored import Stored
    from tests.tools.certificates import Certificates

_DELIVERED_WITHIN = 30.0
_LOOK_EVERY = 0.1
_TRY_AGAIN_EVERY = 2.0  # seconds; more than a destination that greylists asks for


class Relay(ABC):
    """A context manager: a mail server on loopback that runs while it is entered.

    Args:
        name: The server's name, for its directory.
        routes: Where mail is relayed to by SMTP instead of being caught: ports on loopback, by domain; ``*`` for all
            other domains.

    Attributes:
        host: The address of all its listeners.
        directory: Its private directory: configuration, queue, logs. Gone when it is left.
        certificates: Its certificate, for ``localhost`` and ``127.0.0.1``, and the authority.
        catcher: Where it delivers to.
    """

    host = "127.0.0.1"
    directory: Path
    certificates: Certificates
    catcher: Catcher

    def __init__(self, name: str, routes: Mapping[str, int] | None = None) -> None:
        self._name = name
        self._routes = dict(routes or {})
        self._stack = ExitStack()
        self._daemon: Daemon

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = stack.enter_context(private_directory(self._name))
            self.certificates = certificates.issue(self.directory)
            self.catcher = stack.enter_context(Catcher())
            self._daemon = self._start()
            stack.callback(self._daemon.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def ca_file(self) -> Path:
        """The authority that a client must trust, as a PEM file."""
        return self.certificates.ca_file

    def received(self) -> Iterator[Stored]:
        """Wait until all that was taken has been delivered, then yield each message for each recipient.

        Raises:
            TimeoutError: The server has stopped delivering.
        """
        self.catcher.wait(self._idle, within=_DELIVERED_WITHIN)
        yield from self.catcher.received()

    def wait_idle(self, *, within: float) -> None:
        """Wait until its queue is empty.

        Raises:
            TimeoutError: It is not for so many seconds.
        """
        started = again = time.monotonic()
        while not self._idle():
            now = time.monotonic()
            if now >= started + within:
                raise TimeoutError(f"the queue is not empty after {within} s:\n{self.log_text()[-4000:]}")
            if now >= again + _TRY_AGAIN_EVERY:
                self.try_again()
                again = time.monotonic()
            time.sleep(_LOOK_EVERY)

    def try_again(self) -> None:  # noqa: B027 - most need not be told
        """Try what was deferred at once, where the server would wait for long by itself."""

    @abstractmethod
    def log_text(self) -> str:
        """Return what the server has logged so far."""

    @abstractmethod
    def _idle(self) -> bool:
        """Return whether the server's queue is empty."""

    @abstractmethod
    def _start(self) -> Daemon:
        """Write the configuration, start the server and wait until it greets."""
