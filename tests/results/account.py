"""Accounts in every state that a killed run can leave, made by the code that keeps them."""

from __future__ import annotations

import resource
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.results.journal import journal_path
from batchsend.results.ledger import Ledger
from batchsend.results.run import RecipientsFile, Run

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = Run(
    id="20261122T070000.abcdef",
    started=1_795_330_800.0,
    campaign="/campaigns/campaign.toml",
    recipients=RecipientsFile(path="/campaigns/recipients.csv", size=12, sha256="ab" * 32),
    version="0.1.0",
)


def ledger(log: Path) -> Ledger:
    """A new account; small, so that it has to grow."""
    return Ledger(log, RUN, capacity=2)


def result(
    record: int, status: Outcome = Outcome.ACCEPTED, *, attempt: int = 1, code: int | None = 250
) -> DeliveryResult:
    """An outcome."""
    return DeliveryResult(
        record=record,
        recipient=f"r{record}@example.com",
        status=status,
        stage=Stage.CONTENT,
        code=code,
        attempt=attempt,
        message_id=f"<{record}@example.com>",
        time=1_795_330_801.0,
    )


def killed(log: Path, directory: Path) -> Path:
    """A copy of an account as a kill at this moment would leave it."""
    directory.mkdir()
    copy = directory / log.name
    shutil.copy(log, copy)
    shutil.copy(journal_path(log), journal_path(copy))
    return copy


@contextmanager
def room_for(octets: int) -> Iterator[None]:
    """Let no file grow beyond so many octets: what does not fit fails as on a full disk, in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def open_files() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/dev/fd").iterdir()))
