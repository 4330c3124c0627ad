"""The control socket: for its owner alone, at any path, after any end, and bounded in what it takes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.control.client import ask
from batchsend.control.place import bound, socket_path
from batchsend.control.protocol import MAX_REQUEST, ControlAnswer, ControlRequest
from batchsend.control.server import control_socket
from batchsend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATUS = ControlRequest("status")


class Run:
    """Something to control: it takes down what it is told."""

    def __init__(self, folder: Path, name: str = "results.jsonl") -> None:
        self.log = folder / name
        self.log.touch()
        self.told: list[ControlRequest] = []
        self.notices: list[str] = []

    def obey(self, request: ControlRequest) -> ControlAnswer:
        self.told.append(request)
        return ControlAnswer(ok=True, message="done", status={"state": "sending"})

    def listening(self) -> Any:
        return control_socket(self.log, self.obey, self.notices.append)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.wait_for(asyncio.to_thread(function, *arguments), 20)


def say(log: Path, octets: bytes, *, half_close: bool = True) -> bytes:
    """Send octets as they are, and take what is answered."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(socket_path(log)))
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(octets)
        if half_close:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(ConnectionResetError):
            while octets := connection.recv(65536):
                answer += octets
        return answer


async def test_a_request_is_answered_and_the_socket_is_gone_afterwards(tmp_path: Path) -> None:
    run = Run(tmp_path)
    async with run.listening():
        answer = await in_thread(ask, run.log, ControlRequest("rate", "50/s"))
        assert (answer.ok, answer.message, answer.status) == (True, "done", {"state": "sending"})
        assert run.told == [ControlRequest("rate", "50/s")]
        mode = socket_path(run.log).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert names(tmp_path) == ["results.jsonl"]
    with pytest.raises(UsageError, match="no run is under way on it"):
        await in_thread(ask, run.log, STATUS)


def test_nobody_else_could_open_it_at_any_time(tmp_path: Path) -> None:
    """The mode is not set after the file is made, when somebody may be quicker: it is the socket's own."""
    before = os.umask(0)
    try:
        with bound(tmp_path / "a.control") as listener:
            assert stat.S_IMODE(os.fstat(listener.fileno()).st_mode) == 0o600
            assert stat.S_IMODE((tmp_path / "a.control").stat().st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["results.jsonl", "r" * 240 + ".jsonl", "é" * 100], ids=["short", "long", "accents"])
async def test_neither_a_deep_folder_nor_a_long_name_is_too_long(name: str, tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 120) / ("b" * 120)
    folder.mkdir(parents=True)
    run = Run(folder, name)
    async with run.listening():
        assert (await in_thread(ask, run.log, STATUS)).ok
    assert run.notices == []
    assert names(folder) == [name]


async def test_a_link_to_the_log_leads_to_the_same_socket(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.jsonl"
    run = Run(tmp_path)
    link.symlink_to(run.log)
    async with run.listening():
        assert (await in_thread(ask, link, STATUS)).ok


async def test_what_a_killed_run_has_left_is_replaced(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path(run.log)))
    with pytest.raises(UsageError, match="no run is under way on it"):
        await in_thread(ask, run.log, STATUS)
    async with run.listening():
        assert (await in_thread(ask, run.log, STATUS)).ok
    assert run.notices == []


@pytest.mark.parametrize("what", ["file", "link", "folder"])
async def test_nothing_else_in_its_place_is_touched_and_the_run_goes_on_without(what: str, tmp_path: Path) -> None:
    run = Run(tmp_path)
    path, other = socket_path(run.log), tmp_path / "other"
    if what == "file":
        path.write_text("mine")
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(other)
    async with run.listening():
        assert [notice.partition(": ")[2] for notice in run.notices] == [
            "this run cannot be controlled: something else is in its place"
        ]
        assert not other.exists()
        with pytest.raises(UsageError, match="is not a socket"):
            await in_thread(ask, run.log, STATUS)
    assert path.is_symlink() if what == "link" else path.exists()


async def test_a_socket_that_somebody_else_has_put_there_meanwhile_stays(tmp_path: Path) -> None:
    run = Run(tmp_path)
    path = socket_path(run.log)
    async with run.listening():
        path.unlink()
        path.write_text("mine")
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"\n", "the request is not understood"),
        (b"{}\n", "the request is not understood"),
        (b"\xff\xff\n", "the request is not understood"),
        (b'{"command":"launch"}\n', "the request is not understood"),
        (b'{"command":"rate"}\n', "rate needs a value"),
        (b'{"command":"rate","value":5}\n', "rate needs a value"),
        (b'{"command":"rate","value":"fast"}\n', "rate fast"),
        (b'{"command":"connections","value":0}\n', "from 1 to 1000"),
        (b'{"command":"connections","value":1001}\n', "from 1 to 1000"),
        (b'{"command":"connections","value":true}\n', "the request is not understood"),
        (b'{"command":"pause","value":1}\n', "pause has no value"),
        (b'{"x":' + b"[" * (MAX_REQUEST - 5), "the request is not understood"),
        (b"[" * MAX_REQUEST, "the request is not understood"),
        (b"a" * (MAX_REQUEST + 100), "the request is not understood"),
    ],
)
async def test_what_is_not_understood_is_answered_with_why_and_does_nothing(
    octets: bytes, said: str, tmp_path: Path
) -> None:
    run = Run(tmp_path)
    async with run.listening():
        answer = await in_thread(say, run.log, octets)
        if answer:  # what was sent beyond the bound may end the connection before the answer is read
            found = json.loads(answer)
            assert not found["ok"]
            assert said in found["message"]
        assert run.told == []
        assert (await in_thread(ask, run.log, STATUS)).ok, "it goes on"


async def test_whoever_says_nothing_keeps_nobody_waiting_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchsend.control.server._SECONDS", 0.05)
    run = Run(tmp_path)
    async with run.listening():
        silent = [socket.socket(socket.AF_UNIX) for _ in range(12)]
        try:
            for connection in silent:
                connection.connect(str(socket_path(run.log)))
            assert (await in_thread(ask, run.log, STATUS)).ok
        finally:
            for connection in silent:
                connection.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can look into."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_another_user_is_not_heard_even_where_the_file_would_let_him(open_folder: Path) -> None:
    program = (
        "import os, socket, sys\nos.setgid(65534); os.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n"
        's.connect(sys.argv[1])\ntry: s.sendall(b\'{"command":"stop"}\\n\'); print(s.recv(100))\n'
        "except OSError as error: print('refused')"
    )
    run = Run(open_folder)
    path = socket_path(run.log)
    async with run.listening():
        path.chmod(0o666)
        said = await in_thread(subprocess.check_output, [sys.executable, "-I", "-c", program, str(path)])
        assert said.strip() in (b"b''", b"refused")
        assert run.told == []
