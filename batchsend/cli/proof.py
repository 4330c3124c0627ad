"""``batchsend send --to``: real messages to a tester."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from batchsend.cli.campaigns import tell_json, tracing
from batchsend.outcome import Outcome
from batchsend.run.proof import compose_proofs, send_proofs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchsend.campaign import Campaign
    from batchsend.cli.console import Console
    from batchsend.cli.options import SendingOptions
    from batchsend.outcome import DeliveryResult


async def send_to_tester(
    campaign: Campaign, tester: str, records: Sequence[int], options: SendingOptions, console: Console
) -> int:
    """Send the messages of some records to a tester, and say what became of each; returns the exit code.

    Args:
        campaign: The campaign.
        tester: The tester's address.
        records: The numbers of the records.
        options: Where they go: to the relay, to an embedded server, or nowhere.
        console: Says what there is to say.

    Raises:
        UsageError: There is no such record, or it is invalid; or the address is none.
        RunError: The relay cannot be reached, or takes nothing from us.
    """
    proofs = compose_proofs(campaign, tester, records)
    if options.dry_run:
        console.end(["dry run: nothing was sent"], records=[one.record for one in proofs.submissions])
        return 0
    async with AsyncExitStack() as stack:
        context = None
        trace = stack.enter_context(tracing(options.trace, console.notice))
        if options.sandboxed:
            from batchsend.run.sandbox import sandbox  # noqa: PLC0415 - a whole server, which most runs do not need

            campaign, context, _ = await stack.enter_async_context(sandbox(campaign))
        results = await send_proofs(campaign, proofs, context=context, notice=console.notice, trace=trace)
    for result in results:
        if options.as_json:
            tell_json(_described(result, proofs.to))
        else:
            console.end([_line(result, proofs.to)], **_described(result, proofs.to))
    return 0 if all(result.status is Outcome.ACCEPTED for result in results) else 1


def _described(result: DeliveryResult, to: str) -> dict[str, object]:
    return {
        "record": result.record,
        "to": to,
        "status": result.status.value,
        "code": result.code,
        "reply": result.reply,
        "reason": result.reason,
    }


def _line(result: DeliveryResult, to: str) -> str:
    said = " ".join(str(part) for part in (result.code, result.reply or result.reason) if part)
    return f"record {result.record:,} to {to}: {result.status.value.replace('_', ' ')}{f' ({said})' if said else ''}"
