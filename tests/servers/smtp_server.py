"""A server made of npm's smtp-server, on which many programs' test servers and inbound gateways are built."""

from __future__ import annotations

import json
from base64 import b64decode
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.servers import requirements
from tests.servers.daemon import Daemon, free_ports, private_directory
from tests.servers.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAM = Path(__file__).with_suffix(".js")


class SmtpServer:
    """A context manager: npm's smtp-server on a loopback port. It offers PIPELINING, and neither TLS nor CHUNKING.

    ``*@unknown.example.com`` is refused at RCPT with 550 5.1.1, ``*@later.example.com`` with 450 4.2.0.

    Attributes:
        host: The address that it listens on.
        plain_port: The port.
    """

    host = "127.0.0.1"

    def __init__(self) -> None:
        (self.plain_port,) = free_ports(1)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        modules = requirements.unpacked() / "npm" / "node_modules"
        node = requirements.program("node")
        if not (modules / "smtp-server").is_dir():
            requirements.missing("npm's smtp-server is not there")
        with ExitStack() as stack:
            self._directory = stack.enter_context(private_directory("smtp-server"))
            self._taken.touch()
            command: list[str | Path] = [
                "env",
                f"NODE_PATH={modules}",
                node,
                _PROGRAM,
                str(self.plain_port),
                self._taken,
            ]
            daemon = Daemon(command, output=self._directory / "output")
            stack.callback(daemon.stop)
            daemon.wait_ready(self.plain_port)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def _taken(self) -> Path:
        return self._directory / "taken"

    def received(self) -> Iterator[Stored]:
        """Yield each message for each recipient; it is stored before it is said to be."""
        for line in self._taken.read_text().splitlines():
            told = json.loads(line)
            yield Stored(told["recipient"], told["sender"], b64decode(told["content"]))
