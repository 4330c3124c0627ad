"""DSN (RFC 3461): what the campaign asks the relay to report, to the octet; and nothing of a relay without DSN."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from batchsend import Envelope, Outcome, Submission
from batchsend.campaign import Dsn
from tests.delivery.harness import MODES, CountingServer, deliver, options, well_behaved
from tests.tools.wire import path

if TYPE_CHECKING:
    from batchsend import Delivery

CONTENT = b"Subject: x\r\n\r\nText\r\n"


@dataclass
class Said:
    """The parameters of MAIL and of RCPT, by the record."""

    mail: list[str] = field(default_factory=list)
    rcpt: list[str] = field(default_factory=list)


def submission(
    record: int = 1, recipient: str = "r1@example.com", message_id: str | None = "<b1.1@example.com>"
) -> Submission:
    return Submission(
        record=record, envelope=Envelope("from@example.com", recipient), content=CONTENT, message_id=message_id
    )


def asking(**dsn: Any) -> Delivery:
    return msgspec.structs.replace(options(), dsn=Dsn(**dsn))


async def said(
    how: Delivery, *work: Submission, offered: tuple[str, ...] = ("DSN", "SMTPUTF8"), mode: str = "pipelined"
) -> Said:
    """What a server that offers these extensions is told; every message must be accepted."""
    kind = MODES[mode]
    peer = CountingServer(well_behaved, pipelining=kind.pipelining, chunking=kind.chunking, extensions=offered)
    work = work or (submission(),)
    how = msgspec.structs.replace(how, depth=kind.depth)
    async with peer:
        account = await deliver(peer, list(work), how)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    told = Said()
    for command in (command for connection in peer.connections for command in connection.commands):
        if command.startswith((b"MAIL", b"RCPT")):
            parameters = command.partition(b"<" + path(command) + b">")[2].decode()
            (told.mail if command.startswith(b"MAIL") else told.rcpt).append(parameters)
    return told


@pytest.mark.parametrize("mode", MODES)
async def test_the_campaigns_wishes_go_out_with_every_message(mode: str) -> None:
    work = [submission(n, f"r{n}@example.com", f"<b1.{n}@example.com>") for n in (1, 2, 3)]
    told = await said(asking(notify=("failure", "delay"), ret="headers"), *work, mode=mode)
    assert told.mail == [f" RET=HDRS ENVID=b1.{n}@example.com" for n in (1, 2, 3)]
    assert told.rcpt == [f" NOTIFY=FAILURE,DELAY ORCPT=rfc822;r{n}@example.com" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("dsn", "mail", "rcpt"),
    [
        ({}, " ENVID=b1.1@example.com", " NOTIFY=FAILURE ORCPT=rfc822;r1@example.com"),
        (
            {"notify": ("never",), "ret": "full"},
            " RET=FULL ENVID=b1.1@example.com",
            " NOTIFY=NEVER ORCPT=rfc822;r1@example.com",
        ),
        (
            {"notify": ("success", "failure", "delay")},
            " ENVID=b1.1@example.com",
            " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;r1@example.com",
        ),
    ],
)
async def test_each_key_has_its_parameter(dsn: dict[str, Any], mail: str, rcpt: str) -> None:
    assert await said(asking(**dsn)) == Said([mail], [rcpt])


async def test_without_the_key_nothing_is_asked() -> None:
    assert await said(options()) == Said([""], [""])


async def test_a_server_without_dsn_is_asked_nothing() -> None:
    """RFC 3461 §4: the parameters are for servers that offer it; the others would refuse the command."""
    assert await said(asking(ret="full"), offered=("8BITMIME",)) == Said([""], [""])


async def test_the_parameters_stand_beside_those_of_other_extensions() -> None:
    told = await said(asking(ret="full"), offered=("DSN", "SIZE 1000"))
    assert told.mail == [f" SIZE={len(CONTENT)} RET=FULL ENVID=b1.1@example.com"]


async def test_what_xtext_reserves_is_written_in_it() -> None:
    """RFC 3461 §4: "+" and "=" by their codes, and nothing that would end the parameter."""
    work = submission(recipient="a+b=c@example.com", message_id="<b+1=2.1@example.com>")
    told = await said(asking(), work)
    assert told.mail == [" ENVID=b+2B1+3D2.1@example.com"]
    assert told.rcpt == [" NOTIFY=FAILURE ORCPT=rfc822;a+2Bb+3Dc@example.com"]


async def test_an_address_in_another_script_is_written_by_its_code_points() -> None:
    """RFC 6533 §3."""
    told = await said(asking(), submission(recipient="jörg+用@xn--fsqu00a.example.com"))
    assert told.rcpt == [" NOTIFY=FAILURE ORCPT=utf-8;j\\x{F6}rg\\x{2B}\\x{7528}@xn--fsqu00a.example.com"]


async def test_an_envelope_id_that_is_too_long_is_left_out() -> None:
    """RFC 3461 §4.4: at most 100 characters."""
    fits, too_long = "<" + "x" * 88 + "@example.com>", "<" + "x" * 89 + "@example.com>"
    assert (await said(asking(), submission(message_id=fits))).mail == [" ENVID=" + fits.strip("<>")]
    assert (await said(asking(), submission(message_id=too_long))).mail == [""]
    assert (await said(asking(), submission(message_id=None))).mail == [""]
