"""The lines of the log, to the octet."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.results.line import end_line, run_line, timestamp
from batchsend.results.run import RecipientsFile, Run, SuppressionFile, new_id


@given(st.lists(st.integers(0, 4_000_000_000_000), min_size=1))
def test_a_time_is_rfc_3339_in_utc_to_the_millisecond(milliseconds: list[int]) -> None:
    for number in milliseconds:
        expected = datetime.fromtimestamp(number // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        assert timestamp(number // 1000 + (number % 1000 + 0.5) / 1000) == f"{expected}.{number % 1000:03d}Z"


def test_a_run_begins_and_ends_with_a_line_of_its_own() -> None:
    recipients = RecipientsFile(path="/r.csv", size=3, sha256="00")
    run = Run(id="1", started=0.0, campaign="/c.toml", recipients=recipients, version="0", server="h:25")
    assert json.loads(run_line(run)) == {
        "run": {
            "id": "1",
            "started": "1970-01-01T00:00:00.000Z",
            "campaign": "/c.toml",
            "recipients": {"path": "/r.csv", "size": 3, "sha256": "00"},
            "server": "h:25",
            "version": "0",
        }
    }
    assert json.loads(end_line("1", ended=1.5, stopped="disk full", learned={"rate": 2.0})) == {
        "run": {"id": "1", "ended": "1970-01-01T00:00:01.500Z", "stopped": "disk full", "learned": {"rate": 2.0}}
    }


def test_a_runs_identity_begins_with_its_time_and_has_48_bits_that_nobody_can_guess() -> None:
    """Whoever sorts runs by it has them in their order; a journal has room for 64 octets of it."""
    found = {new_id() for _ in range(100)}
    assert len(found) == 100
    assert [one for one in found if re.fullmatch(r"20[0-9]{6}T[0-9]{6}\.[0-9a-f]{12}", one) is None] == []


def test_what_is_known_of_a_run_is_not_changed_by_whoever_asks_for_it() -> None:
    left_out = SuppressionFile(path="/gone.csv", entries=1)
    run = Run(
        id=new_id(),
        started=0.0,
        campaign="/c.toml",
        recipients=RecipientsFile(path="-"),
        version="0",
        suppress=(left_out,),
    )
    for part, name in ((run, "id"), (run.recipients, "path"), (left_out, "entries")):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(part, name, None)
