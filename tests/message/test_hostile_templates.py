"""Templates that are missing, no templates, too large or without an end, seen from the command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.cli.commandline import complaint, ended, invoke, make_campaign, outcomes, process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

# Each of these would take hours, or all the memory there is.
ENDLESS = {
    "empty loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops that say something": "{% for a in range(99999) %}{% for b in range(99999) %}xxx{% endfor %}{% endfor %}",
    "a loop as long as the record says": "{% for a in range(many) %}x{% endfor %}",
    "a list as long as the record says": "{{ range(many) | list | length }}",
    "a text times a number": "{{ 'x' * 10000000000 }}",
    "a text times what the record says": "{{ ('x' * many) | length }}",
    "a power": "{{ 9 ** (9 ** 9) }}",
    "doubling": "{% set n = namespace(x='xx') %}{% for i in range(999) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "doubling a list": "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "padding": "{{ 'x'.ljust(10000000000) }}",
    "a width": "{{ '%10000000000d' % 1 }}",
    "a width in format": "{{ '{:>10000000000}'.format(1) }}",
    "the filter center": "{{ 'x' | center(10000000000) }}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "a recursive loop": "{% for a in [[[]]] * 99 recursive %}{{ loop(a) }}{{ loop([a, a]) }}{% endfor %}",
    "it includes itself": "{% include name %}",
    "it extends itself": "{% extends name %}",
    "replacing letters by texts": "{{ ('x' * 99999).replace('x', 'y' * 99999) }}",
    "joining": "{{ range(99999) | join('y' * 99999) }}",
}


def test_templates_without_an_end_cost_their_own_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run renders all of them, each for one record; the records in between are sent."""
    lines = [{"email": "first@example.com", "name": "good.txt", "many": 1}]
    (tmp_path / "good.txt").write_text("good")
    for number, template in enumerate(ENDLESS.values(), 1):
        (tmp_path / f"{number}.txt").write_text(template)
        lines.append({"email": f"bad{number}@example.com", "name": f"{number}.txt", "many": 10**10})
        lines.append({"email": f"good{number}@example.com", "name": "good.txt", "many": 1})
    campaign = make_campaign(tmp_path, text="{% include name %}")
    recipients = tmp_path / "recipients.jsonl"
    recipients.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))

    done = invoke(capsys, "send", campaign, "--sandbox", "--recipients", recipients)

    assert done.code == 1
    assert "Traceback" not in done.errors
    found = {line["recipient"]: line for line in outcomes(tmp_path / "results.jsonl")}
    assert len(found) == len(lines)
    for number, name in enumerate(ENDLESS, 1):
        bad = found[f"bad{number}@example.com"]
        assert bad["status"] == "invalid", name
        assert bad["reason"].startswith("message.text: "), (name, bad["reason"])
        assert found[f"good{number}@example.com"]["status"] == "accepted", f"the one after {name}"


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ('subject = "{% for a in range(many) %}x{% endfor %}"', "header Subject"),
        ("to = \"{{ 'x' * many }} <{{ email }}>\"", "header To"),
        ('headers = { X-Note = "{{ range(many) | list }}" }', "header X-Note"),
        ("return_path = \"{{ 'x' * many }}@example.com\"", "return path"),
        ("attachments = [\"{{ 'x' * many }}.pdf\"]", "attachment"),
        ('html = "{% for a in range(many) %}{% for b in range(many) %}{% endfor %}{% endfor %}"', "message.html"),
    ],
)
def test_what_has_no_end_is_named(tmp_path: Path, capsys: Capture, message: str, place: str) -> None:
    subject = "" if message.startswith("subject") else 'subject = "x"'
    (tmp_path / "recipients.jsonl").write_text('{"email": "a@example.com", "many": 1000000000000}\n')
    campaign = tmp_path / "campaign.toml"
    campaign.write_text(
        'recipients = "recipients.jsonl"\n[server]\nhost = "smtp.example.com"\n'
        f'[message]\nfrom = "from@example.com"\ntext = "x"\n{subject}\n{message}\n'
    )
    done = invoke(capsys, "send", campaign, "--sandbox")
    assert done.code == 1, done.errors
    (outcome,) = outcomes(tmp_path / "results.jsonl")
    assert outcome["status"] == "invalid"
    assert outcome["reason"].startswith(place)


def _missing(_: Path) -> None:
    pass


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _circle(path: Path) -> None:
    path.symlink_to(path)


def _outside(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(50_000_000)


def _latin(path: Path) -> None:
    path.write_bytes(b"<p>Gr\xfc\xdfe</p>")


def _unclosed(path: Path) -> None:
    path.write_text("<p>\n{% if name %}\n</p>")


def _unknown_filter(path: Path) -> None:
    path.write_text("{{ name | no_such_filter }}")


def _deep_brackets(path: Path) -> None:
    path.write_text("{{ " + "(" * 5_000 + "name" + ")" * 5_000 + " }}")


def _deep_blocks(path: Path) -> None:
    path.write_text("{% if name %}" * 500 + "{% endif %}" * 500)


def _long_marks(path: Path) -> None:
    path.write_text("{{ name " * 100_000)


def _many_marks(path: Path) -> None:
    path.write_text("{{ name }} " * 15_000)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_missing, "does not exist"),
        (_directory, "not a regular file"),
        (_fifo, "not a regular file"),
        (_circle, "Too many levels of symbolic links"),
        (_outside, "inside the campaign's folder"),
        (_huge, "16 MiB"),
        (_latin, "not UTF-8"),
        (_unclosed, "line 2"),
        (_unknown_filter, "no_such_filter"),
        (_deep_brackets, "nested too deeply"),
        (_deep_blocks, "nested too deeply"),
        (_long_marks, "line 1"),
        pytest.param(_many_marks, "more than 50,000 marks", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("key", ["html_file", "text_file"])
def test_a_file_that_is_no_template_is_a_mistake_of_the_campaign(
    tmp_path: Path, capsys: Capture, make: Callable[[Path], None], said: str, key: str
) -> None:
    make(tmp_path / "page.html")
    campaign = make_campaign(tmp_path, message=f'{key} = "page.html"')
    campaign.write_text(campaign.read_text().replace('text = "Hello {{ name }}"\n', ""))
    message = complaint(invoke(capsys, "send", campaign, "--sandbox"))
    assert said in message
    assert "page.html" in message or key in message
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.slow
def test_a_pipe_in_the_place_of_an_included_file_is_not_waited_for(tmp_path: Path) -> None:
    """A file whose name is worked out for each record is opened when it is first met, in the middle of the run."""
    os.mkfifo(tmp_path / "part.txt")
    named = ended(process("send", make_campaign(tmp_path, text="{% include 'part.txt' %}"), "--sandbox"))
    assert (named.code, "no file 'part.txt'" in named.errors) == (2, True)
    worked_out = ended(
        process("send", make_campaign(tmp_path, text="{% include 'part.' ~ 'txt' if name %}"), "--sandbox")
    )
    assert worked_out.code == 1
    assert {line["status"] for line in outcomes(tmp_path / "results.jsonl")} == {"invalid"}
