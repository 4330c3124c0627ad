"""A REST endpoint: nginx in a namespace of its own, answering 202 to whatever is posted; its log is the count."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.servers import requirements
from tests.servers.daemon import Daemon, free_ports, private_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {directory}/pid;
error_log {directory}/errors;
events {{ worker_connections 1024; }}
http {{
    log_format short "$status";
    access_log {directory}/log short;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    client_max_body_size 50m;
    client_body_buffer_size 1m;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = /messages {{ return 202 '{{"status": "queued"}}'; }}
    }}
}}
"""


class RestEndpoint:
    """A running endpoint.

    Attributes:
        host: Its address.
        port: Its port.
    """

    host = "127.0.0.1"

    def __init__(self, directory: Path, port: int) -> None:
        self.port = port
        self._log = directory / "log"
        self._read = 0
        self._count = 0

    def accepted(self) -> int:
        """How many requests were answered 202 so far."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            lines = log.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        self._count += whole.count(b"202\n")
        return self._count


@contextmanager
def rest_endpoint() -> Iterator[RestEndpoint]:
    """Serve while the context lasts; without nginx, or without namespaces, what is missing is raised as by a test."""
    program = requirements.program("nginx")
    (port,) = free_ports(1)
    with private_directory("nginx") as directory:
        configuration = directory / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(directory=directory, port=port))
        command: list[str | Path] = [program, "-p", directory, "-c", configuration]
        daemon = Daemon(command, output=directory / "output")
        try:
            daemon.wait_ready(port, greeting=b"")
            yield RestEndpoint(directory, port)
        finally:
            daemon.stop()
