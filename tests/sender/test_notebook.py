"""In a notebook: cells of one kernel of IPython's, whose event loop runs while they are, and which are interrupted."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import AsyncKernelManager

from tests.delivery.harness import GUARD
from tests.tools.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batchsend.sink import Received

ROOT = Path(__file__).resolve().parents[2]
WITHIN = 3 * GUARD

# What a kernel's client waits for is asyncio's to wait for, not uvloop's.
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_factories=["asyncio"])]

FIRST_CELL = """
import asyncio
from batchsend import Sender, Server, SyncSender
from tests.delivery.harness import message

server = Server(host="127.0.0.1", port={port}, tls="none")
unclaimed = []


def mail(name):
    return message(name + "@example.com")


def show(results):
    print(*(result.recipient.partition("@")[0] + " " + result.status.value for result in results))
"""


class Notebook:
    """A notebook.

    Args:
        manager: Of its kernel.
        client: A client of that, which is connected.
    """

    def __init__(self, manager: AsyncKernelManager, client: Any) -> None:
        self._manager = manager
        self._client = client
        self._said: dict[str, str] = {}

    def begin(self, cell: str) -> str:
        """Begin a cell; its name."""
        name: str = self._client.execute(dedent(cell))
        return name

    async def end(self, name: str) -> str:
        """Wait for the end of a cell: what it has printed, and the class of an error that has ended it."""
        await self._hear(name, None)
        return self._said.pop(name, "").strip()

    async def hear(self, name: str, text: str) -> None:
        """Wait until a cell has printed something."""
        await self._hear(name, text)

    async def _hear(self, name: str, text: str | None) -> None:
        async with asyncio.timeout(WITHIN):
            while text is None or text not in self._said.get(name, ""):
                told = await self._client.get_iopub_msg()
                if told["parent_header"].get("msg_id") != name:
                    continue
                content = told["content"]
                match told["msg_type"]:
                    case "stream":
                        self._said[name] = self._said.get(name, "") + content["text"]
                    case "error":
                        self._said[name] = self._said.get(name, "") + content["ename"]
                    case "status" if content["execution_state"] == "idle":
                        return

    async def run(self, cell: str) -> str:
        """As `end`, of a cell that begins here."""
        return await self.end(self.begin(cell))

    async def interrupt(self) -> None:
        """Do what the stop button does."""
        await self._manager.interrupt_kernel()


@asynccontextmanager
async def notebook(folder: Path, sink: SinkThread) -> AsyncIterator[Notebook]:
    """A new notebook, whose first cell has been run."""
    places = dict.fromkeys(("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"), str(folder))
    manager = AsyncKernelManager(connection_file=str(folder / "kernel.json"), transport="ipc", ip=str(folder / "k"))
    await manager.start_kernel(cwd=str(ROOT), env={**os.environ, **places})
    client = manager.client()
    try:
        client.start_channels()
        await client.wait_for_ready(timeout=WITHIN)
        opened = Notebook(manager, client)
        assert await opened.run(FIRST_CELL.format(port=sink.port)) == ""
        yield opened
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


def received(sink: SinkThread) -> Counter[str]:
    return Counter(message.recipients[0].partition("@")[0] for message in sink.received)


async def test_a_sender_is_awaited_in_cells_and_lives_from_one_to_the_next(tmp_path: Path) -> None:
    with SinkThread() as sink:
        async with notebook(tmp_path, sink) as book:
            within = """
                async with Sender(server) as sender:
                    show(await sender.send_message(mail("message")))
                    show([result async for result in sender.send([mail("stream")])])
                    show(await sender.send_all([mail("list")]))
            """
            assert await book.run(within) == "message accepted\nstream accepted\nlist accepted"
            first = "await sender.__aenter__()\nshow(await sender.send_message(mail('first')))"
            assert await book.run(first) == "first accepted"
            assert await book.run("show(await sender.send_message(mail('next')))") == "next accepted"
            beside = """
                with SyncSender(server) as blocking:
                    show(blocking.send_message(mail("blocking")))
                    show(await sender.send_message(mail("beside")))
                await sender.__aexit__(None, None, None)
            """
            assert await book.run(beside) == "blocking accepted\nbeside accepted"
    assert received(sink) == Counter(["message", "stream", "list", "first", "next", "blocking", "beside"])


INTERRUPTED = {
    "a message": "show(blocking.send_message(mail('held')))",
    "a list": "show(blocking.send_all([mail('held')]))",
    "a stream": "for result in blocking.send(mail(name) for name in NAMES):\n    show([result])",
    "within with": "with blocking:\n    show(blocking.send_message(mail('held')))",
    "an awaited message": "show(await sender.send_message(mail('held')))",
    "an awaited list": "show(await sender.send_all([mail('held')]))",
    "an awaited stream": "async for result in sender.send(mail(name) for name in NAMES):\n    show([result])",
}


async def test_a_cell_that_is_interrupted_while_it_sends_loses_no_result(tmp_path: Path) -> None:
    """What the server has taken by then is told as unclaimed, once; and the next cell sends by the same sender."""
    taken, answer = asyncio.Event(), threading.Event()

    def take(message: Received) -> None:
        if message.recipients[0].startswith("held"):
            loop.call_soon_threadsafe(taken.set)
            answer.wait(WITHIN)

    loop = asyncio.get_running_loop()
    with SinkThread(on_message=take) as sink:
        async with notebook(tmp_path, sink) as book:
            one_at_a_time = """
                from batchsend import Delivery
                NAMES = ["first", "held", "last"]
                more = {"delivery": Delivery(max_connections=1, depth=1), "unclaimed": unclaimed.append}
                blocking, sender = SyncSender(server, **more), Sender(server, **more)
            """
            assert await book.run(one_at_a_time) == ""
            for case, cell in INTERRUPTED.items():
                is_awaited = "awaited" in case
                taken.clear()
                answer.clear()
                before = len(sink.received)
                assert await book.run("await sender.__aenter__()" if is_awaited else "blocking.open()") == ""
                sending = book.begin(cell)
                async with asyncio.timeout(WITHIN):
                    await taken.wait()
                if "stream" in case:  # its loop has taken the result before
                    await book.hear(sending, "first accepted\n")
                await book.interrupt()
                if case == "within with":  # it waits for what was taken
                    answer.set()
                *heard, error = (await book.end(sending)).splitlines()
                assert error == ("CancelledError" if is_awaited else "KeyboardInterrupt"), case
                answer.set()
                after = "show(await sender.send_message(mail('after')))\nawait sender.__aexit__(None, None, None)"
                if not is_awaited:
                    after = "blocking.open()\nshow(blocking.send_message(mail('after')))\nblocking.close()"
                assert await book.run(after) == "after accepted", case
                told = await book.run("for result in unclaimed:\n    show([result])\nunclaimed.clear()")
                took = [message.recipients[0].partition("@")[0] for message in sink.received[before:]]
                expected = sorted(f"{name} accepted" for name in took if name != "after")
                assert sorted([*heard, *told.splitlines()]) == expected, case


async def test_cells_run_other_loops_within_that_of_the_kernel_by_nest_asyncio(tmp_path: Path) -> None:
    with SinkThread() as sink:
        async with notebook(tmp_path, sink) as book:
            early = """
                early, sender = SyncSender(server), Sender(server)
                early.send_message(mail("early"))
                await sender.__aenter__()
                show(await sender.send_message(mail("awaited")))
            """
            assert await book.run(early) == "awaited accepted"
            nested = """
                import nest_asyncio
                nest_asyncio.apply()

                async def use(name):
                    async with Sender(server) as another:
                        return await another.send_message(mail(name))

                loop = asyncio.get_running_loop()
                show(asyncio.run(use("run")))
                show(loop.run_until_complete(use("nested")))
                show(loop.run_until_complete(sender.send_message(mail("shared"))))
                show(early.send_message(mail("late")))
                with SyncSender(server) as blocking:
                    show(blocking.send_message(mail("blocking")))
            """
            said = "run accepted\nnested accepted\nshared accepted\nlate accepted\nblocking accepted"
            assert await book.run(nested) == said
            assert await book.run("show(await sender.send_message(mail('next')))") == "next accepted"
            assert await book.run("early.close()\nawait sender.__aexit__(None, None, None)") == ""
    names = ["early", "awaited", "run", "nested", "shared", "late", "blocking", "next"]
    assert received(sink) == Counter(names)
