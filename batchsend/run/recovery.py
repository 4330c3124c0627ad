"""What a run takes over from an earlier one: what that has sent, and what was in flight when it was killed."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread

from batchsend.errors import RecordError, UsageError
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.recipients import BadRecord, Record
from batchsend.results.usage import read_usage
from batchsend.results.way_on import way_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from batchsend.delivery.quota import Meters
    from batchsend.message import Composer
    from batchsend.recipients import RecordReader
    from batchsend.results.journal import Entry
    from batchsend.results.ledger import Ledger
    from batchsend.results.resumption import Resumption
    from batchsend.run.streaming import ResultStream

_NAMED = 20


async def count_what_was_sent(past: Resumption, meters: Meters) -> None:
    """Count what earlier runs have sent, according to the log, towards the quotas.

    Args:
        past: The run to go on with.
        meters: What counts messages towards the quotas.

    Raises:
        RunError: The log cannot be read.
    """
    if meters.watch(past.account.learned):
        await anyio.to_thread.run_sync(read_usage, past.path, past.account.size, partial(meters.note, now=time.time()))


async def recover(
    past: Resumption,
    records: Callable[[], RecordReader],
    composer: Composer,
    ledger: Ledger,
    *,
    meters: Meters,
    stream: ResultStream | None,
    notice: Callable[[str], None],
) -> None:
    """Give what was in flight when an earlier run was killed its outcomes, and say what is in doubt.

    Args:
        past: The earlier run.
        records: Opens the recipients file from its beginning.
        composer: Finds out whose they are.
        ledger: Where the outcomes go.
        meters: What counts messages towards the quotas.
        stream: The loop over the run's outcomes, or None.
        notice: Called with what the user should know, one line each.

    Raises:
        UsageError: The recipients file has no such record, or cannot be opened.
        RunError: They cannot be read or written.
    """
    results = await anyio.to_thread.run_sync(outcomes, past.in_flight, records, composer)
    for result in results:
        if stream is not None:
            stream.tell(result)
        ledger.append(result)
        if result.status in (Outcome.ACCEPTED, Outcome.IN_DOUBT):
            meters.note(None, result.time, result.time)  # the journal does not say through which relay
    ledger.flush()
    if (told := describe_in_doubt(results)) is not None:
        notice(told)
        if not past.sends(Outcome.IN_DOUBT):
            again = way_on(past.path, retry="in_doubt")
            notice(f"they may have been delivered; to send them again all the same: {again}")


def outcomes(entries: Iterable[Entry], records: Callable[[], RecordReader], composer: Composer) -> list[DeliveryResult]:
    """An outcome for each entry, in the order of the records. Reads the recipients file as far as they go.

    Args:
        entries: What the journal knows.
        records: Opens the recipients file from its beginning.
        composer: Finds out whose they are.

    Raises:
        UsageError: The file has no such record, or cannot be opened.
        RunError: It cannot be read further.
    """
    left = {entry.record: entry for entry in entries}
    found: list[DeliveryResult] = []
    with records() as reader:
        while left and (rows := reader.read(1000)):
            found += [_outcome(left.pop(row.number), row, composer) for row in rows if row.number in left]
    if left:
        raise UsageError(
            f"record {min(left)} was in flight, and {reader.name} has no such record",
            remedy="bring the recipients file and the journal beside the results log back as they were",
        )
    return found


def describe_in_doubt(results: Iterable[DeliveryResult]) -> str | None:
    """What the user should know of them: how many are in doubt, and which; None if none is."""
    in_doubt = [result.record for result in results if result.status is Outcome.IN_DOUBT]
    if not in_doubt:
        return None
    named = ", ".join(map(str, in_doubt[:_NAMED])) + (", …" if len(in_doubt) > _NAMED else "")
    return f"in flight when the run was killed, so now in doubt: {len(in_doubt):,} (record {named})"


def _outcome(entry: Entry, row: Record | BadRecord, composer: Composer) -> DeliveryResult:
    recipient = message_id = None
    if isinstance(row, Record):
        recipient = composer.named_recipient(row)
        try:
            message_id = composer.compose(row).message_id
        except RecordError:
            message_id = None  # the campaign was changed: it was a message then, and is none now
    if entry.status is None:
        reason = "the run was killed before the server answered"
    else:
        reason = "the run was killed before it could write the server's reply down"
    return DeliveryResult(
        record=entry.record,
        recipient=recipient,
        status=entry.status or Outcome.IN_DOUBT,
        stage=Stage.CONTENT,
        code=entry.code,
        reason=reason,
        attempt=entry.attempt,
        message_id=message_id,
        time=time.time(),
    )
