"""What the commands that send have in common is the same in each, and survives the way from one to the other."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from batchsend.cli.options import SendingOptions
from batchsend.cli.resume import resume
from batchsend.cli.send import send

if TYPE_CHECKING:
    import click


def given(command: click.Command, words: list[str]) -> SendingOptions:
    """What the words make of the shared options."""
    values = command.make_context(command.name, words).params
    return SendingOptions(**{name: values[name] for name in SendingOptions.__struct_fields__})


@pytest.mark.parametrize("words", [[], ["--depth", "4", "--rate", "600/min", "--log-format", "json", "--no-progress"]])
def test_send_and_resume_understand_the_same(words: list[str]) -> None:
    assert given(send, ["campaign.toml", *words]) == given(resume, ["results.jsonl", *words])


def test_what_says_where_and_how_holds_for_who_goes_on_and_the_rest_is_of_one_command() -> None:
    words = ["--server", "smtp://127.0.0.1:2525", "--max-connections", "3", "--max-messages", "20"]
    words += ["--depth", "4", "--rate", "600/min", "--no-retry"]
    options = given(send, ["campaign.toml", *words, "--limit", "5", "--json"])
    overrides = options.overrides(recipients="r.csv", results="r.jsonl")
    assert overrides.held == {
        "server": "smtp://127.0.0.1:2525",
        "max_connections": 3,
        "max_messages": 20,
        "depth": 4,
        "rate": "600/min",
    }
    again = given(resume, ["r.jsonl"]).overrides(recipients="r.csv", results="r.jsonl").upon(overrides.held)
    assert again == replace(overrides, max_attempts=None)
    other = given(resume, ["r.jsonl", "--rate", "1/s"]).overrides(recipients=None, results=None).upon(overrides.held)
    assert other.held == {**overrides.held, "rate": "1/s"}


def test_what_a_log_says_beyond_that_is_not_heeded() -> None:
    earlier: dict[str, str | int] = {"recipients": "other.csv", "max_attempts": 1, "rate": "5/s"}
    assert given(resume, ["r.jsonl"]).overrides(recipients=None, results=None).upon(earlier).held == {"rate": "5/s"}


def test_the_command_that_goes_on_is_short_and_understood() -> None:
    options = given(send, ["campaign.toml", "--server", "smtp://127.0.0.1:2525", "--no-retry", "--limit", "5"])
    command = shlex.split(options.resume_command(Path("a folder/results.jsonl")))
    assert command == ["batchsend", "resume", "a folder/results.jsonl", "--no-retry"]
    assert given(resume, command[2:]).limit is None, "the limit was the first run's"


def test_where_nothing_was_said_the_command_says_nothing() -> None:
    assert given(send, ["campaign.toml"]).resume_command(Path("r.jsonl")) == "batchsend resume r.jsonl"
