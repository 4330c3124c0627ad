"""The records that a program gives a run: kept beside the results log, and removed again where the run is refused."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import finalize

from msgspec.structs import replace

from batchsend.recipients.spool import spool_records
from batchsend.results.claim import Claim

if TYPE_CHECKING:
    from batchsend.campaign import Campaign
    from batchsend.recipients.spool import Rows
    from batchsend.run.arguments import Use


class OwnRecords:
    """A program's records, and the lock on the log that they are kept beside.

    Args:
        rows: The records; None where the campaign has its own.
        claim: The log of the run, where it is locked already.

    Attributes:
        rows: As given.
        claim: The lock, until the run has it or it is given back.
    """

    def __init__(self, rows: Rows | None, claim: Claim | None) -> None:
        self.rows = rows
        self.claim = claim
        self._before: Campaign | None = None  # the campaign with its own list, while the records are kept

    async def keep(self, campaign: Campaign, use: Use) -> Campaign:
        """The campaign whose recipients file the records are, made beside the log, which is this run's from now on.

        Args:
            campaign: The campaign.
            use: What hears that the records are being taken.

        Raises:
            UsageError: The log is in use, or the file cannot be written.
            Exception: What the iterable raises.
        """
        if self.rows is None or self._before is not None:
            return campaign
        if self.claim is None:
            self.claim = Claim(campaign.results).__enter__()
        use.taking = True
        try:
            kept = await spool_records(campaign.results, self.rows)
        except BaseException:
            self.give_back()
            raise
        finalize(self, _forget, kept, self.claim, os.getpid())
        use.taking, self._before = False, campaign
        return replace(campaign, recipients=kept, encoding=None, sheet=None)

    def remove(self, campaign: Campaign, use: Use) -> Campaign:
        """The campaign as it was: the run was refused, and what was kept is no run's. The next use takes it anew.

        Args:
            campaign: What `keep` has made, or the campaign as it was.
            use: What hears whether the records can be taken again: an iterator gives them once.
        """
        if self._before is None:
            return campaign
        with suppress(OSError):  # why the run was refused is what the program hears
            Path(campaign.recipients).unlink()
        before, self._before = self._before, None
        self.give_back()
        use.spent = isinstance(self.rows, Iterator | AsyncIterator)
        return before

    def give_back(self) -> None:
        """Let go of the log, if the run has not got it."""
        if self.claim is not None:
            self.claim.__exit__(None, None, None)
            self.claim = None


def _forget(kept: Path, claim: Claim, process: int) -> None:
    """Remove what was kept for a run that nobody has begun, and will: its `Batch` is gone, or the program ends.

    Args:
        kept: The records.
        claim: The lock on the log; a run that has begun has taken it over.
        process: Who has kept them. A process that was forked since has nothing to remove.
    """
    if claim.is_held and process == os.getpid():
        with suppress(OSError):
            kept.unlink()
        claim.__exit__(None, None, None)
