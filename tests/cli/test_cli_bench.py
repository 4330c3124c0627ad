"""``batchsend bench``: what arrives at a server and how much of it, what is found, and what is refused beforehand."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

import pytest
from hdrh.histogram import HdrHistogram

from batchsend.outcome import Stage
from batchsend.sink import Received, Sink, SinkOptions, parse_rule
from tests.cli.commandline import Ended, complaint, invoke, make_campaign, serving
from tests.delivery.harness import CountingServer, well_behaved
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
ME = "me@mail.example.com"


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHSEND_USERNAME", raising=False)
    monkeypatch.delenv("BATCHSEND_PASSWORD", raising=False)


def url(server: Sink | CountingServer) -> str:
    host = server.hosts[0] if isinstance(server, Sink) else server.host
    return f"smtp://{host}:{server.port}"


def bench(capsys: Capture, server: Sink | CountingServer, *options: str | Path) -> Ended:
    return invoke(capsys, "bench", "--server", url(server), "--to", ME, *options)


def found(result: Ended) -> dict[str, Any]:
    assert result.output.count("\n") == 1
    told: dict[str, Any] = json.loads(result.output)
    return told


def grid(told: dict[str, Any]) -> list[tuple[int, int]]:
    return [(point["connections"], point["depth"]) for point in told["grid"]]


def test_by_default_an_embedded_server_is_measured(capsys: Capture) -> None:
    result = invoke(capsys, "bench", "--messages", "120")
    assert (result.code, result.errors) == (0, "")
    assert "it offers PIPELINING CHUNKING" in result.output
    rows = [line.split()[:2] for line in result.output.splitlines() if "250 2.0.0: " in line]
    assert rows == [["1", "1"], ["1", "16"], ["5", "1"], ["5", "16"], ["20", "1"], ["20", "16"]]
    assert result.output.endswith("nothing left this machine\n")


def test_json_has_everything_that_the_text_has(capsys: Capture) -> None:
    with serving(Sink()) as sink:
        result = bench(capsys, sink, "--messages", "200", "--size", "3000", "--json")
        told = found(result)
        assert told["messages"] == sink.counts.messages <= 200
    assert (result.code, result.errors) == (0, "")
    assert told["octets"] == 3000
    assert told["server"] == f"{sink.hosts[0]}:{sink.port}"
    assert 0 < told["round_trip"] < told["opening"]
    assert told["extensions"]["chunking"]
    assert grid(told) == [(1, 1), (1, 16), (5, 1), (5, 16), (20, 1), (20, 16)]
    for point in told["grid"]:
        assert 0 < point["p50"] <= point["p95"] <= point["p99"] < 20
        assert point["replies"] == {"250 2.0.0": point["messages"]}
        assert 0 < point["timed"] <= point["messages"] - point["connections"]
        assert point["rate"] == pytest.approx(point["timed"] / point["seconds"], rel=0.01, abs=0.1)
    assert (told["advice"]["max_connections"], told["advice"]["depth"]) in grid(told)
    assert told["advice"]["times"] > 0
    assert told["stopped"] is None


def test_every_message_says_that_it_is_a_test_and_goes_to_the_one_address(capsys: Capture) -> None:
    received: list[Received] = []
    with serving(Sink(on_message=received.append)) as sink:
        assert bench(capsys, sink, "--messages", "80", "--from", "app@mail.example.com", "--size", "2345").code == 0
    assert {recipient for message in received for recipient in message.recipients} == {ME}
    assert {message.reverse_path for message in received} == {"app@mail.example.com"}
    parsed = [message_from_bytes(message.content) for message in received]
    assert all(message["Subject"].startswith("[test] batchsend bench") for message in parsed)
    assert all(message["Auto-Submitted"] == "auto-generated" for message in parsed)
    assert len({message["Message-ID"] for message in parsed}) == len(received) <= 80
    assert {len(message.content) for message in received} <= {2345, 2347}, "a second digit is in Subject and Message-ID"


def test_never_more_than_the_messages_allowed(capsys: Capture) -> None:
    with serving(Sink()) as sink:
        assert bench(capsys, sink, "--messages", "11", "--max-connections", "1,2", "--depth", "1,3").code == 0
        assert sink.counts.messages <= 11
        before = sink.counts.connections
        said = complaint(bench(capsys, sink, "--messages", "9"))
        assert "9 messages are too few for 6 points" in said
        assert sink.counts.connections == before, "nothing was asked of the server"


def test_a_real_server_only_with_server_and_recipient(capsys: Capture) -> None:
    with serving(Sink()) as sink:
        assert "--server without --to" in complaint(invoke(capsys, "bench", "--server", url(sink)))
        assert "--to 'not an address' is not an address: it contains a space" in complaint(
            invoke(capsys, "bench", "--server", url(sink), "--to", "not an address")
        )
        assert sink.counts.connections == 0
    assert "--to without --server" in complaint(invoke(capsys, "bench", "--to", ME))
    assert "--from without --server" in complaint(invoke(capsys, "bench", "--from", ME))


def test_credentials_in_the_url_are_refused_and_not_shown(capsys: Capture) -> None:
    said = complaint(invoke(capsys, "bench", "--server", "smtp://app:s3cr3t@mail.example.com", "--to", ME))
    assert "--server holds credentials" in said
    assert "s3cr3t" not in said


@pytest.mark.parametrize("option", ["--to", "--from"])
def test_an_address_that_is_none_is_told_by_its_option(capsys: Capture, option: str) -> None:
    options = {"--server": "smtp://127.0.0.1:1", "--to": ME, "--from": ME, option: "nobody"}
    said = complaint(invoke(capsys, "bench", *itertools.chain(*options.items())))
    assert f"{option} 'nobody' is not an address: it has no @" in said


@pytest.mark.parametrize("value", ["", "0", "1,,2", "1,x", "-1", "1001", "1.5", "99999999999"])
def test_the_points_are_whole_numbers(capsys: Capture, value: str) -> None:
    assert "expected whole numbers from 1 to 1000" in complaint(invoke(capsys, "bench", f"--max-connections={value}"))


def test_without_chunking_a_depth_above_1_is_not_measured(capsys: Capture) -> None:
    with serving(Sink(SinkOptions(chunking=False))) as sink:
        told = found(bench(capsys, sink, "--messages", "100", "--json"))
    assert grid(told) == [(1, 1), (5, 1), (20, 1)]
    assert any("offers no CHUNKING" in sentence for sentence in told["advice"]["sentences"])


def test_without_pipelining_that_is_what_is_said(capsys: Capture) -> None:
    with serving(CountingServer(well_behaved, pipelining=False, chunking=True)) as server:
        result = bench(capsys, server, "--messages", "60")
    assert result.code == 0
    assert "offers no PIPELINING: each message costs four round trips" in result.output


def test_a_server_that_limits_connections_ends_the_bench(capsys: Capture) -> None:
    """What it was asked for beyond that is said; the grid above are not tried."""

    def two(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.GREETING and server.open_now > 2:
            return refuse(421, "4.7.0 Too many concurrent connections")
        return ACCEPT

    with serving(CountingServer(two)) as server:
        result = bench(capsys, server, "--messages", "100", "--json")
    told = found(result)
    assert result.code == 0
    assert grid(told)[-1][0] == 5
    assert told["grid"][-1]["learned"]["max_connections"] <= 2
    assert "the server asked for less" in told["limited"]
    assert any("allowed 2 connections" in sentence for sentence in told["advice"]["sentences"])


def test_a_server_that_throttles_ends_the_bench_with_a_rate(capsys: Capture) -> None:
    refused = False

    def once(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        nonlocal refused
        if stage is Stage.CONTENT and not refused and len(server.accepted) >= 8:
            refused = True
            return refuse(454, "4.7.0 Throttling failure: maximum sending rate exceeded")
        return ACCEPT

    with serving(CountingServer(once)) as server:
        result = bench(capsys, server, "--messages", "30", "--max-connections", "1,2", "--depth", "1", "--json")
        told = found(result)
        assert told["messages"] == len(server.accepted)
    assert result.code == 0, "every message was taken in the end"
    assert "slowed to" in result.errors
    assert "the server asked for less" in told["limited"]
    assert told["advice"]["rate"] == told["grid"][-1]["learned"]["rate"] > 0


@pytest.mark.slow
def test_a_pace_that_is_refused_when_it_is_measured_is_not_advised(capsys: Capture) -> None:
    """The server takes 60 messages a second, but more than 40 for twelve seconds in all: then it takes 40."""
    arrived: Counter[int] = Counter()

    def policy(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is not Stage.MAIL:
            return ACCEPT
        now = int(time.monotonic())
        arrived[now] += 1
        much = sum(count > 40 for second, count in arrived.items() if second < now)
        if arrived[now] > (60 if much < 12 else 40):
            return refuse(454, "4.7.0 Throttling failure: maximum sending rate exceeded")
        return ACCEPT

    with serving(CountingServer(policy)) as server:
        options = ("--max-connections", "1", "--depth", "1", "--time", "1s", "--messages", "20000", "--json")
        told = found(bench(capsys, server, *options))
    assert 30 < told["advice"]["rate"] <= 40
    assert told["advice"]["expected"] == pytest.approx(told["advice"]["rate"], rel=0.1)


def test_refusals_are_counted_by_code_and_end_the_measuring(capsys: Capture) -> None:
    rules = (parse_rule("reject", f"{ME}=550 5.1.1 Unknown"),)
    with serving(Sink(SinkOptions(rules=rules))) as sink:
        result = bench(capsys, sink, "--messages", "100", "--json")
    told = found(result)
    assert result.code == 1
    assert [point["replies"] for point in told["grid"]] == [{"550 5.1.1": told["messages"]}]
    assert told["stopped"] == "at 1 connection at depth 1 nothing was accepted: 550 5.1.1 Unknown"
    assert told["advice"]["depth"] is None


def test_a_sender_that_is_refused_is_told_what_to_check(capsys: Capture) -> None:
    def nobody(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return refuse(550, "5.7.1 Not you") if stage is Stage.MAIL else ACCEPT

    with serving(CountingServer(nobody)) as server:
        result = bench(capsys, server)
    assert result.code == 3
    assert "the sender is refused" in result.errors
    assert "Traceback" not in result.errors


def test_a_server_that_is_not_there_is_one_error(capsys: Capture) -> None:
    with serving(Sink()) as sink:
        where = url(sink)
    result = invoke(capsys, "bench", "--server", where, "--to", ME)
    assert "cannot connect" in complaint(result, code=3)


def test_credentials_come_from_the_environment(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    options = SinkOptions(require_auth=True, username="app", password="s3cr3t-k3y")
    monkeypatch.setenv("BATCHSEND_USERNAME", "app")
    with serving(Sink(options)) as sink:
        assert "only one is set" in complaint(bench(capsys, sink))
        monkeypatch.setenv("BATCHSEND_PASSWORD", "s3cr3t-k3y")
        right = bench(capsys, sink, "--messages", "60", "--json")
        monkeypatch.setenv("BATCHSEND_PASSWORD", "wr0ng-k3y")
        wrong = bench(capsys, sink, "--messages", "60")
    assert (right.code, found(right)["stopped"]) == (0, None)
    assert wrong.code == 3
    assert not any(word in told.output + told.errors for told in (right, wrong) for word in ("s3cr3t", "wr0ng"))


def test_or_from_a_campaign_with_its_limits_and_sender(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "s3cr3t-k3y")
    campaign = make_campaign(
        tmp_path,
        server='username = "app"\npassword = "${KEY}"\nca_file = "ca.pem"',
        delivery="max_messages = 4\nmax_connections = 2\ndepth = 2",
    )
    received: list[Received] = []
    options = SinkOptions(tls="starttls", require_auth=True, username="app", password="s3cr3t-k3y", max_messages=4)
    with serving(Sink(options, on_message=received.append)) as sink:
        (tmp_path / "ca.pem").write_bytes(sink.ca_pem)
        points = ("--max-connections", "1,2", "--depth", "1,2", "--messages", "60", "--json")
        result = bench(capsys, sink, "--campaign", campaign, *points)
    assert result.code == 0
    assert {message.reverse_path for message in received} == {"from@example.com"}
    assert {message.user for message in received} == {"app"}
    assert found(result)["grid"][0]["learned"] == {}, "rotated before the server had to say so"
    assert "s3cr3t" not in result.output + result.errors


def test_a_campaigns_own_messages_are_measured_and_all_go_to_the_tester(tmp_path: Path, capsys: Capture) -> None:
    """Composed for its records in turns, with the test's mark, each with a Message-ID of its own."""
    campaign = make_campaign(tmp_path, text="Hello {{ name }}, this is yours", server='tls = "none"')
    received: list[Received] = []
    with serving(Sink(on_message=received.append)) as sink:
        points = ("--max-connections", "1,2", "--depth", "1", "--messages", "30")
        result = bench(capsys, sink, "--campaign", campaign, *points)
    assert (result.code, result.errors) == (0, "")
    assert {recipient for message in received for recipient in message.recipients} == {ME}
    parsed = [message_from_bytes(message.content) for message in received]
    assert {message["To"] for message in parsed} == {ME}
    names = {row.split(",")[1] for row in (tmp_path / "recipients.csv").read_text().splitlines()[1:]}
    assert {message["Subject"] for message in parsed} == {f"[Test] For {name}" for name in names}
    assert len({message["Message-ID"] for message in parsed}) == len(received) > 3 * 2
    assert "--size with --campaign" in complaint(bench(capsys, sink, "--campaign", campaign, "--size", "900"))


@pytest.mark.slow
def test_a_campaign_is_measured_at_its_own_server_and_never_with_its_tls_off(tmp_path: Path, capsys: Capture) -> None:
    with serving(Sink()) as sink:
        own = f'port = {sink.port}\ntls = "none"'
        plain = make_campaign(tmp_path, server=own)
        plain.write_text(plain.read_text().replace("smtp.example.com", sink.hosts[0]))
        points = ("--max-connections", "1", "--depth", "1", "--messages", "5")
        assert "--campaign without --to" in complaint(invoke(capsys, "bench", "--campaign", plain, *points))
        assert invoke(capsys, "bench", "--campaign", plain, "--to", ME, *points).code == 0
        assert sink.counts.messages == 5
        # Its relay is to be talked to by STARTTLS; the URL of a server on loopback says no TLS.
        encrypted = make_campaign(tmp_path)
        said = complaint(bench(capsys, sink, "--campaign", encrypted, *points), code=3)
        assert "STARTTLS" in said
        assert sink.counts.messages == 5


@pytest.mark.slow
def test_at_a_given_rate_latency_counts_from_when_a_message_was_due(capsys: Capture) -> None:
    """The server answers nothing for a while: all that came due meanwhile waited, and the figures say so."""
    stopped, never = threading.Event(), threading.Event()

    def stops(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and len(server.accepted) == 20 and not stopped.is_set():
            stopped.set()
            never.wait(0.6)  # which stops the server's loop
        return ACCEPT

    with serving(CountingServer(stops)) as server:
        options = ("--rate", "100/s", "--duration", "1.5s", "--max-connections", "1", "--depth", "1", "--json")
        told = found(bench(capsys, server, *options))
    assert told["kind"] == "load"
    assert told["accepted"] == told["messages"] == len(server.accepted)
    assert told["due"] == 150
    assert told["messages"] == told["due"] + 1, "one message has opened the session"
    # Some sixty messages came due while the server was silent: more than a third of all.
    assert told["p90"] > 0.3
    decoded = HdrHistogram.decode(told["histogram"])
    assert decoded.get_total_count() == told["due"]
    assert decoded.get_value_at_percentile(90) / 1e6 == pytest.approx(told["p90"])


@pytest.mark.slow
def test_what_a_server_does_not_take_at_that_rate_is_said(capsys: Capture) -> None:
    rules = (parse_rule("delay", f"{ME}=50ms"),)
    with serving(Sink(SinkOptions(rules=rules))) as server:
        options = ("--rate", "200/s", "--duration", "1s", "--max-connections", "1", "--depth", "1")
        result = bench(capsys, server, *options)
    assert result.code == 1, "not everything was sent"
    assert "200 messages a second were more than it took with 1 connection at depth 1" in result.output


@pytest.mark.slow
def test_a_limit_that_is_met_at_that_rate_is_named(capsys: Capture) -> None:
    said = "4.7.0 Throttling failure: maximum sending rate exceeded"

    def once(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return refuse(454, said) if stage is Stage.CONTENT and len(server.accepted) == 5 == transaction - 1 else ACCEPT

    with serving(CountingServer(once)) as server:
        options = ("--rate", "20/s", "--duration", "1s", "--max-connections", "1", "--depth", "1")
        result = bench(capsys, server, *options)
    assert "the server told of its own limit, pace" in result.output
    assert f": 454 {said}\n" in result.output


@pytest.mark.slow
def test_for_a_given_time_with_one_setting(capsys: Capture) -> None:
    with serving(Sink()) as sink:
        told = found(bench(capsys, sink, "--duration", "1s", "--json"))
        assert told["accepted"] == sink.counts.messages == told["messages"]
    assert (told["connections"], told["depth"], told["wanted_rate"], told["kept_up"]) == (5, 1, None, True)
    assert told["slices"][0]["memory"] > 10_000_000
    said = complaint(invoke(capsys, "bench", "--duration", "1s", "--max-connections", "1,5"))
    assert "--rate and --duration measure one setting" in said


@pytest.mark.parametrize(("option", "value"), [("--rate", "fast"), ("--duration", "0s"), ("--time", "3 weeks")])
def test_times_and_rates_as_a_campaign_file_has_them(capsys: Capture, option: str, value: str) -> None:
    assert "expected a" in complaint(invoke(capsys, "bench", option, value))


@pytest.mark.parametrize("value", ["0/s", "0.5/h", "1000001/s", "9" * 400 + "/s"])
def test_a_rate_that_nothing_can_be_measured_at_is_refused(capsys: Capture, value: str) -> None:
    assert "from 1/h to 1,000,000/s" in complaint(invoke(capsys, "bench", "--rate", value))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--rate 9/s --messages 5", "--messages with --rate"),
        ("--duration 1s --time 5s", "--time with --duration"),
        ("--compare a.json b.json --json", "--json with --compare"),
        ("--compare a.json b.json --to me@example.com", "--to with --compare"),
        ("--compare a.json b.json --html -", "--html with --compare"),
        ("--json --html -", "both --html and --json would be printed"),
    ],
)
def test_options_that_would_do_nothing_beside_each_other_are_refused(capsys: Capture, options: str, said: str) -> None:
    """Above all --messages: somebody may rely on it that no more are sent."""
    assert said in complaint(invoke(capsys, "bench", *options.split()))


def test_a_server_that_begins_to_refuse_everybody_ends_the_measuring(capsys: Capture) -> None:
    """What it took before that is no figure for what it takes."""

    def enough(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return refuse(550, "5.7.1 No more") if stage is Stage.RCPT and len(server.accepted) >= 30 else ACCEPT

    with serving(CountingServer(enough)) as server:
        options = ("--max-connections", "1,2", "--depth", "1", "--messages", "200", "--json")
        result = bench(capsys, server, *options)
    told = found(result)
    assert result.code == 1
    assert told["stopped"] is not None
    assert told["stopped"].endswith("nothing was accepted: 550 5.7.1 No more")
    assert 30 < told["messages"] < 150


def test_a_campaigns_own_quota_holds_for_all_that_is_measured(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path, server='tls = "none"', delivery='quota = "12/h"')
    with serving(Sink()) as sink:
        points = ("--max-connections", "1,2", "--depth", "1", "--messages", "60", "--json")
        result = bench(capsys, sink, "--campaign", campaign, *points)
        assert sink.counts.messages == 12
    assert result.code == 3
    assert "its sending limit is used up" in result.errors
    assert "measure again at" in result.errors
    assert "Batch(" not in result.errors
    assert "its sending limit is used up" in found(result)["stopped"]


def test_records_that_no_message_can_be_made_for_are_said_to_be_left_out(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path, "email,name\nnobody,Ada\nzoe@example.com,Zoe\n", server='tls = "none"')
    with serving(Sink()) as sink:
        points = ("--max-connections", "1", "--depth", "1", "--messages", "5")
        result = bench(capsys, sink, "--campaign", campaign, *points)
        assert (result.code, sink.counts.messages) == (0, 5)
        assert "1 of the first 2 records are left out" in result.errors
        assert "'nobody' is not an address" in result.errors
        campaign = make_campaign(tmp_path, "email,name\nnobody,Ada\n", server='tls = "none"')
        said = complaint(bench(capsys, sink, "--campaign", campaign, *points))
    assert "no message can be made for any of its first 1,000 records, the first because: recipient 'nobody'" in said


def test_where_a_page_cannot_be_written_is_found_out_before_anything_is_measured(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "page.html").write_text("kept")
    with serving(Sink()) as sink:
        for page, why in ((tmp_path / "none" / "x.html", "there is no folder"), (tmp_path, "Is a directory")):
            said = complaint(bench(capsys, sink, "--messages", "120", "--html", page))
            assert f"{page} cannot be written: {why}" in said
        assert sink.counts.connections == 0
    assert (tmp_path / "page.html").read_text() == "kept"


@pytest.mark.slow
def test_the_page_has_the_curves_and_what_a_server_says_is_text_in_it(tmp_path: Path, capsys: Capture) -> None:
    rules = (parse_rule("defer", f"{ME}=450 4.2.1 <script>alert(1)</script>"),)
    page, broken, whole = (tmp_path / name for name in ("ladder.html", "refused.html", "load.html"))
    with serving(Sink()) as sink:
        points = ("--max-connections", "1,2", "--depth", "1,4", "--messages", "120")
        assert bench(capsys, sink, *points, "--html", page).code == 0
        assert bench(capsys, sink, "--duration", "1s", "--html", whole).code == 0
    with serving(Sink(SinkOptions(rules=rules))) as sink:
        assert bench(capsys, sink, *points, "--html", broken).code == 1
    for path, titles in ((page, ("Messages a second", "p50", "p99")), (whole, ("Messages a second", "Memory"))):
        text = path.read_text()
        assert "<circle" in text
        assert "<script" not in text
        for title in titles:
            assert title in text
    assert "<script" not in broken.read_text()


@pytest.mark.slow
def test_two_benches_are_compared_by_what_is_sure(tmp_path: Path, capsys: Capture) -> None:
    paths = [tmp_path / name for name in ("a.json", "b.json", "c.json")]
    with serving(Sink()) as sink:
        points = ("--max-connections", "1,2", "--depth", "1", "--messages", "200")
        for path in paths[:2]:
            path.write_text(bench(capsys, sink, *points, "--json").output)
        paths[2].write_text(bench(capsys, sink, "--duration", "1s", "--json").output)
    told = json.loads(paths[0].read_text())
    for point, (low, high) in zip(told["grid"], ((90, 110), (90, 110)), strict=True):
        point.update(rate=100, low=low, high=high)
    paths[0].write_text(json.dumps(told))
    told["grid"][0].update(rate=150, low=140, high=160)
    told["grid"][1].update(rate=105, low=95, high=115)
    paths[1].write_text(json.dumps(told))
    lines = invoke(capsys, "bench", "--compare", *paths[:2]).output.splitlines()
    assert lines[1].endswith("50% faster (between +27% and +78%)")
    assert lines[2].endswith("none that is sure")
    assert "cannot be compared" in complaint(invoke(capsys, "bench", "--compare", paths[0], paths[2]))
    assert "p99.9" in invoke(capsys, "bench", "--compare", paths[2], paths[2]).output
    paths[1].write_text('{"kind": "ladder"}')
    assert "is not complete" in complaint(invoke(capsys, "bench", "--compare", *paths[:2]))
    paths[1].write_text("[]")
    assert "is not what `batchsend bench --json` writes" in complaint(invoke(capsys, "bench", "--compare", *paths[:2]))


def _point(rate: float, low: float | None, high: float | None, connections: int = 1) -> dict[str, Any]:
    return {"connections": connections, "depth": 1, "rate": rate, "low": low, "high": high}


def _compared(tmp_path: Path, capsys: Capture, *told: object) -> Ended:
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    for path, one in zip(paths, told, strict=True):
        path.write_text(one if isinstance(one, str) else json.dumps(one))
    return invoke(capsys, "bench", "--compare", *paths)


def test_what_was_not_the_same_and_what_was_not_measured_in_both_is_said(tmp_path: Path, capsys: Capture) -> None:
    first = {
        "kind": "ladder",
        "server": "a.example.com:25",
        "octets": 2000,
        "grid": [_point(10, 0, 20), _point(5, 4, 6, 5)],
    }
    second = first | {"octets": 9000, "stopped": "stopped by SIGINT", "grid": [_point(50, 40, 60)]}
    assert _compared(tmp_path, capsys, first, second).output.splitlines() == [
        "not the same: messages of 2,000 octets in the first, messages of 9,000 octets in the second",
        "the second ended before its time: stopped by SIGINT",
        "connections  depth     first/s    second/s  difference",
        "          1      1          10          50  400% faster (at least +100%)",
        "          5      1           5           -  measured in one of them only",
    ]
    assert "none that is sure" in _compared(tmp_path, capsys, first, first).output


@pytest.mark.parametrize(
    "told",
    [
        "[" * 100_000,
        '{"kind": "ladder", "server": null, "octets": NaN, "grid": []}',
        {"kind": "ladder", "server": None, "octets": 1, "grid": [_point(10**400, 1, 2)]},
        {"kind": "ladder", "server": None, "octets": 1, "grid": [_point(1, 1, 10**400)]},
        {"kind": "ladder", "server": None, "octets": 1, "grid": [_point(1, None, None), 5]},
        {"kind": "ladder", "server": None, "octets": 1, "grid": [{}]},
        {"kind": "ladder", "grid": 5},
    ],
    ids=lambda told: str(told)[:60],
)
def test_files_of_another_kind_are_compared_by_no_line(tmp_path: Path, capsys: Capture, told: object) -> None:
    other = {"kind": "ladder", "server": None, "octets": 1, "grid": [_point(1, 1, 1)]}
    assert "`batchsend bench --json` writes" in complaint(_compared(tmp_path, capsys, other, told))
