"""Messages sent to a tester instead of their recipients: real ones, through the real relay, and without any account."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from batchsend import figures
from batchsend.campaign.own import own_files
from batchsend.errors import RecordError, UsageError
from batchsend.message import Composer, Envelope, Submission
from batchsend.message.proof import Proof
from batchsend.recipients import BadRecord, open_recipients
from batchsend.recipients.addresses import forward_path
from batchsend.recipients.admission import require_fields
from batchsend.sender.sender import Sender

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from batchsend.campaign import Campaign
    from batchsend.outcome import DeliveryResult
    from batchsend.trace import Trace

_BLOCK = 1000


class Proofs(NamedTuple):
    """Tests that are ready to be sent.

    Attributes:
        to: The tester's address.
        submissions: The messages, in the order of their records.
    """

    to: str
    submissions: list[Submission]


def compose_proofs(campaign: Campaign, to: str, records: Sequence[int]) -> Proofs:
    """Compose the messages of some records for a tester.

    Envelope and To name the tester, the return path is the address of From, the subject begins with ``[Test]``, and
    what would unsubscribe the recipient leads nowhere. Everything else is as the recipient would have it.

    Args:
        campaign: The campaign.
        to: The tester's address.
        records: The numbers of the records.

    Raises:
        UsageError: There is no such record, or it is invalid; or the tester's address is none.
    """
    try:
        address = forward_path(to)
    except RecordError as error:
        raise UsageError(f"--to: {error.message}", remedy="expected an address such as you@example.com") from None
    batch_id = f"test.{secrets.token_hex(6)}"
    composer = Composer(
        campaign.message,
        directory=campaign.directory,
        batch_id=batch_id,
        recipient_field=campaign.recipient_field,
        proof=Proof(address),
        own=own_files(campaign),
    )
    wanted = dict.fromkeys(sorted(records))
    submissions: list[Submission] = []
    with open_recipients(campaign) as reader:
        require_fields(reader, campaign.recipient_field, [composer.field_use])
        while len(submissions) < len(wanted) and (rows := reader.read(_BLOCK)):
            for row in rows:
                if row.number not in wanted:
                    continue
                try:
                    if isinstance(row, BadRecord):
                        raise RecordError(row.reason)
                    composed = composer.compose(row)
                except RecordError as error:
                    raise UsageError(
                        f"record {row.number:,} (line {row.line:,}) is invalid: {error.message}",
                        remedy="correct the record or the template, or test another: --record N",
                    ) from None
                envelope = Envelope(composed.envelope.reverse_path, address)
                submissions.append(msgspec.structs.replace(composed, envelope=envelope))
        if missing := [number for number in wanted if number not in {one.record for one in submissions}]:
            raise UsageError(
                f"{reader.name} has {figures.count(reader.given, 'record')}, and no record {missing[0]:,}",
                remedy=f"name another: --record N, from 1 to {reader.given}"
                if reader.given
                else "put recipients into it",
            )
    return Proofs(address, submissions)


async def send_proofs(
    campaign: Campaign,
    proofs: Proofs,
    *,
    context: ssl.SSLContext | None = None,
    notice: Callable[[str], None] = lambda _: None,
    trace: Trace | None = None,
) -> list[DeliveryResult]:
    """Send tests by one session; no results log is read or written.

    Args:
        campaign: The campaign, with its relays and credentials.
        proofs: What is sent.
        context: As for `Sender`.
        notice: As for `Sender`.
        trace: As for `Sender`.

    Returns:
        What became of each, in the order of the records.

    Raises:
        RunError: The relay cannot be reached, or takes nothing from us.
    """
    delivery = msgspec.structs.replace(campaign.delivery, max_connections=1, max_attempts=1)
    results: dict[int, DeliveryResult] = {}
    async with Sender(*campaign.servers, delivery=delivery, context=context, notice=notice, trace=trace) as sender:
        async for result in sender.send(proofs.submissions):
            results[result.record] = result
    return [results[number] for number in sorted(results)]
