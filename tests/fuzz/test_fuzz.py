"""Foreign input at random, a few seconds of each kind; and what was found so once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.subjects import SUBJECTS, Subject
from tests.fuzz.trying import fuzz, trial

FOUND = sorted((Path(__file__).parent / "findings").iterdir())
SECONDS = float(os.environ.get("BATCHSEND_FUZZ_SECONDS", "3"))


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
    _, finding = fuzz(SUBJECTS[name], SECONDS, seed=1)
    assert finding is None, f"python -m tests.fuzz {name} --seed 1: {finding}"


def test_an_error_that_nobody_has_documented_is_found_and_made_small() -> None:
    def read(octets: bytes, _: Path) -> None:
        if b"{{" in octets:
            raise KeyError("nobody has documented this")

    _, finding = fuzz(Subject(lambda: [b"sound " * 20], read), 30.0, seed=1)
    assert finding is not None
    assert len(finding.octets) <= 3
    assert "nobody has documented this" in finding.what
