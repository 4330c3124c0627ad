"""Mail is read from a server whose certificate is valid for its name, or not at all: nobody else gets the password."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchsend.feedback.imap import PASSWORD
from tests.cli.commandline import invoke, serving
from tests.tools.certificates import issue
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, Expect, Send

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.steps import Step


@pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.example.com"], ids=["unknown authority", "another name"])
def test_a_server_whose_certificate_does_not_verify_is_told_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    certificates = issue(tmp_path, name)
    if name != "127.0.0.1":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    monkeypatch.setenv(PASSWORD, "only the server knows")
    script: list[Step] = [Send(b"* OK [CAPABILITY IMAP4rev1] ready\r\n"), Expect(""), Close()]
    with serving(ScriptedServer(script, tls=certificates.server_context())) as peer:
        done = invoke(capsys, "feedback", f"imaps://bounces@127.0.0.1:{peer.port}/INBOX")
    assert done.code == 3
    assert "certificate verify failed" in done.errors
    assert peer.connections == []
