"""The lines of the results log, as octets: two for each run, one for each change of it, and one for each attempt."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchsend.outcome import DeliveryResult
    from batchsend.results.run import Change, RecipientsFile, Run


def run_line(run: Run) -> bytes:
    """``{"run": {…}}`` and a line feed; what most runs do not have is left out where there is none."""
    recipients = _described(run.recipients)
    line: dict[str, dict[str, Any]] = {
        "run": {
            "id": run.id,
            "started": timestamp(run.started),
            "campaign": run.campaign,
            "recipients": recipients,
            "server": run.server,
            "version": run.version,
        }
    }
    if run.suppress:
        line["run"]["suppress"] = [{"path": file.path, "entries": file.entries} for file in run.suppress]
    if run.overrides:
        line["run"]["overrides"] = dict(run.overrides)
    if run.servers:
        line["run"]["servers"] = run.servers
    if run.where is not None:
        line["run"]["where"] = run.where
    if run.recipient_field is not None:
        line["run"]["recipient_field"] = run.recipient_field
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _described(file: RecipientsFile) -> dict[str, Any]:
    described: dict[str, Any] = {"path": file.path, "size": file.size, "sha256": file.sha256}
    if file.only:
        described["only"] = file.only
    if file.text_sha256 is not None:
        described |= {"text_size": file.text_size, "text_sha256": file.text_sha256}
    if file.of is not None:
        described["of"] = _described(file.of)
    return described


def end_line(run: str, *, ended: float, stopped: str | None, learned: Mapping[str, float]) -> bytes:
    """The last line of a run that came to an end with nothing in flight: where it is missing, the run was killed.

    Args:
        run: The run's identity.
        ended: When, in seconds since the epoch.
        stopped: Why it ended before all records were done, or None.
        learned: What the server has shown it allows, by the name of the option that would set it.
    """
    line = {"run": {"id": run, "ended": timestamp(ended), "stopped": stopped, "learned": dict(learned)}}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def change_line(run: str, *, changed: float, change: Mapping[str, Change], by: str) -> bytes:
    """What somebody has changed while the run goes on.

    Args:
        run: The run's identity.
        changed: When, in seconds since the epoch.
        change: What, by the name of the option that would set it; or ``paused``.
        by: By which way: ``control``, ``key``, ``page`` or another one.
    """
    line = {"run": {"id": run, "changed": timestamp(changed), "change": dict(change), "by": by}}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def outcome_line(result: DeliveryResult) -> bytes:
    """One outcome as a JSON object and a line feed; ``line``, ``server``, ``key`` only where there is one."""
    line: dict[str, Any] = {
        "record": result.record,
        "recipient": result.recipient,
        "status": result.status,
        "stage": result.stage,
        "code": result.code,
        "enhanced": result.enhanced,
        "reply": result.reply,
        "reason": result.reason,
        "attempt": result.attempt,
        "session": result.session,
        "message_id": result.message_id,
        "time": timestamp(result.time),
        "elapsed": result.elapsed,
    }
    if result.line is not None:
        line["line"] = result.line
    if result.server is not None:
        line["server"] = result.server
    if result.key is not None:
        line["key"] = result.key
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


# Formatting a date costs more than the rest of a line; thousands of outcomes share a second, and some a millisecond.
_second = _millisecond = -1  # before any time that there is
_prefix = _text = ""
_THOUSANDTHS: Final = tuple(f".{thousandth:03d}Z" for thousandth in range(1000))


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    global _second, _prefix, _millisecond, _text  # noqa: PLW0603 - caches of one entry
    millisecond = int(seconds * 1000)
    if millisecond != _millisecond:
        whole = millisecond // 1000
        if whole != _second:
            _prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
            _second = whole
        _text = _prefix + _THOUSANDTHS[millisecond % 1000]
        _millisecond = millisecond
    return _text
