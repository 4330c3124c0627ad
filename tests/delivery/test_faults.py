"""Every kind of server trouble, at every stage, in every mode: what becomes of three records is in `faults.txt`.

The fault happens once: at the first connection, to the second of three transactions (or while the connection is being
opened). What the table says is what the results log would; beyond it the harness checks that nothing was lost, doubled
or called accepted that the server has not taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import MODES, deliver, options, serve, submissions
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse, say

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = Path(__file__).with_name("faults.txt")

REPLIES = {
    Stage.GREETING: b"220 ready\r\n",
    Stage.EHLO: b"250 faulty.example.org\r\n",
    Stage.MAIL: b"250 Ok\r\n",
    Stage.RCPT: b"250 Ok\r\n",
    Stage.DATA: b"354 Go ahead\r\n",
    Stage.CONTENT: b"250 Ok\r\n",
}
"""The reply that is in place, which some faults spoil."""

# What a server that misleads has done with the message is not decided by its reply: here it has taken it.
TAKEN = True


def fault(name: str, stage: Stage) -> Action:
    """What the server does, by its name in the table."""
    right = REPLIES[stage]
    code = right[:3]
    if name == "10 MB line":  # which takes longer to make than all others together
        return say(code + b" " + b"x" * 10_000_000 + b"\r\n", succeeds=TAKEN)
    faults = {
        "4yz": refuse(451, "4.3.0 later"),
        "5yz": refuse(554, "5.7.1 no"),
        "421": refuse(421, "4.3.2 shutting down"),
        "close": drop(),
        "close, taken": drop(succeeds=TAKEN),
        "RST": drop(Then.RESET),
        "RST, taken": drop(Then.RESET, succeeds=TAKEN),
        "half-close": drop(Then.HALF_CLOSE),
        "silence": drop(Then.SILENCE),
        "silence, taken": drop(Then.SILENCE, succeeds=TAKEN),
        "reply and RST": say(right, then=Then.RESET, succeeds=TAKEN),
        "mixed codes": say(code + b"-one\r\n451 two\r\n", succeeds=TAKEN),
        "endless": say((code + b"-more\r\n") * 8000, succeeds=TAKEN),
        "bare LF": say(code + b" Ok\n", succeeds=TAKEN),
        "no code": say(b"Ok then\r\n", succeeds=TAKEN),
        "code out of range": say(b"650 Ok\r\n", succeeds=TAKEN),
        "four digits": say(code + b"0 Ok\r\n", succeeds=TAKEN),
        "221 unasked": say(b"221 bye\r\n", then=Then.CLOSE, succeeds=False),
        "354 out of place": say(b"354 go\r\n", succeeds=False),
        "250 out of place": say(b"250 Ok\r\n", succeeds=False),
        "extra reply": say(right + b"250 and again\r\n", succeeds=TAKEN),
        "500": refuse(500, "unrecognised"),
        "503": refuse(503, "bad sequence"),
        "escapes, not UTF-8": say(code + b" \x1b[2J\xff\xfe\r\n", succeeds=TAKEN),
    }
    return faults[name]


def rows() -> Iterator[tuple[str, Stage, str, list[Outcome]]]:
    """The table: fault, stage, mode, and the outcomes of the three records."""
    short = {outcome.value: outcome for outcome in Outcome}
    for line in TABLE.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, stage, mode, outcomes = (cell.strip() for cell in line.split("|"))
            yield name, Stage(stage), mode, [short[outcome] for outcome in outcomes.split() if outcome != "stopped"]


# The loops take turns, for the table is long; what differs between them is tested elsewhere.
@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize(("name", "stage", "mode", "expected"), [*rows()][::2])
async def test_what_becomes_of_three_records(name: str, stage: Stage, mode: str, expected: list[Outcome]) -> None:
    await check_three_records(name, stage, mode, expected)


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize(("name", "stage", "mode", "expected"), [*rows()][1::2])
async def test_the_same_on_the_other_loop(name: str, stage: Stage, mode: str, expected: list[Outcome]) -> None:
    await check_three_records(name, stage, mode, expected)


async def check_three_records(name: str, stage: Stage, mode: str, expected: list[Outcome]) -> None:
    depth = MODES[mode].depth
    happened: list[Stage] = []

    def decide(connection: int, transaction: int, now: Stage, _recipient: str | None) -> Action:
        while_opening = stage in (Stage.GREETING, Stage.EHLO)
        if connection != 1 or now is not stage or (transaction != 2 and not while_opening):
            return ACCEPT
        happened.append(stage)
        return fault(name, stage)

    how = options(depth=depth, connect=5, greeting=1, ehlo=1, mail=0.3, rcpt=0.3, data=0.3, content=0.3, quit=0.3)
    async with serve(decide, mode) as peer:
        account = await deliver(peer, submissions(3), how)
    assert happened, "the fault did not happen"
    account.check(peer, 3, whole=bool(expected))
    assert list(account.outcomes.values()) == expected
    assert (account.error is not None) == (not expected)
    for result in account.lines:
        assert result.reply is None or result.reply.replace("\n", "").isprintable()


def test_the_table_is_whole() -> None:
    """Every fault at every stage at which it can happen, in every mode that has the stage."""
    listed = [(name, stage, mode) for name, stage, mode, _ in rows()]
    assert len(listed) == len(set(listed))
    stages = {mode: [stage for stage in REPLIES if not (mode == "chunked" and stage is Stage.DATA)] for mode in MODES}
    names = {name for name, _, _ in listed}
    everywhere = names - {"close, taken", "RST, taken", "silence, taken", "250 out of place", "354 out of place"}
    missing = {
        (name, stage, mode) for name in everywhere for mode, possible in stages.items() for stage in possible
    } - set(listed)
    assert not missing
