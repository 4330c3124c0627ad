"""Lockstep, PIPELINING and CHUNKING: the same decisions of a server lead to the same outcomes, whatever the timing."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from random import Random
from typing import Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsend.outcome import Stage
from batchsend.smtp.client import Client
from batchsend.smtp.client_state import State
from batchsend.smtp.transaction import Disposition
from tests.smtp.model_server import DROP, SILENT_ACCEPT, Decision, Habits, ModelServer
from tests.smtp.session_driver import Drive, HandedBack, handed_back
from tests.tools.examples import examples

Mode: TypeAlias = Literal["lockstep", "pipelining", "chunking"]

modes = pytest.mark.parametrize("mode", ["lockstep", "pipelining", "chunking"])


def decisions(*fatal: int) -> st.SearchStrategy[Decision]:
    """Return decisions: mostly to accept, sometimes to refuse, and sometimes one of the fatal ones."""
    refusals = [450, 451, 452, 501, 550, 552, 553, 554]
    at_content = [*fatal, SILENT_ACCEPT] if fatal else []
    return st.builds(
        Decision,
        mail=st.sampled_from([250] * 40 + refusals + list(fatal)),
        rcpt=st.sampled_from([250, 251, 252] * 9 + refusals + list(fatal)),
        data=st.sampled_from([354] * 40 + refusals + list(fatal)),
        content=st.sampled_from([250] * 24 + refusals + at_content),
    )


habits = st.builds(
    Habits, refused_stay_open=st.booleans(), data_anyway=st.booleans(), lines=st.integers(min_value=1, max_value=3)
)


def letters(count: int, random: Random) -> list[list[int]]:
    """So many records as messages: half of the time each has its own, otherwise some share one."""
    most = random.choice([1, 4])
    records = deque(range(1, count + 1))
    messages = []
    while records:
        messages.append([records.popleft() for _ in range(min(random.randint(1, most), len(records)))])
    return messages


def decision(decided: list[Decision], one: HandedBack) -> Decision:
    """What the server decides of a record: its own RCPT, and the rest of its message."""
    return replace(decided[one.message - 1], rcpt=decided[one.record - 1].rcpt)


def drive(mode: Mode, decided: list[Decision], habits: Habits, random: Random, *, depth: int = 3) -> Drive:
    """Drive one session with as many records as there are decisions, and check what holds in every session."""
    table = dict(enumerate(decided, 1))
    messages = letters(len(table), random)
    pipelining = mode != "lockstep"
    drive = Drive(
        Client(
            pipelining=pipelining,
            depth=depth if mode == "chunking" else 1,
            max_messages=random.choice([len(messages), 100]),
        ),
        ModelServer(
            table,
            Habits(
                pipelining=pipelining,
                refused_stay_open=habits.refused_stay_open,
                data_anyway=habits.data_anyway,
                lines=habits.lines,
            ),
        ),
        random,
    )
    drive.run(messages, lambda reply: reply)
    assert not drive.stalled
    assert drive.client.error is None
    assert sorted(transaction.key for transaction in drive.ended) == [transaction.key for transaction in drive.begun]
    check_truth(drive)
    return drive


def check_truth(drive: Drive) -> None:
    """What is called accepted was accepted, once, as it is; what is called anything but that or in doubt was not."""
    accepted = drive.server.accepted
    assert len(set(accepted)) == len(accepted)
    for one in handed_back(drive.ended):
        taken = one.envelope in accepted
        if one.disposition is Disposition.UNSENT:
            assert not taken
        elif one.reply is not None:
            assert taken == (one.reply.code < 300)
    assert set(accepted) <= {one.envelope for one in handed_back(drive.begun)}


def told(drive: Drive) -> dict[HandedBack, tuple[int, Stage]]:
    """Return code and stage of every record that a reply decided, having seen that the reply was its own."""
    outcomes = {}
    for one in handed_back(drive.ended):
        if one.reply is not None:
            stage = one.stage
            number = one.record if stage is Stage.RCPT else one.message
            own = "data" if stage is Stage.DATA else f"{stage} {number}"
            assert one.reply.text.split("\n")[0] == own
            outcomes[one] = (one.reply.code, stage)
    return outcomes


@given(st.lists(decisions(), min_size=1, max_size=12), habits, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_outcomes_are_the_same_in_every_mode(decided: list[Decision], habits: Habits, random: Random) -> None:
    """And they are the server's decisions, each told to the right record; nothing is left over."""
    for mode in ("lockstep", "pipelining", "chunking"):
        session = drive(mode, decided, habits, random)
        assert session.client.state is State.CLOSED
        assert session.client.unconfirmed == 0
        assert session.abandoned == []
        begun = {one.record for one in handed_back(session.begun)}
        outcomes = told(session)
        assert {one.record for one in outcomes} == begun
        for one, outcome in outcomes.items():
            assert outcome == decision(decided, one).outcome(chunked=mode == "chunking")
        # Only too many refused recipients end a session early; what it has not begun is another session's.
        refused = [outcome for outcome in outcomes.values() if outcome[1] not in (Stage.MAIL, Stage.CONTENT)]
        assert len(begun) == len(decided) or len(refused) >= 5


@modes
@given(
    st.lists(decisions(421, DROP), min_size=1, max_size=12),
    habits,
    st.randoms(use_true_random=False),
    st.integers(min_value=2, max_value=5),
)
@settings(max_examples=examples(200), deadline=None)
def test_a_session_that_ends_early_changes_only_what_was_not_decided(
    mode: Mode, decided: list[Decision], habits: Habits, random: Random, depth: int
) -> None:
    """421 and lost connections: what was decided is what the server decided, and no more is in doubt than the depth."""
    session = drive(mode, decided, habits, random, depth=depth)
    for one, outcome in told(session).items():
        assert outcome == decision(decided, one).outcome(chunked=mode == "chunking")
    in_doubt = [transaction for transaction in session.ended if transaction.disposition is Disposition.IN_DOUBT]
    assert len(in_doubt) <= (depth if mode == "chunking" else 1)
    if session.client.closing_reply is not None:
        assert in_doubt == []


@modes
def test_every_record_of_a_full_session_is_accepted(mode: Mode) -> None:
    session = drive(mode, [Decision()] * 100, Habits(), Random(1))
    assert [one.record for one in handed_back(session.received)] == list(range(1, 101))
    assert [forward for _, forward, _ in session.server.accepted] == [b"%d@example.com" % n for n in range(1, 101)]
