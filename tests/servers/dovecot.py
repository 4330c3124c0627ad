"""A private Dovecot: mailboxes of one user as maildirs, over IMAP and TLS only."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import trustme

from tests.servers import requirements
from tests.servers.daemon import Daemon, free_ports, private_directory

if TYPE_CHECKING:
    from pathlib import Path

_CONFIGURATION = """\
base_dir = {directory}/run
state_dir = {directory}/run
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{directory}/server.pem
ssl_key = <{directory}/server.pem
mail_location = maildir:{directory}/mail
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
passdb {{
  driver = static
  args = password={password}
}}
auth_mechanisms = plain login
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={directory}/home
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {port}
    ssl = yes
  }}
}}
service auth {{
  inet_listener sasl {{
    address = 127.0.0.1
    port = {sasl_port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


class Dovecot:
    """An instance of Dovecot in a namespace of its own. A context manager.

    Attributes:
        port: Where it speaks IMAP over TLS.
        sasl_port: Where an SMTP server has it authenticate clients (``smtpd_sasl_type = dovecot``).
        password: That of every user; they all have the same mailboxes.
        ca_file: The certificate that a client must trust.
        directory: Where everything of it is.
    """

    password = "a-secret-of-the-test"

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.port, self.sasl_port = free_ports(2)
        self.ca_file: Path
        self.directory: Path

    def __enter__(self) -> Self:
        program = requirements.program("dovecot")
        with ExitStack() as stack:
            self.directory = stack.enter_context(private_directory("dovecot"))
            self.ca_file = self.directory / "ca.pem"
            authority = trustme.CA()
            authority.cert_pem.write_to_path(self.ca_file)
            pem = self.directory / "server.pem"
            authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
            for name in ("mail", "home", "run"):
                (self.directory / name).mkdir()
                (self.directory / name).chmod(0o777 if name != "run" else 0o755)
            configuration = self.directory / "dovecot.conf"
            configuration.write_text(
                _CONFIGURATION.format(
                    directory=self.directory, port=self.port, sasl_port=self.sasl_port, password=self.password
                )
            )
            daemon = Daemon([program, "-F", "-c", configuration], output=self.directory / "output")
            stack.callback(daemon.stop)
            daemon.wait_ready(self.port, greeting=b"")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
