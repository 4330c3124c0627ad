"""What other users of the machine may see of a run: neither its files nor its credentials."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend.campaign import Secret
from batchsend.sink import SinkOptions
from tests.cli.commandline import THREE, environment, invoke, process
from tests.events.receiver import SECRET, Receiver
from tests.feedback.letters import complaint, dsn
from tests.listen.signed import SignedRun
from tests.results.test_links import nobody_else_may
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@contextmanager
def no_umask() -> Iterator[None]:
    """What is made while the context lasts has the modes that it is given, and nothing takes any away."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("password", [PASSWORD, "wrong"], ids=["right", "refused"])
def test_a_run_shows_nobody_its_files_or_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """With all that is written of it: log, trace, what programs read; also where the login is refused."""
    monkeypatch.setenv("SECRET", PASSWORD)
    (tmp_path / "list.csv").write_text(THREE)
    options = SinkOptions(require_auth=True, username=Secret("somebody"), password=Secret(password))
    with no_umask(), SinkThread(options) as sink:
        (tmp_path / "campaign.toml").write_text(CAMPAIGN.format(port=sink.port))
        there = set(tmp_path.rglob("*"))
        log, trace = tmp_path / "results.jsonl", tmp_path / "trace"
        done = invoke(
            capsys, "send", tmp_path / "campaign.toml", "--results", log, "--trace", trace, "--log-format", "json"
        )
    assert done.code == (0 if password == PASSWORD else 3), done.errors
    made = [path for path in tmp_path.rglob("*") if path not in there]
    assert {log, trace} <= set(made)
    nobody_else_may(made)
    for form in FORMS:
        assert form not in (done.output + done.errors).encode()
        assert not [path.name for path in made if path.is_file() and form in path.read_bytes()]


def test_what_comes_back_is_shown_to_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feedback log, the list that grows from it, messages that were not understood, the cursor of the events."""
    with no_umask(), Receiver() as receiver:
        signed = SignedRun(tmp_path)
        letters = [tmp_path / f"{number}.eml" for number in range(3)]
        for path, letter in zip(letters, (complaint(), dsn(), b"Subject: what?\n\nx"), strict=True):
            path.write_bytes(letter)
        there = {path for path in tmp_path.rglob("*") if path.suffix != ".key"}
        names: list[str | Path] = [
            "--results",
            signed.results,
            "--suppress",
            tmp_path / "gone.csv",
            "--keep",
            tmp_path / "kept",
        ]
        done = invoke(capsys, "feedback", *letters, *names)
        assert done.code == 0, done.errors
        monkeypatch.setenv("BATCHSEND_EVENTS_SECRET", SECRET)
        told = invoke(capsys, "events", signed.results, "--url", receiver.url)
        assert told.code == 0, told.errors
    made = [path for path in tmp_path.rglob("*") if path not in there]
    assert len(made) >= 5
    nobody_else_may(made)


ASKS = """\
recipients = "list.csv"
server = {{ host = "127.0.0.1", port = {port}, tls = "none", username = "somebody", password_command = {command} }}
[message]
from = "from@example.com"
subject = "Hello"
text = "Hello {{{{ name }}}}"
[delivery]
processes = 2
"""


@pytest.mark.slow
def test_no_process_has_the_password_among_its_arguments(tmp_path: Path) -> None:
    """Every user of the machine can read those (proc(5), cmdline), of each process that the run starts as well."""
    seen: list[bytes] = []

    def look(*_: object) -> None:
        seen.extend(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())

    script = tmp_path / "password"
    script.write_text(f"#!{sys.executable}\nimport os\nprint(os.environ['SECRET'])\n")
    script.chmod(0o700)
    (tmp_path / "list.csv").write_text("email,name\n" + "".join(f"r{n}@example.com,{n}\n" for n in range(200)))
    options = SinkOptions(require_auth=True, username=Secret("somebody"), password=Secret(PASSWORD))
    with SinkThread(options, look) as sink:
        command = f'["{script}"]'
        (tmp_path / "campaign.toml").write_text(ASKS.format(port=sink.port, command=command))
        arguments = ("send", tmp_path / "campaign.toml", "--no-progress", "--max-connections", "1")
        running = process(*arguments, env=environment(SECRET=PASSWORD))
        output, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    assert any(b"batchsend.run.composer_process" in line for line in seen), "those were there"
    for form in FORMS:
        assert form not in (output + errors).encode()
        assert not [line for line in seen if form in line]


def test_a_password_on_the_command_line_is_refused_and_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.csv").write_text(THREE)
    (tmp_path / "campaign.toml").write_text(CAMPAIGN.format(port=25).replace("${SECRET}", "other"))
    url = f"smtp://somebody:{PASSWORD.replace(' ', '')}@127.0.0.1"
    done = invoke(capsys, "send", tmp_path / "campaign.toml", "--server", url)
    assert done.code == 2
    assert "--server holds credentials" in done.errors
    assert PASSWORD.replace(" ", "") not in done.output + done.errors


def test_an_error_that_nobody_has_foreseen_does_not_tell_the_password(tmp_path: Path) -> None:
    """A traceback shows values where a program prints them: those of `Secret` do not show themselves."""
    program = (
        "import sys, traceback\nfrom batchsend import Server\nfrom batchsend.campaign import load\n"
        "campaign = load(sys.argv[1], environ={'SECRET': sys.argv[2]})\n"
        "try:\n    raise ValueError(f'what about {campaign!r} and {[campaign.servers[0].password]}?')\n"
        "except ValueError:\n    traceback.TracebackException(*sys.exc_info(), capture_locals=True).print()\n"
    )
    (tmp_path / "list.csv").write_text(THREE)
    (tmp_path / "campaign.toml").write_text(CAMPAIGN.format(port=25))
    command = [sys.executable, "-c", program, str(tmp_path / "campaign.toml"), PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "what about" in done.stderr
    assert PASSWORD not in done.stderr
