"""A run that has signed links and return paths, as `batchsend listen` finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchsend.listen.run import ListenedRun
from batchsend.message.verp import Verp, make_key
from tests.feedback.letters import RUN, SENT, results_log

if TYPE_CHECKING:
    from pathlib import Path


class SignedRun:
    """A results log and its key, in a folder.

    Attributes:
        results: The results log.
        log: The feedback log, which is made by whoever listens.
        verp: What signs for the run.
    """

    def __init__(self, folder: Path, recipients: tuple[str, ...] = SENT) -> None:
        self.results = results_log(folder, recipients)
        self.log = folder / "results.feedback.jsonl"
        key = make_key(self.results)
        self.verp = Verp(RUN, lambda: key)

    def listened(self) -> ListenedRun:
        """The run as the listener has it."""
        return ListenedRun(self.results)

    def link(self, record: int) -> str:
        """The path of a record's unsubscribe link."""
        return f"/u/{self.verp.link(record)}"

    def return_path(self, record: int) -> str:
        """A record's signed return path."""
        return f"bounce+{self.verp.token(record)}@mail.example.com"
