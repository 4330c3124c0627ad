"""Quotas and warm-up of the campaign file over many runs: what the log says was accepted counts, whoever wrote it.

The loop's clock is the relays' and the runs': a day takes no longer than what happens in it. The relays count too.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from batchsend import Stage
from batchsend.results.usage import read_usage
from tests.cli.commandline import outcomes
from tests.run.limited import Commands, LimitedRelay, recipients
from tests.tools.faulty import ACCEPT, Action
from tests.tools.virtual import most_within

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.virtual import VirtualLoop

HOUR, DAY = 3600.0, 86400.0


class CountingRelay(LimitedRelay):
    """Takes everything, and takes down when."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(lambda *_: False, "")
        self.times: list[float] = []
        self._loop = loop

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        if stage is Stage.CONTENT:
            self.times.append(self._loop.time())
        return ACCEPT


@pytest.fixture
def commands(
    loop: VirtualLoop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Commands:
    began, real = loop.time(), time.time()
    monkeypatch.setattr(time, "time", lambda: real + loop.time() - began)
    return Commands(loop, tmp_path, capsys, monkeypatch)


@pytest.mark.slow
def test_a_campaigns_quota_holds_over_runs(commands: Commands, loop: VirtualLoop) -> None:
    with commands.serving(CountingRelay(loop)) as relay:
        ended = commands.send(commands.campaign(relay, 130, 'quota = ["20/h", "50/day"]'))
        runs = 1
        while ended.code == 3 and runs < 40:
            assert "the quota is" in ended.errors
            loop.advance(20 * 60)
            ended = commands.resume()
            runs += 1
            loop.advance(6 * HOUR if runs % 3 == 0 else 0)
        assert ended.code == 0, ended
        assert relay.taken == dict.fromkeys(recipients(130), 1)
        assert most_within(relay.times, HOUR) == 20
        assert most_within(relay.times, DAY) == 50
        assert {line["attempt"] for line in outcomes(commands.log)} == {1}


def test_two_relays_are_counted_apart_and_told_apart(commands: Commands, loop: VirtualLoop) -> None:
    with commands.serving(CountingRelay(loop)) as one, commands.serving(CountingRelay(loop)) as two:
        path = commands.campaign(one, 100, 'max_wait = "1m"')
        toml = path.read_text()
        first = f'host = "{one.host}"\nport = {one.port}'
        second = f'[[server]]\nname = "two"\nhost = "{two.host}"\nport = {two.port}\ntls = "none"\nquota = "30/h"\n'
        toml = toml.replace("[server]", "[[server]]").replace(first, f'name = "one"\nquota = "10/h"\n{first}')
        path.write_text(toml.replace("[message]", f"{second}\n[message]", 1))
        ended = commands.send(path)
        while ended.code == 3:
            loop.advance(HOUR)
            ended = commands.resume()
        assert ended.code == 0, ended
        assert most_within(one.times, HOUR) == 10
        assert most_within(two.times, HOUR) == 30
        assert len(one.times) + len(two.times) == 100
        by_server = [line["server"] for line in outcomes(commands.log)]
        assert by_server.count("one") == len(one.times)
        runs = [json.loads(line)["run"] for line in commands.log.read_text().splitlines() if line.startswith('{"run"')]
        assert all(run["servers"] == ["one", "two"] for run in runs if "started" in run)


def test_what_a_log_says_of_usage(tmp_path: Path) -> None:
    log = tmp_path / "results.jsonl"
    run = {"id": "x", "started": "2026-11-01T00:00:00.000Z", "server": "mx.example.com:25"}

    def line(record: int, status: str, second: int, attempt: int = 1, **more: str) -> dict[str, object]:
        moment = f"2026-11-01T00:00:{second:02d}.250Z"
        return {"record": record, "status": status, "attempt": attempt, "time": moment} | more

    lines = [
        {"run": run},
        line(1, "accepted", 1),
        line(2, "rejected", 2),
        line(1, "in_doubt", 3),  # of the same message: it may have been accepted, and was counted
        line(3, "in_doubt", 4),
        line(3, "accepted", 5, attempt=2),  # sent again by the user's word
        {"run": run | {"servers": ["one", "two"]}},
        line(4, "accepted", 6, server="two"),
        line(5, "in_doubt", 7),
    ]
    log.write_text("".join(json.dumps(one) + "\n" for one in lines))
    found: list[tuple[str | None, float]] = []
    read_usage(log, log.stat().st_size, lambda name, when: found.append((name, when)))
    base = 1793491200.251
    assert [name for name, _ in found] == ["mx.example.com:25"] * 3 + ["two", None]
    assert [when for _, when in found] == [pytest.approx(base + second) for second in (1, 4, 5, 6, 7)]
