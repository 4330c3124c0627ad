"""The parameters of MAIL and RCPT: what is offered, needed and asked for, and nothing else."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsend.smtp.extensions import Extensions
from batchsend.smtp.parameters import Notify, ReportRequest, SessionParameters, xtext

EVERYTHING = Extensions(dsn=True, size=0, smtputf8=True, eight_bit_mime=True, require_tls=True)
REPORTS = ReportRequest(("success", "failure"), "headers")


def test_everything_that_is_offered_and_wanted_is_said_in_one_line() -> None:
    parameters = SessionParameters(EVERYTHING, reports=REPORTS, require_tls=True)
    mail = parameters.mail(size=100, eight_bit=True, utf8=True, envelope_id="a+b@example.com")
    assert mail == " REQUIRETLS SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb@example.com"
    assert parameters.rcpt("a=b@example.com", utf8=False) == (" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+3Db@example.com")


def test_nothing_is_said_to_a_server_that_offers_nothing() -> None:
    parameters = SessionParameters(Extensions(), reports=REPORTS)
    assert parameters.mail(size=100, eight_bit=False, utf8=False, envelope_id="x") == ""
    assert parameters.rcpt("a@example.com", utf8=False) == ""


def test_nothing_is_asked_of_a_server_that_offers_everything_but_what_was_wanted() -> None:
    parameters = SessionParameters(EVERYTHING)
    assert parameters.mail(size=1, eight_bit=False, utf8=False, envelope_id="x") == " SIZE=1"
    assert parameters.rcpt("a@example.com", utf8=False) == ""


def test_an_address_that_is_not_ascii_is_of_the_type_utf_8_where_it_may_be() -> None:
    parameters = SessionParameters(EVERYTHING, reports=ReportRequest(("never",)))
    assert parameters.rcpt("é@example.com", utf8=True) == r" NOTIFY=NEVER ORCPT=utf-8;\x{E9}@example.com"
    assert parameters.rcpt("a@example.com", utf8=True) == " NOTIFY=NEVER ORCPT=rfc822;a@example.com"


@pytest.mark.parametrize(("length", "there"), [(100, True), (101, False)])
def test_an_envelope_id_has_at_most_100_characters(length: int, there: bool) -> None:
    mail = SessionParameters(EVERYTHING, reports=REPORTS).mail(
        size=1, eight_bit=False, utf8=False, envelope_id="x" * length
    )
    assert ("ENVID" in mail) is there


def test_never_stands_alone() -> None:
    """RFC 3461 §4.1."""
    when: tuple[Notify, ...] = ("success", "failure", "delay")
    wrong: list[tuple[Notify, ...]] = [
        (),
        *(("never", one) for one in when),
        *(("never", *one) for one in itertools.permutations(when)),
    ]
    for notify in wrong:
        with pytest.raises(ValueError, match="NOTIFY"):
            ReportRequest(notify)


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None)
def test_xtext_is_one_printable_ascii_word_that_can_be_read_back(text: str) -> None:
    """RFC 3461 §4: no space, no ``=``, and every ``+`` is followed by two upper-case hexadecimal digits."""
    word = xtext(text)
    assert re.fullmatch(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", word)
    octets = re.sub(rb"\+([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), word.encode())
    assert octets.decode() == text
