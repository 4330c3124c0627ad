"""``batchsend explain``: what a server's reply means, and what a run would do about it."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any, Final

import click

from batchsend.cli.campaigns import tell, tell_json
from batchsend.delivery.replies import (
    Judgement,
    Period,
    advice,
    judge,
    parse,
    period_named,
    usual_stage,
    wait_named,
)
from batchsend.display import printable
from batchsend.errors import UsageError
from batchsend.outcome import Stage
from batchsend.results.line import timestamp
from batchsend.smtp.closing_replies import SILENCE_SECONDS, waits_from
from batchsend.verdict import Scope, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.smtp.replies import Reply

_ABOUT: Final = {
    Scope.RECIPIENT: "this recipient",
    Scope.MESSAGE: "the message, whoever gets it",
    Scope.SESSION: "this session",
    Scope.RELAY: "the relay",
    Scope.RUN: "everything from this sender",
}
# A relay counts back from now or from the beginning of its hour or day: this is the longer of the two.
_LATEST: Final[dict[Period | None, float]] = {Period.HOUR: 3600.0, Period.DAY: 86400.0}
_LONGEST: Final = 64 * 1024  # characters read from standard input: no reply is longer
_BEFORE_CONTENT: Final = (Stage.MAIL, Stage.RCPT, Stage.DATA)
_NARROWEST: Final = 40
_WIDEST: Final = 100
_TIMED: Final = (Verdict.QUOTA, Verdict.GREYLISTED, Verdict.PACE, Verdict.LATER, Verdict.CONNECTIONS, Verdict.RELAY)


@click.command()
@click.argument("reply", nargs=-1, required=True)
@click.option(
    "--stage",
    type=click.Choice([stage.value for stage in Stage]),
    help="Where in the dialogue the reply came; otherwise where this wording is known from, or rcpt.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(reply: tuple[str, ...], *, stage: str | None, as_json: bool) -> None:
    r"""Say what a server's REPLY means, and what would be done about it.

    That is: for the record, its session, the relay and the run; until when; and what to do.

    REPLY is code and text, as a log or a bounce has it. Its lines are separated by line ends, by \n or by " / "; "-"
    reads it from standard input.
    """
    text = " ".join(reply)
    if text == "-":
        text = sys.stdin.read(_LONGEST)
    said = parse(text)
    if 300 <= said.code < 400:
        raise UsageError(f"{said.code} asks for more and decides nothing", remedy="give a reply of 2yz, 4yz or 5yz")
    at = Stage(stage) if stage is not None else usual_stage(said)
    found = judge(at, said)
    until = _until(said, found, time.time())
    if as_json:
        tell_json(_object(said, at, found, until))
        return
    for line in _lines(said, at, found, until):
        tell(line)


def _until(said: Reply, found: Judgement, now: float) -> float | None:
    """Until when to wait, in seconds since the epoch, or None: as the reply says, or until its period is over."""
    if found.verdict not in _TIMED:
        return None
    wait = wait_named(said.text, now)
    if wait is None and found.verdict is Verdict.QUOTA:
        wait = _LATEST.get(period_named(said.text))
    return None if wait is None else now + wait


def _object(said: Reply, stage: Stage, found: Judgement, until: float | None) -> dict[str, Any]:
    effects = found.effects
    return {
        "verdict": found.verdict,
        "outcome": found.outcome or "goes_back",
        "reason": found.reason,
        "scope": found.scope,
        "until": None if until is None else timestamp(until),
        "period": period_named(said.text) if found.verdict is Verdict.QUOTA else None,
        "provider": found.provider,
        "advice": effects.advice or advice(found.verdict, found.reason),
        "rule": found.rule,
        "stage": stage,
        "code": said.code,
        "enhanced": said.enhanced,
        "record": _record(found) or effects.record,
        "session": effects.session,
        "relay": effects.relay,
        "run": effects.run,
        "in_doubt_from": _in_doubt_from(said, stage),
    }


def _in_doubt_from(said: Reply, stage: Stage) -> float | None:
    """From how many seconds of silence before this reply its record is in doubt, or None: it never is."""
    return waits_from(said) if stage is Stage.CONTENT and said.code >= 400 else None


def _doubt(said: Reply, stage: Stage) -> str | None:
    """When a message is in doubt after this reply, as the sessions decide it."""
    if (seconds := _in_doubt_from(said, stage)) is not None:
        return (
            f"the record, and what is committed behind it, if the server had said nothing for {seconds:g} s or more: "
            "everything was sent to it, so either that has not arrived, or an answer was lost; the session is over then"
        )
    if said.code == 421 and stage in _BEFORE_CONTENT:
        return (
            f"not this record; but the message before it, if the server had said nothing for {SILENCE_SECONDS:g} s or "
            "more, and what that message was told may have been the answer to a later command"
        )
    return None


def _record(found: Judgement) -> str | None:
    """What the record gets, where code and verdict together say it."""
    return found.outcome.value if found.outcome is not None and found.verdict not in _TIMED else None


def _lines(said: Reply, stage: Stage, found: Judgement, until: float | None) -> Iterator[str]:
    effects = found.effects
    facts = {
        "reply": printable(str(said)),
        "stage": stage.value,
        "verdict": found.verdict.value + (f" ({found.reason})" if found.reason is not None else ""),
        "about": _ABOUT[found.scope],
        "record": _record(found) or effects.record,
        "in doubt": _doubt(said, stage),
        "session": effects.session,
        "relay": effects.relay,
        "run": effects.run,
        "until": None if until is None else f"{timestamp(until)}, at the latest",
        "provider": found.provider,
        "known by": found.rule + (f"; {found.entry.source}" if found.entry is not None else ""),
        "to do": effects.advice or advice(found.verdict, found.reason),
    }
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    for name, value in facts.items():
        if value is not None:
            lead = f"{name:<10}"
            yield from textwrap.wrap(value, width, initial_indent=lead, subsequent_indent=" " * len(lead))
