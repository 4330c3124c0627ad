"""Commands: whatever the path, it is one line, and the path in it is the one that was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchsend.smtp import commands
from batchsend.smtp.parameters import MailParameters, RcptParameters

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = [
    "a@example.com",
    "o'brien+tag@example.com",
    "u@[192.0.2.1]",
    "u@[IPv6:2001:db8::1]",
    '"a b"@example.com',
    '"a>b<c"@example.com',
    r'"a\"> x"@example.com',
    '""@example.com',
    "grüße@example.com",
    "日本@example.com",
    "क्\u200dष@example.com",
    "-f@example.com",
]

BAD = [
    "a@example.com\r\nRCPT TO:<b@example.com>",
    "a@example.com\nDATA",
    "a@example.com\r",
    "a@example.com\x00",
    "a@example.com\x7f",
    "a@example.com\x85",
    "a@example.com> SIZE=1",
    "a@example.com>",
    "<a@example.com>",
    "A <a@example.com",
    "a@example.com ",
    " a@example.com",
    "a@example.com\t",
    '"a@example.com> SIZE=1',
    'a@example.com> SIZE=1 "',
    '"a" b"@example.com',
    '"a\\"> SIZE=1',
    '"a\r\nb"@example.com',
    '"a\\\r\nb"@example.com',
    "\ud800@example.com",
]

# Text that attacks: what ends a path, a command or a quotation, more often than chance would have it.
paths = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            ["\r\n", "\r", "\n", ">", "<", " ", '"', "\\", "\\\\", "a", "@example.com", "\0", "\u2028", "é"]
        ),
        max_size=12,
    ).map("".join),
)


def mail(parameters: str) -> bytes:
    return commands.mail("a@example.com", MailParameters(parameters))


def rcpt(parameters: str) -> bytes:
    return commands.rcpt("a@example.com", RcptParameters(parameters))


@pytest.mark.parametrize("path", GOOD)
def test_mailboxes_become_commands(path: str) -> None:
    assert commands.rcpt(path) == b"RCPT TO:<" + path.encode() + b">\r\n"
    assert commands.rcpt(path, RcptParameters(" NOTIFY=NEVER")) == b"RCPT TO:<" + path.encode() + b"> NOTIFY=NEVER\r\n"
    assert commands.mail(path, MailParameters(" SIZE=100 BODY=8BITMIME")) == (
        b"MAIL FROM:<" + path.encode() + b"> SIZE=100 BODY=8BITMIME\r\n"
    )


def test_the_null_reverse_path_becomes_a_command() -> None:
    assert commands.mail("") == b"MAIL FROM:<>\r\n"


@pytest.mark.parametrize("path", BAD)
def test_what_is_no_path_never_becomes_a_command(path: str) -> None:
    with pytest.raises(ValueError, match=r"not a path|surrogates not allowed"):
        commands.rcpt(path)
    with pytest.raises(ValueError, match=r"not a path|surrogates not allowed"):
        commands.mail(path)


@given(paths)
@example('"> SIZE=1')
@settings(deadline=None)
def test_any_path_is_refused_or_stands_in_one_line_as_it_was_given(path: str) -> None:
    for command, before in ((commands.rcpt, b"RCPT TO:<"), (commands.mail, b"MAIL FROM:<")):
        try:
            line = command(path)
        except ValueError:
            continue
        assert line == before + path.encode() + b">\r\n"
        assert line.count(b"\r") == line.count(b"\n") == 1
        assert end_of_path(line, len(before)) == len(line) - len(b">\r\n")


@given(paths)
@settings(deadline=None)
def test_any_parameters_are_refused_or_stand_in_one_line(parameters: str) -> None:
    for command, before in ((rcpt, b"RCPT TO:<"), (mail, b"MAIL FROM:<")):
        try:
            line = command(parameters)
        except ValueError:
            continue
        assert line == before + b"a@example.com>" + parameters.encode() + b"\r\n"
        assert line.count(b"\r") == line.count(b"\n") == 1


@pytest.mark.parametrize("command", [mail, rcpt])
@pytest.mark.parametrize("parameters", [" A=B\r\nDATA", " A=B\n", " A=B\r", " A=\0", " A=\x7f", " A=\x85"])
def test_parameters_never_hold_another_command(command: Callable[[str], bytes], parameters: str) -> None:
    with pytest.raises(ValueError, match="not parameters"):
        command(parameters)


def end_of_path(line: bytes, start: int) -> int:
    """Return where a server sees the path's end: at the first ``>`` outside quotation marks (RFC 5321 §4.1.2)."""
    quoted = escaped = False
    for i in range(start, len(line)):
        if escaped:
            escaped = False
        elif quoted and line[i] == ord("\\"):
            escaped = True
        elif line[i] == ord('"'):
            quoted = not quoted
        elif line[i] == ord(">") and not quoted:
            return i
    raise AssertionError(f"the path never ends: {line!r}")


def test_bdat_announces_the_octets_that_follow() -> None:
    assert commands.bdat(0) == b"BDAT 0 LAST\r\n"
    assert commands.bdat(1234) == b"BDAT 1234 LAST\r\n"
