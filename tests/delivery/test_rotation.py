"""Rotation: what takes the place of a session that has sent all it may."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from aiosmtplib import SMTP

from batchsend import Server
from batchsend.outcome import Stage
from tests.delivery.harness import CountingServer, deliver, options, submissions
from tests.tools.byte_proxy import ByteProxy
from tests.tools.faulty import ACCEPT, Action

if TYPE_CHECKING:
    from tests.tools.virtual import VirtualLoop


def test_sessions_that_end_one_after_the_other_have_each_a_successor_that_is_open(loop: VirtualLoop) -> None:
    """The second announces its end while the first one's successor is being opened, and is not forgotten for that."""
    together: list[int] = []

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.GREETING:
            together.append(peer.open_now)
        return ACCEPT

    peer = CountingServer(decide, chunking=False)

    async def main() -> None:
        async with peer, ByteProxy(peer.host, peer.port, round_trip=0.05) as proxy:
            where = Server(host=proxy.host, port=proxy.port, tls="none")
            account = await deliver(where, submissions(240), options(max_connections=2, max_messages=20), guard=3600)
        account.check(peer, 240)

    loop.run(main)
    # The first two end at the same moment, and one spare is there.
    assert together[4:] == [3] * (len(together) - 4)


def test_a_session_that_has_ended_is_not_kept_until_the_garbage_is_collected(loop: VirtualLoop) -> None:
    """A campaign of a million has ten thousand sessions, and a collector that seldom has a reason to run."""

    async def main() -> None:
        async with CountingServer(lambda *_: ACCEPT) as peer:
            where = Server(host=peer.host, port=peer.port, tls="none")
            account = await deliver(where, submissions(240), options(max_connections=2, max_messages=20), guard=3600)
        account.check(peer, 240)

    gc.collect()
    gc.disable()
    try:
        loop.run(main)
        assert not any(issubclass(type(one), SMTP) for one in gc.get_objects())
    finally:
        gc.enable()
