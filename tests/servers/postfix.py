"""A private Postfix: submission with STARTTLS and AUTH, implicit TLS, and plain; it stores what it takes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import requirements
from tests.servers.daemon import Daemon, DaemonError, free_ports
from tests.servers.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# queue_directory's parts, by master(8)'s expectations; all belong to mail_owner but "pid".
_QUEUE_PARTS = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "private"),
    *("public", "saved", "trace"),
)
_MAIN = """\
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
maillog_file = {directory}/log/maillog
maillog_file_prefixes = {directory}

inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.org
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
default_transport = {transport}
smtpd_peername_lookup = no
smtputf8_enable = yes

# Every message is stored as it came, but for a Received field at its top.
local_header_rewrite_clients =
message_drop_headers =
append_at_myorigin = no
append_dot_mydomain = no
swap_bangpath = no
allow_percent_hack = no
disable_mime_output_conversion = yes
cleanup_replace_stray_cr_lf = no
lmtp_line_length_limit = 0
smtpd_forbid_bare_newline = reject
smtpd_forbid_bare_newline_exclusions =

smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = {refuses}

smtpd_tls_cert_file = {certificates.cert_file}
smtpd_tls_key_file = {certificates.key_file}
smtpd_tls_security_level = none
smtpd_tls_auth_only = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = example.org
cyrus_sasl_config_path = {directory}/sasl

# A campaign is what these are there to prevent.
smtpd_client_event_limit_exceptions = static:all
in_flow_delay = 0
hash_queue_names = hold
message_size_limit = 52428800
queue_minfree = 0
"""
REFUSES = (
    "check_recipient_access inline:{ { unknown.example.com = 550 5.1.1 User unknown } "
    "{ later.example.com = 450 4.2.0 Mailbox is busy } }"
)
"""What `smtpd_recipient_restrictions` has, unless `settings` say otherwise."""

_MASTER = """\
127.0.0.1:{plain} inet n - n - - smtpd
127.0.0.1:{submission} inet n - n - - smtpd
    -o smtpd_tls_security_level=encrypt
    -o smtpd_sasl_auth_enable=yes
    -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
127.0.0.1:{smtps} inet n - n - - smtpd
    -o smtpd_tls_wrappermode=yes
    -o smtpd_tls_security_level=encrypt
    -o smtpd_sasl_auth_enable=yes
    -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
lmtp unix - - n - - lmtp
smtp unix - - n - - smtp
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""
_SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {directory}/sasl/sasldb2
mech_list: PLAIN LOGIN CRAM-MD5
"""


# What `postqueue -f` asks of the queue manager: all of both queues, whenever it would be their time; it would ask the
# pickup service, too, which is not here.
_TRY_ALL = b"FADI"


class Postfix(Relay):
    """An instance of Postfix in a directory of its own, apart from the machine's.

    ``*@unknown.example.com`` is refused at RCPT with 550 5.1.1, ``*@later.example.com`` with 450 4.2.0. A bare LF in
    the content is refused: it must never be sent (RFC 5321 §2.3.8).

    Args:
        discard: Throw messages away after queueing them for real, for load; ``received()`` is empty then.
        settings: Further lines of main.cf, by name.

    Attributes:
        plain_port: Neither TLS nor AUTH; takes everything from loopback.
        submission_port: STARTTLS required, then AUTH (PLAIN, LOGIN, CRAM-MD5).
        smtps_port: Implicit TLS, AUTH required.
        username: For AUTH.
        password: For AUTH.
    """

    username = "campaign@example.org"
    password = "correct horse, battery = staple"

    def __init__(
        self,
        *,
        discard: bool = False,
        settings: Mapping[str, str] | None = None,
        routes: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__("postfix", routes)
        self.plain_port, self.submission_port, self.smtps_port = free_ports(3)
        self._discard = discard
        self._settings = dict(settings or {})

    def queue_count(self) -> int:
        """Return how many messages have been taken and not yet been delivered."""
        return sum(1 for _ in self._queued())

    def try_again(self) -> None:
        """Try what was deferred at once; what it found still being delivered when its time came waits for minutes."""
        with socket.socket(socket.AF_UNIX) as manager:
            manager.connect(str(self.directory / "queue" / "public" / "qmgr"))
            manager.sendall(_TRY_ALL)

    def log_text(self) -> str:
        """Return what Postfix has logged so far."""
        return (self.directory / "log" / "maillog").read_text(errors="replace")

    def _idle(self) -> bool:
        return next(self._queued(), None) is None

    def _queued(self) -> Iterator[Path]:
        # In the order in which a message moves through them, so that none is missed on its way.
        for part in ("incoming", "active", "deferred"):
            yield from (self.directory / "queue" / part).iterdir()

    def _start(self) -> Daemon:
        master = Path("/usr/lib/postfix/sbin/master")
        if not master.exists():
            requirements.missing("Postfix is not on this machine")
        self._write_queue()
        self._write_configuration()
        self._write_passwords()
        # -i: as the first process of its namespace.
        daemon = Daemon([master, "-i", "-c", self.directory], output=self.directory / "log" / "output")
        try:
            daemon.wait_ready(self.plain_port, self.submission_port)
        except DaemonError as error:
            raise DaemonError(f"{error}{self._complaints()}") from error
        return daemon

    def _complaints(self) -> str:
        # postsuper reads the configuration as the master does, but tells standard error what is wrong with it.
        command: list[str | Path] = [requirements.program("postsuper"), "-c", self.directory]
        return subprocess.run(command, check=False, capture_output=True, text=True).stderr

    def _write_queue(self) -> None:
        for name in ("queue", "queue/pid", "log", "sasl"):
            (self.directory / name).mkdir()
        for name in ("data", *(f"queue/{part}" for part in _QUEUE_PARTS)):
            (self.directory / name).mkdir(mode=0o755 if name == "queue/public" else 0o700)
            shutil.chown(self.directory / name, "postfix")

    def _write_configuration(self) -> None:
        transport = "discard:" if self._discard else f"lmtp:inet:127.0.0.1:{self.catcher.port}"
        if self._routes:
            transport = f"smtp:[127.0.0.1]:{self._routes['*']}"
            tables = ", ".join(
                f"{{ {domain} = smtp:[127.0.0.1]:{port} }}" for domain, port in self._routes.items() if domain != "*"
            )
            self._settings |= {
                "transport_maps": f"inline:{{ {tables} }}",
                "smtp_tls_security_level": "may",
                "queue_run_delay": "1s",
                "minimal_backoff_time": "1s",
                "maximal_backoff_time": "2s",
            }
        main = _MAIN.format(
            directory=self.directory, certificates=self.certificates, transport=transport, refuses=REFUSES
        )
        main += "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        (self.directory / "main.cf").write_text(main)
        # Postfix waits until the file has not changed for two seconds, lest it read one half written.
        os.utime(self.directory / "main.cf", (0, 0))
        ports = {"plain": self.plain_port, "submission": self.submission_port, "smtps": self.smtps_port}
        (self.directory / "master.cf").write_text(_MASTER.format(**ports))

    def _write_passwords(self) -> None:
        (self.directory / "sasl" / "smtpd.conf").write_text(_SASL.format(directory=self.directory))
        database = self.directory / "sasl" / "sasldb2"
        name, realm = self.username.split("@")
        set_password: list[str | Path] = [requirements.program("saslpasswd2"), "-p", "-c", "-f", database]
        subprocess.run([*set_password, "-u", realm, name], input=self.password.encode(), check=True)
        shutil.chown(database, "postfix")
