"""A sender of a web application whose worker processes gunicorn forks, replaces and ends while they send."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import pytest

from tests.delivery.harness import GUARD
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from batchsend.sink import Received

pytestmark = pytest.mark.slow

# One sender for each process that loads the module, or that is forked from one which has loaded it and sent already.
APPLICATION = """
import os
from email.message import EmailMessage

from batchsend import Server, SyncSender

sender = SyncSender(Server(host="127.0.0.1", port=int(os.environ["SMTP_PORT"]), tls="none"))


def send(name):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.com", f"{name}@example.com", "Your order"
    message.set_content("It is on its way.")
    [result] = sender.send_message(message)
    return result.status.value


send(f"loaded-{os.getpid()}")


def app(environ, start_response):
    answer = f"{send(environ['PATH_INFO'].strip('/'))} {os.getpid()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
"""


class Gunicorn:
    """A context manager: gunicorn with two workers and the application, in processes of its own.

    Args:
        folder: Where the application is written.
        sink: What its messages go to.
        options: Further options.
    """

    def __init__(self, folder: Path, sink: SinkThread, *options: str) -> None:
        (folder / "application.py").write_text(APPLICATION)
        self._folder = folder
        self._environment = {**os.environ, "SMTP_PORT": str(sink.port)}
        self._options = ("--workers", "2", *options)
        self._said: list[str] = []
        self._heard = threading.Condition()

    def __enter__(self) -> Self:
        # It listens from here on: whoever connects before the workers are there waits for them.
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._port = self._listening.getsockname()[1]
        place = self._listening.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "application:app", "--bind", f"fd://{place}", *self._options],
            cwd=self._folder,
            env=self._environment,
            pass_fds=(place,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._listening.close()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._heard:
                self._said.append(line)
                self._heard.notify_all()

    def order(self, name: str) -> tuple[str, int]:
        """Ask for a message: what became of it, and the process that has answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=3 * GUARD)
        try:
            connection.request("GET", f"/{name}")
            with connection.getresponse() as response:
                said = response.read().decode()
                assert response.status == 200, said
        finally:
            connection.close()
        status, process = said.split()
        return status, int(process)

    def tell(self, number: signal.Signals, until: str) -> None:
        """Send the first of its processes a signal, and wait until it says something in answer."""
        with self._heard:
            before = self.said.count(until)
            self._process.send_signal(number)
            self.hear(until, before + 1)

    def hear(self, text: str, times: int) -> None:
        """Wait until it has said something so often."""
        with self._heard:
            assert self._heard.wait_for(lambda: self.said.count(text) >= times, 3 * GUARD), self.said

    def wait(self) -> int:
        """Wait for its end; how it has ended."""
        return self._process.wait(3 * GUARD)

    @property
    def said(self) -> str:
        """All that it has said."""
        return "".join(self._said)


class Held:
    """A server's answers to messages with a certain name, held back.

    Args:
        name: How their recipients begin.

    Attributes:
        taken: One of them has arrived.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.taken = threading.Event()
        self._answered = threading.Event()

    def take(self, message: Received) -> None:
        """A message has arrived: hold back its answer if it is one of these."""
        if message.recipients[0].startswith(self._name):
            self.taken.set()
            self._answered.wait(3 * GUARD)

    def answer(self) -> None:
        """Hold back nothing more."""
        self._answered.set()


@pytest.mark.parametrize("preload", [False, True], ids=["loaded in each worker", "loaded before the fork"])
@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_each_order_is_sent_once_whatever_gunicorn_does_with_its_workers(
    worker: str, preload: bool, tmp_path: Path
) -> None:
    """Also those that are on their way when workers are replaced (SIGHUP), and when all of them end (SIGTERM)."""
    at_reload, at_the_end = Held("held-at-reload"), Held("held-at-the-end")
    options = ["--worker-class", worker, *(["--threads", "4"] if worker == "gthread" else [])]
    asked: list[str] = []

    def orders(name: str, count: int) -> Iterator[str]:
        for number in range(count):
            asked.append(f"{name}{number}")
            yield asked[-1]

    def take(message: Received) -> None:
        at_reload.take(message)
        at_the_end.take(message)

    with (
        SinkThread(on_message=take) as sink,
        Gunicorn(tmp_path, sink, *options, *(["--preload"] if preload else [])) as gunicorn,
        ThreadPoolExecutor(8) as callers,
    ):
        answers = list(callers.map(gunicorn.order, orders("before", 40)))
        under_way = callers.map(gunicorn.order, orders("held-at-reload", 1))
        assert at_reload.taken.wait(3 * GUARD)
        gunicorn.tell(signal.SIGHUP, "Booting worker")
        at_reload.answer()
        answers += under_way
        gunicorn.hear("Worker exiting", 2)
        first = {process for _, process in answers}
        answers += callers.map(gunicorn.order, orders("after", 40))
        under_way = callers.map(gunicorn.order, orders("held-at-the-end", 1))
        assert at_the_end.taken.wait(3 * GUARD)
        gunicorn.tell(signal.SIGTERM, "Handling signal: term")
        at_the_end.answer()
        answers += under_way
        assert gunicorn.wait() == 0, gunicorn.said
    assert [status for status, _ in answers] == ["accepted"] * len(asked)
    assert not [wrong for wrong in ("ERROR", "CRITICAL", "Traceback", "Fatal") if wrong in gunicorn.said], gunicorn.said
    assert {process for _, process in answers} > first, "others came in the place of the first"
    received = Counter(message.recipients[0].partition("@")[0] for message in sink.received)
    loaded = {name for name in received if name.startswith("loaded-")}
    assert received == Counter({*asked, *loaded})
    assert len(loaded) == 1 if preload else len(loaded) >= 4
    by_session: dict[int, set[int | None]] = {}
    processes = dict(zip(asked, (process for _, process in answers), strict=True))
    for message in sink.received:
        name = message.recipients[0].partition("@")[0]
        process = int(name.removeprefix("loaded-")) if name in loaded else processes[name]
        by_session.setdefault(message.session, set()).add(process)
    assert all(len(of) == 1 for of in by_session.values()), "each process has sessions of its own"
