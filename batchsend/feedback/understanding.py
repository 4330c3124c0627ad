"""What a message that came in is: a bounce, a complaint, an automatic reply, or none of these."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Final

from batchsend.display import one_line
from batchsend.feedback import wordings
from batchsend.feedback.entities import Incoming, first, header, read
from batchsend.feedback.fields import StatusFields, abuse, statuses
from batchsend.feedback.freeform import ADDRESS, own_text, recipients, returned, words_about
from batchsend.feedback.meaning import meaning
from batchsend.feedback.notifications import notified
from batchsend.feedback.report import FeedbackKind, FeedbackReport, moment
from batchsend.verdict import Reason

_MESSAGE_ID: Final = re.compile(r"<[^<>\s]{1,500}>")
_SENT_TO: Final = ("delivered-to", "x-original-to", "envelope-to", "to")
_SPACE: Final = re.compile(r"\s+")
_MOST_KEPT: Final = 500
_SHORT: Final = 400
_LETTER: Final = re.compile(r"[^\W\d_]")
_FEWEST_LETTERS: Final = 4  # of a diagnosis; fewer are a number with a name
_REPLY: Final = re.compile(r"(?<![\d.])(?:[45]\d\d|[45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_WHOLE_REPLY: Final = re.compile(r"(?<![\d.])(?:[45]\d\d[ -]+[^\W\d_]|[45]\.\d{1,3}\.\d{1,3}(?![\d.]*\d))")
_REPLIED: Final = re.compile(r"auto-replied", re.IGNORECASE)
_AUTO_PRECEDENCE: Final = re.compile(r"auto[-_]?reply", re.IGNORECASE)


def understand(octets: bytes, *, sent_to: tuple[str, ...] = ()) -> list[FeedbackReport]:
    """The reports that a message holds, one a recipient; one of the kind ``other`` where it is none.

    It takes time in proportion to the message's size, and never fails for what is in it.

    Args:
        octets: The message.
        sent_to: Whom its envelope was for, where that is known; otherwise its header says it.

    Raises:
        UsageError: The extra ``feedback`` is not installed.
    """
    message = read(octets)
    source = _ReportText(message, sent_to)
    reports = _in_fields(message, source) or notified(_first_text(message)) or _in_words(message, source)
    for report in reports:
        source.complete(report)
    return reports


class _ReportText:
    """What holds for all reports in one message.

    Args:
        message: The message.
        sent_to: Whom its envelope was for.

    Attributes:
        sender: Whom it is from, or None.
        others: Addresses that it cannot be about: whom it was sent to, and who sent it.
        returned: The header of the message that it returns.
    """

    def __init__(self, message: Incoming, sent_to: tuple[str, ...]) -> None:
        self.sender = _address(message.field("from"))
        self.sent_to = tuple(
            dict.fromkeys(
                [
                    *sent_to,
                    *(
                        one
                        for name, value in message.fields
                        if name in _SENT_TO
                        for one in ADDRESS.findall(value[:2000])
                    ),
                ]
            )
        )
        self.others = frozenset(one.lower() for one in (*self.sent_to, self.sender or ""))
        self.returned = header(returned(message).partition(b"\n\n")[0].replace(b"\r\n", b"\n"))
        self.time = _time(message.field("date"))
        self.replies_to = _first_id(message.field("in-reply-to")) or _last_id(message.field("references"))

    def complete(self, report: FeedbackReport) -> None:
        """Fill in what a report has of the message that it is in."""
        report.message_id = report.message_id or _first_id(first(self.returned, "message-id")) or self.replies_to
        report.reported_by = report.reported_by or self.sender
        return_path = _address(first(self.returned, "return-path"))
        report.addresses = (*self.sent_to, *((return_path,) if return_path else ()), *report.addresses)
        report.time = self.time if report.time is None else report.time
        if report.said is not None:
            report.said = one_line(_SPACE.sub(" ", report.said).strip())[:_MOST_KEPT] or None


def _first_text(message: Incoming) -> str:
    return next((entity.text() for entity in message.entities if entity.kind == "text/plain"), "")


def _address(value: str) -> str | None:
    found = ADDRESS.findall(value)
    return found[-1] if found else None


def _first_id(value: str) -> str | None:
    found = _MESSAGE_ID.search(value)
    return None if found is None else found[0]


def _last_id(value: str) -> str | None:
    found = _MESSAGE_ID.findall(value)
    return found[-1] if found else None


def _time(value: str) -> float | None:
    try:
        return moment(parsedate_to_datetime(value[:100]).timestamp())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


# --- in fields ------------------------------------------------------------------------------------------------------


def _in_fields(message: Incoming, source: _ReportText) -> list[FeedbackReport]:
    complaint = abuse(message.entities)
    if complaint is not None:
        reason = Reason.AUTHENTICATION if complaint.authentication else None
        people: tuple[str | None, ...] = complaint.recipients or (_returned_to(source),)
        return [
            FeedbackReport(
                recipient=one,
                kind=complaint.kind,
                reason=reason,
                reported_by=complaint.reported_by or None,
                envelope_id=complaint.envelope_id or None,
            )
            for one in people
        ]
    found = list(statuses(message.entities))
    text = own_text(message) if found else ""
    words = words_about(text) if len(found) > 1 else {}
    return [
        _of_status(one, text if len(found) == 1 else words.get((one.recipient or "").lower(), ""), text)
        for one in found
    ]


def _of_status(one: StatusFields, text: str, around: str) -> FeedbackReport:
    """A report from the fields of one recipient, and the words that the report has about him besides."""
    said = one.diagnostic
    if len(_LETTER.findall(said)) < _FEWEST_LETTERS:
        comment = one.status.partition("(")[2].rstrip(") ")
        said = f"{said} {comment}" if comment else text
    kind = one.kind
    if kind is FeedbackKind.DELAYED and wordings.GIVEN_UP.search(said):
        kind = FeedbackKind.BOUNCED
    means = meaning(said, one.status, for_good=kind is FeedbackKind.BOUNCED, around=around)
    return FeedbackReport(
        recipient=one.recipient,
        kind=kind,
        hard=means.hard,
        enhanced=means.enhanced,
        code=means.code,
        reason=None if kind is FeedbackKind.DELIVERED else means.reason,
        said=said or None,
        reported_by=one.reported_by or None,
        envelope_id=one.envelope_id or None,
    )


def _returned_to(source: _ReportText) -> str | None:
    """The only recipient of the message that came back, by its header."""
    found = set(ADDRESS.findall(first(source.returned, "to")))
    return found.pop() if len(found) == 1 else None


# --- in words -------------------------------------------------------------------------------------------------------


def _in_words(message: Incoming, source: _ReportText) -> list[FeedbackReport]:
    text = own_text(message)
    subject = message.field("subject")
    if _is_bounce(message, source, subject, text):
        return _bounces(message, source, f"{subject}\n{text}", text)
    if wordings.UNSUBSCRIBES.fullmatch(subject.strip()) or _asks_to_be_left_out(text):
        return [FeedbackReport(recipient=source.sender, kind=FeedbackKind.UNSUBSCRIBED, said=subject or text[:_SHORT])]
    if wordings.COMPLAINTS.search(subject):
        return [FeedbackReport(recipient=_returned_to(source), kind=FeedbackKind.COMPLAINED, said=subject)]
    if wordings.CHALLENGES.search(f"{subject}\n{text}"):
        return [FeedbackReport(recipient=source.sender, kind=FeedbackKind.CHALLENGE, said=subject)]
    if _is_auto_reply(message, subject):
        return [FeedbackReport(recipient=source.sender, kind=FeedbackKind.AUTO_REPLY, said=subject)]
    return [FeedbackReport(recipient=None, kind=FeedbackKind.OTHER, said=subject or None)]


def _asks_to_be_left_out(text: str) -> bool:
    words = text.strip()
    return len(words) <= 40 and wordings.UNSUBSCRIBES.fullmatch(words) is not None


def _report_type(message: Incoming) -> str:
    return message.parameters.get("report-type", "").lower()


def _is_auto_reply(message: Incoming, subject: str) -> bool:
    """RFC 3834 §5, and what programs wrote before it; and that somebody has read the message (RFC 8098)."""
    return (
        _report_type(message) == "disposition-notification"
        or _REPLIED.search(message.field("auto-submitted")) is not None
        or message.has("x-autoreply")
        or message.has("x-autorespond")
        or message.has("x-auto-response-from")
        or _AUTO_PRECEDENCE.search(message.field("precedence")) is not None
        or wordings.AUTO_REPLY_SUBJECTS.search(subject) is not None
    )


def _is_bounce(message: Incoming, source: _ReportText, subject: str, text: str) -> bool:
    """Whether it is called or worded as a report is, and has what only a report has.

    The less sure it is that a program wrote it, the more of that: people and shops write of failed deliveries, too.
    """
    if message.has("x-failed-recipients") or _report_type(message) == "delivery-status":
        return True
    if _report_type(message) == "disposition-notification":
        return False
    called = wordings.BOUNCE_SUBJECTS.search(subject) is not None
    says = wordings.BOUNCE_WORDS.search(text) is not None
    by_program = wordings.BOUNCE_SENDERS.search(message.field("from")) is not None
    from_nobody = message.field("return-path").strip() in ("<>", "<MAILER-DAEMON>")
    if not (called or says) or (not by_program and _is_auto_reply(message, subject)):
        return False
    replied = _REPLY.search(text) is not None
    names = any(one.lower() not in source.others for one in ADDRESS.findall(text))
    if by_program or from_nobody:
        return (by_program and called and says) or names or replied or bool(source.returned)
    if not (called and says) or message.has("list-id") or wordings.ANSWER_SUBJECTS.search(subject):
        return False
    # A code alone may be a part of somebody's telephone number.
    return (
        bool(source.returned)
        or (names and _WHOLE_REPLY.search(text) is not None)
        or wordings.NOT_A_MEMBER.search(subject) is not None
    )


def _bounces(message: Incoming, source: _ReportText, all_words: str, text: str) -> list[FeedbackReport]:
    kind = FeedbackKind.DELAYED if wordings.DELAYED_WORDS.search(all_words) else FeedbackKind.BOUNCED
    if wordings.SUCCESS_SUBJECTS.search(message.field("subject")):
        kind = FeedbackKind.DELIVERED
    people: dict[str | None, str] = dict(recipients(message, text, source.others).items())
    if not people:
        people = {_returned_to(source): text}
    reports = []
    for one, said in people.items():
        means = meaning(said, for_good=kind is FeedbackKind.BOUNCED, around=text, free_form=True)
        reports.append(
            FeedbackReport(
                recipient=one,
                kind=kind,
                hard=means.hard,
                enhanced=means.enhanced,
                code=means.code,
                reason=None if kind is FeedbackKind.DELIVERED else means.reason,
                said=said or None,
            )
        )
    return reports
