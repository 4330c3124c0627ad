"""One wording for what is said of many, and never one for what differs in its codes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.report.wording import ADDRESS, ID, LONGEST, QUOTED, reason_wording, wording

words = st.sampled_from(
    ["Ok", "mailbox", "unavailable,", "try", "later", "(policy)", "user:", "Recipient", "is", "café"]
)
sentences = st.lists(words, min_size=1, max_size=8).map(" ".join)
queue_ids = st.text("0123456789ABCDEF", min_size=8, max_size=14).filter(lambda text: not text.isalpha())
numbers = st.integers(0, 10**9).map(str)
hexadecimals = st.integers(2**20, 2**60).map(lambda number: f"0{number:x}")
uuids = st.uuids().map(str)
addresses = st.from_regex(r"[a-z0-9.+_-]{1,20}@[a-z0-9]{1,10}(\.[a-z]{2,6}){1,2}", fullmatch=True)
networks = st.ip_addresses().map(str).filter(lambda text: any(character.isdigit() for character in text))
codes = st.builds("{}.{}.{}".format, st.sampled_from("245"), st.integers(0, 7), st.integers(0, 30))


@given(sentences, sentences, st.sampled_from([queue_ids, numbers, hexadecimals, uuids, networks]), st.data())
def test_ids_are_cut_out(before: str, after: str, kind: st.SearchStrategy[str], data: st.DataObject) -> None:
    one, other = data.draw(kind), data.draw(kind)
    assert wording(f"{before} {one} {after}") == wording(f"{before} {other} {after}") == f"{before} {ID} {after}"
    assert wording(f"{before} [{one}]") == f"{before} [{ID}]"


@given(sentences, addresses, addresses)
def test_addresses_are_cut_out(text: str, one: str, other: str) -> None:
    assert wording(f"<{one}>: {text}") == wording(f"<{other}>: {text}") == f"<{ADDRESS}>: {text}"
    assert wording(f"{text} {one}") == wording(f"{text} {other}")


@given(st.text("ABCDEFGHabcdefgh", min_size=8, max_size=14))
def test_a_queue_id_without_a_digit_is_known_by_its_place(queue_id: str) -> None:
    assert wording(f"Ok: queued as {queue_id}") == f"Ok: queued as {ID}"
    assert wording(f"OK id={queue_id}") == f"OK id={ID}"
    assert wording(f"queued as {queue_id}; thank you") == f"queued as {ID}; thank you"


@given(sentences, codes, codes, st.sampled_from(["450", "451", "550", "554"]), st.sampled_from(["421", "552"]))
def test_codes_stay(text: str, one: str, other: str, first: str, second: str) -> None:
    """What the server of the next hop said, quoted by the relay: another code is another wording."""
    assert wording(f"host said: {first} {one} {text}") == f"host said: {first} {one} {text}"
    assert wording(f"{first} {one} {text}") != wording(f"{second} {one} {text}")
    assert (wording(f"({one}) {text}") == wording(f"({other}) {text}")) == (one == other)


@given(sentences)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert wording(text) == text


@given(st.text(max_size=LONGEST // 2))
def test_a_wording_is_its_own_wording(text: str) -> None:
    once = wording(text)
    assert wording(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4.7.1 Greylisted, try again in 300 seconds", "4.7.1 Greylisted, try again in # seconds"),
        ("OK id=1rXyZa-0001Ab-2C", "OK id=#"),
        (
            "Client host [192.0.2.14] blocked, see https://example.org/ip/192.0.2.14",
            "Client host [#] blocked, see https://example.org/ip/#",
        ),
        ("connect to mx.example.net[2001:db8::1:25]", "connect to mx.example.net[#]"),
        ("at 2026-11-22T07:00:00.123Z", "at #"),
        ("<a.b@example.com> [InternalId=1234, Hostname=mx]", "<…@…> [InternalId=#, Hostname=mx]"),
        ("SMTPUTF8 and 8BITMIME over IPv6", "SMTPUTF8 and 8BITMIME over IPv6"),
        ("a deadbeef facade", "a deadbeef facade"),
        ("two\nlines  of\ttext", "two lines of text"),
        ("", ""),
        ("#", "#"),
    ],
)
def test_what_servers_say(text: str, expected: str) -> None:
    assert wording(text) == expected


def test_what_a_reason_quotes_of_a_record_is_cut_out_too() -> None:
    one = reason_wording("recipient 'not an address' is not an address: it contains a space")
    other = reason_wording('recipient "it\'s not" is not an address: it contains a space')
    assert one == other == f"recipient {QUOTED} is not an address: it contains a space"


def test_what_a_reason_counts_stays() -> None:
    for reason in ("2 fields where the header has 4", "header To contains the control character U+000A"):
        assert reason_wording(reason) == reason
    assert reason_wording("41234567 octets and a.b@example.com") == f"{ID} octets and {ADDRESS}"


def test_a_long_text_is_cut_at_a_word() -> None:
    text = wording("word " * 1000)
    assert len(text) <= LONGEST
    assert text.endswith("word…")


@pytest.mark.parametrize("text", ["a" * 32_000, "a-" * 16_000, "<" * 32_000, "a:" * 16_000, "@" * 32_000, "1." * 9000])
def test_the_longest_reply_there_is_has_a_wording_too(text: str) -> None:
    assert len(wording(text)) <= LONGEST


def test_a_missing_variable_is_named_and_a_value_is_not() -> None:
    """The name is the template's: without it nobody knows what to add."""
    assert reason_wording("html: 'first_name' is undefined") == "html: 'first_name' is undefined"
    assert reason_wording("field 'ann@example.com' holds no address") == "field … holds no address"
