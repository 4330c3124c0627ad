"""Which record of a results log a report is about: by what was signed or said, never by a guess."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batchsend.errors import RecordError
from batchsend.message.verp import TOKEN, load_key, record_of
from batchsend.recipients.entries import comparable
from batchsend.results.format import AddressedLine, LogReader, opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batchsend.feedback.report import FeedbackReport

SENT: Final = ("accepted", "in_doubt")
"""The outcomes of messages that may come back."""

# The identities that relays give messages: letters, digits and what stands between them, a mail address's form too.
_WORD: Final = re.compile(r"[0-9a-z][0-9a-z_.@+=-]*[0-9a-z]")
_SHORTEST_ID: Final = 8
_XTEXT: Final = re.compile(r"\+([0-9A-F]{2})")


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
    return [index.tie(report, key) for report in reports]


def require_results_log(results: Path) -> None:
    """Refuse what is no results log, before anything is made beside it.

    Raises:
        UsageError: It cannot be opened, or is not the results log of a run.
        RunError: It cannot be read.
    """
    with opened(results) as file:
        next(iter(LogReader(results, file, SentLine)), None)


class _Index:
    """What a results log says of the records that reports may be about.

    Args:
        reports: The reports.
    """

    def __init__(self, reports: Sequence[FeedbackReport]) -> None:
        self._wanted_ids = {one for report in reports for one in _ids(report)}
        self._wanted = {address for report in reports if (address := _comparable(report.recipient)) is not None}
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
            for word in self._relay_ids.intersection(_WORD.findall(line.reply.lower())):
                # One word in the replies to several messages names none of them.
                if self._by_relay_id.setdefault(word, line.record) != line.record:
                    self._by_relay_id[word] = 0
                found = True
        address = _comparable(line.recipient) if self._wanted else None
        if address is not None and address in self._wanted:
            # An address that several records were for ties to none of them: 0 stands for that.
            if self._by_address.setdefault(address, line.record) != line.record:
                self._by_address[address] = 0
            found = True
        if found:
            self._recipients[line.record] = line.recipient

    def tie(self, report: FeedbackReport, key: bytes | None) -> Tie:
        """The record that a report is about."""
        signed, record = record_of(report.addresses, self._runs, key)
        if signed:
            # A return path that somebody has made up says that the rest of the report is made up, too.
            if record is None or record not in self._recipients:
                return Tie(None, None, "forged")
            return Tie(record, self._recipients[record], "verp")
        for by, name in (("message_id", report.message_id), ("envid", _id_of_envelope(report))):
            if name is not None and (number := self._by_id.get(name)) is not None:
                return Tie(number, self._recipients[number], by)
        if number := self._by_relay_id.get((report.relay_id or "").lower(), 0):
            return Tie(number, self._recipients[number], "relay_id")
        number = self._by_address.get(_comparable(report.recipient) or "", 0)
        return Tie(number, self._recipients[number], "address") if number else Tie(None, None, "")


def _claimed(report: FeedbackReport) -> list[int]:
    return [int(token[1]) for address in report.addresses for token in TOKEN.finditer(address)]


def _ids(report: FeedbackReport) -> list[str]:
    return [one for one in (report.message_id, _id_of_envelope(report)) if one is not None]


def _id_of_envelope(report: FeedbackReport) -> str | None:
    """The Message-ID that an ENVID stands for: delivery gives each message its own without the brackets."""
    if not report.envelope_id:
        return None
    return f"<{_XTEXT.sub(lambda found: chr(int(found[1], 16)), report.envelope_id.strip('<> '))}>"


def _comparable(address: str | None) -> str | None:
    if address is None:
        return None
    try:
        return comparable(address)
    except RecordError:
        return None
