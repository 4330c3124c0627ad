"""Campaigns to real servers over a way with delay, small segments and resets: the account agrees with the server's.

``python -m tests.servers.far_campaign`` is the long version: 5,000 records to each server, in each mode, as a table.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.servers.far_campaign import send

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("postfix", "16 at a time"),
        ("postfix with limits", "one at a time"),
        ("postfix with a rate", "16 at a time"),
        ("postfix without PIPELINING", "one at a time"),
        ("postfix, greylisting", "one at a time"),
        ("postfix, quota daemon", "16 at a time"),
        ("postfix, SASL by Dovecot", "16 at a time"),
        ("exim", "16 at a time"),
        ("opensmtpd", "one at a time"),
        ("npm smtp-server", "16 at a time"),
        ("npm smtp-server", "lockstep"),
    ],
)
def test_a_bad_way_to_a_real_server_loses_nobody_and_sends_nothing_twice(
    tmp_path: Path, name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.servers.far_campaign.QUOTA", (60, 4.0))
    monkeypatch.setattr("tests.servers.far_campaign.RATE", 40)
    came = asyncio.run(send(name, tmp_path, 200, mode, every=40))
    assert came.wrong == []
    assert came.resets >= 2
    assert came.outcomes["accepted"] >= 100
