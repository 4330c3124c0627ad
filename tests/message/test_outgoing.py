"""A message of the standard library becomes submissions: who gets it, from whom, and what is left out."""

from __future__ import annotations

import email
import gc
import weakref
from contextlib import suppress
from email.errors import InvalidHeaderDefect
from email.header import Header
from email.message import EmailMessage
from email.mime.text import MIMEText
from email.policy import SMTP, compat32, default
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsend import Envelope, RecordError
from batchsend.message.outgoing import outgoing
from batchsend.message.submitting import addresses, simple_address
from tests.tools.examples import examples

if TYPE_CHECKING:
    from batchsend import Submission


def message(body: str = "Text\n", /, **headers: str) -> EmailMessage:
    """A message with these headers; an underscore is a hyphen."""
    made = EmailMessage()
    for name, value in {"From": "shop@example.com", "Subject": "x", **headers}.items():
        made[name.replace("_", "-")] = value
    made.set_content(body)
    return made


def paths(submissions: list[Submission]) -> list[str]:
    return [submission.envelope.forward_path for submission in submissions]


def read(submission: Submission) -> EmailMessage:
    return email.message_from_bytes(submission.content, policy=SMTP)


def test_each_recipient_is_one_submission_and_bcc_is_seen_by_nobody() -> None:
    made = message(To="Ada <a@example.com>, b@example.com", Cc="c@example.com", Bcc="hidden@example.com, a@example.com")
    found = outgoing(made, record=7)
    assert paths(found) == ["a@example.com", "b@example.com", "c@example.com", "hidden@example.com"]
    assert {submission.record for submission in found} == {7}
    assert {submission.envelope.reverse_path for submission in found} == {"shop@example.com"}
    assert all(b"hidden@example.com" not in submission.content for submission in found)
    assert made["Bcc"] is not None, "the caller's own message stays as it is"
    assert "Date" not in made
    assert "Message-ID" not in made


def test_a_domain_is_the_same_in_upper_and_lower_case_and_a_local_part_is_not() -> None:
    """RFC 5321 §2.4. Each goes out as it was first written."""
    named = ["a@Example.com", "a@example.com", "A@example.com", "a@EXAMPLE.COM", "b@example.com"]
    wanted = ["a@Example.com", "A@example.com", "b@example.com"]
    assert paths(outgoing(message(To=", ".join(named[:3]), Cc=", ".join(named[3:])))) == wanted
    assert paths(outgoing(message(To="x@example.com"), recipients=named)) == wanted
    assert list(Envelope("", named[0], also=tuple(named[1:])).recipients) == wanted


def test_what_a_message_must_have_is_added_and_what_it_has_stays() -> None:
    [added] = outgoing(message(To="a@example.com"))
    assert read(added)["Date"] is not None
    assert added.message_id == read(added)["Message-ID"]
    assert (added.message_id or "").endswith("@example.com>")
    [kept] = outgoing(message(To="a@example.com", Message_ID="<1@x>", Date="Thu, 1 Jan 2026 00:00:00 +0000"))
    assert (kept.message_id, read(kept)["Date"]) == ("<1@x>", "Thu, 01 Jan 2026 00:00:00 +0000")
    [signed] = outgoing(message(To="a@example.com", DKIM_Signature="v=1"))
    assert read(signed)["Date"] is None, "a signature may cover what is not there"


@pytest.mark.parametrize(
    ("headers", "sender", "recipients"),
    [
        ({"Sender": "office@example.com", "To": "a@example.com"}, "office@example.com", ["a@example.com"]),
        ({"From": "x@example.com, y@example.com", "To": "a@example.com"}, "x@example.com", ["a@example.com"]),
        ({"To": "Friends: a@example.com, b@example.com;"}, "shop@example.com", ["a@example.com", "b@example.com"]),
        ({"To": '"Last, First" <a@example.com>'}, "shop@example.com", ["a@example.com"]),
        ({"To": "undisclosed-recipients:;", "Bcc": "hidden@example.com"}, "shop@example.com", ["hidden@example.com"]),
        (
            {
                "To": "a@example.com",
                "Resent_Date": "Thu, 1 Jan 2026 00:00:00 +0000",
                "Resent_From": "r@example.com",
                "Resent_To": "b@example.com",
                "Resent_Bcc": "hidden@example.com",
            },
            "r@example.com",
            ["b@example.com", "hidden@example.com"],
        ),
    ],
)
def test_the_envelope_is_the_headers(headers: dict[str, str], sender: str, recipients: list[str]) -> None:
    found = outgoing(message(**headers))
    assert paths(found) == recipients
    assert found[0].envelope.reverse_path == sender
    assert b"hidden@example.com" not in found[0].content


def test_or_it_is_given() -> None:
    made = message(To="a@example.com")
    assert paths(outgoing(made, recipients="b@example.com")) == ["b@example.com"]
    found = outgoing(made, sender="", recipients=("b@example.com", "c@example.com", "b@example.com"))
    assert paths(found) == ["b@example.com", "c@example.com"]
    assert found[0].envelope.reverse_path == ""
    assert read(found[0])["To"] == "a@example.com"


@pytest.mark.parametrize("sender", ["", "<>"])
def test_the_null_reverse_path_may_be_written_as_in_mail(sender: str) -> None:
    """RFC 5321 §4.5.5; smtplib takes both, too."""
    [found] = outgoing(message(To="a@example.com"), sender=sender)
    assert found.envelope == Envelope("", "a@example.com")
    assert (found.message_id or "").endswith("@localhost>")
    with pytest.raises(
        RecordError, match="recipient '<>' is not an address: it is the null path, which nobody receives"
    ):
        outgoing(message(), recipients="<>")


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "no recipient"),
        ({"To": "undisclosed-recipients:;"}, "no recipient"),
        ({"To": "a@b@example.com"}, "To"),
        ({"To": "nobody"}, "To"),
        ({"To": "a@example.com <b@example.com>"}, "To"),
        ({"To": "a@example.com, b@example..com"}, "To"),
        ({"From": "", "To": "a@example.com"}, "no sender"),
        ({"From": "shop", "To": "a@example.com"}, "From"),
    ],
)
def test_what_is_not_an_address_is_not_guessed(headers: dict[str, str], says: str) -> None:
    with pytest.raises(RecordError, match=says):
        outgoing(message(**headers))


def test_a_message_that_was_resent_twice_has_no_envelope_of_its_own() -> None:
    made = message(To="a@example.com")
    for day in (1, 2):
        made["Resent-Date"] = f"Thu, {day} Jan 2026 00:00:00 +0000"
    with pytest.raises(RecordError, match="more than once"):
        outgoing(made)
    assert paths(outgoing(made, sender="s@example.com", recipients="b@example.com")) == ["b@example.com"]


def test_the_older_kind_of_message_is_read_before_it_is_decoded() -> None:
    """An encoded name may hold a comma, which separates no addresses."""
    made = MIMEText("Text", "plain", "utf-8")
    made["From"] = "shop@example.com"
    made["To"] = Header("Müller, Hans", "utf-8").encode() + " <a@example.com>"
    made["Bcc"] = "b@example.com"
    found = outgoing(made)
    assert paths(found) == ["a@example.com", "b@example.com"]
    assert b"Bcc" not in found[0].content


ENCODED_WHOLE = {
    "a@example.com": ["a@example.com"],
    "Müller Jürgen <a@example.com>": ["a@example.com"],
    '"Müller, Jürgen" <a@example.com>': ["a@example.com"],
    "Jürgen <a@example.com>, Ünal <b@example.com>": ["a@example.com", "b@example.com"],
    ", ".join(f"reader-{n}@example.com" for n in range(9)): [f"reader-{n}@example.com" for n in range(9)],
}


@pytest.mark.parametrize("text", ENCODED_WHOLE)
@pytest.mark.parametrize("name", ["From", "To", "Cc", "Bcc"])
def test_an_older_header_that_is_encoded_as_a_whole_is_taken_as_smtplib_takes_it(name: str, text: str) -> None:
    """``Header("Jürgen <a@example.com>", "utf-8")`` is one encoded-word, address and all, and is sent as that."""
    made: Any = MIMEText("Text\n")
    made["From" if name != "From" else "To"] = "other@example.com"
    made[name] = Header(text, "utf-8")
    made["Reply-To"] = Header("Grüße <r@example.com>", "utf-8")
    found = outgoing(made)
    if name == "From":
        assert {one.envelope.reverse_path for one in found} == {ENCODED_WHOLE[text][0]}
    else:
        assert paths(found) == ENCODED_WHOLE[text]
    rules: Any = compat32.clone(linesep="\r\n")
    line = rules.fold_binary(name, Header(text, "utf-8"))
    assert (line in found[0].content) == (name != "Bcc")
    assert b"\r\nReply-To: =?utf-8?b?R3LDvMOfZSA8ckBleGFtcGxlLmNvbT4=?=\r\n" in found[0].content


def test_an_older_header_with_an_address_in_plain_sight_is_not_decoded_for_more() -> None:
    made: Any = MIMEText("Text\n")
    made["From"] = "shop@example.com"
    to = Header("Ünal, <eve@example.com>, Hans", "utf-8")
    to.append("<a@example.com>", "us-ascii")
    made["To"] = to
    assert paths(outgoing(made)) == ["a@example.com"]


@pytest.mark.parametrize("policy", [compat32, default])
def test_a_parsed_header_may_be_folded_within_a_name_and_have_octets_above_127(policy: Any) -> None:
    head = 'From: "Our\n Shop" <shop@example.com>\nTo: Jürgen\n Müller <a@example.com>,\n\tÜnal <b@example.com>\n'
    [one, other] = outgoing(email.message_from_bytes(f"{head}\nText\n".encode(), policy=policy))
    assert paths([one, other]) == ["a@example.com", "b@example.com"]
    assert one.envelope.reverse_path == "shop@example.com"


LINE_BREAKS = ["\r", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]


@pytest.mark.parametrize("broken", [*LINE_BREAKS, "\ud800"])
@pytest.mark.parametrize("name", ["Subject", "To", "Cc", "X-Note", "Message-ID"])
def test_a_character_that_no_header_holds_is_named_with_its_header(name: str, broken: str) -> None:
    """An older message takes any of them; the standard library ends a line there, and what follows is a header."""
    made = MIMEText("Text\n")
    made["From"] = "shop@example.com"
    made["Bcc"] = "a@example.com"
    made[name] = f"Ada{broken}Bcc: <b@example.com>" if name not in ("To", "Cc") else f"Ada{broken}B <b@example.com>"
    with pytest.raises(RecordError) as caught:
        outgoing(made)
    kind = "half of a character" if broken == "\ud800" else f"a line break, U+{ord(broken[0]):04X}"
    assert f"header {name} contains {kind}" in caught.value.message


@pytest.mark.parametrize("broken", ["\x0b", "\x1e", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("name", ["Subject", "To", "X-Note"])
def test_so_it_is_in_a_message_that_was_parsed(name: str, broken: str) -> None:
    value = f"Ada{broken}X-B: y" if name != "To" else f"Ada{broken}B <b@example.com>"
    whole = f"From: shop@example.com\nBcc: a@example.com\n{name}: {value}\n\nText\n"
    with pytest.raises(RecordError, match=rf"header {name} contains a line break, U\+{ord(broken):04X}$"):
        outgoing(email.message_from_string(whole, policy=default))


@pytest.mark.parametrize("value", ["Ada\ud800 <b@example.com>", "Ada\rB <b@example.com>"])
def test_so_it_is_in_an_older_header(value: str) -> None:
    made: Any = email.message_from_string("From: shop@example.com\n\nText\n")
    made.set_raw("To", Header(value, "utf-8", errors="surrogatepass"))
    with pytest.raises(RecordError, match=r"header To contains (half of a character|a line break)"):
        outgoing(made)


def test_lines_end_in_crlf_and_from_is_not_mangled() -> None:
    [found] = outgoing(message("From here\n.\n", To="a@example.com"))
    assert found.content.endswith(b"\r\n\r\nFrom here\r\n.\r\n")
    assert found.content.count(b"\n") == found.content.count(b"\r\n")


def test_eight_bits_have_a_form_without_them() -> None:
    [found] = outgoing(message("Grüße\n", To="a@example.com"))
    assert "Grüße".encode() in found.content
    assert found.seven_bit is not None
    assert found.seven_bit().isascii()
    [signed] = outgoing(message("Grüße\n", To="a@example.com", DKIM_Signature="v=1"))
    assert signed.seven_bit is None, "another form would break the signature"


def test_domains_in_other_scripts_are_ascii_in_envelope_and_header() -> None:
    [found] = outgoing(message(To="Bücher <a@bücher.example>", From="shop@bücher.example"))
    assert found.envelope.forward_path == "a@xn--bcher-kva.example"
    assert found.envelope.reverse_path == "shop@xn--bcher-kva.example"
    assert read(found)["To"].addresses[0].addr_spec == "a@xn--bcher-kva.example"
    assert read(found)["To"].addresses[0].display_name == "Bücher"
    assert found.content.isascii()


def test_local_parts_in_other_scripts_have_headers_in_utf_8() -> None:
    [found] = outgoing(message(To="grüße@example.com"))
    assert "To: grüße@example.com".encode() in found.content
    with pytest.raises(RecordError, match="the envelope does not"):
        outgoing(message(To="grüße@example.com"), recipients="a@example.com")


def test_what_cannot_be_written_out_is_the_records_fault() -> None:
    made = message(To="a@example.com")
    made.set_payload("€")
    with pytest.raises(RecordError, match="cannot be written out"):
        outgoing(made)


HOSTILE = st.lists(
    st.sampled_from(
        [
            *'@,;:<>()[]"\\\\.= ?\t\0',
            "a",
            "ü",
            "\ud800",
            "\udcff",
            "a@example.com",
            "é@ü.de",
            "=?utf-8?q?a?=",
            "=?x?q?=FF?=",
            ":;",
        ]
    ),
    max_size=8,
).map("".join)
ANY_NAME = st.sampled_from(
    [
        *("From", "To", "Cc", "Bcc", "Sender", "Reply-To", "Resent-Date", "Resent-From", "Resent-To", "Message-ID"),
        *("Date", "Content-Type", "Content-Transfer-Encoding", "MIME-Version", "Subject"),
    ]
)


@settings(max_examples=examples(500))
@given(
    st.lists(st.tuples(ANY_NAME, HOSTILE), min_size=1, max_size=4),
    st.sampled_from([default, SMTP, compat32]),
    st.booleans(),
)
def test_whatever_stands_in_a_header_there_is_no_other_error(
    fields: list[tuple[str, str]], policy: Any, parsed: bool
) -> None:
    """The standard library's parser has errors of any type for what it does not understand."""
    fields = [("From", "shop@example.com"), ("To", "b@example.com"), *fields]
    if parsed:
        text = "".join(f"{name}: {value}\n" for name, value in fields)
        made = email.message_from_bytes(f"{text}\nText\n".encode("utf-8", "surrogatepass"), policy=policy)
    else:
        made = email.message_from_string("\nText\n", policy=policy)
        for name, value in fields:
            made.set_raw(name, value)
    with suppress(RecordError):
        for submission in outgoing(made):
            (submission.message_id or "").encode()  # as the results log has it


@pytest.mark.parametrize("policy", [default, compat32])
@pytest.mark.parametrize(
    "wrong",
    [b"@@, foo@", b'"', b"a@[", b"(((", b"a: b: c@example.com;", b"a: b", b"<", b"\0", b"("],
)
def test_a_header_that_nobody_can_read_is_named(wrong: bytes, policy: Any) -> None:
    made = email.message_from_bytes(b"From: shop@example.com\nTo: " + wrong + b"\n\nText\n", policy=policy)
    with pytest.raises(RecordError, match=r"header To .* (cannot be read|is not a list of addresses)|no recipient"):
        outgoing(made)


def test_a_header_of_any_length_is_shown_in_part() -> None:
    made = email.message_from_bytes(b"From: shop@example.com\nTo: " + b"<" * 3000 + b"\n\nText\n", policy=default)
    with pytest.raises(RecordError, match="header To '<<<") as caught:
        outgoing(made)
    assert len(str(caught.value)) < 300


def test_a_parameter_whose_name_leaves_no_room_in_a_line_is_refused() -> None:
    """The standard library would fold it for ever."""
    head = b"From: shop@example.com\nTo: a@example.com\nContent-Type: text/plain; " + b"x" * 90 + b"=y\n\nText\n"
    with pytest.raises(RecordError, match="a parameter with a name of more than 40 characters"):
        outgoing(email.message_from_bytes(head, policy=default))


@pytest.mark.parametrize("policy", [default, default.clone(refold_source="all"), compat32])
@pytest.mark.parametrize("name", ["X\r\nBcc: eve@example.com", "\nX", "", " X", "Bcc ", "X:A", "X-\0", "X-É"])
def test_a_header_name_is_one_by_rfc_5322(name: str, policy: Any) -> None:
    """A header begins no other one, and none is Bcc to some reader and not here."""
    whole = email.message_from_string("From: shop@example.com\nTo: a@example.com\n\nText\n", policy=policy)
    mixed = 'From: shop@example.com\nTo: a@example.com\nContent-Type: multipart/mixed; boundary="b"'
    holder = email.message_from_string(f"{mixed}\n\n--b\n\nText\n--b--\n", policy=policy)
    part: Any = holder.get_payload(0)
    for wrong in (whole, part):
        wrong.set_raw(name, "x")
    for made in (whole, holder):
        with pytest.raises(RecordError, match="is not a header name"):
            outgoing(made)


@pytest.mark.parametrize("wrong", [None, "text", b"octets", 3])
def test_anything_else_is_a_mistake_of_the_program(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"expected an email\.message\.EmailMessage"):
        outgoing(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a str"):
        outgoing(message(), recipients=[wrong if wrong != "text" else 1])  # type: ignore[list-item]


@given(
    st.text(st.sampled_from('ab1 .-_@<>"(),;:'), max_size=30)
    | st.from_regex(r"[a-z0-9 .]{0,9}<?[a-z.-]{1,9}@[a-z0-9.-]{1,9}>?", fullmatch=True)
)
def test_a_simple_address_is_what_parsing_finds(text: str) -> None:
    """Those that are taken without parsing: nobody is written to who is not meant."""
    if (simple := simple_address(text)) is not None:
        header = default.header_factory("To", text)
        assert addresses(text, "it") == [simple] == [address.addr_spec for address in header.addresses]
        assert not any(isinstance(defect, InvalidHeaderDefect) for defect in header.defects)


def test_an_address_that_is_remembered_does_not_keep_its_header() -> None:
    header = default.header_factory("To", "Ada <ada@example.com>")
    gone = weakref.ref(header)
    assert addresses(header, "it") == ["ada@example.com"]
    del header
    gc.collect()
    assert gone() is None
