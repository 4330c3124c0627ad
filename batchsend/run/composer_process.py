"""The process beside a run that composes messages: records in, the parts of submissions out.

It is started by `batchsend.run.composing` and speaks with it alone, by its standard input and output: pickles, each
behind its length. It holds no session, no journal and no log, so that its end loses nothing.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final

from msgspec import Struct

from batchsend.errors import RecordError, UsageError
from batchsend.message import Composer
from batchsend.message.naming import in_a_file
from batchsend.message.verp import Verp, make_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchsend.campaign import Message
    from batchsend.campaign.own import OwnFiles
    from batchsend.message.naming import KeyName
    from batchsend.recipients import Record

LENGTH: Final = struct.Struct("!I")
"""What stands before each pickle: how many octets it has."""

MOST_OCTETS: Final = 512 * 1024
"""Octets of content after which an answer ends, whatever records are left of the question."""


class Recipe(Struct, frozen=True):
    """What a process needs to know to compose the messages of a run.

    Attributes:
        message: The campaign's message.
        directory: The campaign's folder.
        batch_id: The run's identity.
        recipient_field: The field that holds a record's address; None to find it by its name.
        own: The campaign's own files, which no record may name.
        results: The run's results log, beside which the key lies that signs return paths and links.
        called: What errors call the keys of the message.
    """

    message: Message
    directory: Path
    batch_id: str
    recipient_field: str | None
    results: Path
    own: OwnFiles
    called: KeyName = in_a_file

    def composer(self) -> Composer:
        """What composes them.

        Raises:
            UsageError: A file of the campaign is not any more what it was when the run began.
        """
        return Composer(
            self.message,
            directory=self.directory,
            batch_id=self.batch_id,
            recipient_field=self.recipient_field,
            verp=Verp(self.batch_id, partial(make_key, self.results)),
            own=self.own,
            called=self.called,
        )


class Parts(Struct, frozen=True):
    """One message, as it comes from a process: a submission without what only the run can add.

    Attributes:
        reverse_path: As `Envelope` has it.
        forward_path: As `Envelope` has it.
        content: The message.
        message_id: Its Message-ID.
        eight_bit: Whether it has octets above 127.
        has_seven_bit: Whether there is a form of it in pure ASCII as well.
        at: What its Date says, in seconds since the epoch.
    """

    reverse_path: str
    forward_path: str
    content: bytes
    message_id: str | None
    eight_bit: bool | None
    has_seven_bit: bool
    at: int


def compose(composer: Composer, rows: list[Record]) -> list[Parts | str]:
    """Compose the messages of records, in their order, until the answer is large enough.

    Returns:
        One for each record from the first on: its message, or why it has none. At least one, where there is a record.
    """
    answer: list[Parts | str] = []
    octets = 0
    for row in rows:
        at = int(time.time())
        try:
            made = composer.compose(row, at=at)
        except RecordError as error:
            answer.append(error.message)
            continue
        envelope = made.envelope
        answer.append(
            Parts(
                reverse_path=envelope.reverse_path,
                forward_path=envelope.forward_path,
                content=made.content,
                message_id=made.message_id,
                eight_bit=made.eight_bit,
                has_seven_bit=made.seven_bit is not None,
                at=at,
            )
        )
        octets += len(made.content)
        if octets > MOST_OCTETS:
            break
    return answer


def serve(
    questions: BinaryIO, answers: BinaryIO, answer: Callable[[Composer, list[Record]], list[Parts | str]] = compose
) -> None:
    """Answer questions until there are no more: first the recipe, then lists of records.

    The recipe is answered by None, or by what is wrong with the campaign's files.

    Args:
        questions: Where they come from.
        answers: Where answers go.
        answer: What answers one of them.
    """
    first = _received(questions)
    if first is None:
        return
    recipe: Recipe = pickle.loads(first)  # noqa: S301 - from the process that has started this one
    try:
        composer = recipe.composer()
    except UsageError as error:
        _say(answers, error.message)
        return
    _say(answers, None)
    while (question := _received(questions)) is not None:
        _say(answers, answer(composer, pickle.loads(question)))  # noqa: S301 - as above


def main() -> None:
    """Serve standard input until it ends, which it does when the run's own process does.

    A signal to the terminal's or the service's processes is the run's to heed: it ends in order, and then this.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing that is printed may stand between answers
    try:
        serve(sys.stdin.buffer, answers)
    except BrokenPipeError:
        os._exit(0)  # the run's process is gone; closing what could not be written would complain


def _received(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else None


def _say(stream: BinaryIO, value: object) -> None:
    body = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    from batchsend.run.composer_process import main as run_main  # the classes of this name, not of __main__

    run_main()
