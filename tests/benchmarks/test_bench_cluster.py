"""The benchmark of a cluster's account: the server counts every way to send, and what is missing breaks it off."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from batchsend.bench.embedded import EmbeddedSink
from benchmarks.cluster import LOCAL, WAYS, Setting, lines, measure
from tests.cluster.postgres import Postgres


def test_every_way_has_a_pace_and_a_ratio() -> None:
    paces = measure(messages=50, rounds=1)
    assert set(paces[0]) == set(WAYS)
    assert all(pace > 0 for pace in paces[0].values())
    table = lines(paces)
    assert len(table) == 1 + len(WAYS)
    assert "1.00 (1.00 to 1.00)" in table[1]


def test_a_message_that_the_server_has_not_received_breaks_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    count = EmbeddedSink.message_count
    monkeypatch.setattr(EmbeddedSink, "message_count", lambda sink: count(sink) - (count(sink) >= 50))
    with TemporaryDirectory() as folder, EmbeddedSink() as sink, Postgres() as postgres:
        setting = Setting(Path(folder), sink, postgres, 50)
        with pytest.raises(RuntimeError, match="the server has received 49 of 50"):
            setting.pace(LOCAL, 0)
