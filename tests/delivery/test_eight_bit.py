"""8-bit content goes as it is where 8BITMIME is offered, and as the same message in ASCII where it is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest

from batchsend import DeliveryResult, Envelope, Outcome, Sender, Server, Submission
from batchsend.sink import Received, Sink, SinkOptions
from tests.delivery.harness import GUARD

if TYPE_CHECKING:
    from collections.abc import Callable

EIGHT_BIT = "Subject: x\r\n\r\nGrüße\r\n".encode()
SEVEN_BIT = b"Subject: x\r\n\r\nGr=C3=BC=C3=9Fe\r\n"


def submission(*, ascii_form: bool = True, known: bool = True) -> Submission:
    return Submission(
        record=1,
        envelope=Envelope("from@example.com", "to@example.com"),
        content=EIGHT_BIT,
        canonical=known,
        eight_bit=True if known else None,
        seven_bit=(lambda: SEVEN_BIT) if ascii_form else None,
    )


async def sent(message: Submission, *, offered: bool) -> tuple[DeliveryResult, list[Received]]:
    """What becomes of a message, and what the server has received."""
    received: list[Received] = []
    async with (
        Sink(SinkOptions(eight_bit_mime=offered, smtputf8=False), on_message=received.append) as sink,
        Sender(Server(host=sink.hosts[0], port=sink.port, tls="none")) as sender,
    ):
        results = [result async for result in sender.send([message])]
    assert len(results) == 1
    return results[0], received


@pytest.mark.parametrize("known", [True, False], ids=["known to be 8-bit", "looked into"])
async def test_where_8bitmime_is_offered_it_goes_as_it_is_and_says_so(known: bool) -> None:
    result, received = await sent(submission(known=known), offered=True)
    assert result.status is Outcome.ACCEPTED
    assert [message.content for message in received] == [EIGHT_BIT]
    assert received[0].parameters.get("BODY") == "8BITMIME"


@pytest.mark.parametrize("known", [True, False], ids=["known to be 8-bit", "looked into"])
async def test_where_it_is_not_offered_the_same_message_goes_in_ascii(known: bool) -> None:
    result, received = await sent(submission(known=known), offered=False)
    assert result.status is Outcome.ACCEPTED
    assert [message.content for message in received] == [SEVEN_BIT]


async def test_content_without_an_ascii_form_is_not_offered_to_such_a_server() -> None:
    result, received = await sent(submission(ascii_form=False), offered=False)
    assert result.status is Outcome.INVALID
    assert result.reason == "the content is 8-bit, and the server does not offer 8BITMIME"
    assert received == []


def fails() -> bytes:
    raise OSError("the logo is gone")


@pytest.mark.parametrize(
    ("ascii_form", "said"),
    [
        (fails, "its form in ASCII cannot be composed: the logo is gone"),
        # Compiled code finds a wrong type itself, and says it in other words.
        pytest.param(lambda: "text", "its form in ASCII must be a bytes, not str", marks=pytest.mark.interpreted),
        (lambda: EIGHT_BIT, "its form in ASCII has other octets"),
    ],
)
@pytest.mark.parametrize("recipients", [1, 2])
async def test_an_ascii_form_that_cannot_be_composed_costs_its_own_message_only(
    ascii_form: Callable[[], bytes], said: str, recipients: int
) -> None:
    """The session goes on, and so does the sender: whoever comes after it is not kept waiting."""
    also = ["too@example.com"] if recipients == 2 else []
    bad = Submission(
        record=1,
        envelope=Envelope("from@example.com", "to@example.com", also=tuple(also)),
        content=EIGHT_BIT,
        seven_bit=ascii_form,
    )
    received: list[Received] = []
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["message"])))
    with anyio.fail_after(GUARD):
        async with (
            Sink(SinkOptions(eight_bit_mime=False, smtputf8=False), on_message=received.append) as sink,
            Sender(Server(host=sink.hosts[0], port=sink.port, tls="none")) as sender,
        ):
            first = await sender.send_all([bad])
            second = await sender.send_message(submission())
    assert [(result.status, said in (result.reason or "")) for result in first] == [
        (Outcome.INVALID, True)
    ] * recipients
    assert second.status is Outcome.ACCEPTED
    assert [message.content for message in received] == [SEVEN_BIT]
    assert all("seven_bit failed" in one for one in told)
