"""Every dialogue in tests/transcripts: what is written, and what becomes of each message."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchsend.smtp.client_state import State
from tests.smtp.dialogue import Dialogue, Finish, Player, Turn, message_of, read
from tests.tools.examples import some_of

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
