"""Coming from elsewhere: a program that others have, and the campaign that does the same job, to one server each."""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from batchsend.sink import Sink
from tests.cli.commandline import SAMPLES, WITHIN, complaint, environment, invoke, serving
from tests.servers import requirements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import EmailMessage

    from batchsend.sink import Received

Capture = pytest.CaptureFixture[str]

FOLDER = SAMPLES / "coming-from"


class ParsedMessage(NamedTuple):
    """What a recipient gets, whoever sent it: without what each program words in its own way."""

    reverse_path: str
    recipients: tuple[str, ...]
    headers: tuple[str, ...]
    text: str | None
    html: str | None
    attachments: tuple[tuple[str | None, bytes], ...]


def letter(received: Received) -> ParsedMessage:
    message: EmailMessage = message_from_bytes(received.content, policy=policy.default)
    bodies = [message.get_body((kind,)) for kind in ("plain", "html")]
    text, page = (None if body is None else _lines(str(body.get_content())) for body in bodies)
    return ParsedMessage(
        received.reverse_path,
        tuple(received.recipients),
        tuple(str(message[name]) for name in ("From", "To", "Subject", "Reply-To")),
        text,
        None if page is None else html.unescape(page),  # an apostrophe has many ways to be escaped
        tuple(
            (part.get_filename(), part.get_payload(decode=True))  # type: ignore[misc]
            for part in message.walk()
            if part.get_content_disposition() == "attachment"
        ),
    )


def _lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def sent_by(command: Sequence[str | Path], folder: Path, **variables: str) -> list[ParsedMessage]:
    """What a sink gets from a program; HOST and PORT in the command stand for the sink's."""
    received: list[Received] = []
    with serving(Sink(on_message=received.append)) as sink:
        place = {"HOST": sink.hosts[0], "PORT": str(sink.port)}
        for path in folder.glob("*.conf"):  # mailmerge is told by a file
            path.write_text(path.read_text().replace("PORT", place["PORT"]))
        ran = subprocess.run(
            [place.get(str(word), str(word)) for word in command],
            cwd=folder,
            env={**environment(**variables), "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    return sorted(map(letter, received))


def sent_by_batchsend(campaign: Path, folder: Path, capsys: Capture) -> list[ParsedMessage]:
    """What a sink gets from the campaign, which is sent as it stands but for the server."""
    text = campaign.read_text()
    for variable in ("username", "password"):  # the sink offers no AUTH
        text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(f"{variable} ="))
    copy = folder / "as-it-stands.toml"
    copy.write_text(text)
    received: list[Received] = []
    with serving(Sink(on_message=received.append)) as sink:
        url = f"smtp://{sink.hosts[0]}:{sink.port}"
        sent = invoke(capsys, "send", copy, "--server", url, "--results", folder / "r.jsonl")
    assert sent.code == 0, sent.errors
    return sorted(map(letter, received))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return shutil.copytree(FOLDER, tmp_path / "copy", ignore=shutil.ignore_patterns("results*"))


def test_the_smtplib_loop(copied: Path, capsys: Capture) -> None:
    theirs = sent_by([sys.executable, "smtplib_loop.py", "HOST", "PORT"], copied)
    assert len(theirs) == 4
    assert sent_by_batchsend(copied / "smtplib.toml", copied, capsys) == theirs


def test_nodemailers_pool(copied: Path, capsys: Capture) -> None:
    modules = requirements.unpacked() / "npm" / "node_modules"
    if not (modules / "nodemailer").is_dir():
        requirements.missing("npm's nodemailer is not on this machine")
    theirs = sent_by([requirements.program("node"), "nodemailer.js", "HOST", "PORT"], copied, NODE_PATH=str(modules))
    assert len(theirs) == 4
    assert sent_by_batchsend(copied / "nodemailer.toml", copied, capsys) == theirs


def test_phpmailers_loop(copied: Path, capsys: Capture) -> None:
    php = requirements.program("php")
    found = subprocess.run([php, "-r", "exit(is_dir('/usr/share/php/libphp-phpmailer') ? 0 : 1);"], check=False)
    if found.returncode != 0:
        requirements.missing("Debian's libphp-phpmailer is not on this machine")
    theirs = sent_by([php, "phpmailer.php", "HOST", "PORT"], copied)
    assert len(theirs) == 4
    assert sent_by_batchsend(copied / "phpmailer.toml", copied, capsys) == theirs


def test_mailmerges_files(copied: Path, capsys: Capture) -> None:
    """The campaign is made of the sample as it is; mailmerge is told another server, which it has no option for."""
    folder = copied / "mailmerge"
    made = invoke(capsys, "init", "--from-mailmerge", folder)
    assert (made.code, made.errors) == (0, "")
    ours = sent_by_batchsend(folder / "campaign.toml", folder, capsys)
    (folder / "mailmerge_server.conf").write_text("[smtp_server]\nhost = 127.0.0.1\nport = PORT\n")
    command: list[str | Path] = [
        Path(sys.executable).with_name("mailmerge"),
        "--no-dry-run",
        "--no-limit",
        "--output-format",
        "raw",
    ]
    theirs = sent_by(command, folder)
    assert len(theirs) == 2
    assert ours == theirs
    campaign = (folder / "campaign.toml").read_text()
    assert 'rate = "600/min"' in campaign
    assert 'password = "${SMTP_PASSWORD}"' in campaign
    assert "mailmerge_template.txt" in complaint(invoke(capsys, "init", "--from-mailmerge", copied))


@pytest.mark.parametrize("name", ["smtplib", "nodemailer", "phpmailer"])
def test_each_campaign_sends_through_the_sandbox_with_its_tls(name: str, tmp_path: Path, capsys: Capture) -> None:
    log = tmp_path / "results.jsonl"
    sent = invoke(capsys, "send", FOLDER / f"{name}.toml", "--sandbox", "--results", log)
    assert sent.code == 0
    assert "accepted 4" in sent.errors


def test_djangos_settings(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "c"
    made = invoke(capsys, "init", folder, "--from-django", FOLDER / "django" / "settings.py")
    assert made.code == 0
    assert "EMAIL_TIMEOUT is left out" in made.output
    campaign = (folder / "campaign.toml").read_text()
    for line in (
        'host = "smtp.example.com"',
        "port = 587",
        'username = "${EMAIL_HOST_USER}"',
        'password = "${EMAIL_HOST_PASSWORD}"',
        'from = "The Reading Room <hello@mail.example.com>"',
    ):
        assert line in campaign
    assert invoke(capsys, "send", folder / "campaign.toml", "--sandbox").code == 0
