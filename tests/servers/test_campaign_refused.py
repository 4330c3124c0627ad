"""A run that cannot begin says so in two lines, ends with exit code 3, sends nothing and gives no secret away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.servers.command import CampaignFolder
from tests.servers.daemon import free_ports
from tests.servers.relay_tables import credentials, implicit_tls, starttls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.postfix import Postfix
    from tests.servers.smtp_sink import SmtpSink

WRONG_PASSWORD = "wrong horse, battery = staple"


def _stopped(folder: CampaignFolder, server: dict[str, Any], *what: str) -> None:
    """Send ten records and see that none was, that each of these words is said, and that the password is not."""
    (folder.path / "recipients.csv").write_text("email\n" + "".join(f"r{number}@example.com\n" for number in range(10)))
    folder.write(
        top={"recipients": "recipients.csv", "results": "results.jsonl"},
        server=server,
        message={"from": "a@mail.example.com", "subject": "x", "text": "x\n"},
    )
    ended = folder.send()
    assert (ended.code, ended.output) == (3, ""), ended.errors
    error = ended.errors[ended.errors.index("batchsend: ") :]
    assert len(error.splitlines()) <= 2, ended.errors
    for words in what:
        assert words in error
    assert folder.account().outcomes == [], "what was not begun can be sent by a resumed run"
    said = ended.errors.encode() + b"".join(path.read_bytes() for path in folder.files())
    assert WRONG_PASSWORD.split(",", maxsplit=1)[0].encode() not in said


@pytest.mark.parametrize("tls", [starttls, implicit_tls], ids=["starttls", "implicit"])
def test_credentials_that_are_refused(tmp_path: Path, postfix: Postfix, tls: Any) -> None:
    environment = credentials(postfix) | {"SMTP_PASSWORD": WRONG_PASSWORD}
    _stopped(CampaignFolder(tmp_path, environment), tls(postfix), "535", "check username and password in [server]")
    assert "authentication failed" in postfix.log_text()
    assert list(postfix.received()) == []


@pytest.mark.parametrize("tls", [starttls, implicit_tls], ids=["starttls", "implicit"])
def test_a_certificate_of_another_authority(tmp_path: Path, postfix: Postfix, tls: Any) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    environment = credentials(postfix) | {"SMTP_PASSWORD": WRONG_PASSWORD}
    server = tls(postfix) | {"ca_file": str(other)}
    _stopped(CampaignFolder(tmp_path, environment), server, "the certificate is not trusted", "ca_file")
    assert "sasl_method" not in postfix.log_text(), "no credential goes to a server that is not trusted"
    assert list(postfix.received()) == []


def test_starttls_that_is_not_offered(tmp_path: Path, smtp_sink: SmtpSink) -> None:
    environment = {"SMTP_USERNAME": "campaign", "SMTP_PASSWORD": WRONG_PASSWORD}
    server = {"host": smtp_sink.host, "port": smtp_sink.port, "tls": "starttls"}
    server |= {"username": "${SMTP_USERNAME}", "password": "${SMTP_PASSWORD}"}
    _stopped(CampaignFolder(tmp_path, environment), server, "does not offer STARTTLS", 'tls = "implicit"')
    assert smtp_sink.message_count() == 0
    assert list(smtp_sink.received()) == []


def test_a_server_that_is_down(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    server = {"host": "127.0.0.1", "port": port, "tls": "none"}
    _stopped(CampaignFolder(tmp_path), server, f"127.0.0.1:{port}", "Connection refused", "check host and port")
