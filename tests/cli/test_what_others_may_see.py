"""What other users of the machine may see of a run: neither its files nor its credentials."""

from __future__ import annotations

import base64
import os
import stat
from typing import TYPE_CHECKING

import pytest

from batchsend.campaign import Secret
from batchsend.sink import SinkOptions
from tests.cli.commandline import THREE, invoke
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "only the relay knows"
FORMS = (
    PASSWORD.encode(),
    base64.b64encode(PASSWORD.encode()),
    base64.b64encode(f"\0somebody\0{PASSWORD}".encode()),
)
CAMPAIGN = """\
recipients = "list.csv"
server = {{ host = "127.0.0.1", port = {port}, tls = "none", username = "somebody", password = "${{SECRET}}" }}
[message]
from = "from@example.com"
subject = "Hello"
text = "Hello {{{{ name }}}}"
"""


@pytest.mark.parametrize("password", [PASSWORD, "wrong"], ids=["right", "refused"])
def test_a_run_shows_nobody_its_files_or_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """With all that is written of it: log, trace, what programs read; also where the login is refused."""
    monkeypatch.setenv("SECRET", PASSWORD)
    (tmp_path / "list.csv").write_text(THREE)
    options = SinkOptions(require_auth=True, username=Secret("somebody"), password=Secret(password))
    before = os.umask(0)
    try:
        with SinkThread(options) as sink:
            (tmp_path / "campaign.toml").write_text(CAMPAIGN.format(port=sink.port))
            there = set(tmp_path.rglob("*"))
            log, trace = tmp_path / "results.jsonl", tmp_path / "trace"
            done = invoke(
                capsys, "send", tmp_path / "campaign.toml", "--results", log, "--trace", trace, "--log-format", "json"
            )
    finally:
        os.umask(before)
    assert done.code == (0 if password == PASSWORD else 3), done.errors
    made = [path for path in tmp_path.rglob("*") if path not in there]
    assert {log, trace} <= set(made)
    assert {path.name: stat.filemode(path.stat().st_mode) for path in made if path.stat().st_mode & 0o077} == {}
    for form in FORMS:
        assert form not in (done.output + done.errors).encode()
        assert not [path.name for path in made if path.is_file() and form in path.read_bytes()]
