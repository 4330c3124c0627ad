"""What a recipient is, and what it is refused for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.errors import RecordError
from batchsend.recipients.addresses import cleaned, forward_path, mailbox, reverse_path

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPTED = [
    "ann@example.com",
    "ann.bell+tag@mail.example.com",
    "#$&'*+/=?^_`{|}~-@example.com",
    "-f@x",
    "1@2.example",
    "|/bin/id@example.com",
    "-oQ/tmp@example.com",
    "${run{id}}@example.com",
    '"ann,bell"@example.com',
    '"a\\"c"@example.com',
    "jürgen@example.com",
    "用户@example.com",
    f"{'x' * 64}@example.com",
    f"x@{'a' * 63}.example",
    f"{'x' * 64}@{'a.' * 94}b",
]


@pytest.mark.parametrize("address", ACCEPTED)
def test_what_passes_goes_out_byte_for_byte(address: str) -> None:
    assert forward_path(address) == address
    assert reverse_path(address) == address


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("u@bücher.example", "u@xn--bcher-kva.example"),
        ("u@BÜCHER.example", "u@xn--bcher-kva.example"),
        ("u@straße.example", "u@xn--strae-oqa.example"),
        ("jürgen@例え.example", "jürgen@xn--r8jz45g.example"),
        ("u@Sub.bücher.example", "u@Sub.xn--bcher-kva.example"),
    ],
)
def test_a_domain_in_another_script_becomes_a_labels_and_nothing_else_changes(address: str, sent: str) -> None:
    assert forward_path(address) == sent


REFUSED = [
    ("", "empty"),
    ("<>", "null path"),
    ("a@b\r\nRCPT TO:<c@d>", "U\\+000D"),
    ("a\nb@c", "U\\+000A"),
    ("a\rb@c", "U\\+000D"),
    ("a\0b@c", "U\\+0000"),
    ("a\tb@c", "U\\+0009"),
    ("a\x85b@c", "U\\+0085"),
    ("a@b\n", "white space"),
    ("a@b ", "white space"),
    ("\ta@b", "white space"),
    ("a@b> SIZE=1", "bare address"),
    ("A <a@b> <c@d>", "bare address"),
    ("<a@b>", "bare address"),
    ("a@b,c@d", "only one address"),
    ("ann@example.com ::: ann@example.net", "only one address may stand here, and these are several"),
    ("ann@example.com / ann@example.net", "these are several"),
    ("a@b; c@d", "only one address"),
    ("a@b c@d", "these are several"),
    ("@relay:u@d", "source route"),
    ("@relay,@other:u@d", "source route"),
    ("user@good.com(x)evil.com", "comments"),
    ("a@b@c", "more than one @"),
    ("nobody", "no @"),
    ("@example.com", "before the @"),
    ("a@", "domain is empty"),
    ("a..b@c", "dot"),
    (".a@c", "dot"),
    ("a.@c", "dot"),
    ("a@b..c", "dot"),
    ("a@b.", "dot"),
    ("a@-b", "hyphen"),
    ("a@b-.c", "hyphen"),
    ("a@b_c", "contains '_'"),
    ('a"b@c', "quotes"),
    ('"a\nb"@c', "U\\+000A"),
    (f"{'x' * 65}@example.com", "65 octets"),
    (f"{'ü' * 33}@example.com", "66 octets"),
    (f"u@{'a' * 64}.example", "64 octets"),
    (f"u@{'a.' * 127}bb", "256 octets"),
    (f"{'x' * 60}@{'a.' * 97}b", "256 octets"),
    (f"{'ü' * 1_000_000}@example.com", "1000012 characters"),
    ("u@[127.0.0.1]", "choose the machine"),
    ("u@[IPv6:::1]", "choose the machine"),
    ("u@127.0.0.1", "the number of a machine"),
    ("u@2130706433", "the number of a machine"),
    ("v%o@example.com", "'%', by which some servers"),
    ("o!v@example.com", "'!', by which some servers"),
    ('"v%o"@example.com', "'%', by which some servers"),
    ('"bob> ORCPT=x@y"@example.org', "quoted local part contains '>'"),
    ('"a<b"@example.org', "quoted local part contains '<'"),
    ('"a b"@example.org', "quoted local part contains a blank"),
    ('" "@example.org', "quoted local part contains a blank"),
    ('"a@b"@example.org', "quoted local part contains '@'"),
    ('"a\\@b"@example.org', "quoted local part contains '@'"),
    ('"a\\>b"@example.org', "quoted local part contains '>'"),
    ('"a\tb"@example.org', "U\\+0009"),
    ('""@example.org', "its local part is empty"),
    ("u@[1.2.3]", "address literal"),
    ("u@[1.2.3.4", "closing"),
    ("u@[IPv6:fe80::1%eth0]", "address literal"),
    ("u@[x400:c=us]", "address literal"),
    ("u@example\uff0ecom", "FULLWIDTH FULL STOP"),
    ("u@example\u3002com", "IDEOGRAPHIC FULL STOP"),
    ("u@\uff45xample.com", "only looks like"),
    ("u@☃.example", "IDNA"),
    ("u@xn--ü.example", "IDNA"),
    ("u@\u200b.example", "invisible"),
    ("u\u00a0u@example.com", "invisible"),
    ("\u202eu@example.com", "invisible"),
    ("u\ud800@example.com", "half of a character"),
    ("M\ufffdller@example.com", "which stands where a character was lost"),
]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"u"@example.org', "u@example.org"),
        ('"r\\1"@example.org', "r1@example.org"),
        ('"a.b"@example.org', "a.b@example.org"),
        ('"a..b"@example.org', '"a..b"@example.org'),
        ('"a\\,b"@example.org', '"a,b"@example.org'),
        ('"a\\\\b"@example.org', '"a\\\\b"@example.org'),
        ('"jürgen"@example.org', "jürgen@example.org"),
    ],
)
def test_a_mailbox_has_one_name_however_it_is_quoted(written: str, meant: str) -> None:
    assert forward_path(written) == meant
    assert forward_path(meant) == meant


@pytest.mark.parametrize(
    "written",
    [
        " bob@example.org",
        "bob@example.org\xa0",
        "\u200bbob@example.org",
        "\ufeffbob@example.org\u2060",
        "\u202abob@example.org\u202c",
        "'bob@example.org",
        "'bob@example.org'",
        "mailto:bob@example.org",
        "mailto://bob@example.org",
        " MAILTO: bob@example.org?subject=stop%20it ",
        "'mailto:bob@example.org",
        "bob@example.org\r\n",
        "\tbob@example.org",
    ],
)
def test_what_lists_put_around_an_address_is_taken_off(written: str) -> None:
    assert cleaned(written) == "bob@example.org"


@pytest.mark.parametrize(
    "written", ["bob@example.org", "o'brien@example.org", "", "bob @example.org", "_b@example.org"]
)
def test_what_is_inside_an_address_stays(written: str) -> None:
    assert cleaned(written) == written


@pytest.mark.parametrize("path", [mailbox, lambda text, _: reverse_path(text)])
def test_a_sender_may_have_what_only_a_recipient_may_not(path: Callable[[str, str], str]) -> None:
    assert path("u@[127.0.0.1]", "x") == "u@[127.0.0.1]"
    assert path("bounce%ann@example.com", "x") == "bounce%ann@example.com"
    with pytest.raises(RecordError, match="'>'"):
        path('"bob> SIZE=1"@example.org', "x")


@pytest.mark.parametrize(("address", "reason"), REFUSED)
def test_what_is_refused_is_refused_for_a_stated_reason(address: str, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        forward_path(address)


def test_the_null_reverse_path_is_a_reverse_path_only() -> None:
    assert reverse_path("") == ""
    with pytest.raises(RecordError, match=r"^recipient"):
        forward_path("")


def test_an_error_says_what_the_address_was_for_and_stays_one_short_line() -> None:
    with pytest.raises(RecordError) as caught:
        mailbox("x\n" * 5_000, "header To:")
    assert caught.value.message.startswith("header To: ")
    assert len(caught.value.message) < 300
    assert caught.value.message.isprintable()


@given(st.text(max_size=40) | st.from_regex(r'[a-z"(<, @.\\\r\n\[\]:é;>)-]{1,20}@[a-zé.\[\]-]{1,9}', fullmatch=True))
def test_nothing_that_passes_can_end_or_extend_the_command_it_stands_in(text: str) -> None:
    try:
        path = forward_path(text)
    except RecordError:
        return
    local, _, domain = path.rpartition("@")
    assert text.startswith((f"{local}@", '"'))
    assert not any(ord(character) < 32 or ord(character) == 127 for character in path)
    assert domain.isascii()
    assert not set(domain) & set(' <>()@,;\\"')
    if not local.startswith('"'):
        assert not set(local) & set(' <>()@,;:\\"[]')
    assert len(path.encode()) <= 254


@pytest.mark.parametrize("query", ["cc=ann@example.org", "subject=Hi&BCC=ann@example.org", "to=ann@example.org"])
def test_an_address_that_names_others_with_it_is_none(query: str) -> None:
    """To write to one of two people would be a guess."""
    with pytest.raises(RecordError):
        forward_path(cleaned(f"mailto:bob@example.org?{query}"))
    assert forward_path(cleaned("mailto:bob@example.org?subject=Hi&cc=")) == "bob@example.org"
