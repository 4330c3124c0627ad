"""A process of its own: signals, terminals, pipes that are closed early, standard input, the environment."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend.outcome import Stage
from tests.cli.commandline import (
    THREE,
    WITHIN,
    Ended,
    ended,
    environment,
    invoke,
    make_campaign,
    outcomes,
    process,
    serving,
    statuses,
)
from tests.cli.terminal import shown_on
from tests.delivery.harness import CountingServer, well_behaved
from tests.tools.faulty import ACCEPT, Action, Then, drop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MANY = "email,name\n" + "".join(f"r{number}@example.com,N\n" for number in range(1, 20_001))


def url(server: CountingServer) -> str:
    return f"smtp://{server.host}:{server.port}"


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition that another process makes true."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def silent_at_the_end(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
    return drop(Then.SILENCE, succeeds=True) if transaction == 5 and stage is Stage.CONTENT else ACCEPT


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_one_signal_ends_the_run_in_order(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Nothing new is sent, replies are awaited, nothing is in doubt; the log says what the server says."""
    with serving(CountingServer(well_behaved)) as server:
        running = process("send", make_campaign(tmp_path, MANY), "--server", url(server), "--json")
        wait_until(lambda: len(server.accepted) > 100)
        running.send_signal(number)
        result = ended(running)
    assert result.code == code
    assert "Traceback" not in result.errors
    assert set(statuses(tmp_path / "results.jsonl").values()) == {"accepted"}
    assert len(outcomes(tmp_path / "results.jsonl")) == len(server.accepted) < 20_000
    summary = json.loads(result.output)
    assert summary["accepted"] == len(server.accepted)
    assert summary["stopped"] == f"stopped by {number.name}"


def test_a_second_signal_ends_it_at_once_and_names_what_is_in_doubt(tmp_path: Path) -> None:
    with serving(CountingServer(silent_at_the_end)) as server:
        campaign = make_campaign(tmp_path, MANY, delivery="max_connections = 2")
        running = process("send", campaign, "--server", url(server))
        wait_until(lambda: len(server.accepted) == 10)
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        while "replies are awaited" not in running.stderr.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        result = ended(running)
    assert result.code == 130
    assert "Traceback" not in result.errors
    counted = list(statuses(tmp_path / "results.jsonl").values())
    assert (counted.count("accepted"), counted.count("in_doubt")) == (8, 2)


def told_by(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a program in a session of its own, and wait until it calls ``tell()``."""
    readable, writable = os.pipe()
    begin = f"import os, signal, sys, time\ndef tell(): os.write({writable}, b'.'); os.close({writable})\n"
    running = python(begin + textwrap.dedent(script), *arguments, pass_fds=[writable])
    os.close(writable)
    assert os.read(readable, 1) == b"."
    os.close(readable)
    return running


def begun(*arguments: str | Path) -> subprocess.Popen[str]:
    """A command whose process Python, which handles SIGINT by itself while it starts, has handed to the program."""
    script = """
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        tell()
        from batchsend.__main__ import main
        main()
        """
    return told_by(script, *arguments)


def pressed(running: subprocess.Popen[str], *, gap: float = 0.002) -> Ended:
    """Press Ctrl-C again and again, as a terminal does: all processes of the group get the signal."""
    for _ in range(5000):
        if running.poll() is not None:
            break
        os.killpg(running.pid, signal.SIGINT)
        time.sleep(gap)
    result = ended(running)
    said = result.output + result.errors
    assert not any(word in said for word in ("Traceback", "Exception ignored", "KeyboardInterrupt", "Error")), said
    return result


def test_interrupted_while_it_is_imported(tmp_path: Path) -> None:
    script = """
        class Held:
            def find_spec(self, name, path=None, target=None):
                if name == "batchsend.cli.send":
                    tell()
                    time.sleep(60)

        sys.meta_path.insert(0, Held())
        from batchsend.__main__ import main
        main()
        """
    result = pressed(told_by(script, "send", make_campaign(tmp_path), "--dry-run"))
    assert (result.code, result.output, result.errors) == (-signal.SIGINT, "", "")


SOME = "email,name\n" + "".join(f"r{number}@example.com,N\n" for number in range(1, 401))


def require_everybody_once(server: CountingServer, campaign: Path) -> None:
    """Go on with an interrupted run: each record is accepted once, but for those whose reply nobody has waited for."""
    log = campaign.with_name("results.jsonl")
    command = ("resume", log) if log.exists() else ("send", campaign)
    assert ended(process(*command, "--server", url(server), "--rate", "5000/s")).code in (0, 1)
    assert not log.with_name("results.jsonl.inflight").exists()
    last = statuses(log)
    assert sorted(last) == list(range(1, 401))
    doubtful = {f"r{record}@example.com" for record, status in last.items() if status == "in_doubt"}
    assert set(last.values()) <= {"accepted", "in_doubt"}
    taken = [recipient for message in server.accepted for recipient in message.recipients]
    assert len(taken) == len(set(taken))
    assert {f"r{record}@example.com" for record in last} - doubtful <= set(taken)


@pytest.mark.slow
def test_interrupted_again_and_again_while_it_sends(tmp_path: Path) -> None:
    """The log is completed in spite of it, and names what is in doubt."""
    with serving(CountingServer(well_behaved)) as server:
        campaign = make_campaign(tmp_path, SOME, delivery="processes = 2")
        options = ("--server", url(server), "--rate", "200/s")
        running = process("send", campaign, *options, start_new_session=True)
        wait_until(lambda: len(server.accepted) > 20)
        result = pressed(running)
        assert result.code == 130
        assert "SIGINT: nothing new is sent" in result.errors
        require_everybody_once(server, campaign)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_interrupted_again_and_again_from_any_moment_on(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with serving(CountingServer(well_behaved)) as server:
        campaign = make_campaign(tmp_path, SOME)
        running = begun("send", campaign, "--server", url(server))
        time.sleep(chance.uniform(0, 1.5))
        result = pressed(running, gap=chance.choice((0.001, 0.005, 0.03)))
        assert result.code in (-signal.SIGINT, 130, 0)
        require_everybody_once(server, campaign)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        *(
            ["check", "{campaign}"],
            ["preview", "{campaign}"],
            ["preview", "{campaign}", "--eml", "-"],
            ["send", "--help"],
        ),
        *(["sink", "--port", "0"], ["bench", "--messages", "100"], ["manual", "relays"], ["presets"]),
        ["send", "{campaign}", "--sandbox"],
    ],
    ids=" ".join,
)
def test_any_command_is_interrupted_again_and_again(tmp_path: Path, arguments: list[str]) -> None:
    campaign = make_campaign(tmp_path)
    for seed in range(6):
        chance = random.Random(seed)
        running = begun(*(argument.format(campaign=campaign) for argument in arguments))
        time.sleep(chance.uniform(0, 0.8))
        result = pressed(running, gap=chance.choice((0.001, 0.005, 0.03)))
        assert result.code in (-signal.SIGINT, 130, 0, 1, 2, 3)


def test_who_calls_a_command_has_signals_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    ended_by = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in ended_by], sys.unraisablehook
    for command in (("presets",), ("presets", "--such-as"), ("no-such-command",)):
        invoke(capsys, *command)
        assert ([signal.getsignal(number) for number in ended_by], sys.unraisablehook) == before


def test_an_interrupt_that_strikes_while_an_object_is_destroyed_comes_again() -> None:
    """Python would only tell of it, and go on."""
    script = """
        import os, signal, time
        from batchsend.cli import signals

        class Destroyed:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000):
                    pass

        signals.heed()
        try:
            Destroyed()
            time.sleep(20)
        except KeyboardInterrupt:
            print("interrupted")
        """
    result = ended(python(script))
    assert (result.code, result.output, result.errors) == (0, "interrupted\n", "")


def test_an_interrupt_that_strikes_while_a_module_is_read_comes_when_it_is(tmp_path: Path) -> None:
    """Python's code for imports would leave the module's file open."""
    os.mkfifo(fifo := tmp_path / "held.py")
    script = """
        import importlib.machinery, importlib.util, os, signal, sys, threading, time
        from batchsend.cli import signals

        def interrupt():
            main = threading.main_thread().ident
            while sys._current_frames()[main].f_locals.get("path") != sys.argv[1]:
                time.sleep(0.001)
            signal.pthread_kill(main, signal.SIGINT)
            with open(sys.argv[1], "w") as module:
                module.write("print('imported')")

        loader = importlib.machinery.SourceFileLoader("held", sys.argv[1])
        spec = importlib.util.spec_from_loader("held", loader)
        module = importlib.util.module_from_spec(spec)
        signals.heed()
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            loader.exec_module(module)
            time.sleep(20)
        except KeyboardInterrupt:
            print("interrupted")
        """
    result = ended(python(script, fifo))
    assert (result.code, result.output, result.errors) == (0, "imported\ninterrupted\n", "")


@pytest.mark.slow
def test_what_does_not_end_is_ended_by_an_interrupt_some_seconds_later() -> None:
    """Python waits for threads that nothing may end, such as those in which the system looks names up."""
    script = """
        import sys, threading
        from batchsend.__main__ import main

        threading.Thread(target=threading.Event().wait).start()
        sys.argv = ["batchsend", "presets"]
        main()
        """
    running = python(script)
    assert running.stdout is not None
    assert running.stdout.readline() != ""
    assert pressed(running).code == -signal.SIGINT


def python(script: str, *arguments: str | Path, pass_fds: Sequence[int] = ()) -> subprocess.Popen[str]:
    """Start a program as a process in a session of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
        pass_fds=pass_fds,
    )


@pytest.mark.slow
def test_a_signal_while_standard_input_is_silent(tmp_path: Path) -> None:
    """Who waits for more recipients can still be stopped."""
    with serving(CountingServer(well_behaved)) as server:
        campaign = make_campaign(tmp_path)
        options = ("--recipients", "-", "--no-spool", "--server", url(server))
        running = process("send", campaign, *options, stdin=subprocess.PIPE)
        assert running.stdin is not None
        running.stdin.write(THREE)
        running.stdin.flush()
        wait_until(lambda: len(server.accepted) == 3)
        running.send_signal(signal.SIGTERM)
        try:
            code = running.wait(timeout=5)
        finally:
            running.kill()
            running.communicate()
    assert code == 143
    assert len(outcomes(tmp_path / "results.jsonl")) == 3


@pytest.mark.parametrize(
    ("number", "code", "options"),
    [
        (signal.SIGINT, 130, ("--no-spool",)),
        *(
            pytest.param(number, code, options, marks=pytest.mark.slow)
            for number, code, options in (
                (signal.SIGTERM, 143, ("--no-spool", "--dry-run")),
                (signal.SIGHUP, 129, ()),
                (signal.SIGTERM, 143, ("--no-spool",)),
                (signal.SIGHUP, 129, ("--no-spool",)),
                (signal.SIGINT, 130, ("--no-spool", "--dry-run")),
                (signal.SIGHUP, 129, ("--no-spool", "--dry-run")),
                (signal.SIGINT, 130, ()),
                (signal.SIGTERM, 143, ()),
            )
        ),
    ],
)
def test_a_signal_before_standard_input_has_said_anything(
    tmp_path: Path, number: signal.Signals, code: int, options: tuple[str, ...]
) -> None:
    """The first one is heeded wherever the program waits: while all is kept, while it is opened, in a rehearsal."""
    campaign = make_campaign(tmp_path)
    running = process("send", campaign, "--recipients", "-", *options, stdin=subprocess.PIPE)
    wait_until(lambda: reads_standard_input(running.pid))
    running.send_signal(number)
    try:
        ended_with = running.wait(timeout=10)
        _, errors = running.communicate()
    finally:
        running.kill()
    assert ended_with in (code, -number)
    assert "Traceback" not in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["campaign.toml", "recipients.csv"]


def reads_standard_input(pid: int) -> bool:
    """Whether a thread of a process waits in read(0, …)."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        words = (task / "syscall").read_text().split()
        if words[:2] == ["0", "0x0"]:
            return True
    return False


@pytest.mark.slow
def test_who_has_hangups_ignored_is_not_stopped_by_one(tmp_path: Path) -> None:
    """As under nohup(1)."""
    with serving(CountingServer(well_behaved)) as server:
        campaign = make_campaign(tmp_path, MANY)
        running = process(
            *("send", campaign, "--limit", "2000", "--server", url(server), "--json"),
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        )
        wait_until(lambda: len(server.accepted) > 100)
        running.send_signal(signal.SIGHUP)
        result = ended(running)
    assert result.code == 0
    assert len(server.accepted) == 2000


@pytest.mark.slow
def test_what_a_script_starts_in_the_background_is_ended_by_an_interrupt_that_is_sent_to_it() -> None:
    """A shell has it ignored there."""
    running = process(
        *("sink", "--port", "0", "--json"), preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
    )
    assert running.stderr is not None
    running.stderr.readline()
    running.send_signal(signal.SIGINT)
    assert ended(running).code == 0


def test_recipients_from_standard_input(tmp_path: Path) -> None:
    with serving(CountingServer(well_behaved)) as server:
        options = ("--recipients", "-", "--server", url(server))
        running = process("send", make_campaign(tmp_path), *options, stdin=subprocess.PIPE)
        result = ended(running, "email,name\nx@example.com,X\ny@example.com,Y\n")
    assert result.code == 0
    assert [message.recipients for message in server.accepted] == [("x@example.com",), ("y@example.com",)]


@pytest.mark.slow
def test_nobody_who_goes_away_stops_a_run(tmp_path: Path) -> None:
    """`2>&1 | head -1`, or a `tee` that the same Ctrl-C ended: what cannot be said is no reason to leave doubts."""
    with serving(CountingServer(well_behaved)) as server:
        reading, writing = os.pipe()
        running = process("send", make_campaign(tmp_path, MANY), "--server", url(server), stderr=writing)
        os.close(writing)
        os.close(reading)
        wait_until(lambda: len(server.accepted) > 100)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=WITHIN)
    assert running.returncode == 130
    assert set(statuses(tmp_path / "results.jsonl").values()) == {"accepted"}
    assert len(outcomes(tmp_path / "results.jsonl")) == len(server.accepted)


@pytest.mark.parametrize(
    "arguments",
    [
        ["preview", "{campaign}"],
        *(
            pytest.param(other, marks=pytest.mark.slow)
            for other in (
                ["preview", "{campaign}", "--eml", "-"],
                ["--help"],
                ["explain", "--help"],
                ["presets"],
                ["manual", "commands"],
            )
        ),
    ],
)
def test_output_into_a_pipe_that_is_closed_is_no_error(tmp_path: Path, arguments: list[str]) -> None:
    """It ends as after SIGPIPE, for 1 would say something of a run, or of what was checked."""
    campaign = make_campaign(tmp_path, text="x" * 500_000)
    reading, writing = os.pipe()
    os.close(reading)
    running = process(*(argument.format(campaign=campaign) for argument in arguments), stdout=writing)
    os.close(writing)
    _, errors = running.communicate(timeout=WITHIN)
    assert (running.returncode, errors) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize(
    "arguments",
    [["preview", "{campaign}"], *(pytest.param(other, marks=pytest.mark.slow) for other in (["--help"], ["presets"]))],
)
def test_where_the_output_has_no_room_it_says_so(arguments: list[str], tmp_path: Path) -> None:
    """`batchsend report results.jsonl > FILE` on a disk that is full."""
    campaign = make_campaign(tmp_path)
    with Path("/dev/full").open("wb") as full:
        running = process(*(word.format(campaign=campaign) for word in arguments), stdout=full)
        _, errors = running.communicate(timeout=WITHIN)
    assert running.returncode == 3
    assert errors.splitlines() == [
        "batchsend: the output cannot be written: No space left on device",
        "           make room, or lead it elsewhere",
    ]


def on_a_terminal(*arguments: str | Path, **variables: str) -> Ended:
    """Run a command with standard error on a terminal of 100 columns; what it shows there is ``errors``."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    running = process(*arguments, stderr=theirs, env=environment(TERM="xterm-256color", **variables))
    os.close(theirs)
    shown = shown_on(ours)
    output, _ = running.communicate(timeout=WITHIN)
    return Ended(running.returncode, output, shown.decode())


@pytest.mark.slow
def test_progress_is_shown_on_a_terminal_and_leaves_the_summary(tmp_path: Path) -> None:
    rows = "email,name\n" + "".join(f"r{number}@example.com,N\n" for number in range(1, 51))
    with serving(CountingServer(well_behaved)) as server:
        options = ("--server", url(server), "--rate", "100/s", "--json")
        campaign = make_campaign(tmp_path, rows)
        shown = on_a_terminal("send", campaign, *options, "--results", tmp_path / "1.jsonl")
        plain = on_a_terminal("send", campaign, *options, "--results", tmp_path / "2.jsonl", NO_COLOR="1")
        quiet = on_a_terminal("send", campaign, *options, "--results", tmp_path / "3.jsonl", "--no-progress")
    for result in (shown, plain, quiet):
        assert result.code == 0
        assert json.loads(result.output)["accepted"] == 50
    assert "accepted" in shown.errors
    assert "/s" in shown.errors
    assert "\x1b[" in shown.errors
    assert "accepted" in plain.errors
    assert not any(f"\x1b[{colour}" in plain.errors for colour in ("3", "9", "38")), "a colour in spite of NO_COLOR"
    assert quiet.errors == ""


def test_secrets_of_the_environment_stay_there(tmp_path: Path) -> None:
    with serving(CountingServer(well_behaved)) as server:
        campaign = make_campaign(tmp_path, server='username = "${API_KEY}"\npassword = "${API_KEY}"')
        running = process("send", campaign, "--server", url(server), env=environment(API_KEY="s3cr3t-k3y"))
        result = ended(running)
    assert result.code == 3, "the server offers no AUTH"
    assert "s3cr3t-k3y" not in result.errors + result.output + (tmp_path / "results.jsonl").read_text()


def test_a_full_disk_stops_the_run_with_what_to_do(tmp_path: Path) -> None:
    """/dev/full is a log that takes nothing: nothing is sent whose outcome could not be kept."""
    log = tmp_path / "full.jsonl"
    log.symlink_to("/dev/full")
    with serving(CountingServer(well_behaved)) as server:
        result = ended(process("send", make_campaign(tmp_path), "--server", url(server), "--results", log))
    assert result.code in (2, 3)
    assert "Traceback" not in result.errors
    assert len(result.errors.splitlines()) <= 5
    assert server.accepted == []


def test_the_sink_serves_until_it_is_interrupted_and_counts(tmp_path: Path) -> None:
    maildir, trace = ("--maildir", tmp_path / "mail"), tmp_path / "trace"
    running = process("sink", "--port", "0", "--json", "--reject", "b@*", *maildir, "--trace", trace)
    assert running.stderr is not None
    listening = running.stderr.readline()
    port = listening.split("port ")[1].split(";")[0]
    result = ended(process("send", make_campaign(tmp_path), "--server", f"smtp://127.0.0.1:{port}", "--json"))
    running.send_signal(signal.SIGINT)
    counted = ended(running)
    assert result.code == 1
    assert json.loads(result.output)["rejected"] == 1
    assert counted.code == 0
    counts = json.loads(counted.output)
    assert (counts["messages"], counts["rejected"]) == (2, 1)
    assert len(list((tmp_path / "mail" / "new").iterdir())) == 2
    assert trace.read_text().count("RCPT TO:<") == 3


@pytest.mark.slow
def test_the_sink_says_one_of_anything_in_the_singular(tmp_path: Path) -> None:
    running = process("sink", "--port", "0")
    assert running.stderr is not None
    port = running.stderr.readline().split("port ")[1].split(";")[0]
    campaign = make_campaign(tmp_path, "email,name\na@example.com,A\n")
    ended(process("send", campaign, "--server", f"smtp://127.0.0.1:{port}"))
    running.send_signal(signal.SIGINT)
    assert "1 connection, 1 session, 1 message, 1 recipient," in ended(running).errors
