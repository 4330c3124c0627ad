"""A private OpenSMTPD: a server that does not offer PIPELINING; it stores what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers import requirements
from tests.servers.daemon import ACCOUNTS, Daemon, accounts, free_ports
from tests.servers.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CONFIGURATION = """\
smtp max-message-size 50M
action "catch" relay host "lmtp://127.0.0.1:{catcher}"
{actions}
listen on 127.0.0.1 port {plain} hostname "mail.example.org"

match from any for domain "unknown.example.com" reject
{matches}match from any for any action "catch"
"""


class OpenSmtpd(Relay):
    """An instance of OpenSMTPD in a namespace of its own; it need not be installed, only unpacked.

    ``*@unknown.example.com`` is refused at RCPT with a 550. A message without Date or Message-ID is given one, at the
    end of its header. There is no TLS: Debian 12 builds release 6.8 with OpenSSL 3, with which its separate key-holding
    process can make no signature.

    Attributes:
        plain_port: Its listener.
    """

    def __init__(self, *, routes: Mapping[str, int] | None = None) -> None:
        super().__init__("opensmtpd", routes)
        (self.plain_port,) = free_ports(1)

    def try_again(self) -> None:
        """Try what was deferred at once; by itself it waits for minutes, which no configuration changes."""
        self._daemon.run(requirements.program("smtpctl"), "schedule", "all", group=ACCOUNTS["opensmtpq"])

    def log_text(self) -> str:
        """Return what OpenSMTPD has logged so far."""
        return self._output.read_text(errors="replace")

    @property
    def _output(self) -> Path:
        return self.directory / "output"

    def _idle(self) -> bool:
        # The queue's messages lie in queue/XX/XXXXXXXX; the directory of each goes when it has been delivered.
        spool = self.directory / "spool" / "smtpd"
        return next(spool.glob("incoming/*"), next(spool.glob("queue/*/*"), None)) is None

    def _start(self) -> Daemon:
        configuration = self.directory / "smtpd.conf"
        names = {domain: f"to{number}" for number, domain in enumerate(self._routes)}
        configuration.write_text(
            _CONFIGURATION.format(
                actions="".join(
                    f'action "{names[domain]}" relay host "smtp://127.0.0.1:{port}"\n'
                    for domain, port in self._routes.items()
                ),
                matches="".join(
                    f'match from any for {"any" if domain == "*" else f"""domain "{domain}" """} action "{name}"\n'
                    for domain, name in names.items()
                ),
                plain=self.plain_port,
                catcher=self.catcher.port,
            )
        )
        # Its paths are built in: it is shown private directories where they lie.
        shows = accounts(self.directory)
        for name, shown in {"spool": "/var/spool", "lib": "/var/lib", "run": "/run"}.items():
            shows[shown] = self.directory / name
            shows[shown].mkdir()
        (self.directory / "lib" / "opensmtpd" / "empty").mkdir(parents=True)
        (self.directory / "spool" / "smtpd").mkdir(mode=0o711)
        command: list[str | Path] = [requirements.program("smtpd"), "-d", "-f", configuration]
        daemon = Daemon(command, output=self._output, shows=shows)
        daemon.wait_ready(self.plain_port)
        return daemon
