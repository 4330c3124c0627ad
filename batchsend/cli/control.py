"""``batchsend control``: the hand on the wheel of a run under way."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchsend import figures
from batchsend.campaign.nearest import suggestion
from batchsend.cli.campaigns import tell, tell_json
from batchsend.cli.console import Console, pass_console
from batchsend.control.client import ask
from batchsend.control.protocol import ControlCommand, ControlRequest
from batchsend.errors import UsageError
from batchsend.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.control.protocol import ControlAnswer


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.argument("command", metavar="{status|pause|continue|rate R|connections N|stop}")
@click.argument("value", required=False, metavar="")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object on standard output.")
@pass_console
def control(console: Console, results: Path, *, command: str, value: str | None, as_json: bool) -> int:
    """Change the run under way whose results log is RESULTS: by its socket beside the log, as the user whose run it is.

    status says where it stands; pause begins nothing more until continue; rate 50/s (or 600/min, 5000/h, none) and
    connections 3 hold from now on, also when the run is resumed; stop ends it in order, to be resumed. Each change is
    in the results log.
    """
    del console
    answer = ask(results, _request(results, command, value))
    if as_json:
        tell_json({"ok": answer.ok, "message": answer.message, **answer.status})
    if not answer.ok:
        raise UsageError(answer.message, remedy=answer.remedy)
    if not as_json:
        for line in lines(answer):
            tell(line)
    return 0


def _request(results: Path, command: str, value: str | None) -> ControlRequest:
    """The request that a command line means, to the run that keeps this log.

    Raises:
        UsageError: It means none.
    """
    if command not in list(ControlCommand):
        remedy = suggestion(command, list(ControlCommand), otherwise=f"there are {', '.join(ControlCommand)}")
        raise UsageError(f"{command} is nothing that a run can be told", remedy=remedy)
    given: str | int | None = value
    if command == ControlCommand.CONNECTIONS and value is not None and value.isascii() and value.isdecimal():
        given = int(value)
    try:
        return ControlRequest(ControlCommand(command).value, given)
    except ValueError as error:
        example = {ControlCommand.RATE: "rate 50/s", ControlCommand.CONNECTIONS: "connections 3"}.get(
            ControlCommand(command), command
        )
        raise UsageError(
            str(error), remedy=f"such as: batchsend control {shlex.quote(str(results))} {example}"
        ) from None


def lines(answer: ControlAnswer) -> Iterator[str]:
    """What a run has answered, for people."""
    status: dict[str, Any] = answer.status
    yield f"{status['state']}: {answer.message}"
    counts = [f"{outcome.label} {status[outcome.value]:,}" for outcome in Outcome if status.get(outcome.value)]
    done = "" if status["progress"] is None else f" ({status['progress']:.0%})"
    yield f"  {figures.count(status['records'], 'record')}{done}{''.join(f' · {text}' for text in counts)}"
    limit = "no limit" if status["rate"] is None else f"{status['rate']} at most"
    yield f"  {status['accepted_per_second']:g}/s accepted, {limit}; {_sessions(status)}"
    if status["closed_until"] is not None:
        yield f"  nothing is begun until {status['closed_until']}"


def _sessions(status: dict[str, Any]) -> str:
    """How many of the sessions that there may be there are; those beside them that come or go are not counted there.

    A run of an earlier version of the program does not tell of these.
    """
    spare, retiring = status.get("spare", 0), status.get("retiring", 0)
    said = f"{status['sessions'] - spare - retiring} of {figures.count(_allowed(status), 'session')}"
    if retiring:
        said += f", and {retiring} that {'ends' if retiring == 1 else 'end'} with the replies still to come"
    return f"{said}, and {spare} that will take over from {'another' if spare == 1 else 'others'}" if spare else said


def _allowed(status: dict[str, Any]) -> int:
    """How many sessions there may be with all relays together."""
    return int(status.get("sessions_allowed", status["max_connections"]))
