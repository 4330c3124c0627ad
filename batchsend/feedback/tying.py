"""Which record of a results log a report is about: by what was signed or said, never by a guess."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from batchsend.errors import RecordError
from batchsend.message.verp import TOKEN, load_key, record_of
from batchsend.recipients.entries import comparable
from batchsend.results.format import AddressedLine, LogReader, opened
from batchsend.smtp.parameters import from_xtext

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from batchsend.feedback.report import FeedbackReport

SENT: Final = ("accepted", "in_doubt")
"""The outcomes of messages that may come back."""

# The identities that relays give messages: letters, digits and what stands between them, a mail address's form too.
_WORD: Final = re.compile(r"[0-9a-z][0-9a-z_.@+=-]*[0-9a-z]")
_SHORTEST_ID: Final = 8


class SentLine(AddressedLine, gc=False):
    """What a report is tied by.

    Attributes:
        message_id: The Message-ID with its angle brackets, or None.
        reply: The reply's text, in which a relay says what it calls the message; or None.
    """

    message_id: str | None = None
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class Tie:
    """The record that a report is about.

    Attributes:
        record: Its number, or None where the report is tied to none.
        recipient: Whom the record was for; None where the report is tied to none.
        by: What tied it: ``verp``, ``message_id``, ``envid``, ``relay_id`` or ``address``; ``forged`` where a signed
            return path was not genuine; ``""`` where there was nothing to tie it by.
    """

    record: int | None
    recipient: str | None
    by: str


def tie(reports: Sequence[FeedbackReport], results: Path) -> list[Tie]:
    """Tie reports to the records of a results log, which is read once for all of them.

    Memory grows with the number of reports, not with the log.

    Args:
        reports: The reports.
        results: The results log; it may be that of a run that goes on.

    Raises:
        UsageError: It is not the results log of a run, or the key of its return paths is none.
        RunError: It cannot be read.
    """
    index = _Index(reports)
    with opened(results) as file:
        for block in LogReader(results, file, SentLine):
            for line in block.lines:
                index.note(line)
    key = load_key(results)
    return [tied(report, index, key) for report in reports]


def require_results_log(results: Path) -> None:
    """Refuse what is no results log, before anything is made beside it.

    Raises:
        UsageError: It cannot be opened, or is not the results log of a run.
        RunError: It cannot be read.
    """
    with opened(results) as file:
        next(iter(LogReader(results, file, SentLine)), None)


def words_of_reply(reply: str | None) -> set[str]:
    """The words of a reply that may be what the relay calls the message, in lower case."""
    return {word for word in _WORD.findall((reply or "").lower()) if len(word) >= _SHORTEST_ID}


class SentMessages(Protocol):
    """What a results log says of the messages that reports may be about.

    Each way to find one gives its record and whom it was for, or None.
    """

    @property
    def runs(self) -> Collection[str]:
        """The identities of the runs in the log."""

    def recipient(self, record: int) -> str | None:
        """Whom a record was for; None where it was not sent."""

    def by_message_id(self, name: str) -> tuple[int, str] | None:
        """The record whose message had a Message-ID."""

    def by_relay_id(self, name: str) -> tuple[int, str] | None:
        """The only record in the reply to whose message a word stands, in lower case."""

    def by_address(self, address: str) -> tuple[int, str] | None:
        """The only record that was for an address, which is in the form in which addresses are compared."""


class _Index:
    """What a results log says of the records that reports may be about.

    Args:
        reports: The reports.
    """

    def __init__(self, reports: Sequence[FeedbackReport]) -> None:
        self._wanted_ids = {one for report in reports for one in _ids(report)}
        self._wanted = {address for report in reports if (address := comparable_or_none(report.recipient)) is not None}
        # What a token says of its record can only be believed once the log has said which runs it is of.
        self._claimed = {number for report in reports for number in _claimed(report)}
        self._relay_ids = {one for report in reports if len(one := (report.relay_id or "").lower()) >= _SHORTEST_ID}
        self._runs: set[str] = set()
        self._by_relay_id: dict[str, int] = {}
        self._by_id: dict[str, int] = {}
        self._by_address: dict[str, int] = {}
        self._recipients: dict[int, str] = {}

    def note(self, line: SentLine) -> None:
        """Take down what a line of the log ties reports to: only what was sent can come back."""
        if line.run is not None:
            self._runs.add(line.run.id)
            return
        if line.status not in SENT or line.recipient is None:
            return
        found = line.record in self._claimed
        if line.message_id is not None and line.message_id in self._wanted_ids:
            self._by_id[line.message_id] = line.record
            found = True
        if self._relay_ids and line.reply is not None:
            for word in self._relay_ids.intersection(words_of_reply(line.reply)):
                # One word in the replies to several messages names none of them.
                if self._by_relay_id.setdefault(word, line.record) != line.record:
                    self._by_relay_id[word] = 0
                found = True
        address = comparable_or_none(line.recipient) if self._wanted else None
        if address is not None and address in self._wanted:
            # An address that several records were for ties to none of them: 0 stands for that.
            if self._by_address.setdefault(address, line.record) != line.record:
                self._by_address[address] = 0
            found = True
        if found:
            self._recipients[line.record] = line.recipient

    @property
    def runs(self) -> Collection[str]:
        """The identities of the runs in the log."""
        return self._runs

    def recipient(self, record: int) -> str | None:
        """Whom a record was for that a report may be about; None where it was not sent."""
        return self._recipients.get(record)

    def by_message_id(self, name: str) -> tuple[int, str] | None:
        """See `SentMessages`."""
        return self._found(self._by_id.get(name, 0))

    def by_relay_id(self, name: str) -> tuple[int, str] | None:
        """See `SentMessages`."""
        return self._found(self._by_relay_id.get(name, 0))

    def by_address(self, address: str) -> tuple[int, str] | None:
        """See `SentMessages`."""
        return self._found(self._by_address.get(address, 0))

    def _found(self, record: int) -> tuple[int, str] | None:
        return (record, self._recipients[record]) if record else None


def tied(report: FeedbackReport, sent: SentMessages, key: bytes | None) -> Tie:
    """The record that a report is about, by the first that fits of what was signed and what is said.

    Args:
        report: The report.
        sent: The messages that it may be about.
        key: What return paths are signed with, or None.
    """
    signed, record = record_of(report.addresses, sent.runs, key)
    if signed:
        # A return path that somebody has made up says that the rest of the report is made up, too.
        recipient = None if record is None else sent.recipient(record)
        return Tie(None, None, "forged") if recipient is None else Tie(record, recipient, "verp")
    relay_id, address = (report.relay_id or "").lower(), comparable_or_none(report.recipient)
    ways = (
        ("message_id", report.message_id, sent.by_message_id),
        ("envid", _id_of_envelope(report), sent.by_message_id),
        ("relay_id", relay_id if len(relay_id) >= _SHORTEST_ID else None, sent.by_relay_id),
        ("address", address, sent.by_address),
    )
    for by, name, find in ways:
        if name is not None and (found := find(name)) is not None:
            return Tie(*found, by)
    return Tie(None, None, "")


def _claimed(report: FeedbackReport) -> list[int]:
    return [int(token[1]) for address in report.addresses for token in TOKEN.finditer(address)]


def _ids(report: FeedbackReport) -> list[str]:
    return [one for one in (report.message_id, _id_of_envelope(report)) if one is not None]


def _id_of_envelope(report: FeedbackReport) -> str | None:
    """The Message-ID that an ENVID stands for: delivery gives each message its own without the brackets."""
    if not report.envelope_id:
        return None
    return f"<{from_xtext(report.envelope_id.strip('<> '))}>"


def comparable_or_none(address: str | None) -> str | None:
    """An address in the form in which addresses are compared; None where it is none."""
    if address is None:
        return None
    try:
        return comparable(address)
    except RecordError:
        return None
