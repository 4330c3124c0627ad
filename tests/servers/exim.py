"""A private Exim: one listener without TLS, one with STARTTLS; it stores what it takes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.servers import requirements
from tests.servers.daemon import ACCOUNTS, Daemon, accounts, free_ports
from tests.servers.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CONFIGURATION = """\
primary_hostname = mail.example.org
exim_user = {user}
# What it starts to hand over its bounces.
exim_path = {program}
spool_directory = {directory}/spool
log_file_path = {directory}/log/%slog
pid_file_path = {directory}/spool/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {plain} : {starttls}
keep_environment =

tls_advertise_hosts = ${{if eq{{$received_port}}{{{starttls}}}{{*}}{{}}}}
tls_certificate = {directory}/server.pem
tls_privatekey = {directory}/server.key
pipelining_advertise_hosts = *
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
host_lookup =
rfc1413_query_timeout = 0s

# A campaign is what these are there to prevent.
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
message_size_limit = 50M

# Every message is stored as it came, but for a Received field at its top.
return_path_remove = false
delivery_date_remove = false
envelope_to_remove = false

acl_smtp_rcpt = check_rcpt
acl_smtp_data = check_data
never_users =
deliver_drop_privilege = true
{settings}
begin acl
check_rcpt:
  deny    domains = unknown.example.com
          message = 5.1.1 User unknown
  defer   domains = later.example.com
          message = 4.2.0 Mailbox is busy
  require condition = ${{if or {{ {{eq{{$received_port}}{{{plain}}}}} {{def:tls_in_cipher}} }} }}
          message = 5.7.0 Must issue a STARTTLS command first
  accept

check_data:
  accept

begin routers
{routers}catch:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = catcher

begin transports
catcher:
  driver = smtp
  protocol = lmtp
  port = {catcher}
  connection_max_messages = 1
  message_linelength_limit = 1000000
  hosts_avoid_tls = *

routed:
  driver = smtp
  tls_tempfail_tryclear = true
  hosts_try_chunking =
  allow_localhost = true

begin retry
* * F,1h,1s
"""


class Exim(Relay):
    """An instance of Exim in a directory and namespace of its own; it need not be installed, only unpacked.

    ``*@unknown.example.com`` is refused at RCPT with 550 5.1.1, ``*@later.example.com`` with 451 4.2.0.

    Args:
        settings: Further lines of the configuration's main part, by name.

    Attributes:
        plain_port: No TLS.
        starttls_port: STARTTLS, required before RCPT.
    """

    def __init__(self, *, settings: Mapping[str, str] | None = None, routes: Mapping[str, int] | None = None) -> None:
        super().__init__("exim", routes)
        self.plain_port, self.starttls_port = free_ports(2)
        self._settings = dict(settings or {})

    def log_text(self) -> str:
        """Return what Exim has logged so far."""
        return "".join(log.read_text(errors="replace") for log in sorted((self.directory / "log").iterdir()))

    def _idle(self) -> bool:
        # A message is gone from here once all its deliveries are done and logged.
        return next((self.directory / "spool" / "input").glob("*-H"), None) is None

    def _routers(self) -> str:
        routes = "; ".join(f"{domain} 127.0.0.1::{port}" for domain, port in self._routes.items())
        if not routes:
            return ""
        return (
            f"routed:\n  driver = manualroute\n  route_list = {routes}\n  self = send\n  transport = routed\n"
            "  host_find_failed = defer\n\n"
        )

    def _start(self) -> Daemon:
        for name in ("log", "spool", "spool/input", "spool/db", "spool/msglog"):
            (self.directory / name).mkdir()
            shutil.chown(self.directory / name, ACCOUNTS["Debian-exim"], ACCOUNTS["Debian-exim"])
        shutil.chown(self.certificates.key_file, ACCOUNTS["Debian-exim"])
        configuration = self.directory / "exim.conf"
        # Its own user must be able to start it, wherever it was unpacked.
        program = self.directory / "exim4"
        shutil.copy(requirements.program("exim4"), program)
        configuration.write_text(
            _CONFIGURATION.format(
                user=ACCOUNTS["Debian-exim"],
                program=program,
                directory=self.directory,
                plain=self.plain_port,
                starttls=self.starttls_port,
                catcher=self.catcher.port,
                routers=self._routers(),
                settings="".join(f"{name} = {value}\n" for name, value in self._settings.items()),
            )
        )
        # -bdf: a daemon in the foreground.
        command: list[str | Path] = [program, "-C", configuration, "-bdf", "-q1s"]
        daemon = Daemon(command, output=self.directory / "output", shows=accounts(self.directory))
        daemon.wait_ready(self.plain_port, self.starttls_port)
        return daemon
