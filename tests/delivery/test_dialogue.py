"""A server that does not know NOOP: `check` and `bench` say so."""

from __future__ import annotations

import pytest

from batchsend.bench.probe import probe
from batchsend.campaign import Duration, Server, Timeouts
from batchsend.delivery.connector import Connector
from batchsend.delivery.dialogue import Dialogue
from batchsend.errors import RunError, SessionError
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Expect, ReadToEnd, Step, reply

TIMEOUTS = Timeouts(mail=Duration(0.05), quit=Duration(0.05))


def script(*after: Step) -> list[Step]:
    return [reply("220 a"), Expect("EHLO"), reply("250 a"), Expect("NOOP"), *after]


def connector(server: ScriptedServer) -> Connector:
    return Connector(Server(host=server.host, port=server.port, tls="none"), TIMEOUTS)


async def test_another_answer_than_250() -> None:
    async with ScriptedServer(script(reply("502 5.5.1 What?"), ReadToEnd())) as server:
        opened = await connector(server).open()
        dialogue = Dialogue(opened.transport, opened.where)
        with pytest.raises(SessionError, match=r":\d+: answered NOOP with 502 5\.5\.1 What\?$"):
            await dialogue.round_trip()
        dialogue.close()


async def test_no_answer() -> None:
    async with ScriptedServer(script(ReadToEnd())) as server:
        with pytest.raises(RunError, match=r":\d+: no answer to NOOP\n"):
            await probe(connector(server), TIMEOUTS)
