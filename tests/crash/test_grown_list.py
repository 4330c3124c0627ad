"""A list that grows, changes or goes away: between two runs, and while one goes on."""

from __future__ import annotations

import gzip
import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from batchsend import Stage
from tests.crash.house import address, house
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.crash.house import House
    from tests.tools.faulty import Decide


def rows(*records: int) -> str:
    return "".join(f"{address(record)}\n" for record in records)


def everybody_once(count: int) -> dict[str, int]:
    return {address(record): 1 for record in range(1, count + 1)}


async def test_a_list_that_has_grown_is_gone_on_with_to_its_new_end(tmp_path: Path) -> None:
    async with house(tmp_path, records=8) as built:
        assert await built.send("--limit", "3") == 0
        with built.recipients.open("a") as file:
            file.write(rows(9, 10))
        assert await built.resume("--limit", "6") == 0
        with built.recipients.open("a") as file:
            file.write(rows(11))
        assert await built.resume() == 0
        assert built.taken == everybody_once(11)
        assert built.last == dict.fromkeys(range(1, 12), "accepted")


async def test_a_grown_list_may_be_another_file(tmp_path: Path) -> None:
    async with house(tmp_path, records=8) as built:
        assert await built.send() == 0
        grown = tmp_path / "grown.csv"
        grown.write_text(built.recipients.read_text() + rows(9, 10))
        assert await built.resume("--recipients", grown) == 0
        assert built.taken == everybody_once(10)
        assert await built.resume() == 0, "from now on it is the run's list"
        other = tmp_path / "other.csv"
        other.write_text("email\n" + rows(10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20))
        assert await built.resume("--recipients", other) == 2
        assert f'exclude = ["{built.results}"]' in built.output
        assert await built.resume("--recipients", "-") == 2
        assert "what comes by standard input cannot be compared" in built.output
        assert built.taken == everybody_once(10)


@pytest.mark.parametrize(
    ("had", "has", "accepted"),
    [
        pytest.param("email\nr1@example.com\nr2@example.co", "m\nr3@example.com\n", False, id="a record is longer"),
        pytest.param("email\nr1@example.com\nr2@example.com", "\nr3@example.com\n", True, id="the line end comes now"),
        pytest.param(
            "email,n\nr1@example.com,a\nr2@example.com,a", 'b\nr3@example.com,"', False, id="a field is longer"
        ),
        pytest.param('email,n\nr1@example.com,a\nr2@example.com,"b', '"\nr3@example.com,c\n', False, id="open quotes"),
        pytest.param('email,n\nr1@example.com,"a\nb"\n', "r3@example.com,c\n", True, id="a line end in quotes"),
        pytest.param("\ufeffemail\nr1@example.com\n", "r2@example.com\n", True, id="a byte-order mark"),
        pytest.param("email\r\nr1@example.com\r\n", "r2@example.com\r\n", True, id="CRLF"),
    ],
)
async def test_only_whole_records_after_the_last_one_make_a_grown_list(
    tmp_path: Path, had: str, has: str, accepted: bool
) -> None:
    """Who is known by a place must be who stood in it."""
    async with house(tmp_path, records=1) as built:
        built.recipients.write_bytes(had.encode())
        assert await built.send("--limit", "1") == 0
        built.recipients.write_bytes(had.encode() + has.encode())
        assert (await built.resume() != 2) is accepted
        assert ("has changed" in built.output) is not accepted
        assert built.taken[address(1)] == 1
        if not accepted:
            assert sum(built.taken.values()) == 1


async def test_of_a_compressed_list_the_text_counts(tmp_path: Path) -> None:
    """Who adds to it compresses it anew, and then all octets are others."""
    async with house(tmp_path, records=8) as built:
        text = built.recipients.read_bytes()
        packed = tmp_path / "list.csv.gz"
        packed.write_bytes(gzip.compress(text, mtime=1))
        assert await built.send("--recipients", packed, "--limit", "3") == 0
        packed.write_bytes(gzip.compress(text, mtime=2))
        assert await built.resume("--limit", "2") == 0
        packed.write_bytes(gzip.compress(text + rows(9).encode(), mtime=3))
        assert await built.resume() == 0
        assert built.taken == everybody_once(9)
        packed.write_bytes(gzip.compress(text.replace(b"r1@", b"x1@") + rows(9, 10).encode()))
        assert await built.resume() == 2
        assert built.taken == everybody_once(9)


async def test_a_results_log_as_the_list_must_not_have_grown(tmp_path: Path) -> None:
    """A line that is added to it speaks of a record that is known by another line already."""
    async with house(tmp_path, records=4) as built:
        built.campaign.write_text(built.campaign.read_text().replace("{{ email }}", "you"))
        assert await built.send() == 0
        second = tmp_path / "second.jsonl"
        arguments = ("--recipients", built.results, "--results", second, "--only", "accepted")
        assert await built.send(*arguments) == 0
        lines = built.results.read_bytes().splitlines(keepends=True)
        built.results.write_bytes(built.results.read_bytes() + lines[1])
        assert await built.run("resume", second) == 2
        assert "has changed" in built.output
        assert set(built.taken.values()) == {2}


# --- exclude ----------------------------------------------------------------------------------------------------------


async def test_who_was_accepted_or_is_in_doubt_in_an_excluded_log_does_not_get_it_again(tmp_path: Path) -> None:
    """What `resume` advises where a list has changed: the new one, without those who had the message."""

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient == address(2) and not second:
            return refuse(550)
        if stage is Stage.CONTENT and recipient == address(4) and not second:
            built.launched.kill()
        return ACCEPT

    second = False
    async with house(tmp_path, records=6, decide=decide, delivery="max_connections = 1") as built:
        assert await built.send() == -9
        assert await built.resume("--limit", "1") == 1
        assert built.last == {1: "accepted", 2: "rejected", 3: "accepted", 4: "in_doubt", 5: "accepted"}
        second = True
        built.server.accepted.clear()
        built.recipients.write_text("email\n" + "new@example.com\nR3@Example.COM\n" + rows(6, 5, 4, 2, 1))
        assert await built.resume() == 2
        built.campaign.write_text(built.campaign.read_text() + f'exclude = ["{built.results}"]\n')
        assert await built.send() == 2, "its own log would exclude everybody from going on"
        assert "expected the log of another run" in built.output
        log = tmp_path / "second.jsonl"
        assert await built.send("--results", log) == 0
        lines = [json.loads(line) for line in log.read_text().splitlines() if '"record"' in line]
        suppressed = {line["recipient"]: line["reason"] for line in lines if line["status"] == "suppressed"}
        had_it = ("R3@Example.COM", address(5), address(4), address(1))
        assert suppressed == dict.fromkeys(had_it, "had it already")
        assert built.taken == {"new@example.com": 1, address(6): 1, address(2): 1}
        assert await built.run("check", built.campaign, "--offline", "--results", log) in (0, 1, 2)


async def test_an_excluded_log_whose_run_was_killed_must_say_who_was_in_flight(tmp_path: Path) -> None:
    """Fail closed: whoever is not named would be written to a second time."""

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient == address(4) and not second:
            built.launched.kill()
        return ACCEPT

    second = False
    async with house(tmp_path, records=6, decide=decide, delivery="max_connections = 1") as built:
        assert await built.send() == -9
        second = True
        plain = built.campaign.read_text()
        built.campaign.write_text(plain + f'exclude = ["{built.results}"]\n')
        log = tmp_path / "second.jsonl"
        before = built.taken
        assert await built.send("--results", log) == 2
        # The outcome of the third one may not have come to the log either.
        assert re.search(r"record [34] was in flight when the run was killed, and whose it is does not", built.output)
        assert f"let the run name them: batchsend resume {built.results}" in built.output
        assert built.taken == before
        journal = built.journal.read_bytes()
        for content in (None, b"", journal[:-8], journal.replace(b"bsflight", b"another1")):
            built.journal.unlink(missing_ok=True)
            if content is not None:
                built.journal.write_bytes(content)
            assert await built.send("--results", log) == 2
            assert f"{built.journal} is {'missing' if content is None else 'damaged'}" in built.output
            assert f"let the run come to an end: batchsend resume {built.results} --accept-duplicates" in built.output
            assert built.taken == before
            assert not log.exists()
        # As it advises: the user's own word that somebody may get it twice.
        built.campaign.write_text(plain)
        assert await built.resume("--accept-duplicates", "--limit", "1") in (0, 1)
        built.campaign.write_text(plain + f'exclude = ["{built.results}"]\n')
        assert await built.send("--results", log) == 0
        assert set(built.taken) == {address(record) for record in range(1, 7)}
        assert {record for record in (1, 2, 5, 6) if built.taken[address(record)] != 1} == set()


async def test_an_excluded_log_whose_journal_is_of_an_earlier_time_does_not_say_who_was_in_flight(
    tmp_path: Path,
) -> None:
    """It was put back from a backup: what was committed since is not in it."""
    older = b""

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        nonlocal older
        if stage is Stage.CONTENT and recipient == address(2):
            older = built.journal.read_bytes()
        if stage is Stage.CONTENT and recipient == address(6):
            built.launched.kill()
        return ACCEPT

    async with house(tmp_path, records=8, decide=decide, delivery="max_connections = 1\ndepth = 1") as built:
        assert await built.send() == -9
        built.journal.write_bytes(older)
        before = built.taken
        built.campaign.write_text(built.campaign.read_text() + f'exclude = ["{built.results}"]\n')
        assert await built.send("--results", tmp_path / "second.jsonl") == 2
        assert "is an older journal of the run: its log has gone on since" in built.output
        assert built.taken == before


async def test_what_cannot_be_excluded_by_stops_the_run_before_anything_is_sent(tmp_path: Path) -> None:
    async with house(tmp_path, records=3) as built:
        plain = built.campaign.read_text()
        for name, said in (
            ("none.jsonl", "none.jsonl does not exist"),
            ("recipients.csv", "recipients.csv does not begin with the line of a run"),
        ):
            built.campaign.write_text(f'{plain}exclude = ["{name}"]\n')
            assert await built.send() == 2
            assert said in built.output
        assert not built.taken
        assert not built.results.exists()


# --- while a run goes on ----------------------------------------------------------------------------------------------


def remove_a_row(file: Path) -> None:
    file.write_text(file.read_text().replace(rows(2), ""))


def remove_a_row_by_moving(file: Path) -> None:
    new = file.with_name("new")
    new.write_text(file.read_text().replace(rows(2), ""))
    new.replace(file)


def delete(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_text("")


def rename_the_column(file: Path) -> None:
    file.write_text(file.read_text().replace("email", "Mail!"))


def make_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def deferring_once(file: Callable[[], Path], change: Callable[[Path], None]) -> Decide:
    """Defers the second and third record; the list changes as soon as the last record is offered."""
    deferred: set[str] = set()

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient in (address(2), address(3)) and recipient not in deferred:
            deferred.add(recipient)
            return refuse(451)
        if stage is Stage.CONTENT and recipient == address(8):
            change(file())
        return ACCEPT

    return decide


@pytest.mark.parametrize(
    "change", [remove_a_row, remove_a_row_by_moving, delete, empty, rename_the_column, make_a_folder]
)
async def test_a_list_that_changes_during_the_run_is_not_read_again(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """The deferred ones stay so, nobody else stands in for them, and whoever brings the list back goes on."""
    built: House
    decide = deferring_once(lambda: built.recipients, change)
    delivery = 'max_connections = 1\nretry_after = "300ms"'
    async with house(tmp_path, records=8, decide=decide, delivery=delivery) as built:
        list_ = built.recipients.read_bytes()
        assert await built.send() == 3
        assert "deferred records are not tried again in this run" in built.output
        assert "bring the recipients file back as it was when the run began; then, to go on: batchsend" in built.output
        assert "Traceback" not in built.output
        assert built.last == {record: "deferred" if record in (2, 3) else "accepted" for record in range(1, 9)}
        assert set(built.taken.values()) == {1}
        if built.recipients.is_dir():
            built.recipients.rmdir()
        built.recipients.write_bytes(list_)
        assert await built.resume() == 0
        assert built.taken == everybody_once(8)


async def test_a_list_that_is_touched_or_grows_during_the_run_is_read_again(tmp_path: Path) -> None:
    def touch(file: Path) -> None:
        list_ = file.read_bytes()
        file.unlink()
        file.write_bytes(list_ + rows(9).encode())

    built: House
    decide = deferring_once(lambda: built.recipients, touch)
    async with house(tmp_path, records=8, decide=decide, delivery='retry_after = "300ms"') as built:
        assert await built.send() == 0
        assert built.taken == everybody_once(8)
        assert await built.resume() == 0
        assert built.taken == everybody_once(9)


async def test_a_list_that_changes_while_it_is_read_again_is_read_no_further(tmp_path: Path) -> None:
    """Not all of it is read at once; what comes after the change may be of others."""
    offered: set[str | None] = set()
    again: list[str | None] = []

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is not Stage.CONTENT:
            return ACCEPT
        if recipient not in offered:
            offered.add(recipient)
            return refuse(451)
        again.append(recipient)
        if len(again) == 500:  # in the midst of the pass that offers the most of them
            remove_a_row(built.recipients)
        return ACCEPT

    built: House
    async with house(tmp_path, records=1000, decide=decide, delivery='retry_after = "300ms"') as built:
        list_ = built.recipients.read_bytes()
        assert await built.send() == 3
        assert len(set(built.taken) - set(map(address, range(1, 1001)))) == 0
        assert set(built.taken.values()) == {1}
        assert len(built.taken) < 1000
        built.recipients.write_bytes(list_)
        assert await built.resume() == 0
        assert built.taken == everybody_once(1000)


# --- while it is read for the first time ------------------------------------------------------------------------------

MANY = 700
LONG = "x" * 1000
"""A list is read by blocks of 256 KiB: so long records make it several of them."""


def long_rows(records: range) -> str:
    return "".join(f"{address(record)},{LONG}\n" for record in records)


def shuffle(file: Path) -> None:
    header, *others = file.read_text().splitlines(keepends=True)
    file.write_text(header + "".join(reversed(others)))


def remove_a_long_row(file: Path) -> None:
    file.write_text("email,note\n" + long_rows(range(2, MANY + 1)))


def shorten(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def shuffle_and_take_away(file: Path) -> None:
    shuffle(file)
    file.unlink()


def changing(list_: Callable[[], Path], change: Callable[[Path], None]) -> Decide:
    """Accepts everything; the list changes as its fifth record is offered."""

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient == address(5) and list_().exists():
            change(list_())
        return ACCEPT

    return decide


@pytest.mark.parametrize("change", [remove_a_long_row, shuffle, shorten, empty, shuffle_and_take_away])
async def test_a_list_that_is_written_to_in_its_place_is_read_no_further(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Whoever stands in a record's place by then is not taken for it, neither sent to nor held for a duplicate."""
    built: House
    async with house(tmp_path, records=1, decide=changing(lambda: built.recipients, change)) as built:
        built.recipients.write_text("email,note\n" + long_rows(range(1, MANY + 1)))
        list_ = built.recipients.read_bytes()
        assert await built.send() == 3
        assert "bring the recipients file back as it was when the run began; then, to go on: batchsend" in built.output
        assert "Traceback" not in built.output
        assert 5 <= len(built.taken) < MANY
        assert set(built.last.values()) == {"accepted"}
        assert built.taken == everybody_once(len(built.last))
        built.recipients.write_bytes(list_)
        assert await built.resume() == 0
        assert built.taken == everybody_once(MANY)


async def test_what_is_appended_while_a_list_is_read_is_for_the_next_run(tmp_path: Path) -> None:
    """It may be half of a record."""

    def append(file: Path) -> None:
        if len(file.read_bytes()) == len(list_):
            with file.open("a") as opened:
                opened.write(address(MANY + 1)[:-1])

    built: House
    async with house(tmp_path, records=1, decide=changing(lambda: built.recipients, append)) as built:
        built.recipients.write_text("email,note\n" + long_rows(range(1, MANY + 1)))
        list_ = built.recipients.read_bytes()
        assert await built.send() == 0
        assert built.taken == everybody_once(MANY)
        with built.recipients.open("a") as opened:
            opened.write(f"m,{LONG}\n")
        assert await built.resume() == 0
        assert built.taken == everybody_once(MANY + 1)
