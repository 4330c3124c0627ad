"""What the commands that send have in common is the same in each, and survives the way from one to the other."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend.cli.options import SendingOptions
from batchsend.cli.resume import resume
from batchsend.cli.send import send

if TYPE_CHECKING:
    import click


def given(command: click.Command, words: list[str]) -> SendingOptions:
    """What the words make of the shared options."""
    values = command.make_context(command.name, words).params
    return SendingOptions(**{field.name: values[field.name] for field in fields(SendingOptions)})


@pytest.mark.parametrize("words", [[], ["--depth", "4", "--rate", "600/min", "--log-format", "json", "--no-progress"]])
def test_send_and_resume_understand_the_same(words: list[str]) -> None:
    assert given(send, ["campaign.toml", *words]) == given(resume, ["results.jsonl", *words])


def test_the_command_that_goes_on_is_understood_and_sends_in_the_same_way() -> None:
    words = ["--server", "smtp://127.0.0.1:2525", "--max-connections", "3", "--max-messages", "20"]
    words += ["--depth", "4", "--rate", "600/min", "--no-retry"]
    options = given(send, ["campaign.toml", *words, "--limit", "5", "--json"])
    command = shlex.split(options.resume_command(Path("a folder/results.jsonl")))
    assert command[:3] == ["batchsend", "resume", "a folder/results.jsonl"]
    again = given(resume, command[2:])
    assert again.overrides(recipients=None, results=None) == options.overrides(recipients=None, results=None)
    assert again.limit is None, "the limit was the first run's"


def test_where_nothing_was_said_the_command_says_nothing() -> None:
    assert given(send, ["campaign.toml"]).resume_command(Path("r.jsonl")) == "batchsend resume r.jsonl"
