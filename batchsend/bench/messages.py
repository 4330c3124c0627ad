"""What a bench sends: test messages, marked as such, or a campaign's own, each to the one who measures."""

from __future__ import annotations

import secrets
from functools import partial
from itertools import count as counting
from itertools import cycle, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from batchsend import figures
from batchsend.campaign import Message
from batchsend.errors import RecordError, UsageError
from batchsend.message import Composer, Envelope
from batchsend.message.proof import Proof
from batchsend.recipients import BadRecord, Record, open_recipients
from batchsend.recipients.addresses import forward_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.campaign import Campaign
    from batchsend.message import Submission

_SUBJECT = "[test] batchsend bench: message {{ batch.record }}"
_TEXT = "This is a test message: `batchsend bench` measures how fast a server\ntakes mail. Nobody has to read it.\n"
_LINE = "x" * 70 + "\n"
_CRLF_GROWS = 1
_LONGEST_NUMBER: Final = "9" * 10
"""Of a message: no bench sends more."""

MOST_RECORDS: Final = 1000
"""So many of a campaign's records are used, the first, in turns: their tests are kept in memory."""

MOST_OCTETS: Final = 32 * 1024 * 1024
"""Fewer records, where their tests take more memory than this."""


class BenchRecipients:
    """Who gets the test messages: the same address each time, or one of a pattern's.

    A relay looks up whom a message is for, and remembers the answer: to many recipients, as campaigns have them, it
    takes fewer messages a second than to a single one.

    Args:
        to: An address. A ``*`` in its local part stands for the number of a message.

    Attributes:
        many: Whether each message has an address of its own.

    Raises:
        UsageError: It is no address, or the ``*`` is not in its local part.
    """

    def __init__(self, to: str) -> None:
        self.many = "*" in to
        expected = "expected an address such as you@example.com, or me+*@example.com"
        if "*" in to.rpartition("@")[2]:
            raise UsageError(f"--to {to!r}: the * is not before the @", remedy=expected)
        try:
            self._to = forward_path(to)
            forward_path(self._to.replace("*", _LONGEST_NUMBER))
        except RecordError as error:
            raise UsageError(f"--to {error.message.removeprefix('recipient ')}", remedy=expected) from None

    def address(self, number: int) -> str:
        """Who gets a message.

        Args:
            number: The message's number, from 1.
        """
        return self._to.replace("*", str(number)) if self.many else self._to


class MessageSource(Protocol):
    """Makes messages, numbered from 1.

    Attributes:
        made: How many were made so far.
        octets: The size of the first one, header and all.
    """

    made: int
    octets: int

    def make(self, count: int | None) -> Iterator[Submission]:
        """The next messages, each made when it is asked for; None: without end."""


class Messages:
    """Makes test messages, numbered from 1.

    Args:
        sender: The address in From, and the reverse-path.
        recipients: Who gets them.
        size: Octets of the first one; no less than its header and a line of text need.

    Attributes:
        made: How many were made so far.
        octets: The size of the first one, header and all.

    Raises:
        UsageError: An address is none.
    """

    def __init__(self, *, sender: str, recipients: BenchRecipients, size: int) -> None:
        if not sender:
            raise UsageError("no test message can be made: the sender is empty")
        self.made = 0
        self._sender, self._recipients = sender, recipients
        self._id = f"bench.{secrets.token_hex(8)}"
        self._composer = self._composing(_TEXT)
        missing = size - len(self._compose(1).content)
        lines, rest = divmod(missing, len(_LINE) + _CRLF_GROWS)
        if missing > 0:
            last = "x" * (rest - 2) + "\n" if rest >= 2 else ""
            self._composer = self._composing(_TEXT + _LINE * lines + last)
        self.octets = len(self._compose(1).content)

    def make(self, count: int | None) -> Iterator[Submission]:
        """The next messages, each made when it is asked for; None: without end."""
        for _ in _turns(count):
            self.made += 1
            yield self._compose(self.made)

    def _composing(self, text: str) -> Composer:
        message = Message(
            from_="batchsend bench <{{ sender }}>",
            subject=_SUBJECT,
            text=text,
            headers={"Auto-Submitted": "auto-generated"},  # RFC 3834: no vacation notice is to answer it
        )
        return Composer(message, directory=Path.cwd(), batch_id=self._id)

    def _compose(self, number: int) -> Submission:
        fields = {"email": self._recipients.address(number), "sender": self._sender}
        try:
            return self._composer.compose(Record(number, number, fields))
        except RecordError as error:
            raise UsageError(f"no test message can be made: {error.message}") from None


class CampaignMessages:
    """Makes a campaign's own messages as tests: for its first records in turns, all of them to a tester.

    As with ``send --to``, envelope and To name the tester, and what would unsubscribe a recipient leads nowhere. To
    make a test of a message takes ten times as long as to compose it, so that is done before anything is measured. For
    each message that is sent the campaign's own is composed, which takes as long as in a campaign; what goes out is the
    test of it, with a Message-ID of its own where it is not signed.

    Args:
        campaign: The campaign.
        to: Who gets them. To names the first address, whoever gets a message.

    Attributes:
        made: How many were made so far.
        octets: The size of the first one, header and all.
        skipped: That no message can be made for some of the records read, for people; or None.

    Raises:
        UsageError: The campaign has no record that a message can be made for.
    """

    def __init__(self, campaign: Campaign, to: BenchRecipients) -> None:
        self._to = to
        composer = partial(
            Composer,
            campaign.message,
            directory=campaign.directory,
            batch_id=f"bench.{secrets.token_hex(8)}",
            recipient_field=campaign.recipient_field,
        )
        self._composer, self._proofs = composer(), composer(proof=Proof(to.address(1)))
        self._is_signed = bool(campaign.message.dkim)
        self.made = 0
        self.skipped: str | None = None
        self.octets = 0
        self._wrong: list[str] = []
        tests: list[tuple[Record, Submission]] = []
        kept = 0
        with open_recipients(campaign) as reader:
            for row in reader.read(MOST_RECORDS):
                if isinstance(row, BadRecord):
                    self._wrong.append(row.reason)
                    continue
                if (test := self._test(row)) is None:
                    continue
                tests.append((row, test))
                kept += len(test.content)
                if kept > MOST_OCTETS:
                    break
            name = reader.name
        wrong = self._wrong
        if not tests:
            why = f", the first because: {wrong[0]}" if wrong else ", for there are none"
            raise UsageError(f"{name}: no message can be made for any of its first {MOST_RECORDS:,} records{why}")
        if wrong:
            self.skipped = (
                f"{name}: {len(wrong):,} of the first {figures.count(len(wrong) + len(tests), 'record')} are left out, "
                f"for no message can be made for them, the first because: {wrong[0]}"
            )
        self.octets = len(tests[0][1].content)
        self._endless = cycle(tests)
        self._numbers = counting(1)

    def make(self, count: int | None) -> Iterator[Submission]:
        """The next messages, each made when it is asked for; None: without end."""
        for _ in _turns(count):
            # A number of its own, for a record that comes round again is another message.
            number, (row, test) = next(self._numbers), next(self._endless)
            composed = self._composer.compose(Record(number, row.line, row.fields))
            self.made += 1
            yield self._sent(number, test, composed.message_id)

    def _sent(self, number: int, test: Submission, message_id: str | None) -> Submission:
        """A test with the number and the Message-ID of the message composed; a signature covers the Message-ID."""
        content, old = test.content, test.message_id
        if old is not None and message_id is not None and not self._is_signed:
            content = content.replace(old.encode(), message_id.encode(), 1)
        else:
            message_id = old
        envelope = Envelope(test.envelope.reverse_path, self._to.address(number))
        return msgspec.structs.replace(test, record=number, envelope=envelope, content=content, message_id=message_id)

    def _test(self, row: Record) -> Submission | None:
        """The test of a record's message; None where no message can be made for it."""
        try:
            self._composer.compose(row)
            return self._proofs.compose(row)
        except RecordError as error:
            self._wrong.append(error.message)
            return None


def _turns(count: int | None) -> Iterator[None]:
    return repeat(None) if count is None else repeat(None, count)
