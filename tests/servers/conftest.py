"""The real servers as fixtures: each test has its own, empty at the start and gone at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.exim import Exim
from tests.servers.opensmtpd import OpenSmtpd
from tests.servers.postfix import Postfix
from tests.servers.smtp_sink import SmtpSink

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def postfix() -> Iterator[Postfix]:
    """Return a private Postfix that stores what it takes."""
    with Postfix() as server:
        yield server


@pytest.fixture
def discarding_postfix() -> Iterator[Postfix]:
    """Return a private Postfix that queues what it takes and throws it away."""
    with Postfix(discard=True) as server:
        yield server


@pytest.fixture
def exim() -> Iterator[Exim]:
    """Return a private Exim that stores what it takes."""
    with Exim() as server:
        yield server


@pytest.fixture
def opensmtpd() -> Iterator[OpenSmtpd]:
    """Return a private OpenSMTPD that stores what it takes."""
    with OpenSmtpd() as server:
        yield server


@pytest.fixture
def smtp_sink() -> Iterator[SmtpSink]:
    """Return an smtp-sink that offers PIPELINING and keeps every transaction."""
    with SmtpSink(dump=True) as server:
        yield server
