"""The library as a program meets it: every public name can be asked about, and none shows a secret."""

from __future__ import annotations

import ast
import inspect
import io
import pydoc
import typing
from contextlib import redirect_stdout
from pathlib import Path

import msgspec
import pytest

import batchsend
from batchsend import Delivery, Message, RunError, Server, Timeouts, UsageError
from batchsend.campaign import (
    Attachment,
    Campaign,
    Dkim,
    Dsn,
    Duration,
    Events,
    Rate,
    SuppressionList,
    check_objects,
)
from batchsend.sender.sender import Sender

NAMES = [name for name in batchsend.__all__ if name != "__version__"]
PUBLIC = [*NAMES, *(("Attachment", "Dkim", "Dsn"))]
SERVER = {"host": "relay.example.net"}
MESSAGE = {"from_": "a@example.com", "subject": "x", "text": "x"}


def test_the_package_can_be_asked_for_help() -> None:
    with redirect_stdout(io.StringIO()) as said:
        pydoc.help(batchsend)
    assert all(name in said.getvalue() for name in NAMES)


CALLED_BY_PYTHON = ("__init__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__contains__")


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_a_signature_and_hints_that_can_be_resolved(name: str) -> None:
    found = getattr(batchsend, name)
    if not (inspect.isclass(found) and issubclass(found, str | float)):  # a text or number says nothing of its own
        inspect.signature(found)
    typing.get_type_hints(found)
    if inspect.isclass(found):
        for called, member in inspect.getmembers_static(found):
            if not called.startswith("_") or called in CALLED_BY_PYTHON:
                method = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if inspect.isfunction(method):
                    typing.get_type_hints(method)


def test_what_type_checkers_are_told_is_what_there_is() -> None:
    """The signatures for type checkers have the attributes of their classes, in order and with their defaults."""
    source = Path(inspect.getfile(Delivery)).read_text()
    told = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            checked = [block for block in node.body if isinstance(block, ast.If) and isinstance(block.test, ast.Name)]
            for within in (one for block in checked for one in block.body):
                assert isinstance(within, ast.FunctionDef)
                defaults = [None if default is None else ast.unparse(default) for default in within.args.kw_defaults]
                told[node.name] = dict(zip((one.arg for one in within.args.kwonlyargs), defaults, strict=True))
    kinds = (Server, Timeouts, Delivery, Message, Dkim, SuppressionList, Events)
    assert told.keys() == {kind.__name__ for kind in kinds}
    for kind in kinds:
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        assert list(told[kind.__name__]) == list(fields)
        for name, default in told[kind.__name__].items():
            if default not in {"...", "_BY_PORT"}:
                known = msgspec.NODEFAULT if default is None else ast.literal_eval(default)
                assert fields[name].default == known, name


@pytest.mark.parametrize("key", ["username", "password", "token"])
def test_no_secret_is_shown(key: str) -> None:
    server = Server(**SERVER, **{key: "hunter2"})  # type: ignore[arg-type]
    assert "hunter2" not in repr(server) + repr([server]) + f"{server}"


def test_nor_is_what_a_program_is_given() -> None:
    server = Server(**SERVER, username="u", token_command=("print-token", "hunter2"))  # type: ignore[arg-type]
    assert "hunter2" not in repr(server)
    assert server.token_command == ("print-token", "hunter2")
    server = Server(**SERVER, username="u", password_command=("print-password", "hunter2"))  # type: ignore[arg-type]
    assert "hunter2" not in repr(server)


@pytest.mark.parametrize(
    ("kind", "keys", "says"),
    [
        (Delivery, {"max_connections": 0}, "Delivery.max_connections is 0"),
        (Delivery, {"max_connections": 2.5}, "Delivery.max_connections is 2.5"),
        (Delivery, {"max_messages": "many"}, "Delivery.max_messages is 'many'"),
        (Delivery, {"depth": True}, "Delivery.depth is True"),
        (Delivery, {"rate": "fast"}, "Delivery.rate is 'fast'"),
        (Delivery, {"rate": 5}, "Delivery.rate is 5"),
        (Delivery, {"retry_after": -1}, "Delivery.retry_after is -1"),
        (Delivery, {"retry_after": 10**400}, "Delivery.retry_after is 1000"),
        (Delivery, {"durability": "paper"}, "Delivery.durability is 'paper'"),
        (Delivery, {"duplicates": None}, "Delivery.duplicates is None"),
        (Timeouts, {"connect": "soon"}, "Timeouts.connect is 'soon'"),
        (Timeouts, {"connect": float("nan")}, "Timeouts.connect is nan"),
        (Server, {**SERVER, "port": 0}, "Server.port is 0"),
        (Server, {**SERVER, "tls": "perhaps"}, "Server.tls is 'perhaps'"),
        (Server, {"host": 7}, "Server.host is 7"),
        (Server, {**SERVER, "password": 7}, "Server.password is '********'"),
        (Message, {**MESSAGE, "headers": {"X-A": 1}}, "Message.headers is"),
        (Message, {**MESSAGE, "inline_css": "yes"}, "Message.inline_css is 'yes'"),
        (Message, {**MESSAGE, "encoding": "8bit"}, "Message.encoding is '8bit'"),
        (Attachment, {"file": ""}, "Attachment.file is ''"),
        (Dkim, {"domain": "example.com", "selector": 1, "key_file": "k.pem"}, "Dkim.selector is 1"),
        (Dsn, {"notify": ("always",)}, "Dsn.notify is ('always',)"),
    ],
)
def test_a_value_that_no_file_could_have_is_refused(kind: type, keys: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        kind(**keys)
    assert caught.value.message.startswith(says)
    assert (caught.value.remedy or "").startswith("expected ")


@pytest.mark.parametrize("kind", [Delivery, Server, Timeouts, Message], ids=lambda kind: kind.__name__)
def test_every_option_refuses_what_it_cannot_be_by_its_name(kind: type) -> None:
    given: dict[str, object] = {**SERVER} if kind is Server else {**MESSAGE} if kind is Message else {}
    for field in msgspec.structs.fields(kind):
        with pytest.raises(UsageError) as caught:
            kind(**{**given, field.name: object()})
        assert caught.value.message.startswith(f"{kind.__name__}.{field.name} is "), field.name
        assert caught.value.remedy, field.name


TEXTS = {
    "rate": "5/s",
    "retry_after": "30s",
    "give_up_after": "2m",
    "quota": "20000/day",
    "max_wait": "15m",
    "start": "2026-12-01 09:00",
    "timezone": "Europe/Berlin",
    "processes": "auto",
    "durability": "power",
    "duplicates": "send",
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_taken_where_a_file_takes_them(name: str) -> None:
    """And an option that was given what it is made of is the same."""
    taken = getattr(Delivery(**{name: TEXTS[name]}), name)  # type: ignore[arg-type]
    assert getattr(Delivery(**{name: taken}), name) == taken


def test_values_are_taken_as_a_file_has_them() -> None:
    delivery = Delivery(rate="100/s", retry_after=5, suppress=["a.txt"], timeouts=Timeouts(connect="2s"))
    assert (delivery.rate, delivery.retry_after, delivery.timeouts.connect) == (Rate(100, 1), Duration(5), Duration(2))
    assert tuple(map(str, delivery.suppress)) == ("a.txt",)
    key = Dkim(domain="example.com", selector="s", key_file="dkim.pem")
    message = Message(text_file="order.txt", attachments=["terms.pdf", Attachment(file="a.pdf")], dkim=[key])
    assert (message.text_file, key.key_file) == (Path("order.txt"), Path("dkim.pem"))
    assert (message.attachments, message.dkim) == (("terms.pdf", Attachment(file="a.pdf")), (key,))
    assert SuppressionList(file="a.csv").file == Path("a.csv")
    assert Events(url="https://app.example.com/hooks", secret="whsec_x").secret == "whsec_x"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"host": "a b"}, "Server.host is 'a b'"),
        ({**SERVER, "username": "u"}, "Server.password is missing"),
        ({**SERVER, "username": "u", "password": "p", "tls": "none"}, "Server.tls is 'none'"),
        ({**SERVER, "username": "u", "password": "p\n"}, "Server.password is '********'"),
        ({**SERVER, "username": "u", "password": "p", "token": "t"}, "Server.token is there besides password"),
    ],
)
def test_a_sender_holds_servers_to_the_rules_of_files(keys: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Sender(Server(**keys))  # type: ignore[arg-type]
    assert caught.value.message.startswith(says)


def campaign_of(folder: Path, message: dict[str, object]) -> Campaign:
    """A campaign with this message, made in Python."""
    return Campaign(
        path=folder / "campaign.toml",
        directory=folder,
        recipients=folder / "list.csv",
        results=folder / "results.jsonl",
        servers=(Server(host="127.0.0.1", port=9, tls="none"),),
        message=Message(**message),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({**MESSAGE, "headers": {"Cc": "b@example.com"}}, "Message.headers Cc cannot be set"),
        ({**MESSAGE, "headers": {"X-A": "1", "x-a": "2"}}, "Message.headers x-a is there twice"),
        ({"from_": "a@example.com", "text": "x"}, "Message.subject is missing"),
        ({"from_": "a@example.com", "subject": "x"}, "Message has no body"),
        ({**MESSAGE, "html_file": Path("missing.html")}, "Message.html_file is"),
    ],
)
def test_a_campaign_is_held_to_the_rules_of_files(tmp_path: Path, message: dict[str, object], says: str) -> None:
    campaign = campaign_of(tmp_path, message)
    with pytest.raises(UsageError) as caught:
        batchsend.send(campaign)
    assert caught.value.message.startswith(says)
    assert not isinstance(caught.value, RunError)


@pytest.mark.parametrize("name", ["Content-Language", "X-Any", "Sender"])
def test_what_a_file_may_set_code_may_set_and_the_other_way_round(tmp_path: Path, name: str) -> None:
    (tmp_path / "list.csv").write_text("email\n")
    campaign = campaign_of(tmp_path, {**MESSAGE, "headers": {name: "a@example.com"}})
    check_objects(campaign)


@pytest.mark.parametrize(
    ("delivery", "says"),
    [
        (Delivery(suppress=("/no/list.csv",)), "Delivery.suppress is '/no/list.csv'"),
        (Delivery(exclude=(Path("/no/log.jsonl"),)), "Delivery.exclude is "),
        (Delivery(timezone="Nowhere/Else"), "Delivery.timezone is 'Nowhere/Else'"),
    ],
)
def test_delivery_alone_is_spoken_of_by_its_own_attributes(delivery: Delivery, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_objects(delivery)
    assert caught.value.message.startswith(says)
