"""Who has had the message is known however the letters of the address are written, as on a suppression list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from batchsend.recipients.exclusion import Exclusion

if TYPE_CHECKING:
    from pathlib import Path

TIME = "2026-11-27T00:00:00.000Z"


@pytest.mark.parametrize(
    "again",
    ["bob@example.org", "BOB@Example.org", '"bob"@example.org', "b\u034fob@example.org", "\uff42ob@example.org"],
)
def test_one_address_has_many_forms(tmp_path: Path, again: str) -> None:
    log = tmp_path / "october.jsonl"
    lines = [
        {"run": {"id": "x", "started": TIME, "campaign": "c", "recipients": {"path": "-"}}},
        {"record": 1, "recipient": "bob@example.org", "status": "accepted", "attempt": 1, "time": TIME},
        {"record": 2, "recipient": "ann@example.org", "status": "rejected", "attempt": 1, "time": TIME},
        {"run": {"id": "x", "ended": TIME}},
    ]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with Exclusion([log], tmp_path) as exclusion:
        assert again in exclusion
        assert "ann@example.org" not in exclusion
        assert "no address" not in exclusion
        assert exclusion.notices == []
