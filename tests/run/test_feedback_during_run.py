"""A run heeds what comes back while it goes on: who has unsubscribed by then is not written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import orjson
import pytest

from batchsend.campaign import Campaign, Delivery, Message, Server
from batchsend.campaign.model import feedback_path
from batchsend.errors import RunError
from batchsend.message import Suppression
from batchsend.run.batch import Batch
from batchsend.sink import Sink
from tests.cli.commandline import complaint, invoke, make_campaign, outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.sink.received import Received

COUNT = 3000
LAST = f"r{COUNT}@example.org"


def line(recipient: str, kind: str = "unsubscribed", *, record: int = 1, time: str | None = None) -> bytes:
    fields = {"record": record, "recipient": recipient, "kind": kind, "hard": False, "time": time}
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def campaign(folder: Path, port: int, *suppress: str, processes: int | Literal["auto"] = "auto") -> Campaign:
    rows = "".join(f"r{number}@example.org\n" for number in range(1, COUNT + 1))
    (folder / "recipients.csv").write_text(f"email\n{rows}")
    return Campaign(
        path=folder / "campaign.toml",
        directory=folder,
        recipients=folder / "recipients.csv",
        results=folder / "results.jsonl",
        servers=(Server(host="127.0.0.1", port=port, tls="none"),),
        message=Message(from_="a@example.com", subject="News", text="Hello"),
        delivery=Delivery(max_connections=1, suppress=suppress, processes=processes),
    )


@pytest.mark.parametrize("of_its_own", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_who_unsubscribes_during_the_run_is_not_written_to(tmp_path: Path, of_its_own: bool) -> None:
    """By its own feedback log, which was not there at the start, and by another campaign's."""
    log = feedback_path(tmp_path / "results.jsonl") if of_its_own else tmp_path / "october.feedback.jsonl"
    if not of_its_own:
        log.touch()
    received: list[str] = []

    def on_message(message: Received) -> None:
        if not received:
            log.write_bytes(line(LAST))
        received.extend(message.recipients)

    async with Sink(on_message=on_message) as sink:
        await Batch(campaign(tmp_path, sink.port, *([] if of_its_own else [str(log)]))).run()
    assert len(received) == COUNT - 1
    assert LAST not in received
    (suppressed,) = [one for one in outcomes(tmp_path / "results.jsonl") if one["status"] == "suppressed"]
    assert suppressed["recipient"] == LAST


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_a_feedback_log_that_cannot_be_read_any_more_stops_the_run(tmp_path: Path, processes: int) -> None:
    log = feedback_path(tmp_path / "results.jsonl")

    def on_message(message: Received) -> None:
        log.write_bytes(b'{"email":"x@example.org"}\n')

    async with Sink(on_message=on_message) as sink:
        with pytest.raises(RunError, match="no line of a feedback log"):
            await Batch(campaign(tmp_path, sink.port, processes=processes)).run()


def test_soft_bounces_of_several_campaigns_are_counted_together(tmp_path: Path) -> None:
    logs = [tmp_path / f"{name}.feedback.jsonl" for name in ("august", "september", "october")]
    for log in logs[:2]:
        log.write_bytes(line(LAST, "bounced"))
    listed = Suppression.read(logs[:2])
    assert LAST not in listed
    logs[2].write_bytes(line(LAST, "bounced"))
    assert LAST in Suppression.read(logs)


def test_logs_are_followed_as_they_grow(tmp_path: Path) -> None:
    log, own = tmp_path / "a.feedback.jsonl", tmp_path / "own.feedback.jsonl"
    log.write_bytes(line(LAST, "bounced") + line(LAST, "bounced"))
    listed = Suppression.read([log], own=own)
    assert LAST not in listed
    with log.open("ab") as file:
        file.write(line(LAST, "bounced")[:-5])
        file.flush()
        listed.follow()
        assert LAST not in listed  # the line is not whole yet
        file.write(line(LAST, "bounced")[-5:])
    listed.follow()
    assert LAST in listed
    own.write_bytes(line("anna@example.org", "complained"))
    listed.follow()
    assert "anna@example.org" in listed


def test_its_own_feedback_log_may_be_named_before_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_campaign(tmp_path, delivery='suppress = ["results.feedback.jsonl"]')
    said = invoke(capsys, "send", path, "--sandbox")
    assert said.code == 0
    assert "results.feedback.jsonl has no entries: nobody is kept from being written to by it" in said.errors
    other = make_campaign(tmp_path, delivery='suppress = ["october.feedback.jsonl"]')
    assert "does not exist" in complaint(invoke(capsys, "send", other, "--sandbox"))
