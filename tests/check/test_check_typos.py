"""A slip of the keys is found, and nobody's own domain is taken for one."""

from __future__ import annotations

import pytest

from batchsend.check.domains import align, is_registrable, is_reserved, organisational
from batchsend.check.typos import ALSO_REAL, BIG_PROVIDERS, likely_meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmai.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmail.cm", "gmail.com"),
        ("gmail.comm", "gmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("hotmail.co", "hotmail.com"),
        ("yahoo.cm", "yahoo.com"),
        ("hotmai.com", "hotmail.com"),
        ("yaho.com", "yahoo.com"),
        ("yahooo.com", "yahoo.com"),
        ("outlok.com", "outlook.com"),
        ("iclod.com", "icloud.com"),
        ("t-onlin.de", "t-online.de"),
    ],
)
def test_slips(typed: str, meant: str) -> None:
    assert likely_meant(typed) == meant


@pytest.mark.parametrize(
    "domain",
    [
        *sorted({*BIG_PROVIDERS, *ALSO_REAL}),  # in the same order in every process
        *("yahoo.co.il", "outlook.kr", "hotmail.at", "gmx.de", "live.com", "example.com", "aol.com", "a.b"),
    ],
)
def test_domains_of_their_own(domain: str) -> None:
    assert likely_meant(domain) is None


@pytest.mark.parametrize("domain", ["gmali.co", "gamil.con", "hotmali.con", "yoohoo.com"])
def test_two_slips_are_too_many_to_be_sure(domain: str) -> None:
    assert likely_meant(domain) is None


def test_what_is_registered_is_compared() -> None:
    assert organisational("news.mail.example.co.uk") == "example.co.uk"
    assert organisational("Example.COM.") == "example.com"
    assert organisational("com") == "com"
    assert align("mail.example.com", "bounce.example.com")
    assert not align("mail.example.com", "bounce.example.com", strict=True)
    assert not align("one.co.uk", "two.co.uk")
    assert align("mail.example.com", "MAIL.example.com.", strict=True)


def test_domains_that_are_nobodys() -> None:
    assert is_reserved("mail.example.com")
    assert is_reserved("relay.test")
    assert not is_reserved("gmail.com")
    assert is_registrable("example.com")
    assert not is_registrable("node.js")
