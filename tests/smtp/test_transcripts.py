"""Every dialogue in tests/transcripts: what is written, and what becomes of each message."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend.outcome import Stage
from batchsend.smtp.client import Client
from batchsend.smtp.client_state import State
from batchsend.smtp.closing_replies import IDLE_SECONDS, SILENCE_SECONDS
from batchsend.smtp.transaction import SharedTransaction, Transaction
from tests.smtp.dialogue import Dialogue, Finish, Player, Turn, message_of, read
from tests.tools.examples import some_of

if TYPE_CHECKING:
    from collections.abc import Callable

TRANSCRIPTS = sorted((Path(__file__).parent.parent / "transcripts").glob("*.txt"))

# Some are about what arrives together.
SEPARABLE = [path for path in TRANSCRIPTS if read(path).options.get("segments") != "whole"]

dialogues = pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)


def play(dialogue: Dialogue, *, octet_by_octet: bool) -> Player:
    """Play a dialogue up to its end; the client must write what stands there, and then."""
    player = Player(dialogue)
    written = player.turn()
    for step in dialogue.steps:
        match step:
            case Turn("C", octets):
                assert written == octets
                written = b""
            case Finish():
                player.client.finish()
                written += player.turn()
            case Turn("S", octets, unsent, quiet):
                assert written == b"", "the client wrote what does not stand here"
                segments = [bytes([octet]) for octet in octets] if octet_by_octet else [octets]
                before = player.client.replies
                for segment in segments:
                    first = player.client.replies == before
                    written += player.receive(segment, unsent, quiet if first else 0.0)
    assert written == b"", "the client wrote what does not stand here"
    return player


def check_end(player: Player, dialogue: Dialogue) -> None:
    """The connection is lost; compare what is known then with what the file says."""
    client = player.client
    assert client.state.value == dialogue.ends["state"]
    player.lose()
    assert player.dispositions == dialogue.dispositions
    assert {key: player.said[key] for key in dialogue.said} == dialogue.said
    assert (client.error or "none").startswith(dialogue.ends["error"])
    assert str(client.unconfirmed) == dialogue.ends["unconfirmed"]
    assert client.state is State.CLOSED
    assert client.room == 0
    assert client.abandon() == []


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) > 50


@dialogues
def test_whole_segments(path: Path) -> None:
    dialogue = read(path)
    check_end(play(dialogue, octet_by_octet=False), dialogue)


@pytest.mark.parametrize("path", SEPARABLE, ids=lambda path: path.stem)
def test_octet_by_octet(path: Path) -> None:
    dialogue = read(path)
    check_end(play(dialogue, octet_by_octet=True), dialogue)


def changed(path: Path, pattern: str, new: str | Callable[[re.Match[str]], str], folder: Path) -> Path | None:
    """A dialogue in which something is written otherwise throughout; None where it does not occur."""
    text, count = re.subn(pattern, new, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (folder / path.name).write_text(text, encoding="utf-8")
    return folder / path.name if count else None


def as_expected(path: Path) -> bool:
    """Whether all in a dialogue comes as the file says."""
    dialogue = read(path)
    try:
        check_end(play(dialogue, octet_by_octet=False), dialogue)
    except AssertionError:
        return False
    return True


def test_400_is_a_refusal_as_any_other(tmp_path: Path) -> None:
    """What is to be done is said by the first digit (RFC 5321 §4.2.1), whatever the others are."""
    # That a command is not known is said by some codes only; what follows a BDAT that is not known may be any refusal.
    refusals = r"\b(?:4[35]|55)[0-9](?=[ -]|$)|(?<=C: QUIT\n\nS: )500|(?<=C: QUIT\n\nS\*5: )500|(?<=QUIT was )500"
    found = [one for path in TRANSCRIPTS if (one := changed(path, refusals, "400", tmp_path))]
    assert len(found) > 30
    assert [path.stem for path in found if not as_expected(path)] == []


def test_an_idle_session_and_a_silent_server_are_so_from_the_second_on_that_is_said(tmp_path: Path) -> None:
    def least(match: re.Match[str]) -> str:
        return f"! quiet {SILENCE_SECONDS if int(match[1]) >= SILENCE_SECONDS else IDLE_SECONDS:.0f}"

    found = [one for path in TRANSCRIPTS if (one := changed(path, r"^! quiet ([0-9]+)$", least, tmp_path))]
    assert len(found) > 5
    assert [path.stem for path in found if not as_expected(path)] == []


def test_a_session_that_ends_because_it_was_idle_says_so() -> None:
    """What it has carried until then says nothing of how much a session may carry."""
    ended = {path.stem for path in TRANSCRIPTS if play(read(path), octet_by_octet=False).client.was_idle}
    assert ended == {"idle-timeout-451", "refused-in-idleness"}


def test_a_session_whose_first_bdat_was_refused_says_so() -> None:
    """DATA is used there from then on."""
    refused = {path.stem for path in TRANSCRIPTS if play(read(path), octet_by_octet=False).client.chunking_refused}
    assert refused == {
        *("chunking-refused-at-first", "chunking-refused-at-first-and-421", "chunking-refused-at-first-and-lost"),
        *("chunking-refused-at-first-without-end", "chunking-stray-refusal-at-first"),
        *("chunking-unknown-at-first", "chunking-unknown-in-one-segment"),
    }


@pytest.mark.parametrize(
    ("quiet", "awaited", "idle"), [(1.0, 0, True), (0.9, 0, False), (2.0, 1, False), (0.5, 1, False)]
)
def test_a_connection_that_is_closed_in_idleness_was_idle(quiet: float, awaited: int, idle: bool) -> None:
    """It is so where no reply was awaited, and none came for a second."""
    dialogue = read(TRANSCRIPTS[0].with_name("refused-in-idleness.txt"))
    dialogue.steps = dialogue.steps[: -1 - awaited]
    client = play(dialogue, octet_by_octet=False).client
    client.ended_by_server("it was closed", quiet)
    assert client.was_idle is idle


def test_the_stage_of_the_reply_that_is_awaited_is_known() -> None:
    """The time-outs go by it (RFC 5321 §4.5.3.2)."""
    client: Client[int] = Client(pipelining=True)
    awaited = [client.awaits]
    client.begin(Transaction(1, mail=b"MAIL FROM:<>\r\n", rcpt=b"RCPT TO:<a@example.com>\r\n", content=b"Hello\r\n"))
    for reply in (b"", b"250 Ok\r\n", b"250 Ok\r\n", b"354 Go on\r\n", b"250 Ok\r\n"):
        client.receive(reply)
        client.data_to_send()
        awaited.append(client.awaits)
    assert awaited == [None, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT, None]


@dialogues
def test_a_connection_lost_anywhere_is_accounted_for(path: Path) -> None:
    """After each octet from the server every message begun has one one, and is in doubt only if all of it was written.

    Whether the server answered with a refusal or a closing reply, only the octets so far can tell; nothing is said here
    about what is answered but that it is answered once.
    """
    dialogue = read(path)
    stream = b"".join(step.octets for step in dialogue.steps if isinstance(step, Turn) and step.who == "S")
    for end in some_of(range(len(stream[:600]))):
        player = Player(dialogue)
        player.turn()
        for octet in stream[:end]:
            player.receive(bytes([octet]))
        player.lose()
        names = [one.split()[0] for one in player.dispositions]
        assert len(set(names)) == len(names)
        assert sorted(names) == sorted(name for key in player.begun for name in dialogue.names(key))
        for one in player.dispositions:
            key = message_of(one)
            if player.whole(key) not in player.written:
                assert "in doubt" not in one
                assert "at content" not in one
            elif player.client.closing_reply is None:
                assert "unsent" not in one


@pytest.mark.parametrize(("keys", "rcpts"), [(["a", "b"], 1), (["a", "b"], 3), (["a"], 1), ([], 0)])
def test_a_shared_transaction_has_several_recipients_and_a_rcpt_for_each(keys: list[str], rcpts: int) -> None:
    with pytest.raises(ValueError, match="a RCPT for each"):
        SharedTransaction(keys, mail=b"", rcpts=[b""] * rcpts, content=b"")
