"""The servers of a scenario, each reached at one or more places; all on loopback."""

from __future__ import annotations

import re
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend.bench.embedded import EmbeddedSink
from benchmarks.distance import far_away
from benchmarks.job import Place
from benchmarks.rest import rest_endpoint
from tests.servers.postfix import Postfix
from tests.servers.smtp_sink import SmtpSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

Places = dict[str, Place]
Setting = "Callable[[], AbstractContextManager[Places]]"

_QUEUED = re.compile(rb"^[^\n]* postfix/cleanup\[\d+\]: \w+: message-id=", re.MULTILINE)
_IDLE_WITHIN = 120.0
_POLL = 0.02


class UnavailableError(Exception):
    """The machine lacks something without which a scenario cannot be run."""


@contextmanager
def or_unavailable() -> Iterator[None]:
    """What a test would be skipped for, as an exception that is none of pytest's."""
    try:
        yield
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        raise UnavailableError(str(missing)) from None


@contextmanager
def smtp_sink_and_rest() -> Iterator[Places]:
    """``server``: Postfix's smtp-sink; ``rest``: nginx, left out where there is none."""
    with ExitStack() as stack:
        with or_unavailable():
            sink = stack.enter_context(SmtpSink())
        places = {"server": Place(sink.host, sink.port, sink.message_count)}
        try:
            with or_unavailable():
                endpoint = stack.enter_context(rest_endpoint())
        except UnavailableError:
            pass  # a contestant without its place is listed as missing
        else:
            places["rest"] = Place(endpoint.host, endpoint.port, endpoint.accepted)
        yield places


def smtp_sink_at(round_trip: float) -> Callable[[], AbstractContextManager[Places]]:
    """``server``: Postfix's smtp-sink, so many seconds away by way of the proxy."""

    @contextmanager
    def setting() -> Iterator[Places]:
        with ExitStack() as stack:
            with or_unavailable():
                sink = stack.enter_context(SmtpSink())
            port = stack.enter_context(far_away(sink.host, sink.port, round_trip))
            yield {"server": Place(sink.host, port, sink.message_count)}

    return setting


@contextmanager
def embedded_sinks() -> Iterator[Places]:
    """``server`` and ``tls``: the embedded sink in the clear and with implicit TLS; smtp-sink has no TLS."""
    with ExitStack() as stack:
        plain = stack.enter_context(EmbeddedSink())
        encrypted = stack.enter_context(EmbeddedSink("implicit"))
        ca_file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ca.pem"
        ca_file.write_text(encrypted.ca_pem)
        yield {
            "server": Place(plain.host, plain.port, plain.message_count),
            "tls": Place(encrypted.host, encrypted.port, encrypted.message_count, tls="implicit", ca_file=str(ca_file)),
        }


class LogCounter:
    """Counts what a Postfix has queued, by its log.

    Args:
        postfix: The server.
    """

    def __init__(self, postfix: Postfix) -> None:
        self._log = postfix.directory / "log" / "maillog"
        self._postfix = postfix
        self._read = 0
        self._count = 0

    def received(self) -> int:
        """How many messages it has queued so far."""
        if not self._log.exists():  # Postfix makes it with its first line
            return 0
        with self._log.open("rb") as log:
            log.seek(self._read)
            lines = log.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        self._count += len(_QUEUED.findall(whole))
        return self._count

    def settle(self) -> None:
        """Wait until the queue is empty.

        Raises:
            RuntimeError: That takes minutes.
        """
        deadline = time.monotonic() + _IDLE_WITHIN
        while self._postfix.queue_count():
            if time.monotonic() > deadline:
                raise RuntimeError("Postfix does not empty its queue")
            time.sleep(_POLL)


def postfix_at(round_trip: float) -> Callable[[], AbstractContextManager[Places]]:
    """``server``: a Postfix that queues for real and throws away, so many seconds away; ``near``: no seconds away.

    Both by way of the proxy, which takes its part of the cores. ``secure`` is the submission port, as far away as
    ``server``, with STARTTLS and AUTH.
    """

    @contextmanager
    def setting() -> Iterator[Places]:
        with ExitStack() as stack:
            with or_unavailable():
                postfix = stack.enter_context(Postfix(discard=True))
            counter = LogCounter(postfix)
            near = stack.enter_context(far_away(postfix.host, postfix.plain_port, 0.0))
            plain = stack.enter_context(far_away(postfix.host, postfix.plain_port, round_trip))
            submission = stack.enter_context(far_away(postfix.host, postfix.submission_port, round_trip))
            yield {
                "near": Place(postfix.host, near, counter.received, counter.settle),
                "server": Place(postfix.host, plain, counter.received, counter.settle),
                "secure": Place(
                    postfix.host,
                    submission,
                    counter.received,
                    counter.settle,
                    tls="starttls",
                    ca_file=str(postfix.ca_file),
                    username=postfix.username,
                    password=postfix.password,
                ),
            }

    return setting
