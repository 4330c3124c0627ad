"""8-bit content goes as it is where 8BITMIME is offered, and as the same message in ASCII where it is not."""

from __future__ import annotations

import pytest

from batchsend import DeliveryResult, Envelope, Outcome, Sender, Server, Submission
from batchsend.sink import Received, Sink, SinkOptions

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
