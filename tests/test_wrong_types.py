"""Every public callable says at once which argument is of a wrong type: a TypeError, or a UsageError with the key."""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
import pickle
import re
import ssl
from dataclasses import fields
from email.message import EmailMessage
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

import batchsend
from batchsend import (
    BatchsendError,
    Campaign,
    Choice,
    DeliveryResult,
    Message,
    Outcome,
    Server,
    Submission,
    UsageError,
)
from batchsend.campaign import Attachment, Dkim, SuppressionList
from batchsend.sink import Sink, SinkOptions

if TYPE_CHECKING:
    from collections.abc import Callable

WRONG = (object(), 7.5, [3], True, b"octets", {3: 3})
# Of the right type, and yet none of their kind.
BAD: dict[tuple[str, str], tuple[Any, ...]] = {
    ("Batch", "limit"): (0, -1),
    ("Batch", "notice"): (None,),
    ("Batch", "only"): ("rejected", b""),
    ("Campaign", "delivery"): (None,),
    ("Campaign", "message"): (None, "x"),
    ("Campaign", "recipients"): ("", "a\0b", "\ud800", None),
    ("Campaign", "results"): ("", "a\0b", "\ud800", None),
    ("Campaign", "servers"): ((), None, (None,)),
    ("Choice", "wanted"): ("rejected", b"", {}),
    ("Duration", "value"): (0, -1, float("nan"), float("inf"), 10**400, 86401, "", "soon"),
    ("Envelope", "also"): ("b@example.com", "", b"", None, {}),
    ("load", "path"): ("", "a\0b", "\ud800"),
    ("Rate", "count"): (0, -1, float("nan"), float("inf"), 10**400),
    ("Rate", "seconds"): (0, -1, float("nan"), float("inf"), 10**400),
    ("Resumption", "path"): ("", "a\0b", "\ud800"),
    ("Sender", "notice"): (None,),
    ("Sender", "results"): ("", "a\0b", "\ud800"),
    ("SyncSender", "notice"): (None,),
    ("SyncSender", "results"): ("", "a\0b", "\ud800"),
    ("Template", "directory"): ("", "a\0b", "\ud800"),
    ("UnfinishedError", "results"): ("results", b"", {}),
}
MESSAGE: dict[str, Any] = {"from_": "a@example.com", "subject": "x", "text": "x"}
SERVER = Server(host="127.0.0.1", port=9, tls="none")
# Made by batchsend for the program, or enumerations and errors.
NOT_CALLED = {"DeliveryResult", "Summary", "Outcome", "Stage", "RecordErrorKind", "__version__"}
ERRORS = [batchsend.BatchsendError, batchsend.RunError, batchsend.SessionError, batchsend.UsageError]
# Looked at where they are used: by Delivery, or by a session.
LOOKED_AT_LATER = {"Submission"}
# What a value of a strange type is allowed for.
ALLOWED: set[tuple[str, str, type]] = {
    ("Batch", "recipients", list),  # of mappings: what is in it shows when it is read
    ("Delivery", "retry_after", float),
    ("Delivery", "give_up_after", float),
    ("Delivery", "max_wait", float),
    ("Delivery", "require_tls", bool),
    ("Server", "pipelining", bool),
    ("Message", "inline_css", bool),
    ("Resumption", "accept_duplicates", bool),
    ("Batch", "overrides", dict),
    ("Duration", "value", float),
    ("load", "environ", dict),
    ("load", "resolve_credentials", bool),
    ("Rate", "count", float),
    ("Rate", "seconds", float),
    *(("Timeouts", name, float) for name in inspect.signature(batchsend.Timeouts).parameters),
}


def calls(folder: Path) -> dict[str, tuple[Callable[..., object], dict[str, Any]]]:
    """Each public callable, with the arguments that it needs."""
    of_campaign: dict[str, Any] = {
        "path": folder / "campaign.toml",
        "directory": folder,
        "recipients": folder / "list.csv",
        "results": folder / "results.jsonl",
        "servers": (SERVER,),
        "message": Message(**MESSAGE),
    }
    campaign = Campaign(**of_campaign)
    return {
        "Batch": (batchsend.Batch, {"campaign": campaign}),
        "Campaign": (Campaign, of_campaign),
        "Choice": (Choice, {}),
        "Duration": (batchsend.Duration, {"value": 5}),
        "RecordError": (batchsend.RecordError, {"message": "x"}),
        "Secret": (batchsend.Secret, {"value": "x"}),
        "UnfinishedError": (batchsend.UnfinishedError, {"message": "x"}),
        **{error.__name__: (error, {"message": "x"}) for error in ERRORS},
        "Delivery": (batchsend.Delivery, {}),
        "Envelope": (batchsend.Envelope, {"reverse_path": "a@example.com", "forward_path": "b@example.com"}),
        "Message": (Message, MESSAGE),
        "Rate": (batchsend.Rate, {"count": 5, "seconds": 1}),
        "Resumption": (batchsend.Resumption, {"path": folder / "results.jsonl", "choice": Choice()}),
        "Sender": (batchsend.Sender, {"servers": SERVER}),
        "Server": (Server, {"host": "relay.example.net"}),
        "SyncSender": (batchsend.SyncSender, {"servers": SERVER}),
        "Template": (batchsend.Template, {"message": Message(**MESSAGE)}),
        "Timeouts": (batchsend.Timeouts, {}),
        "load": (batchsend.load, {"path": folder / "campaign.toml"}),
        "send": (batchsend.send, {"campaign": campaign}),
    }


def test_every_public_callable_is_tried() -> None:
    assert set(batchsend.__all__) == calls(Path()).keys() | NOT_CALLED | LOOKED_AT_LATER


@pytest.mark.parametrize("name", calls(Path()))
def test_a_wrong_type_is_said_at_once_and_of_which_argument(name: str, tmp_path: Path) -> None:
    called, needed = calls(tmp_path)[name]
    wrongly_taken = []
    for parameter in inspect.signature(called).parameters.values():
        for wrong in (*WRONG, *BAD.get((name, parameter.name), ())):
            key = (name, parameter.name, type(wrong))
            if key in ALLOWED and wrong in WRONG:
                continue
            given = {**needed, parameter.name: wrong}
            unnamed = () if name == "Campaign" else ("servers", "value")
            servers = [given.pop(one) for one in unnamed if one in given]
            try:
                called(*servers, **given)
            except (TypeError, BatchsendError) as error:
                said = error.message if isinstance(error, BatchsendError) else str(error)
                if parameter.name.rstrip("s_") in said:
                    continue
            wrongly_taken.append(key)
    assert wrongly_taken == []


MAIL = EmailMessage()
MAIL["From"], MAIL["To"] = "a@example.com", "b@example.com"
# Lists may be recipients and messages; what is in them is no address and no message.
SAYS = {
    "message": "EmailMessage",
    "messages": "message",
    "recipients": "recipient",
    "record": "record|field",
}
RESULT = DeliveryResult(record=1, recipient="b@example.com", status=Outcome.ACCEPTED, time=0.0)
# True is the number 1 where a number is looked up in a table.
RIGHT: set[tuple[str, str, type]] = {
    ("Resumption.next_attempt", "record", bool),
    ("Resumption.was_offered", "record", bool),
}


def methods(folder: Path) -> dict[str, tuple[Callable[..., object], dict[str, Any]]]:
    """Each public method that takes something, with the arguments that it needs."""
    made = calls(folder)
    blocking = batchsend.SyncSender(SERVER)

    def asynchronous(name: str) -> Callable[..., object]:
        async def call(**given: Any) -> object:
            async with batchsend.Sender(SERVER) as sender:
                begun = getattr(sender, name)(**given)
                return await begun if inspect.isawaitable(begun) else [result async for result in begun]

        return lambda **given: asyncio.run(call(**given))

    def resumed(name: str) -> Callable[..., object]:
        def call(**given: Any) -> object:
            log = folder / "kept.jsonl"
            with batchsend.SyncSender(SERVER, results=log) as sender:
                sender.send_all([EmailMessage()])  # it has no recipient: its outcome is in the log, and nothing is sent
            with batchsend.Resumption(log, Choice()) as past:
                return getattr(past, name)(**given)

        return call

    return {
        "Batch.stop": (batchsend.Batch(**made["Batch"][1]).stop, {"reason": "x"}),
        "Choice.has_code": (Choice().has_code, {"line": RESULT}),
        "Choice.wants": (Choice().wants, {"line": RESULT}),
        "Duration.parse": (batchsend.Duration.parse, {"text": "5m"}),
        "Rate.parse": (batchsend.Rate.parse, {"text": "5/s"}),
        "Resumption.next_attempt": (resumed("next_attempt"), {"record": 1}),
        "Resumption.sends": (resumed("sends"), {"status": Outcome.DEFERRED}),
        "Resumption.was_offered": (resumed("was_offered"), {"record": 1}),
        "Sender.unclaimed": (batchsend.Sender(SERVER).unclaimed, {"result": None}),
        "Sender.send": (asynchronous("send"), {"messages": [MAIL]}),
        "Sender.send_all": (asynchronous("send_all"), {"messages": [MAIL]}),
        "Sender.send_message": (asynchronous("send_message"), {"message": MAIL}),
        "Summary.count": (batchsend.Summary().count, {"result": RESULT}),
        "SyncSender.send": (lambda **given: list(blocking.send(**given)), {"messages": [MAIL]}),
        "SyncSender.send_all": (blocking.send_all, {"messages": [MAIL]}),
        "SyncSender.send_message": (blocking.send_message, {"message": MAIL}),
        "Template.render": (batchsend.Template(Message(**MESSAGE)).render, {"record": {"email": "b@example.com"}}),
    }


def public_methods() -> dict[str, list[str]]:
    """What each public method of a public class takes; enumerations and errors have none of their own."""
    found = {}
    for name in batchsend.__all__:
        if not inspect.isclass(kind := getattr(batchsend, name)) or issubclass(kind, BatchsendError | Enum):
            continue
        for called, static in vars(kind).items():
            method = getattr(static, "__func__", static)
            if called.startswith("_") or not inspect.isfunction(method):
                continue
            taken = list(inspect.signature(method).parameters)[1:]
            if taken:
                found[f"{name}.{called}"] = taken
    return found


def test_every_public_method_is_tried(tmp_path: Path) -> None:
    assert set(public_methods()) == set(methods(tmp_path))


@pytest.mark.parametrize("name", methods(Path()))
def test_so_is_a_wrong_type_given_to_a_method(name: str, tmp_path: Path) -> None:
    """Before anything is sent: there is no server."""
    called, needed = methods(tmp_path)[name]
    wrongly_taken = []
    for parameter in public_methods()[name]:
        for wrong in WRONG:
            if (name, parameter, type(wrong)) in RIGHT:
                continue
            with pytest.raises((TypeError, BatchsendError)) as caught:
                called(**{**needed, parameter: wrong})
            if not re.search(SAYS.get(parameter, parameter), str(caught.value)):
                wrongly_taken.append((parameter, type(wrong), str(caught.value)))
    assert wrongly_taken == []


@pytest.mark.parametrize("text", ["", "\0", "\ud800", "soon", "0/s", "0s", "9" * 400 + "/s", "2d"])
@pytest.mark.parametrize("kind", [batchsend.Rate, batchsend.Duration])
def test_a_text_that_is_none_is_shown_with_what_is_expected(kind: Any, text: str) -> None:
    with pytest.raises(UsageError, match=r"^text is ") as caught:
        kind.parse(text)
    assert "expected a" in (caught.value.remedy or "")
    assert isinstance(caught.value, ValueError), "as programs may have caught it"


@pytest.mark.parametrize("wrong", [3, "text", None, object()])
def test_so_does_a_submission_where_it_is_sent(wrong: Any) -> None:
    with batchsend.SyncSender(SERVER) as sender:
        for fields in ({"content": wrong}, {"envelope": wrong}):
            sound = {"content": b"Subject: x\r\n\r\n", "envelope": batchsend.Envelope("a@example.com", "b@example.com")}
            with pytest.raises(TypeError, match=next(iter(fields))):
                sender.send_message(Submission(record=1, **{**sound, **fields}))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"record": 0}, {"record": -1}, {"attempt": 0}, {"canonical": True, "content": b"no end"}),
        *({"message_id": "bad\r\nid"}, {"message_id": "<bad@example.com>\nX-Id: é"}),
    ],
)
def test_and_what_a_submission_says_of_itself_must_be_possible(wrong: dict[str, Any]) -> None:
    envelope = batchsend.Envelope("a@example.com", "b@example.com")
    sound = {"record": 1, "content": b"Subject: x\r\n\r\n", "envelope": envelope}
    with batchsend.SyncSender(SERVER) as sender, pytest.raises(UsageError, match=next(iter(wrong))):
        sender.send_message(Submission(**{**sound, **wrong}))


def test_a_resumption_is_used_within_its_with(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("email\n")
    campaign = calls(tmp_path)["Batch"][1]["campaign"]
    batchsend.send(campaign)
    past = batchsend.Resumption(campaign.results, Choice())
    for use in (past.hand_over_file, lambda: past.next_attempt(1), lambda: past.was_offered(1)):
        with pytest.raises(UsageError, match="resumption is not open"):
            use()
    with past:
        batch = batchsend.Batch(campaign, resumption=past)
        assert past.next_attempt(1) == 1
    with pytest.raises(UsageError, match="resumption is not open") as caught:
        asyncio.run(batch.run())
    assert caught.value.remedy == "with Resumption(…) as past: Batch(…, resumption=past)"
    with pytest.raises(UsageError, match="resumption is not open"):
        past.hand_over_file()


async def asynchronous(_: object) -> str:
    raise AssertionError("nobody would await it")


class Asynchronous:
    async def __call__(self, _: object) -> None:
        await asynchronous(_)


@pytest.mark.parametrize("given", [asynchronous, partial(asynchronous, 1), Asynchronous()])
def test_a_function_whose_outcome_nobody_awaits_is_refused(given: Any, tmp_path: Path) -> None:
    """It would not even be begun."""
    campaign = calls(tmp_path)["Batch"][1]["campaign"]
    sender = batchsend.SyncSender(SERVER, results=tmp_path / "kept.jsonl")
    refused: dict[str, Callable[[], object]] = {
        "notice": lambda: batchsend.Sender(SERVER, notice=given),
        "unclaimed": lambda: batchsend.SyncSender(SERVER, unclaimed=given),
        "key": lambda: sender.send([], key=given),
        "on_message": lambda: Sink(on_message=given),
        "recipients": lambda: SinkOptions(recipients=given),
    }
    for name, call in refused.items():
        with pytest.raises(TypeError, match=f"^{name} must be an ordinary function: what an asynchronous one does"):
            call()
    with pytest.raises(TypeError, match=r"^notice must be an ordinary function"):
        batchsend.Batch(campaign, notice=given)


@pytest.mark.parametrize("field", [field.name for field in fields(SinkOptions)])
def test_an_option_of_the_sink_refuses_what_it_cannot_be_by_its_name(field: str) -> None:
    wrongs: tuple[Any, ...] = (object(), b"octets", (3,))
    for wrong in wrongs:
        with pytest.raises(TypeError, match=f"{field}.* must be "):
            SinkOptions(**{field: wrong})
    with pytest.raises(TypeError, match="options must be a SinkOptions"):
        Sink(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [batchsend.Sender, batchsend.SyncSender])
def test_a_sender_is_not_copied_or_pickled(kind: Callable[..., object]) -> None:
    """Two of them would have one pool, and close it for each other."""
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="Sender is not copied or pickled"):
            copied(kind(SERVER))


@pytest.mark.parametrize("results", [None, "kept.jsonl"])
def test_a_sender_is_not_opened_where_no_loop_of_asyncios_runs(results: str | None, tmp_path: Path) -> None:
    sender = batchsend.Sender(SERVER, results=None if results is None else tmp_path / results)
    with pytest.raises(UsageError, match="a Sender needs asyncio's event loop, and none runs here"):
        sender.__aenter__().send(None)

    async def use() -> None:
        async with sender:
            pass

    asyncio.run(use())


def test_neither_is_a_batch_begun_there(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("email\n")
    batch = batchsend.Batch(calls(tmp_path)["Batch"][1]["campaign"])
    for begun in (batch.run(), batch.rehearse(), batch.prepare(), anext(batch.results())):
        with pytest.raises(UsageError, match="a Batch needs asyncio's event loop, and none runs here"):
            begun.__await__().send(None)
    asyncio.run(batch.run())


async def test_send_does_not_wait_in_a_running_loop(tmp_path: Path) -> None:
    campaign = calls(tmp_path)["Batch"][1]["campaign"]
    with pytest.raises(UsageError, match="an event loop is running in this thread") as caught:
        batchsend.send(campaign)
    assert caught.value.remedy == "await Batch(campaign).run()"
    assert isinstance(caught.value, RuntimeError), "as programs may have caught it"


@pytest.mark.parametrize("kind", [batchsend.Sender, batchsend.SyncSender])
def test_a_servers_tls_context_is_refused(kind: Callable[..., object]) -> None:
    with pytest.raises(UsageError, match=r"^context is one by which a server proves who it is"):
        kind(SERVER, context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def test_a_mapping_that_is_none_is_a_value_of_a_wrong_type() -> None:
    """msgspec asks a sequence of no known type for its keys."""
    with pytest.raises(UsageError, match=r"^Message\.headers is range"):
        Message(**{**MESSAGE, "headers": range(3)})


def test_help_does_not_show_the_environment() -> None:
    for name in batchsend.__all__:
        public = getattr(batchsend, name)
        if inspect.isfunction(public):
            assert all(given.default is not os.environ for given in inspect.signature(public).parameters.values())


NO_FILES = ["\ud800", "a\0b", "x" * 300, "a/" * 3000]
OF_A_MESSAGE = ("html_file", "text_file", "markdown_file", "style_file", "eml_file", "attachments", "file", "key_file")


@pytest.mark.parametrize("name", NO_FILES, ids=["surrogate", "NUL", "long name", "long path"])
def test_a_name_that_no_file_can_have_is_said_with_its_key(name: str, tmp_path: Path) -> None:
    made = calls(tmp_path)["Campaign"][1]

    def use(key: str) -> None:
        of_message: dict[str, dict[str, Any]] = {
            "style_file": {**MESSAGE, "text": None, "markdown": "x", "style_file": name},
            "eml_file": {"eml_file": name},
            "attachments": {**MESSAGE, "attachments": (name,)},
        }
        if key == "file":
            of_message[key] = {**MESSAGE, "attachments": (Attachment(file=name),)}
        if key == "key_file":
            of_message[key] = {**MESSAGE, "dkim": (Dkim(domain="example.com", selector="s", key_file=Path(name)),)}
        given = of_message.get(key, {**MESSAGE, "text": None, key: name})
        batchsend.Template(Message(**given), directory=tmp_path)

    for key in OF_A_MESSAGE:
        with pytest.raises(UsageError, match=rf"\.{key} is ") as caught:
            use(key)
        str(caught.value).encode()  # it can be written down
    with pytest.raises(UsageError, match=r"^Server\.ca_file is "):
        batchsend.Sender(Server(host="relay.example.net", ca_file=name))
    with pytest.raises(UsageError, match=r"^Delivery\.exclude is "):
        batchsend.Sender(SERVER, delivery=batchsend.Delivery(exclude=(name,)))
    with pytest.raises(UsageError, match=r"^Delivery\.suppress is "):
        batchsend.Sender(SERVER, delivery=batchsend.Delivery(suppress=(name,)))
    with pytest.raises(UsageError, match="SuppressionList"):
        batchsend.Sender(SERVER, delivery=batchsend.Delivery(suppress=(SuppressionList(file=Path(name)),)))
    with pytest.raises(UsageError, match=r"^Campaign\.results is |: the results log cannot be opened"):
        batchsend.send(Campaign(**{**made, "recipients": "-", "results": name}))


def test_a_folder_that_may_not_be_entered_is_said_with_the_key(tmp_path: Path) -> None:
    """A link that leads to itself cannot be looked behind by anybody; not even by root, as a folder's mode can."""
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(UsageError, match=r"^Message\.html_file is ") as caught:
        batchsend.Template(
            Message(from_="a@example.com", subject="x", html_file=tmp_path / "round" / "a.html"), directory=tmp_path
        )
    assert "symbolic links" in str(caught.value)


def test_a_type_has_its_article() -> None:
    with pytest.raises(TypeError, match=r"^limit must be an int or None, not list$"):
        batchsend.send("campaign.toml", limit=[])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^context must be an SSLContext or None, not str$"):
        batchsend.Sender(SERVER, context="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^retry must be a Choice or None, not str$"):
        batchsend.Sender(SERVER, retry="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"delivery": None}, {"events": 3}, {"servers": ()}, {"message": "x"}])
def test_a_value_that_is_replaced_is_looked_into_as_well(wrong: dict[str, Any], tmp_path: Path) -> None:
    campaign = calls(tmp_path)["Batch"][1]["campaign"]
    with pytest.raises(UsageError, match=rf"^Campaign\.{next(iter(wrong))} is "):
        replace(campaign, **wrong)


def test_a_run_to_go_on_with_has_to_be_open(tmp_path: Path) -> None:
    campaign = calls(tmp_path)["Batch"][1]["campaign"]
    with pytest.raises(UsageError, match=r"^resumption is not open"):
        batchsend.Batch(campaign, resumption=batchsend.Resumption(campaign.results, Choice()))
