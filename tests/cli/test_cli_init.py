"""``batchsend init``: a folder that works at once, whatever was answered, and nothing overwritten."""

from __future__ import annotations

import os
import pty
import shlex
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.campaign.presets import PRESETS
from tests.cli.commandline import complaint, environment, invoke, process, statuses
from tests.cli.terminal import shown_on

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

FILES = {"campaign.toml", "message.html", "message.txt", "recipients.csv", ".env.example", ".gitignore"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tables(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "campaign.toml").read_text())


def test_it_says_what_to_do_next_and_that_works(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first command printed is run as it stands; the last one, too, but for the relay, which is not asked."""
    result = invoke(capsys, "init")
    assert (result.code, result.errors) == (0, "")
    assert {path.name for path in (here / "campaign").iterdir()} == FILES
    commands = [line.strip() for line in result.output.splitlines() if line.startswith("  batchsend ")]
    assert len(commands) == 2
    sandboxed = invoke(capsys, *shlex.split(commands[0])[1:])
    assert sandboxed.code == 0, sandboxed
    assert statuses(here / "campaign" / "sandbox.jsonl") == {1: "accepted", 2: "accepted", 3: "accepted"}
    exported = next(line for line in result.output.splitlines() if line.startswith("  export "))
    for variable in exported.split()[1:]:
        monkeypatch.setenv(variable.partition("=")[0], "x")
    assert invoke(capsys, *shlex.split(commands[1])[1:], "--dry-run").code == 0
    assert not (here / "campaign" / "results.jsonl").exists()


@pytest.mark.parametrize(
    "relay", ["nexuspromail", "SendGrid", "mailgun-eu", "zoho", "smtp.example.com:465", "localhost:2525"]
)
def test_every_kind_of_relay_works_in_the_sandbox(relay: str, here: Path, capsys: Capture) -> None:
    assert invoke(capsys, "init", "c", "--relay", relay, "--from", "Ö, App <hello@mail.example.com>").code == 2
    assert invoke(capsys, "init", "c", "--relay", relay, "--from", '"Ö, App" <hello@mail.example.com>').code == 0
    assert invoke(capsys, "send", "c/campaign.toml", "--sandbox").code == 0
    assert tables(here / "c")["message"]["from"] == '"Ö, App" <hello@mail.example.com>'


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_chosen_and_names_its_variables(name: str, here: Path, capsys: Capture) -> None:
    said = invoke(capsys, "init", "c", "--relay", name)
    assert said.code == 0
    server = tables(here / "c")["server"]
    assert server["preset"] == name
    variables = {value[2:-1] for value in server.values() if str(value).startswith("${")}
    assert variables
    written = (here / "c" / ".env.example").read_text()
    assert all(f"\n{variable}=\n" in written and f"{variable}=…" in said.output for variable in variables)


def test_a_recipients_file_is_looked_into(here: Path, capsys: Capture) -> None:
    """Its own columns are used, and it stays where it is."""
    (here / "list.csv").write_text("E-Mail;First Name;first_name;Plan;batch\na@example.com;A;A;gold;1\n")
    said = invoke(capsys, "init", "c", "--recipients", "list.csv")
    assert said.code == 0
    assert not (here / "c" / "recipients.csv").exists()
    found = tables(here / "c")
    assert (found["recipients"], found["recipient_field"]) == ("../list.csv", "E-Mail")
    assert "first_name: {{ first_name }}" in (here / "c" / "message.txt").read_text()
    html = (here / "c" / "message.html").read_text()
    assert "{{ Plan }}" in html
    # What no variable can be called has another name, or is named in full.
    assert "Hello {{ First_Name }}," in html
    assert '{{ row["batch"] }}' in html
    assert invoke(capsys, "send", "c/campaign.toml", "--sandbox").code == 0


def test_columns_without_values_are_no_examples(here: Path, capsys: Capture) -> None:
    """Exports have many columns that nobody fills in; those that everybody has come first."""
    (here / "list.csv").write_text(
        "Email,First Name,Middle Name,Phone,Town\na@example.com,A,,,X\nb@example.com,B,,1,Y\n"
    )
    assert invoke(capsys, "init", "c", "--recipients", "list.csv").code == 0
    text = (here / "c" / "message.txt").read_text()
    assert text.index("Town: {{ Town }}") < text.index("Phone: {{ Phone }}")
    assert "Middle" not in text


def test_it_says_that_a_list_has_people_who_want_no_mail(here: Path, capsys: Capture) -> None:
    (here / "list.csv").write_text("Email,Email Status\na@example.com,Active\nb@example.com,Unsubscribed\n")
    said = invoke(capsys, "init", "c", "--recipients", "list.csv")
    (note,) = [line for line in said.output.splitlines() if "want no mail" in line]
    assert "Email Status is 'Unsubscribed'" in note
    campaign = here / "c" / "campaign.toml"
    campaign.write_text(f"where{note.partition('where')[2]}\n{campaign.read_text()}")
    assert invoke(capsys, "send", "c/campaign.toml", "--sandbox", "--results", "sandbox.jsonl").code == 0
    assert statuses(here / "sandbox.jsonl") == {1: "accepted"}


def test_a_list_of_thousands_of_columns(here: Path, capsys: Capture) -> None:
    """The time it takes grows with their number, not with its square, which would be minutes."""
    names = [f"c{number}" for number in range(5_000)]
    (here / "list.csv").write_text(f"email,{','.join(names)}\na@example.com,{','.join(names)}\n")
    assert invoke(capsys, "init", "c", "--recipients", "list.csv").code == 0
    assert "c4: {{ c4 }}" in (here / "c" / "message.txt").read_text()


def test_json_lines_give_the_fields_that_all_records_have(here: Path, capsys: Capture) -> None:
    (here / "list.jsonl").write_text(
        '{"email": "a@example.com", "name": "A", "town": "X"}\n{"email": "b@example.com", "name": "B"}\n'
    )
    assert invoke(capsys, "init", "c", "--recipients", "list.jsonl").code == 0
    assert "town" not in (here / "c" / "message.txt").read_text()
    assert invoke(capsys, "send", "c/campaign.toml", "--sandbox").code == 0


def test_an_address_alone_is_enough(here: Path, capsys: Capture) -> None:
    (here / "list.csv").write_text("email\na@example.com\n")
    assert invoke(capsys, "init", "c", "--recipients", "list.csv").code == 0
    assert "to" not in tables(here / "c")["message"]
    assert invoke(capsys, "send", "c/campaign.toml", "--sandbox").code == 0


def test_nothing_is_overwritten(here: Path, capsys: Capture) -> None:
    (here / "c").mkdir()
    (here / "c" / "message.txt").write_text("mine")
    (here / "c" / ".gitignore").write_text("mine, too")
    assert "message.txt already" in complaint(invoke(capsys, "init", "c"))
    assert {path.name for path in (here / "c").iterdir()} == {"message.txt", ".gitignore"}
    (here / "c" / "message.txt").unlink()
    assert invoke(capsys, "init", "c").code == 0
    assert (here / "c" / ".gitignore").read_text() == "mine, too"
    assert "nothing is overwritten" in complaint(invoke(capsys, "init", "c"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--relay", "sendgird"], "did you mean sendgrid?"),
        (["--relay", "a b"], "neither a preset nor a host"),
        (["--relay", "smtp.example.com:70000"], "has no port from 1 to 65535"),
        (["--from", "nobody"], "expected a mailbox such as"),
        (["--from", "{{ x"], "header From"),
        (["--recipients", "none.csv"], "none.csv"),
        (["--recipients", "list.csv"], "list.csv has no column of addresses: it has 'name'"),
        (["list.csv"], "list.csv cannot be written: File exists"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_written(
    arguments: list[str], said: str, here: Path, capsys: Capture
) -> None:
    (here / "list.csv").write_text("name\nA\n")
    assert said in complaint(invoke(capsys, "init", *arguments))
    assert {path.name for path in here.iterdir()} == {"list.csv"}


def test_on_a_terminal_it_asks_and_asks_again(here: Path) -> None:
    """Three questions; an answer that cannot be used is asked for once more."""
    ours, theirs = pty.openpty()
    running = process("init", stdin=theirs, stderr=theirs, env=environment(TERM="dumb"))
    os.close(theirs)
    os.write(ours, b"sendgird\nnexuspromail\nApp <hello@mail.example.com>\n\n")
    output, _ = running.communicate(timeout=30)
    shown = shown_on(ours)
    assert running.returncode == 0, shown
    assert b"did you mean sendgrid?" in shown
    assert shown.count(b"Relay, as a preset") == 2
    assert "--sandbox" in output
    assert tables(here / "campaign")["server"]["preset"] == "nexuspromail"


def test_a_name_that_is_no_preset_is_said_to_be_taken_for_a_host(here: Path, capsys: Capture) -> None:
    taken = "nosuch is no preset (batchsend presets lists them): it is taken for a host of your network"
    assert taken in invoke(capsys, "init", "a", "--relay", "nosuch").output
    for number, relay in enumerate(("mail.example.com", "localhost:2525", "[::1]:2525", "sendgrid")):
        assert "taken for a host" not in invoke(capsys, "init", f"b{number}", "--relay", relay).output
    assert tables(here / "a")["server"]["host"] == "nosuch"


def test_presets_are_listed(capsys: Capture) -> None:
    listed = invoke(capsys, "presets").output
    assert all(f"\n{name} " in f"\n{listed}" for name in PRESETS)
    one = invoke(capsys, "presets", "sendgrid").output
    assert "smtp.sendgrid.net" in one
    assert "apikey" in one
    assert '"smtp.resend.com"' in invoke(capsys, "presets", "--json").output
    assert "no such preset: sendgird; did you mean sendgrid?" in complaint(invoke(capsys, "presets", "sendgird"))


def test_a_signed_return_path_where_bounces_can_be_received(here: Path, capsys: Capture) -> None:
    assert invoke(capsys, "init", "c", "--bounces", "bounces.example.com").code == 0
    assert tables(here / "c")["message"]["return_path"] == "bounce+{{ batch.verp }}@bounces.example.com"
    assert invoke(capsys, "send", "c/campaign.toml", "--sandbox").code == 0
    assert "--bounces no domain: " in complaint(invoke(capsys, "init", "d", "--bounces", "no domain"))


@pytest.mark.parametrize(
    "text", ["email          name\nann@example.com  Ann\n", "[Shortcut]\nURL=https://a@example.com/x\n"]
)
def test_what_only_has_an_at_sign_is_no_column_of_addresses(here: Path, capsys: Capture, text: str) -> None:
    (here / "list.txt").write_text(text)
    ended = invoke(capsys, "init", "new", "--recipients", "list.txt", "--relay", "localhost", "--from", "a@example.com")
    assert ended.code == 2
    assert "has no column of addresses" in ended.errors
    assert not (here / "new").exists()


def test_what_is_too_large_for_settings_of_django_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.py"
    settings.write_text("#\n" * (1 << 19) + "\n")
    done = invoke(capsys, "init", tmp_path / "made", "--from-django", settings)
    assert (done.code, "settings.py is larger than 1 MiB" in done.errors) == (2, True)
    assert not (tmp_path / "made").exists()
