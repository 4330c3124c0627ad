"""The page of a run over HTTP: who may see it, who may change the run, and what it tells; in a process of its own."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from batchsend.errors import UsageError
from batchsend.web import require_web
from tests.cli.commandline import complaint, ended, invoke, process, serving
from tests.cli.test_cli_control import Relay, campaign, changes, until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Served(NamedTuple):
    """A run whose page is served.

    Attributes:
        process: The run.
        log: Its results log.
        port: Where.
        path: The path of the page's address, which has the token.
    """

    process: subprocess.Popen[str]
    log: Path
    port: int
    path: str

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request; underscores in the names of headers are hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def change(self, command: str, value: str | int | None = None, **headers: str) -> Answer:
        """What the page's script does when a button is pressed."""
        asked = {"command": command} if value is None else {"command": command, "value": value}
        own = {"Origin": f"http://127.0.0.1:{self.port}", "Content-Type": "application/json"}
        return self.ask("POST", f"{self.path}control", json.dumps(asked).encode(), **{**own, **headers})

    def state(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.ask("GET", f"{self.path}state").body)
        return told


class Answer(NamedTuple):
    """An answer to a request."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@pytest.fixture
def relay() -> Iterator[Relay]:
    with serving(Relay()) as relay:
        yield relay


@pytest.fixture
def served(tmp_path: Path, relay: Relay) -> Iterator[Served]:
    path = campaign(tmp_path, relay, 4000, 'rate = "40/s"\nmax_connections = 2\nquota = "5000/day"')
    running = process("send", path, "--no-progress", "--page")
    try:
        yield started(running, tmp_path)
    finally:
        running.kill()
        running.communicate()


def started(running: subprocess.Popen[str], folder: Path) -> Served:
    assert running.stderr is not None
    for line in running.stderr:
        if (found := re.search(r"page: (http://127\.0\.0\.1:\d+/\S+/)$", line)) is not None:
            address = urlsplit(found[1])
            return Served(running, folder / "results.jsonl", address.port or 0, address.path)
    pytest.fail("it has not said where its page is")


def test_it_is_for_who_knows_the_token_at_its_own_name(served: Served) -> None:
    page = served.ask("GET", served.path)
    assert page.status == 200
    assert len(served.path) > 30
    for path in ("/", "/x/", f"{served.path[:-2]}x/", f"{served.path}x", served.path.upper(), "/%ff/", "//"):
        for rest in ("", "state"):
            found = served.ask("GET", path + rest)
            assert found.status == 404, path
            assert b"4000" not in found.body
    for host in ("rebound.example.com", f"rebound.example.com:{served.port}", "127.0.0.1", "127.0.0.1:1", ""):
        assert served.ask("GET", served.path, Host=host).status in (400, 404), host
        assert served.ask("GET", f"{served.path}state", Host=host).status in (400, 404), host
        assert served.change("pause", Host=host, Origin=f"http://{host}").status in (400, 404), host
    assert served.ask("GET", served.path, Host=f"localhost:{served.port}").status == 200
    assert changes(served.log) == []


def test_nothing_changes_but_by_the_page_itself(served: Served) -> None:
    refused = [
        served.change("pause", Origin="http://rebound.example.com"),
        served.change("pause", Origin="null"),
        served.change("pause", Origin=f"http://localhost:{served.port}"),
        served.change("pause", Sec_Fetch_Site="cross-site"),
        served.change("pause", Sec_Fetch_Site="same-site"),
        served.change("pause", **{"Content-Type": "text/plain"}),
        served.change("pause", **{"Content-Type": "application/x-www-form-urlencoded"}),
        served.ask("POST", f"{served.path}control", b'{"command": "pause"}', Content_Type="application/json"),
    ]
    assert {answer.status for answer in refused} == {403}
    assert served.ask("GET", f"{served.path}control").status == 405
    preflight = served.ask(
        "OPTIONS", f"{served.path}control", Origin="http://x.example", Access_Control_Request_Method="POST"
    )
    assert preflight.status == 405
    for answer in (*refused, preflight, served.ask("GET", served.path)):
        assert not any(name.lower().startswith("access-control") for name in answer.headers)
    assert served.ask("GET", f"{served.path}state", Sec_Fetch_Site="cross-site").status == 404
    assert served.change("rate", "9" * 5000).status == 413
    assert changes(served.log) == []
    for command, value in (("rate", "fast"), ("connections", 0), ("connections", None), ("fly", None), ("pause", 1)):
        answer = json.loads(served.change(command, value).body)
        assert not answer["ok"]
        assert answer["remedy"]
    assert (
        json.loads(
            served.ask(
                "POST",
                f"{served.path}control",
                b"{",
                Origin=f"http://127.0.0.1:{served.port}",
                Content_Type="application/json",
            ).body
        )["ok"]
        is False
    )
    assert changes(served.log) == []


def test_its_headers_let_nobody_frame_keep_or_extend_it(served: Served) -> None:
    page = served.ask("GET", served.path)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert "server" not in page.headers
    text = page.body.decode()
    assert re.findall(r"\son\w+=", text) == [], "no handler stands in the markup"
    assert re.findall(r'(?:src|href)=(?!"data:,")', text) == [], "it asks nobody for anything"
    assert "innerHTML" not in text


@pytest.mark.slow
def test_what_it_changes_is_in_the_log_and_at_the_server(served: Served, relay: Relay) -> None:
    until(lambda: len(relay.times) > 5, "it sends")
    assert json.loads(served.change("pause").body)["message"].startswith("nothing new is begun")
    assert served.state()["state"] == "paused"
    until(lambda: relay.open_now == 0, "a pause closes the sessions")
    until(lambda: not served.state()["sessions"], "and the page says so")
    taken = len(relay.accepted)
    assert taken == len(relay.accepted) == len(relay.times)
    assert json.loads(served.change("continue").body)["ok"]
    assert json.loads(served.change("rate", "400/s").body)["message"] == "400/s at most"
    before = len(relay.times)
    until(lambda: len(relay.times) > before + 200, "it is faster")
    assert json.loads(served.change("connections", 1).body)["ok"]
    until(lambda: relay.open_now == 1, "one session")
    told = served.state()
    assert (told["state"], told["rate"], told["connections"]) == ("sending", "400/s", 1)
    assert told["relays"][0]["quotas"] == []
    assert told["quotas"][0]["said"].endswith(" of 5000/day")
    assert told["chart"]["title"] == "Attempts a second over time"
    assert json.loads(served.change("stop").body)["ok"]
    result = ended(served.process)
    assert result.code == 3, result
    assert "stopped by the page; to go on: batchsend resume" in result.errors
    assert "gone on with, done at 400/s, 5000/day: " in result.errors, "by the rate that holds then"
    assert changes(served.log) == [
        {"paused": True, "by": "page"},
        {"paused": False, "by": "page"},
        {"rate": "400/s", "by": "page"},
        {"max_connections": 1, "by": "page"},
    ]


def test_without_control_it_only_shows(tmp_path: Path, relay: Relay) -> None:
    path = campaign(tmp_path, relay, 4000, 'rate = "40/s"')
    running = process("send", path, "--no-progress", "--no-control", "--page")
    try:
        served = started(running, tmp_path)
        assert b"<section hidden>\n  <h2>Change it</h2>" in served.ask("GET", served.path).body
        assert served.state()["state"] == "sending"
        assert served.change("pause").status == 403
        until(served.log.exists, "the log is begun")
        assert changes(served.log) == []
    finally:
        running.kill()
        running.communicate()


def test_a_run_that_cannot_go_on_says_so_as_without_the_page(tmp_path: Path, relay: Relay) -> None:
    path = campaign(tmp_path, relay, 40, 'quota = "10/h"')
    result = ended(process("send", path, "--no-progress", "--page=0"))
    assert result.code == 3, result
    assert "its sending limit is used up" in result.errors
    assert "Traceback" not in result.errors
    assert len(relay.accepted) == 10


def test_what_is_wrong_with_the_option_is_said_at_once(
    tmp_path: Path, relay: Relay, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    path = campaign(other, relay, 40, "")
    misplaced = invoke(capsys, "send", "--page", path)
    assert misplaced.code == 2
    assert "is no port; without one, say --page after everything else, or --page=0" in misplaced.errors
    assert f"the page on 127.0.0.1:{served.port}: " in complaint(
        invoke(capsys, "send", path, "--no-progress", f"--page={served.port}")
    )
    assert "--quiet lets nothing be said" in complaint(invoke(capsys, "send", path, "--quiet", "--page"))


def test_without_the_extra_it_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # an import of it fails as where it is not there
    with pytest.raises(
        UsageError, match="the page is served by starlette and uvicorn, which are not installed"
    ) as error:
        require_web("the page is served")
    assert error.value.remedy == "pip install 'batchsend-smtp[web]'"
