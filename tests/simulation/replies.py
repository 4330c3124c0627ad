"""What the relays of the simulation say: wordings of every verdict, and what no reply can be."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from batchsend.outcome import Stage

_TABLE: Final = Path(__file__).parents[1] / "run" / "refusals.tsv"


def _rows() -> list[tuple[Stage, str, str]]:
    """The wordings of refusals that the tests of whole runs have: stage, verdict, reply."""
    lines = _TABLE.read_text().splitlines()[1:]
    return [(Stage(stage), verdict, reply) for stage, verdict, reply in (line.split("\t") for line in lines)]


REFUSALS: Final = _rows()
QUOTA_OF_A_MINUTE: Final = "454 4.7.0 Quota exceeded, try again in 60 seconds"
MEANS: Final = {reply: verdict for _, verdict, reply in REFUSALS} | {QUOTA_OF_A_MINUTE: "quota"}
"""The verdict of each wording, of those whose text stands for nothing else at another stage."""

QUOTAS: Final = [(stage, reply) for stage, verdict, reply in REFUSALS if verdict == "quota" and stage is not Stage.DATA]

OF_THE_RECORD: Final = frozenset({"mailbox", "content", "sender", "refused", "other"})
"""Verdicts that may reject a record; all others are about something else, or pass."""

FOR_GOOD: Final = frozenset({"mailbox", "content", "refused"})
"""Verdicts that reject a record where the code is 5yz."""

PLAIN: Final = {
    Stage.MAIL: ("451 4.3.0 Try again later", "421 4.3.2 going down", "550 5.7.1 refused"),
    Stage.RCPT: ("450 4.2.0 Try again later", "550 5.1.1 No such user", "421 4.3.2 going down", "552 5.2.2 full"),
    Stage.DATA: ("451 4.3.0 Try again later", "554 5.5.0 no", "421 4.3.2 going down"),
    Stage.CONTENT: ("451 4.3.0 Try again later", "554 5.6.0 no", "421 4.3.2 going down", "550 5.7.1 spam"),
    Stage.GREETING: ("421 4.3.2 not now", "554 5.3.2 no service here", "450 later"),
    Stage.EHLO: ("421 4.3.2 not now", "451 later"),
    Stage.AUTH: ("454 4.7.0 Temporary authentication failure", "421 4.3.2 not now"),
}
"""Refusals without words that say more."""

IMPOSSIBLE: Final = ("150 wait", "650 what", "what is it", "220 hello", "354 go", "99 x")
"""What is no reply, or none to what was asked."""

LOCKED_OUT: Final = "535 5.7.8 Authentication credentials invalid"

OUT_OF_PLACE: Final = "503 5.5.1 Bad sequence of commands"

ODD: Final = frozenset({*IMPOSSIBLE, OUT_OF_PLACE})
"""Replies after which nothing that was said in their session need be believed."""
