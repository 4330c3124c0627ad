"""Test messages: of the size that was asked for, marked, each one another."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest

from batchsend import UsageError, load
from batchsend.bench import CampaignMessages, Messages
from batchsend.bench.messages import BenchRecipients
from batchsend.message.proof import Proof
from tests.cli.commandline import make_campaign

if TYPE_CHECKING:
    from pathlib import Path

ME = "me@mail.example.com"


@pytest.mark.parametrize("size", [700, 701, 702, 2000, 2071, 2072, 2073, 50_000, 3_000_001])
def test_the_first_has_the_size_that_was_asked_for(size: int) -> None:
    """To the octet, but for where a line end alone would not fit."""
    messages = Messages(sender=ME, recipients=BenchRecipients(ME), size=size)
    (first,) = messages.make(1)
    assert size - 2 < len(first.content) <= size
    assert messages.octets == len(first.content)
    assert max(map(len, first.content.split(b"\r\n"))) <= 78


def test_the_smallest_is_a_whole_message_all_the_same() -> None:
    messages = Messages(sender=ME, recipients=BenchRecipients(ME), size=1)
    (first,) = messages.make(1)
    parsed = message_from_bytes(first.content, policy=policy.default)
    assert parsed["Subject"] == "[test] batchsend bench: message 1"
    assert "Nobody has to read it" in parsed.get_content()
    assert 1 < messages.octets < 700


def test_numbers_go_on_and_nothing_is_there_twice() -> None:
    messages = Messages(sender=ME, recipients=BenchRecipients("you@example.org"), size=700)
    made = [*messages.make(3), *messages.make(2)]
    assert [submission.record for submission in made] == [1, 2, 3, 4, 5]
    assert len({submission.message_id for submission in made}) == 5
    assert {(submission.envelope.reverse_path, submission.envelope.forward_path) for submission in made} == {
        (ME, "you@example.org")
    }
    other = Messages(sender=ME, recipients=BenchRecipients(ME), size=700)
    assert next(other.make(1)).message_id != made[0].message_id, "two benches are two"


NO_ADDRESSES = ["", "nobody", "a@b\r\nRCPT TO:<c@d>", "{{ 7 * 7 }}", "A <a@example.com>"]


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="no test message can be made"):
        Messages(sender=address, recipients=BenchRecipients(ME), size=700)
    with pytest.raises(UsageError, match="--to"):
        BenchRecipients(address)


def test_each_message_goes_to_an_address_of_its_own_where_that_is_asked_for(tmp_path: Path) -> None:
    expected = ["me+1@example.com", "me+2@example.com", "me+3@example.com"]
    made = Messages(sender=ME, recipients=BenchRecipients("me+*@example.com"), size=700).make(3)
    assert [one.envelope.forward_path for one in made] == expected
    campaign = load(make_campaign(tmp_path, text="Hello {{ name }}"))
    tests = list(CampaignMessages(campaign, BenchRecipients("me+*@example.com")).make(3))
    assert [one.envelope.forward_path for one in tests] == expected
    assert {message_from_bytes(one.content)["To"] for one in tests} == {expected[0]}


def test_a_pattern_is_refused_whose_later_addresses_are_too_long() -> None:
    with pytest.raises(UsageError, match=r"--to .*local part"):
        BenchRecipients("x" * 60 + "*@example.com")


def test_the_star_stands_in_the_local_part() -> None:
    with pytest.raises(UsageError, match=r"the \* is not before the @"):
        BenchRecipients("me@*.example.com")


def test_the_tests_of_a_campaigns_messages_are_made_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes ten times as long as to compose them: a bench that does it meanwhile is slower than the campaign."""
    messages = CampaignMessages(load(make_campaign(tmp_path, text="Hello {{ name }}")), BenchRecipients(ME))

    def too_late(source: str) -> str:
        raise AssertionError(source)

    monkeypatch.setattr(Proof, "text", staticmethod(too_late))
    monkeypatch.setattr(Proof, "html", staticmethod(too_late))
    made = list(messages.make(9))
    assert {one.envelope.forward_path for one in made} == {ME}
    assert [one.record for one in made] == list(range(1, 10))
    for one in made:
        parsed = message_from_bytes(one.content, policy=policy.default)
        assert (parsed["To"], parsed["Message-ID"]) == (ME, one.message_id)
        assert parsed["Subject"].startswith("[Test] ")
    assert len({one.message_id for one in made}) == 9
