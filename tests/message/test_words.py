"""Header text: encoded-words, phrases, folding."""

from __future__ import annotations

from email import message_from_string, policy
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.errors import RecordError
from batchsend.message.words import HARD_LINE, LINE, clean, encoded_words, phrase, unstructured

CHARACTERS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
TEXTS = st.text(CHARACTERS, max_size=300)


def lines_of(field: str) -> list[str]:
    assert field.endswith("\r\n")
    lines = field[:-2].split("\r\n")
    assert all("\r" not in line and "\n" not in line for line in lines)
    assert all(line.startswith(" ") and line.strip() for line in lines[1:])
    return lines


@given(TEXTS)
def test_any_text_is_read_back_from_lines_that_fit(text: str) -> None:
    value = clean(text, "x")
    field = unstructured("Subject", value)
    assert max(map(len, lines_of(field))) <= LINE
    assert field.isascii()
    assert str(make_header(decode_header(message_from_string(field)["Subject"]))) == value


@given(st.text(CHARACTERS, min_size=1, max_size=200), st.integers(2, 90))
def test_each_encoded_word_stands_alone(text: str, used: int) -> None:
    """RFC 2047 §2 and §5: at most 75 characters, and whole characters, so that each can be decoded by itself."""
    words = encoded_words(text, used)
    assert all(len(word) <= 75 for word in words)
    assert "".join(str(make_header(decode_header(word))) for word in words) == text


def test_the_shorter_of_q_and_b_is_used() -> None:
    assert encoded_words("Jörg Schmidt", 0) == ["=?utf-8?q?J=C3=B6rg_Schmidt?="]
    assert encoded_words("山田", 0) == ["=?utf-8?b?5bGx55Sw?="]


def test_a_long_ascii_text_is_folded_where_it_has_spaces_and_keeps_them() -> None:
    text = "some words  with   runs of spaces " * 8
    field = unstructured("Subject", text.strip())
    assert max(map(len, lines_of(field))) <= LINE
    assert field.replace("\r\n", "") == f"Subject: {text.strip()}"


def test_a_word_too_long_for_a_line_is_encoded() -> None:
    assert max(map(len, lines_of(unstructured("Subject", "x" * 10_000)))) <= LINE


def test_a_run_of_spaces_makes_no_blank_line() -> None:
    lines_of(unstructured("Subject", f"a{' ' * 2_000}b"))


def test_a_token_is_kept_whole_up_to_the_hard_limit_where_asked() -> None:
    token = "x" * 900
    assert token in unstructured("X-Token", token, longest=HARD_LINE - 8)


def test_what_looks_like_an_encoded_word_is_read_as_it_was_written() -> None:
    text = "=?utf-8?q?Bcc=3A_x?="
    field = unstructured("Subject", text)
    assert text not in field
    assert str(make_header(decode_header(message_from_string(field)["Subject"]))) == text


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\x0b", "\x1b", "\x7f", "\x85", "\u2028", "\ud800"])
def test_a_control_character_is_refused_and_named(character: str) -> None:
    with pytest.raises(RecordError, match=f"^header X contains .*U\\+{ord(character):04X}"):
        clean(f"a{character}b", "header X")


def test_a_tab_becomes_a_space() -> None:
    assert clean("\ta\tb ", "x") == "a b"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Ann Bell", ["Ann Bell"]),
        ("Bell, Ann", ['"Bell, Ann"']),
        ("Ann B. Bell", ['"Ann B. Bell"']),
        ('Ann "A" \\ Bell', ['"Ann \\"A\\" \\\\ Bell"']),
        ("Ann  Bell", ['"Ann  Bell"']),
        ("a@b", ['"a@b"']),
        ("Müller, Jörg", ["=?utf-8?b?TcO8bGxlciwgSsO2cmc=?="]),
    ],
)
def test_a_display_name_is_quoted_or_encoded_as_it_needs(name: str, words: list[str]) -> None:
    assert phrase(name, 4) == words


@given(st.text(CHARACTERS, min_size=1, max_size=120))
def test_any_display_name_is_one_name(name: str) -> None:
    value = clean(name, "x")
    if not value:
        return
    field = f"To: {' '.join(phrase(value, 4))} <ann@example.com>\r\n"
    addresses = message_from_string(field, policy=policy.default)["To"].addresses
    assert len(addresses) == 1
    assert addresses[0].addr_spec == "ann@example.com"
