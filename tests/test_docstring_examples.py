"""The examples in the docstrings of what is public run as they stand there."""

from __future__ import annotations

import asyncio
import doctest
import inspect
import re
import textwrap
from email.message import EmailMessage
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import batchsend
from batchsend.sink import Sink
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = re.compile(r"::\n\n((?:(?: {4}.*)?\n)+)")
WITH_LOOP = [batchsend.Sender, batchsend.Sender.send_message, batchsend.Sender.send, batchsend.Sender.send_all]
WITHOUT = [
    *(batchsend.SyncSender, batchsend.SyncSender.send_message, batchsend.SyncSender.send, batchsend.SyncSender.send_all)
]
BY_CODE = {of.__name__ for of in (*WITH_LOOP, *WITHOUT) if inspect.isclass(of)}
VALUES = [name for name in batchsend.__all__ if name not in {"__version__", *BY_CODE}]
CAMPAIGN = """\
recipients = "recipients.csv"
[server]
host = "127.0.0.1"
port = {port}
tls = "none"
[message]
from = "shop@example.com"
subject = "Hello, {{{{ name }}}}"
text = "Your order is on its way."
"""


def example(of: Any, port: int) -> str:
    """The code in a docstring, for a server that is there."""
    [code] = BLOCK.findall(f"{inspect.getdoc(of)}\n")
    return textwrap.dedent(code).replace("port=2525", f"port={port}")


def names(**more: object) -> dict[str, Any]:
    """What examples take for granted."""
    return {**{name: getattr(batchsend, name) for name in batchsend.__all__}, "EmailMessage": EmailMessage, **more}


def messages() -> Iterator[EmailMessage]:
    for name in ("ada", "grace"):
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "shop@example.com", f"{name}@example.com", "x"
        message.set_content("Text\n")
        yield message


@pytest.mark.parametrize("of", WITH_LOOP, ids=lambda of: of.__qualname__)
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_an_example_for_a_loop_runs(of: Any) -> None:
    async with Sink() as sink:
        server = batchsend.Server(host="127.0.0.1", port=sink.port, tls="none")
        async with batchsend.Sender(server) as sender:
            known = names(sender=sender, message=next(messages()), messages=messages())
            code = textwrap.indent(example(of, sink.port), "    ")
            exec(f"async def main():\n    message = next(messages)\n{code}", known)
            await known["main"]()
        assert sink.counts.messages > 0


@pytest.mark.parametrize("of", WITHOUT, ids=lambda of: of.__qualname__)
def test_an_example_without_a_loop_runs(of: Any) -> None:
    with SinkThread() as sink, batchsend.SyncSender(sink.server) as sender:
        exec(example(of, sink.port), names(sender=sender, message=next(messages()), messages=messages()))
    assert sink.received


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with SinkThread() as sink:
        yield sink.port


@pytest.mark.parametrize("name", VALUES)
def test_an_example_says_what_it_comes_to(
    name: str, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every public name has one, here or above; beside a campaign file, for those that are of campaigns."""
    monkeypatch.chdir(tmp_path)
    Path("campaign.toml").write_text(CAMPAIGN.format(port=port))
    Path("recipients.csv").write_text("email,name\nada@example.com,Ada\ngrace@example.com,Grace\n")
    found = getattr(batchsend, name)
    module = import_module(found.__module__)
    tests = doctest.DocTestParser().get_doctest(
        inspect.getdoc(found) or "", names(asyncio=asyncio), name, module.__file__, 0
    )
    assert tests.examples, "it has an example"
    failed: list[str] = []
    doctest.DocTestRunner().run(tests, out=failed.append)
    assert not failed, "".join(failed)
