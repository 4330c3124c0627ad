"""Address headers: the template decides how many addresses there are."""

from __future__ import annotations

from email import message_from_string, policy
from email.utils import getaddresses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.errors import RecordError, UsageError
from batchsend.message.mailboxes import AddressField
from batchsend.message.templates import Templates

TEMPLATES = Templates(Path())


def field(source: str, *, single: bool = False) -> AddressField:
    return AddressField("To", TEMPLATES.structured(source, "header To"), single=single)


def render(source: str, **variables: Any) -> str:
    return field(source).render(variables)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("ann@example.com", "To: ann@example.com\r\n"),
        (" <ann@example.com> ", "To: ann@example.com\r\n"),
        ("Ann Bell <ann@example.com>", "To: Ann Bell <ann@example.com>\r\n"),
        ('"Bell, Ann" < ann@example.com >', 'To: "Bell, Ann" <ann@example.com>\r\n'),
        ('"A \\"B\\" C" <a@example.com>', 'To: "A \\"B\\" C" <a@example.com>\r\n'),
        ("Jörg <j@bücher.example>", "To: =?utf-8?b?SsO2cmc=?= <j@xn--bcher-kva.example>\r\n"),
        ("a@example.com, B <b@example.com>,", "To: a@example.com, B <b@example.com>\r\n"),
    ],
)
def test_a_constant_is_written_in_its_shortest_right_form(source: str, expected: str) -> None:
    assert render(source) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ann", "To: Ann <ann@example.com>\r\n"),
        ("", "To: ann@example.com\r\n"),
        (None, "To: ann@example.com\r\n"),
        ("Bell, Ann", 'To: "Bell, Ann" <ann@example.com>\r\n'),
        ("x <evil@example.net>, Ann", 'To: "x <evil@example.net>, Ann" <ann@example.com>\r\n'),
        ('" <evil@example.net>', 'To: "\\" <evil@example.net>" <ann@example.com>\r\n'),
    ],
)
def test_data_in_a_name_stays_a_name(name: str | None, expected: str) -> None:
    assert render("{{ name }} <{{ email }}>", name=name, email="ann@example.com") == expected
    if name is not None:
        assert render('"{{ name }}" <{{ email }}>', name=name, email="ann@example.com") == expected


@pytest.mark.parametrize(
    "address", ["a@example.com>, <b@example.net", "a@example.com, b@example.net", "A <a@example.com>", " a@example.com"]
)
def test_data_in_an_address_is_one_address_or_an_error(address: str) -> None:
    for source in ("{{ email }}", "Ann <{{ email }}>"):
        with pytest.raises(RecordError, match=r"^header To: .* is not an address"):
            render(source, email=address)


@pytest.mark.parametrize("source", ["{{ email }}", "Ann <{{ email }}>"])
def test_an_empty_address_is_none(source: str) -> None:
    with pytest.raises(RecordError, match="it is empty"):
        render(source, email="")


def test_templates_with_conditions_and_loops_keep_their_structure() -> None:
    source = "{% if name %}{{ name }} <{{ email }}>{% else %}{{ email }}{% endif %}"
    assert render(source, name="B, A", email="a@example.com") == 'To: "B, A" <a@example.com>\r\n'
    assert render(source, name="", email="a@example.com") == "To: a@example.com\r\n"
    listed = "{% for one in all %}{{ one }}, {% endfor %}"
    assert render(listed, all=["a@example.com", "b@example.com"]) == "To: a@example.com, b@example.com\r\n"
    with pytest.raises(RecordError, match="there is no address"):
        render(listed, all=[])


def test_what_a_macro_makes_is_data_even_when_data_stands_in_it() -> None:
    source = "{% macro who() %}{{ name }}, {% endmacro %}{{ who() }} <{{ email }}>"
    rendered = render(source, name="B <x@example.net>", email="a@example.com")
    assert rendered == 'To: "B <x@example.net>," <a@example.com>\r\n'


@pytest.mark.parametrize(
    "source",
    ["Ann <a@example.com", "Ann a@example.com>", '"Ann <a@example.com>', "a <a@b> c", "Friends: a@b;", "", "(x) a@b"],
)
def test_a_template_that_is_no_address_list_is_refused_before_any_record(source: str) -> None:
    with pytest.raises(RecordError, match=r"^header To"):
        field(source)


def test_a_single_mailbox_is_single() -> None:
    with pytest.raises(RecordError, match="exactly one address, not 2"):
        field("a@example.com, b@example.com", single=True)


def test_a_template_that_does_not_parse_is_refused() -> None:
    with pytest.raises(UsageError, match="header To, line 1"):
        field("{{ name <a@example.com>")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=80), st.sampled_from(["", '"']))
def test_any_name_gives_the_one_address_that_the_template_has(name: str, quote: str) -> None:
    rendered = render(
        f"{quote}{{{{ name }}}}{quote} <{{{{ email }}}}>, Bo <bo@example.org>", name=name, email="a@example.com"
    )
    assert all(len(line) <= 78 for line in rendered.split("\r\n"))
    parsed = message_from_string(rendered, policy=policy.default)["To"].addresses
    assert [one.addr_spec for one in parsed] == ["a@example.com", "bo@example.org"]
    assert [address for _, address in getaddresses([message_from_string(rendered)["To"]])] == [
        "a@example.com",
        "bo@example.org",
    ]
