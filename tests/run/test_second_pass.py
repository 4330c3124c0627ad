"""Reading a list again for those who are due: whom it finds, what ends it, and how long it takes."""

from __future__ import annotations

import os
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import RunError, UsageError, load
from batchsend.recipients.fingerprint import FileWatch, describe
from batchsend.run import second_pass
from batchsend.run.first_pass import FirstPass
from batchsend.run.second_pass import SecondPass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchsend import DeliveryResult, Submission

AGAIN = {2: 2, 5: 3}
"""Who is due, and for which attempt."""

READING, HANDING_OVER = 3.0, 100.0
"""Seconds that either takes."""


class Again:
    """A list of ten, who is due of it, and what stands where the account and the pool do.

    Attributes:
        path: The list.
        error: Why it cannot be opened, or None.
        said: What the user was told.
        handed_over: Who was offered again, and for which attempt.
        given_up: How often the account was told that a pass is over.
        pauses: How long the passes took, as the account was told.
        second: What is tested.
    """

    stream = None  # of the account: nobody takes results

    def __init__(self, first: FirstPass, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.error: Exception | None = None
        self.said: list[str] = []
        self.handed_over: list[tuple[int, int]] = []
        self.given_up = 0
        self.pauses: list[float] = []
        self._first = first
        self._now = 0.0
        monkeypatch.setattr(second_pass, "time", SimpleNamespace(monotonic=lambda: self._now))
        watch = FileWatch(path, describe(path))
        self.second = SecondPass(self._records, first.composer, first.suppression, watch, self.said.append)

    async def run(self) -> None:
        here: Any = self
        await self.second.run(AGAIN, here, here)

    def write(self) -> None:
        """Write another name into the list, in its place."""
        text = self.path.read_text().replace("N9", "M9")
        with self.path.open("r+") as file:
            file.write(text)

    def _records(self) -> Any:
        self._now += READING
        if self.error is not None:
            raise self.error
        return self._first.records()

    async def room(self) -> bool:
        self._now += HANDING_OVER
        return True

    def hand_over(self, batch: list[Submission], pool: object) -> None:
        assert pool is self
        self.handed_over += [(one.record, one.attempt) for one in batch]

    def withheld_again(self, result: DeliveryResult) -> None:
        raise AssertionError(result)

    def not_found_again(self) -> None:
        self.given_up += 1

    def pause_between_passes(self, seconds: float) -> None:
        self.pauses.append(seconds)


@contextmanager
def listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Again]:
    rows = "".join(f"r{number}@example.com,N{number}\n" for number in range(1, 11))
    (folder / "list.csv").write_text(f"email,name\n{rows}")
    (folder / "campaign.toml").write_text(
        'recipients = "list.csv"\n[server]\nhost = "smtp.example.com"\n[message]\nfrom = "a@example.com"\n'
        'subject = "s"\ntext = "t"\n'
    )
    with FirstPass(load(folder / "campaign.toml"), "run", None, only=(), limit=None, notice=print) as first:
        yield Again(first, folder / "list.csv", monkeypatch)


async def test_those_who_are_due_are_offered_again_and_how_long_it_took_to_find_them_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for room in the pool is no part of that."""
    with listed(tmp_path, monkeypatch) as again:
        os.utime(again.path, (0, 0))  # it is only touched
        await again.run()
    assert again.handed_over == [(2, 2), (5, 3)]
    assert (again.given_up, again.pauses, again.said) == (1, [READING], [])
    assert again.second.cut_short is None


async def test_a_list_that_was_written_to_is_read_no_more_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often somebody is due."""
    with listed(tmp_path, monkeypatch) as again:
        again.write()
        for _ in range(2):
            await again.run()
    assert (again.handed_over, again.given_up) == ([], 2)
    (said,) = again.said
    assert said.endswith(": deferred records are not tried again in this run")
    assert again.second.cut_short is not None
    assert said.startswith(again.second.cut_short.message)
    assert "list.csv has changed" in said


@pytest.mark.parametrize("error", [UsageError("it is gone"), RunError("it cannot be read")])
async def test_so_is_one_that_cannot_be_read_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RunError | UsageError
) -> None:
    with listed(tmp_path, monkeypatch) as again:
        again.error = error
        await again.run()
    assert (again.handed_over, again.given_up) == ([], 1)
    assert again.said == [f"{error.message}: deferred records are not tried again in this run"]
    assert again.second.cut_short is not None
    assert again.second.cut_short.message == error.message


async def test_after_the_first_pass_it_matters_what_was_written_into_the_list_and_not_what_took_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listed(tmp_path, monkeypatch) as again:
        await again.second.look()
        assert again.second.cut_short is None
        (tmp_path / "new.csv").write_text("email,name\nother@example.com,Other\n")
        kept = again.path.rename(tmp_path / "kept.csv")
        (tmp_path / "new.csv").rename(again.path)
        await again.second.look()
        assert again.second.cut_short is None
        kept.rename(again.path)
        again.write()
        await again.second.look()
        assert again.second.cut_short is not None
