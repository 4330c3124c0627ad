"""One reply too many, too few or out of place: what was believed before it shows is within the client's own account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from batchsend.smtp import commands
from batchsend.smtp.client import Client
from batchsend.smtp.transaction import Disposition, Transaction
from tests.smtp.model_server import Decision, Habits, ModelServer
from tests.smtp.session_driver import Drive, HandedBack, handed_back
from tests.smtp.test_equivalence import Mode, decision, decisions, letters, modes
from tests.tools.examples import examples

if TYPE_CHECKING:
    from random import Random


@dataclass
class Anomaly:
    """What goes wrong with one reply of a session, and that is all that goes wrong.

    Args:
        kind: ``extra`` puts another reply before it, ``missing`` leaves it out, ``misplaced`` puts one in its place
            that cannot stand there, ``malformed`` puts before it what is no reply.
        index: Which reply of the session, from 0.
        code: The code of the other reply.
    """

    kind: Literal["extra", "missing", "misplaced", "malformed"]
    index: int
    code: int

    def __call__(self, reply: bytes) -> bytes:
        """Return what arrives in a reply's place."""
        self.index -= 1
        if self.index != -1:
            return reply
        match self.kind:
            case "extra":
                return b"%d nobody asked\r\n" % self.code + reply
            case "missing":
                return b""
            case "malformed":
                return b"nobody asked\r\n" + reply
            case "misplaced":
                if reply.startswith((b"354", b"221")):
                    return b"250 not here\r\n"
                return b"%d not here\r\n" % (self.code if self.code in {220, 221, 235, 354} else 354)


@st.composite
def sessions(draw: st.DrawFn) -> tuple[list[Decision], Anomaly]:
    """Return what the server decides, and what goes wrong with one of the replies that this makes."""
    decided = draw(st.lists(decisions(), min_size=1, max_size=8))
    anomaly = Anomaly(
        kind=draw(st.sampled_from(["extra", "extra", "extra", "missing", "missing", "misplaced", "malformed"])),
        index=draw(st.integers(min_value=0, max_value=4 * len(decided))),
        code=draw(st.sampled_from([220, 221, 235, 250, 250, 250, 250, 354, 451, 500, 503, 550])),
    )
    return decided, anomaly


def drive(mode: Mode, decided: list[Decision], anomaly: Anomaly, random: Random) -> Drive:
    """Drive one session in which one thing goes wrong."""
    table = dict(enumerate(decided, 1))
    pipelining = mode != "lockstep"
    client: Client[int] = Client(pipelining=pipelining, depth=3 if mode == "chunking" else 1)
    server = ModelServer(
        table, Habits(pipelining=pipelining, refused_stay_open=random.choice([True, False]), strict=False)
    )
    drive = Drive(client, server, random)
    drive.run(letters(len(table), random), anomaly)
    return drive


@modes
@given(session=sessions(), random=st.randoms(use_true_random=False))
@settings(max_examples=examples(300), deadline=None)
def test_one_anomaly_never_misleads_beyond_the_account(
    mode: Mode, session: tuple[list[Decision], Anomaly], random: Random
) -> None:
    decided, anomaly = session
    driven = drive(mode, decided, anomaly, random)
    client = driven.client
    taken = {forward_path for _, forward_path, _ in driven.server.accepted}

    def differs(one: HandedBack) -> bool:
        assert one.reply is not None
        code, _ = decision(decided, one).outcome(chunked=mode == "chunking")
        # Where all replies are 2yz, which of them was the content's makes no difference.
        same = one.reply.code == code or (one.reply.code < 300 and code < 300)
        return not same or (one.reply.code < 300) != (one.envelope[1] in taken)

    # Everything that was begun is handed back once.
    assert sorted(transaction.key for transaction in driven.ended) == [transaction.key for transaction in driven.begun]
    # What was answered otherwise than by the server's own decision is among the last that the client calls unconfirmed.
    confirmed = driven.received[: len(driven.received) - client.unconfirmed]
    assert not any(differs(one) for one in handed_back(confirmed))
    # What is called unsent, or was not committed, never arrived.
    for one in handed_back(driven.ended):
        if one.disposition is Disposition.UNSENT or not one.committed:
            assert one.envelope[1] not in taken
    # No reply is believed that a broken stream leaves half of; what is counted from its end is right.
    if client.error is not None:
        answered = [one for one in handed_back(driven.abandoned) if one.disposition is Disposition.ANSWERED]
        assert client.out_of_step or not answered
        assert not any(differs(one) for one in answered)
    # Nothing is unconfirmed in a session that came to its end.
    if client.error is None and not driven.stalled:
        assert client.unconfirmed == 0


def test_a_refusal_before_the_content_is_within_the_account_too() -> None:
    """Lockstep: MAIL is told a refusal too many; all refusals that follow from it are unconfirmed."""
    client: Client[int] = Client(pipelining=False)
    refused: list[Transaction[int]] = []
    for number, answers in enumerate([[b"550 nobody asked\r\n"], [b"250 mail\r\n", b"503 nested MAIL\r\n"]], 1):
        client.begin(Transaction(number, mail=commands.mail(""), rcpt=commands.rcpt("r@example.com"), content=b""))
        for answer in answers:
            client.data_to_send()
            refused += client.receive(answer)
    # 503 to RCPT may be how this server refuses a recipient, so the session goes on; but nothing was accepted.
    assert [(transaction.key, transaction.reply and transaction.reply.code) for transaction in refused] == [
        (1, 550),
        (2, 503),
    ]
    assert client.unconfirmed == 2
