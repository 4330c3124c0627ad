"""The report of a sender's log advises what its program can do: there is no command that goes on with it."""

from __future__ import annotations

import json
from email.message import EmailMessage
from typing import TYPE_CHECKING

from batchsend import Delivery, Server, SyncSender
from batchsend.report.analysis import analyse
from batchsend.report.html import render
from batchsend.sink import SinkOptions, parse_rule
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from pathlib import Path


def message(*recipients: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["Subject"] = "shop@example.com", "x"
    if recipients:
        made["To"] = ", ".join(recipients)
    return made


def test_it_advises_what_the_program_can_do(tmp_path: Path) -> None:
    rules = [("defer", "later@example.com=450"), ("drop", "lost@example.com=content"), ("reject", "no@example.com=550")]
    options = SinkOptions(rules=tuple(parse_rule(*rule) for rule in rules))
    log = tmp_path / "mail.jsonl"
    with SinkThread(options) as sink:
        server = Server(host="127.0.0.1", port=sink.port, tls="none")
        with SyncSender(server, delivery=Delivery(max_attempts=1), results=log) as sender:
            sender.send_all([message(), *(message(f"{name}@example.com") for name in ("later", "lost", "no", "a"))])
    # As of a process that was killed: its log has no line of the end.
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    report = analyse(log)
    assert report.stopped is not None
    advice = {failure.cause.name: failure.cause.advice for failure in report.failures}
    assert "`Sender(…, results=…)`, given these messages again" in "".join(advice.values())
    assert '`Sender(…, results=…, retry=Choice(["in_doubt"]))` sends them again' in advice["In doubt"]
    assert "recipients file" not in advice["Invalid record"]
    for shown in (json.dumps(report.to_json()), render(report, version="1")):
        assert "batchsend resume" not in shown
        assert "[delivery]" not in shown
