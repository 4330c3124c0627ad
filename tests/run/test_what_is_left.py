"""How many are left when a run ends early: counted, whatever the list and the runs before it were like."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from batchsend import Outcome, load
from batchsend.message import Suppression
from batchsend.recipients.admission import Admission
from batchsend.recipients.reader import open_records
from batchsend.run.first_pass import FirstPass
from batchsend.run.outlook import Rest, count_rest
from batchsend.run.summary import Summary
from tests.cli.commandline import Ended, outcomes
from tests.run.limited import Commands, LimitedRelay

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.message.submission import Submission

DAILY = "550 5.4.5 Daily user sending quota exceeded"


def left(ended: Ended) -> list[str]:
    return re.findall(r"(?:about )?[\d,]+ left", ended.errors)


def relay_of(most: int) -> LimitedRelay:
    """Takes so many messages, and then no more that day."""
    relay = LimitedRelay(lambda *_: len(relay.accepted) >= most, DAILY)
    return relay


@pytest.mark.parametrize(
    ("keys", "taken"),
    [("", 6000), ("where = \"name != 'x'\"", 5500)],
)
@pytest.mark.slow
def test_it_is_counted_although_the_first_rows_are_short(commands: Commands, keys: str, taken: int) -> None:
    relay = relay_of(40)
    with commands.serving(relay):
        campaign = commands.campaign(relay, 6000, 'max_wait = "1s"')
        rows = (campaign.parent / "recipients.csv").read_text().splitlines()
        long = [f"{row}{'n' * 200}" if number > 3000 else row for number, row in enumerate(rows)]
        chosen = [row.replace(",N", ",x") if number % 6 == 1 else row for number, row in enumerate(long)]
        (campaign.parent / "recipients.csv").write_text("\n".join(chosen) + "\n")
        campaign.write_text(f"{keys}\n{campaign.read_text()}")
        ended = commands.send(campaign)
        assert ended.code == 3, ended
        settled = len({one["record"] for one in outcomes(commands.log)})
        assert left(ended) == [f"{taken - settled:,} left"]
        again = commands.resume()
        assert again.code == 3, again
        settled = len({one["record"] for one in outcomes(commands.log)})
        assert left(again) == [f"{taken - settled:,} left"]


def test_a_list_that_is_too_long_to_be_counted_is_not(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("email\n" + "a@example.org\n" * 5000)
    admission = Admission(Suppression())
    with open_records(tmp_path / "list.csv") as reader:
        assert not admission.take_on(reader, until=0.0)
        assert admission.taken == 0
        assert admission.take_on(reader, until=float("inf"))
        assert admission.taken == 5000


COUNT = 1000
"""Records of a list, one of which is as long as the other."""


class EnoughError(Exception):
    """So many records were handed over as were to be."""


def rest_of(
    folder: Path, where: str, read: int, settled: int, before: Counter[Outcome], *, waiting: int = 0
) -> Rest | None:
    """What is told of a run that has read so many records and settled so many, and is given no time to count."""

    async def main() -> Rest | None:
        with FirstPass(load(folder / "campaign.toml"), "run", None, only=(), limit=None, notice=print) as first:

            async def hand_over(batch: list[Submission]) -> None:
                await breathe()

            async def breathe() -> None:
                if first.reader.given >= read:
                    raise EnoughError

            with pytest.raises(EnoughError):
                await first.run(print, hand_over, breathe)
            assert read <= first.reader.given < COUNT
            with pytest.MonkeyPatch.context() as patched:  # each look at the clock is a second after the one before
                patched.setattr(time, "monotonic", itertools.count(time.monotonic()).__next__)
                summary = Summary(counts=Counter({Outcome.ACCEPTED: settled}), waiting=waiting)
                return await count_rest(first, summary, before)

    rows = (f'{{"email": "r{one:04}@example.com", "group": "{"ab"[one % 2]}"}}\n' for one in range(COUNT))
    (folder / "list.jsonl").write_text("".join(rows))
    (folder / "campaign.toml").write_text(
        f'{where}\nrecipients = "list.jsonl"\n[server]\nhost = "smtp.example.com"\n[message]\n'
        'from = "a@example.com"\nsubject = "s"\ntext = "t"\n'
    )
    return asyncio.run(main())


def test_of_a_list_that_is_too_long_it_is_told_by_what_was_read(tmp_path: Path) -> None:
    """Those whom an earlier run has settled are not left; those whom it left deferred are, and so is who was read."""
    nobody = Counter[Outcome]()
    assert rest_of(tmp_path, "", 200, 150, nobody) == Rest(850, is_exact=False)
    assert rest_of(tmp_path, "", 800, 750, nobody) == Rest(250, is_exact=False)
    assert rest_of(tmp_path, "", 800, 750, nobody, waiting=30) == Rest(250, is_exact=False), "they are left, too"
    earlier = Counter({Outcome.ACCEPTED: 500, Outcome.REJECTED: 1, Outcome.DEFERRED: 20})
    assert rest_of(tmp_path, "", 200, 150, earlier) == Rest(349, is_exact=False)
    every_other = rest_of(tmp_path, "where = \"group == 'a'\"", 200, 80, nobody)
    assert every_other is not None
    assert every_other.records == pytest.approx(420, abs=5)
