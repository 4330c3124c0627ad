"""Composing the benchmark's message, without sending it: batchsend against Python's ``email`` and against bare Jinja2.

From the checkout:

    .venv/bin/python -m benchmarks.composition --messages 4000 --rounds 9

Everybody renders the same two templates with the same six fields and makes the octets of a message with text and HTML;
what they made is parsed and compared before anything is measured. A second comparison has a file of 1 MB attached, and
is with copying that file as it stands in the message, encoded. Each round runs every contestant, each time in another
order; the time is that of the processor, which other programs on the machine do not lengthen.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, formatdate
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import jinja2

from batchsend.campaign import Message
from batchsend.message import Composer
from batchsend.message.encoding import encode_base64
from batchsend.recipients import Record
from benchmarks.figures import Timing
from benchmarks.work import NOTICE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.work import Fields

    Make = Callable[[int, Fields], bytes]

OURS, OURS_WITH_FILE = "batchsend", "batchsend, 1 MB attached"
EMAIL_MESSAGE, MULTIPART, JINJA, COPY = (
    "EmailMessage",
    "MIMEMultipart",
    "Jinja2, rendering alone",
    "copying 1 MB, encoded",
)

SENDER = Address("The Reading Room", "hello", "mail.example.com")
ATTACHED = 1_000_000
COMPARED = 20


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way of making a message.

    Attributes:
        name: What it is.
        make: Makes the octets from a record's number and its fields.
        share: How many of the messages it makes: the slow and the large ones fewer.
    """

    name: str
    make: Make
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """What was promised of two contestants' times.

    Attributes:
        ours: The one.
        theirs: The other.
        most: How long ours may take, in times of theirs.
    """

    ours: str
    theirs: str
    most: float


TARGETS = (
    Target(OURS, EMAIL_MESSAGE, 1 / 30),
    Target(OURS, JINJA, 3),
    Target(OURS_WITH_FILE, COPY, 2),
)


class Jinja:
    """The two templates and the subject in Jinja2 as anybody would compile them."""

    def __init__(self) -> None:
        plain = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True)
        escaping = plain.overlay(autoescape=True)
        self.subject = plain.from_string(NOTICE.subject)
        self.text = plain.from_string(NOTICE.text)
        self.html = escaping.from_string(NOTICE.html)

    def render(self, _: int, fields: Fields) -> bytes:
        """Render both, and make no message of it."""
        self.text.render(fields)
        self.html.render(fields)
        return b""

    def email_message(self, number: int, fields: Fields) -> bytes:
        """A message by ``email.message``, as the standard library's documentation makes it."""
        message = EmailMessage(policy=policy.SMTP)
        message["Date"] = formatdate()
        message["Message-ID"] = f"<b1.{number}@mail.example.com>"
        message["From"] = SENDER
        message["To"] = Address(fields["name"], addr_spec=fields["email"])
        message["Subject"] = self.subject.render(fields)
        message.set_content(self.text.render(fields))
        message.add_alternative(self.html.render(fields), subtype="html")
        return message.as_bytes()

    def multipart(self, number: int, fields: Fields) -> bytes:
        """A message by ``email.mime``, the older way."""
        message = MIMEMultipart("alternative", policy=policy.SMTP)
        message["Date"] = formatdate()
        message["Message-ID"] = f"<b1.{number}@mail.example.com>"
        message["From"] = formataddr((SENDER.display_name, SENDER.addr_spec))
        message["To"] = formataddr((fields["name"], fields["email"]))
        message["Subject"] = self.subject.render(fields)
        message.attach(MIMEText(self.text.render(fields), "plain", "utf-8", policy=policy.SMTP))
        message.attach(MIMEText(self.html.render(fields), "html", "utf-8", policy=policy.SMTP))
        return message.as_bytes()


def composed(folder: Path, *attachments: str) -> Make:
    """Batchsend's way.

    Args:
        folder: The campaign's folder.
        *attachments: Files in it.
    """
    message = Message(
        from_=str(SENDER),
        to="{{ name }} <{{ email }}>",
        subject=NOTICE.subject,
        text=NOTICE.text,
        html=NOTICE.html,
        attachments=attachments,
    )
    composer = Composer(message, directory=folder, batch_id="b1")
    return lambda number, fields: composer.compose(Record(number, number, fields)).content


def said(content: bytes) -> dict[str, object]:
    """What a message says, however it is encoded."""
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    bodies = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
    return {
        **{name: str(message[name]) for name in ("Message-ID", "From", "To", "Subject")},
        **{kind: None if body is None else body.get_content().replace("\r\n", "\n") for kind, body in bodies.items()},
        "attachments": [sha256(part.get_content()).hexdigest() for part in message.iter_attachments()],
    }


def require_equal(contestants: Sequence[Contestant], octets: bytes) -> None:
    """Compare what everybody makes.

    Args:
        contestants: Those that make messages.
        octets: What is attached where something is.

    Raises:
        RuntimeError: Two of them make messages that say something else.
    """
    for number in range(1, COMPARED + 1):
        fields = NOTICE.fields(number)
        first, *others = [said(contestant.make(number, fields)) for contestant in contestants]
        for contestant, other in zip(contestants[1:], others, strict=True):
            attached = [sha256(octets).hexdigest()] if contestant.name == OURS_WITH_FILE else []
            if other != first | {"attachments": attached}:
                raise RuntimeError(f"{contestant.name} makes another message than {contestants[0].name}")


def measure(contestants: Sequence[Contestant], messages: int, rounds: int) -> dict[str, Timing]:
    """Run every contestant once a round; what each made is thrown away at once."""
    timings = {one.name: Timing(one.name, max(1, round(messages * one.share))) for one in contestants}
    records = [(number, NOTICE.fields(number)) for number in range(1, messages + 1)]
    for number in range(rounds):
        turn = number % len(contestants)
        for contestant in (*contestants[turn:], *contestants[:turn]):
            timing, make = timings[contestant.name], contestant.make
            own = records[: timing.messages]
            began = time.process_time()
            for record in own:
                make(*record)
            timing.seconds.append(time.process_time() - began)
    return timings


def report(timings: dict[str, Timing]) -> bool:
    """Print medians and spread of each, and what became of the targets; false where one is missed."""
    print(f"\n{'':<26} {'median':>12}  {'least to most':>22}")
    for timing in timings.values():
        each = [1e6 * seconds / timing.messages for seconds in timing.taken]
        spread = f"{min(each):,.1f} to {max(each):,.1f}"
        print(f"{timing.name:<26} {statistics.median(each):>9,.1f} µs  {spread:>22}")
    print(f"\n{'time by time of the same round':<50} {'median':>7}  {'least to most':>16}  {'at most':>7}")
    all_met = True
    for target in TARGETS:
        ratios = timings[target.theirs].ratios(timings[target.ours])
        median = statistics.median(ratios)
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        met = median <= target.most
        all_met = all_met and met
        name = f"{target.ours} / {target.theirs}"
        print(f"{name:<50} {median:>7.3f}  {spread:>16}  {target.most:>7.3f}  {'met' if met else 'MISSED'}")
    return all_met


def main() -> int:
    """Read the options, compare, measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=4000, metavar="N", help="of the fastest in a round (4000)")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="how often each contestant runs (9)")
    options = parser.parse_args()
    jinja = Jinja()
    octets = Random(1).randbytes(ATTACHED)
    encoded = bytearray(encode_base64(octets))
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "file.bin").write_bytes(octets)
        makers = [
            Contestant(OURS, composed(folder)),
            Contestant(EMAIL_MESSAGE, jinja.email_message, share=1 / 20),
            Contestant(MULTIPART, jinja.multipart, share=1 / 20),
            Contestant(OURS_WITH_FILE, composed(folder, "file.bin"), share=1 / 5),
        ]
        others = [Contestant(JINJA, jinja.render), Contestant(COPY, lambda *_: bytes(encoded), share=1 / 5)]
        require_equal(makers, octets)
        first = len(makers[0].make(1, NOTICE.fields(1)))
        print(f"{options.messages:,} messages a round, {options.rounds} rounds; the first has {first:,} octets")
        return 0 if report(measure([*makers, *others], options.messages, options.rounds)) else 1


if __name__ == "__main__":
    sys.exit(main())
