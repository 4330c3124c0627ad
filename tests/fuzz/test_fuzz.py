"""Foreign input at random, a few of each kind; what was found so once; and that what is wrong is found and kept.

`.ci/run` and ``make fuzz`` try such input for minutes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz.__main__ import FINDINGS
from tests.fuzz.subjects import SUBJECTS, Subject
from tests.fuzz.trying import fuzz, trial

ROOT = Path(__file__).parents[2]
FOUND = sorted(FINDINGS.iterdir())
INPUTS = 300


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_was_found_once_is_read_as_it_must_be(path: Path) -> None:
    assert trial(SUBJECTS[path.name.partition("-")[0]], path.read_bytes()) is None


@pytest.mark.parametrize("name", SUBJECTS)
def test_sound_examples_are_read(name: str) -> None:
    subject = SUBJECTS[name]
    assert [trial(subject, octets) for octets in subject.examples()] == [None] * len(subject.examples())


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_nothing_at_random_is_more_than_a_documented_error(name: str) -> None:
    finding = fuzz(SUBJECTS[name], seed=1, inputs=INPUTS).finding
    assert finding is None, f"python -m tests.fuzz {name} --seed 1: {finding}"


def in_braces(act: str) -> Subject:
    """Reads anything but what has two braces in it: with that it does what is said here."""

    def read(octets: bytes, _: Path) -> None:
        if b"{{" in octets:
            exec(act)

    return Subject(lambda: [b"sound " * 5], read)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("raise KeyError('nobody has documented this')", "nobody has documented this"),
        ("bytes(600 << 20)", "MemoryError"),
        # A reader that makes an error of its own of whatever goes wrong.
        ("try:\n    while True: pass\nexcept Exception: pass", "it has taken more than 0.05 s"),
    ],
)
def test_what_nobody_has_documented_is_found_and_made_small(
    act: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.trying.SECONDS", 0.05)
    finding = fuzz(in_braces(act), seed=1, inputs=10_000).finding
    assert finding is not None
    assert len(finding.octets) <= 3
    assert said in finding.what


def test_an_input_may_take_long_where_others_have_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `.ci/run`, which gives fuzzing what all else leaves."""
    waited = iter(range(0, 1000, 10))
    monkeypatch.setattr("tests.fuzz.trying.SECONDS", 0.01)
    monkeypatch.setattr("tests.fuzz.trying.waited", lambda: next(waited))

    def read(octets: bytes, _: Path) -> None:
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            pass

    assert trial(Subject(list, read), b"") is None


KILLED = r"""
import os, signal, sys
from pathlib import Path
from tests.fuzz import trying
from tests.fuzz.__main__ import main
from tests.fuzz.subjects import SUBJECTS
from tests.fuzz.test_fuzz import in_braces

trying.SECONDS = 0.05
SUBJECTS["aborted"] = in_braces("os.abort()")
# As in a library in another language, in which no signal handler of Python's is called.
SUBJECTS["endless"] = in_braces("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {14})\nwhile True: pass")
SUBJECTS["sound"] = in_braces("pass")
sys.exit(main(["aborted", "endless", "sound"], 1.0, 1, 2, Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_what_kills_the_process_that_reads_it_is_found_printed_and_kept(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    kept = {path.name.partition("-")[0]: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name: (b"{{" in octets, len(octets) <= 3) for name, octets in kept.items()} == {
        "aborted": (True, True),
        "endless": (True, True),
    }
    assert "killed by SIGABRT" in done.stdout
    assert "killed by SIGPROF" in done.stdout
    assert re.search(r"^sound: \d+ inputs, 1 s, seed 1: nothing found$", done.stdout, re.MULTILINE)
    (name,) = (path.name for path in tmp_path.glob("aborted-*"))
    assert f"base64 -d >tests/fuzz/findings/{name} <<<" in done.stdout


SAME = """
import hashlib
from tests.fuzz.subjects import SUBJECTS
from tests.fuzz.trying import fuzz

tried = []
for name, subject in SUBJECTS.items():
    fuzz(subject, 1, inputs=20, note=tried.append)
print(hashlib.sha256(b"|".join(tried)).hexdigest())
"""


@pytest.mark.slow
def test_the_same_seed_makes_the_same_inputs_in_any_process() -> None:
    """So that what was found can be found again where nothing was kept."""
    made = {
        subprocess.run(
            [sys.executable, "-c", SAME],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(made) == 1
