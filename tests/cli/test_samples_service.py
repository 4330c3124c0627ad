"""The unit and the Dockerfile among the samples, as far as they can be tried without systemd and a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend.outcome import Outcome
from tests.cli.commandline import ROOT, SAMPLES, ended, process
from tests.cli.test_cli_service import running

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = SAMPLES / "service" / "batchsend@.service"
DOCKERFILE = SAMPLES / "service" / "Dockerfile"


def settings() -> dict[str, str]:
    """What the unit sets, by name."""
    lines = [line for line in UNIT.read_text().splitlines() if re.match(r"[A-Z]\w+=", line)]
    return dict(line.split("=", maxsplit=1) for line in lines)


def instructions() -> Iterator[tuple[str, str]]:
    """What the Dockerfile says, comments left out."""
    for line in DOCKERFILE.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield name, rest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A campaign in a folder of its own, as both expect it."""
    return Path(shutil.copytree(SAMPLES / "welcome", tmp_path / "spring"))


def try_line(words: list[str], folder: Path) -> None:
    """Run a command line in a folder twice, with the sandbox in the relay's place: it begins, and goes on."""
    for records in (8, 0):
        result = ended(process(*words, "--sandbox", cwd=folder))
        assert result.code == 0, result
        last = json.loads(result.errors.splitlines()[-1])
        assert (last["event"], last["records"]) == ("end", records)
    assert last["campaign"][Outcome.ACCEPTED] == 8


@pytest.mark.slow
def test_the_unit_starts_a_line_that_begins_and_goes_on(folder: Path) -> None:
    program, *words = shlex.split(settings()["ExecStart"])
    assert program.endswith("/bin/batchsend")
    try_line(words, folder)


def test_what_the_unit_says_about_ends_is_what_commands_end_with(folder: Path) -> None:
    said = settings()
    assert said["Type"] == "notify"
    assert {"SuccessExitStatus": said["SuccessExitStatus"], "Restart": said["Restart"]} == {
        "SuccessExitStatus": "143",
        "Restart": "on-failure",
    }
    assert "3" not in said["RestartPreventExitStatus"].split(), "a run that can be resumed is resumed"
    with running("send", folder / "absent.toml", "--resume") as started:
        assert str(ended(started).code) in said["RestartPreventExitStatus"].split()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    instance = tmp_path / "batchsend@spring.service"
    # What is started has to be there, and is not installed in the place that the unit names.
    program = tmp_path / "batchsend"
    program.symlink_to(sys.executable)
    instance.write_text(UNIT.read_text().replace("/opt/batchsend/bin/batchsend", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", instance],
        capture_output=True,
        text=True,
        check=False,
    )
    about = [line for line in done.stderr.splitlines() if "batchsend@" in line]
    assert (done.returncode, about) == (0, []), done.stderr


@pytest.mark.slow
def test_what_the_dockerfile_copies_is_there_and_its_command_works(folder: Path) -> None:
    said = list(instructions())
    sources = [rest.split()[:-1] for name, rest in said if name == "COPY" and not rest.startswith("--from")]
    assert [name for names in sources for name in names if not (ROOT / name).exists()] == []
    entry = json.loads(next(rest for name, rest in said if name == "ENTRYPOINT"))
    words = json.loads(next(rest for name, rest in said if name == "CMD"))
    assert len(entry) == 1
    words[words.index("0.0.0.0:9464")] = "127.0.0.1:0"  # the machine's ports are not the test's
    try_line(words, folder)


def test_the_dockerfile_ends_as_another_user_than_root() -> None:
    said = list(instructions())
    last = max(place for place, (name, _) in enumerate(said) if name == "FROM")
    names = [name for name, _ in said[last:]]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert dict(said[last:])["USER"] not in ("root", "0")


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_install_a_program_that_works(tmp_path: Path) -> None:
    """The same steps, in a folder of the test's instead of an image."""
    said = list(instructions())
    build = said[: max(place for place, (name, _) in enumerate(said) if name == "FROM")]
    opt, source = tmp_path / "opt", tmp_path / "source"
    source.mkdir()
    for name, rest in build:
        if name == "COPY":
            *names, target = rest.split()
            for one in names:
                place = Path(target.replace("/source", str(source)))
                if (ROOT / one).is_dir():
                    shutil.copytree(ROOT / one, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / one, place)
        elif name == "RUN":
            command = rest.replace("/opt/batchsend", str(opt)).replace("/source", str(source))
            command = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", command)
            # Without compiling, which takes two minutes and has a test of its own.
            env = {**os.environ, "BATCHSEND_PURE": "1"}
            subprocess.run(shlex.split(command), check=True, capture_output=True, timeout=400, cwd=tmp_path, env=env)
    version = subprocess.check_output([opt / "bin" / "batchsend", "--version"], text=True, cwd=tmp_path)
    assert version.startswith("batchsend ")
