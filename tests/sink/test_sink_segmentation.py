"""However the octets of a dialogue are cut into pieces, the sink says and receives the same."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from batchsend.sink import Counts, Received, SinkOptions, parse_rule
from batchsend.sink.session import LINE_LIMIT, ServerSession
from batchsend.sink.state import Close, Pause
from tests.tools.examples import examples

OPTIONS = SinkOptions(
    max_size=60,
    max_messages=6,
    rules=(
        parse_rule("reject", "*@bounce.example"),
        parse_rule("defer", "*@later.example=content"),
        parse_rule("delay", "*@slow.example=1s"),
        parse_rule("delay", "*@stop.example=content 1s"),
        parse_rule("drop", "*@gone.example"),
    ),
)

MAIL = st.sampled_from(
    [
        "MAIL FROM:<a@example.com>",
        "MAIL FROM:<> BODY=8BITMIME SIZE=20",
        "MAIL FROM:<a@example.com> SIZE=61",
        "MAIL FROM:<a@example.com> SIZE=1 SIZE=1",
        "mail from:<a.b@example.com>",
        "MAIL FROM:<a..b@example.com>",
        "MAIL FROM:<é@example.com> SMTPUTF8",
        "MAIL FROM:<" + "x" * 65 + "@example.com>",
    ]
)
DOMAINS = ["example.org"] * 5 + [
    "bounce.example",
    "later.example",
    "slow.example",
    "stop.example",
    "gone.example",
    "-x",
]
RCPT = st.sampled_from(DOMAINS).map("RCPT TO:<b@{}>".format)
CONTENT = st.lists(
    st.sampled_from([b"", b".", b"..", b"a", b"\n.", b".\r", b"text of a line", b"MAIL FROM:<>"]), max_size=9
)
OTHER = st.sampled_from(
    [b"NOOP", b"RSET", b"EHLO x", b"FROB", b"DATA", b"QUIT", b"AUTH LOGIN", b"AUTH PLAIN AHUAcA==", b"x" * LINE_LIMIT]
)


def _data(lines: list[bytes]) -> bytes:
    return b"DATA\r\n" + b"".join((b"." if line[:1] == b"." else b"") + line + b"\r\n" for line in lines) + b".\r\n"


def _chunks(lines: list[bytes], cut: bool) -> bytes:
    content = b"\r\n".join(lines)
    middle = len(content) // 2 if cut else 0
    first = b"BDAT %d\r\n%b" % (middle, content[:middle]) if cut else b""
    return first + b"BDAT %d LAST\r\n%b" % (len(content) - middle, content[middle:])


BODY = st.one_of(CONTENT.map(_data), st.builds(_chunks, CONTENT, st.booleans()))
GROUP = st.builds(
    lambda mail, rcpts, body: "".join(f"{line}\r\n" for line in [mail, *rcpts]).encode() + body,
    MAIL,
    st.lists(RCPT, min_size=1, max_size=2),
    BODY,
)
DIALOGUE = st.lists(st.one_of(GROUP, GROUP, GROUP, OTHER.map(lambda line: line + b"\r\n")), max_size=10).map(b"".join)


def _run(pieces: list[bytes]) -> tuple[bytes, list[Received], dict[str, int]]:
    """Return what the sink wrote, with pauses and the end marked, what it received and what it counted."""
    counts, messages = Counts(), list[Received]()
    session = ServerSession(OPTIONS, counts, messages.append)
    written = b""
    for piece in pieces:
        steps = session.receive(piece)
        while steps:
            step = steps.pop(0)
            if isinstance(step, bytes):
                written += step
            elif isinstance(step, Pause):
                written += b"(pause)"
                steps += session.resume()
            elif isinstance(step, Close):
                written += b"(close)"
    return written, messages, dataclasses.asdict(counts)


@settings(max_examples=examples(400), deadline=None)
@given(dialogue=DIALOGUE, data=st.data())
def test_pieces_do_not_matter(dialogue: bytes, data: st.DataObject) -> None:
    """Whole, octet by octet, and cut at random: the same replies, messages and counts.

    Cut into octets no group is ever seen whole, so this also shows that the shortcut for whole groups and the reading
    of single commands agree.
    """
    dialogue = b"EHLO client.example.com\r\n" + dialogue
    cuts = sorted(data.draw(st.sets(st.integers(0, len(dialogue)), max_size=12)))
    random = [dialogue[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(dialogue)], strict=True)]
    whole = _run([dialogue])
    assert _run([bytes([octet]) for octet in dialogue]) == whole
    assert _run(random) == whole
