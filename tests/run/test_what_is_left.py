"""How many are left when a run ends early: counted, whatever the list and the runs before it were like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from batchsend.message import Suppression
from batchsend.recipients.admission import Admission
from batchsend.recipients.reader import open_records
from tests.cli.commandline import Ended, outcomes
from tests.run.limited import Commands, LimitedRelay

if TYPE_CHECKING:
    from pathlib import Path

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
