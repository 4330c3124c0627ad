"""A submission: one record's envelope and content, ready to be sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence  # noqa: TC003 - public: its hints are resolved at run time
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict, force_setattr, replace

from batchsend.errors import require, require_many
from batchsend.recipients.addresses import distinct, forward_path, reverse_path


class Envelope(Struct, frozen=True):
    """Reverse-path and forward-path (RFC 5321 §2.3.1), valid by construction.

    >>> Envelope("shop@example.com", "ada@bücher.example").forward_path
    'ada@xn--bcher-kva.example'

    >>> Envelope("shop@example.com", "ada@example.com", also=["bob@example.com"]).recipients
    ('ada@example.com', 'bob@example.com')

    Args:
        reverse_path: Where failures are reported: a Mailbox without angle brackets, or the null reverse-path, ``""`` or
            ``"<>"``.
        forward_path: The recipient: a Mailbox without angle brackets. A domain in another script is kept as A-labels
            (RFC 5890).
        also: Further recipients of the same message in the same transaction (RFC 5321 §3.3); each has an outcome of its
            own. A recipient that is there twice counts once.

    Raises:
        RecordError: One of them is not a Mailbox (RFC 5321 §4.1.2); the message names which, and why.
        TypeError: One of them is no text, or ``also`` is one.
    """

    reverse_path: str
    forward_path: str
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            if not isinstance(self.reverse_path, str):
                raise TypeError
            if (path := reverse_path(self.reverse_path)) is not self.reverse_path:
                force_setattr(self, "reverse_path", path)
            if (path := forward_path(self.forward_path)) is not self.forward_path:
                force_setattr(self, "forward_path", path)
            if self.also != ():
                further = (forward_path(one) for one in require_many(self.also, "also"))
                force_setattr(self, "also", tuple(distinct((self.forward_path, *further))[1:]))
        except TypeError:  # looked into only then: this is made for each message
            for name in ("reverse_path", "forward_path"):
                require(getattr(self, name), name, str)
            for one in require_many(self.also, "also"):
                require(one, "a recipient in also", str)
            raise

    @property
    def recipients(self) -> tuple[str, ...]:
        """All forward-paths."""
        return (self.forward_path, *self.also)


MOST_RECIPIENTS: Final = 100
"""Recipients of one transaction: as many as every server has to take (RFC 5321 §4.5.3.1.8)."""


class Submission(Struct, kw_only=True):
    r"""What a session needs to send one message, and what its outcome is told by.

    >>> envelope = Envelope("shop@example.com", "ada@example.com")
    >>> Submission(record=1, envelope=envelope, content=b"Subject: x\r\n\r\nText\r\n").attempt
    1

    Attributes:
        record: The record's number, from 1: its identity in the results log.
        envelope: Where it goes, and where failures are reported.
        content: The message (RFC 5322) as it will be sent: every line ends in CRLF, before dot-stuffing.
        message_id: Its Message-ID with angle brackets, the same on every attempt of the record, or None.
        canonical: The content is known to be lines each ended by CRLF, with no other CR or LF; otherwise that is looked
            into.
        eight_bit: Whether it has octets above 127; None where that is not known, and has to be looked into.
        seven_bit: Composes the same message again as pure ASCII, with the same Date and Message-ID, for a session
            without 8BITMIME (RFC 6152); None where there is no such form, or no need of one.
        attempt: How many times it has been offered, this time included; from 1.
    """

    record: int
    envelope: Envelope
    content: bytes
    message_id: str | None = None
    canonical: bool = False
    eight_bit: bool | None = None
    seven_bit: Callable[[], bytes] | None = None
    attempt: int = 1


class Bundle(Submission, kw_only=True):
    """Submissions of one content that go in one transaction; the fields are the first one's.

    Each member is accounted for by itself: whoever takes a bundle apart has ordinary submissions.

    Attributes:
        members: Two or more, of the same reverse-path and content, each with one recipient.
    """

    members: tuple[Submission, ...]


def bundle(members: Sequence[Submission]) -> Submission:
    """Submissions of one content as one; a single one is itself."""
    if len(members) == 1:
        return members[0]
    return Bundle(**asdict(members[0]), members=tuple(members))


def bundles(members: Sequence[Submission]) -> list[Submission]:
    """Any number of submissions of one content as few, none with more recipients than every server takes."""
    if len(members) == 1:
        return [members[0]]
    return [bundle(members[start : start + MOST_RECIPIENTS]) for start in range(0, len(members), MOST_RECIPIENTS)]


def members_of(submission: Submission) -> tuple[Submission, ...]:
    """The members of a bundle; of another submission, itself."""
    return submission.members if isinstance(submission, Bundle) else (submission,)


def each_recipient(submission: Submission) -> list[Submission]:
    """One submission for each recipient: of the envelope, or of a bundle."""
    envelope = submission.envelope
    if not envelope.also:
        return list(members_of(submission))
    return [replace(submission, envelope=Envelope(envelope.reverse_path, path)) for path in envelope.recipients]
