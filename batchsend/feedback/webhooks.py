"""What relays tell by webhook, as reports: the JSON of each that batchsend knows, by the name of the relay.

The fields are those of the relays' own documentation. What a relay has in a field that is not of the type it should be
is as if it were not there; an event that says nothing about whether a message arrived is none.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from batchsend.display import one_line
from batchsend.feedback.meaning import meaning
from batchsend.feedback.notifications import notified_object
from batchsend.feedback.report import FeedbackKind, FeedbackReport, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_EVENTS: Final = 10_000  # of one request
_MOST_SAID: Final = 500
_MOST_TEXT: Final = 4000


def reports_of(relay: str, document: object) -> list[FeedbackReport]:
    """The reports in what a relay has posted.

    Args:
        relay: One of `RELAYS`.
        document: The JSON that it has posted.
    """
    events = document if isinstance(document, list) else [document]
    return [
        report
        for event in events[:_MOST_EVENTS]
        if isinstance(event, dict)
        for report in RELAYS[relay](event)
        if report.recipient is not None
    ]


def _text(event: Any, *names: str) -> str | None:
    """The text or number in nested objects by their names, or None."""
    for name in names:
        event = event.get(name) if isinstance(event, dict) else None
    if isinstance(event, str):
        return event[:_MOST_TEXT] or None
    return str(event) if isinstance(event, int | float) and not isinstance(event, bool) else None


def _report(
    kind: FeedbackKind,
    recipient: str | None,
    *,
    said: str | None = None,
    status: str | None = None,
    hard: bool = False,
    message_id: str | None = None,
    relay_id: str | None = None,
    return_path: str | None = None,
    by: str | None = None,
    time: float | None = None,
) -> FeedbackReport:
    """A report; what the words of a bounce mean is decided as for bounces by mail.

    Args:
        kind: What it is.
        recipient: Whom it is about.
        said: The server's words, or those of the relay.
        status: The enhanced status code, where it has a field of its own.
        hard: Whether the relay calls the bounce hard, which counts where its words say nothing.
        message_id: The Message-ID, with or without its brackets.
        relay_id: What the relay calls the message.
        return_path: Where the message was said to come from.
        by: Who reports.
        time: When it happened, in seconds since the epoch.
    """
    report = FeedbackReport(
        recipient=recipient,
        kind=kind,
        message_id=None if message_id is None else f"<{message_id.strip('<> ')}>",
        relay_id=relay_id,
        addresses=() if return_path is None else (return_path,),
        reported_by=by,
        time=time,
    )
    if kind in (FeedbackKind.BOUNCED, FeedbackKind.DELAYED):
        means = meaning(said or "", status, for_good=kind is FeedbackKind.BOUNCED)
        report.code, report.enhanced, report.reason = means.code, means.enhanced, means.reason
        report.hard = means.hard or (hard and means.reason is None)
        report.said = one_line(" ".join((said or "").split()))[:_MOST_SAID] or None
    return report


def _when(text: str | None) -> float | None:
    """Seconds since the epoch of a number or of a date as RFC 3339 has it."""
    if text is None:
        return None
    try:
        return moment(float(text))
    except ValueError:
        pass
    try:
        return moment(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return None


def _of_event(
    event: dict[str, Any], kinds: dict[str, FeedbackKind], time: str | None, **details: Any
) -> Iterator[FeedbackReport]:
    """The report in an event that names itself in ``event`` and the recipient in ``email``, as three relays do.

    Args:
        event: The event.
        kinds: What the events of that relay are.
        time: When it happened, as the relay has it.
        details: See `_report`.
    """
    kind = kinds.get(_text(event, "event") or "")
    if kind is not None:
        yield _report(kind, _text(event, "email"), time=_when(time), **details)


_SENDGRID: Final = {
    "bounce": FeedbackKind.BOUNCED,
    "dropped": FeedbackKind.BOUNCED,
    "deferred": FeedbackKind.DELAYED,
    "spamreport": FeedbackKind.COMPLAINED,
    "unsubscribe": FeedbackKind.UNSUBSCRIBED,
    "group_unsubscribe": FeedbackKind.UNSUBSCRIBED,
}


def _sendgrid(event: dict[str, Any]) -> Iterator[FeedbackReport]:
    """https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event ."""
    # What is queued as ABC has the identities ABC.recvd-…, one a recipient.
    relay_id = (_text(event, "sg_message_id") or "").partition(".")[0]
    yield from _of_event(
        event,
        _SENDGRID,
        _text(event, "timestamp"),
        said=_text(event, "reason") or _text(event, "response"),
        status=_text(event, "status"),
        message_id=_text(event, "smtp-id"),
        relay_id=relay_id or None,
    )


def _mailgun(event: dict[str, Any]) -> Iterator[FeedbackReport]:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/events/events ."""
    data = event.get("event-data")
    name = _text(data, "event")
    kind = {
        "failed": FeedbackKind.DELAYED if _text(data, "severity") == "temporary" else FeedbackKind.BOUNCED,
        "rejected": FeedbackKind.BOUNCED,
        "complained": FeedbackKind.COMPLAINED,
        "unsubscribed": FeedbackKind.UNSUBSCRIBED,
    }.get(name or "")
    if kind is not None:
        code, words = _text(data, "delivery-status", "code"), _text(data, "delivery-status", "message")
        # The words may come without the code that they were said with.
        said = " ".join(part for part in (code if not (words or "").startswith(code or "") else None, words) if part)
        yield _report(
            kind,
            _text(data, "recipient"),
            said=said or _text(data, "delivery-status", "description") or _text(data, "reason"),
            status=_text(data, "delivery-status", "enhanced-code"),
            message_id=_text(data, "message", "headers", "message-id"),
            return_path=_text(data, "envelope", "sender"),
            by=_text(data, "delivery-status", "mx-host"),
            time=_when(_text(data, "timestamp")),
        )


_POSTMARK: Final = {
    "Transient": FeedbackKind.DELAYED,
    "Unsubscribe": FeedbackKind.UNSUBSCRIBED,
    "AutoResponder": FeedbackKind.AUTO_REPLY,
    "SpamComplaint": FeedbackKind.COMPLAINED,
    "AddressChange": FeedbackKind.AUTO_REPLY,
    "ChallengeVerification": FeedbackKind.CHALLENGE,
    "Subscribe": FeedbackKind.OTHER,
    "OpenRelayTest": FeedbackKind.OTHER,
}


def _postmark(event: dict[str, Any]) -> Iterator[FeedbackReport]:
    """https://postmarkapp.com/developer/webhooks/bounce-webhook and its neighbours."""
    record = _text(event, "RecordType")
    relay_id = _text(event, "MessageID")
    if record in ("Bounce", "SpamComplaint"):
        kind = _text(event, "Type") or record
        yield _report(
            FeedbackKind.COMPLAINED if record == "SpamComplaint" else _POSTMARK.get(kind, FeedbackKind.BOUNCED),
            _text(event, "Email"),
            said=_text(event, "Details") or _text(event, "Description"),
            hard=kind in ("HardBounce", "BadEmailAddress"),
            relay_id=relay_id,
            time=_when(_text(event, "BouncedAt")),
        )
    # Who was taken off for a bounce or a complaint has had an event of that kind.
    elif (
        record == "SubscriptionChange"
        and event.get("SuppressSending") is True
        and _text(event, "SuppressionReason") == "ManualSuppression"
    ):
        yield _report(
            FeedbackKind.UNSUBSCRIBED,
            _text(event, "Recipient"),
            relay_id=relay_id,
            time=_when(_text(event, "ChangedAt")),
        )


_BREVO: Final = {
    "hard_bounce": FeedbackKind.BOUNCED,
    "soft_bounce": FeedbackKind.BOUNCED,
    "blocked": FeedbackKind.BOUNCED,
    "invalid_email": FeedbackKind.BOUNCED,
    "error": FeedbackKind.BOUNCED,
    "deferred": FeedbackKind.DELAYED,
    "spam": FeedbackKind.COMPLAINED,
    "complaint": FeedbackKind.COMPLAINED,
    "unsubscribed": FeedbackKind.UNSUBSCRIBED,
}


def _brevo(event: dict[str, Any]) -> Iterator[FeedbackReport]:
    """https://developers.brevo.com/docs/transactional-webhooks ."""
    yield from _of_event(
        event,
        _BREVO,
        _text(event, "ts_event") or _text(event, "ts"),
        said=_text(event, "reason"),
        hard=_text(event, "event") in ("hard_bounce", "invalid_email"),
        message_id=_text(event, "message-id"),
        relay_id=(_text(event, "message-id") or "").strip("<> ") or None,
    )


_MAILJET: Final = {
    "bounce": FeedbackKind.BOUNCED,
    "blocked": FeedbackKind.BOUNCED,
    "spam": FeedbackKind.COMPLAINED,
    "unsub": FeedbackKind.UNSUBSCRIBED,
}


def _mailjet(event: dict[str, Any]) -> Iterator[FeedbackReport]:
    """https://dev.mailjet.com/email/guides/webhooks/ ."""
    words = [text for name in ("comment", "error") if (text := _text(event, name)) is not None]
    yield from _of_event(
        event,
        _MAILJET,
        _text(event, "time"),
        said=": ".join(words),
        hard=event.get("hard_bounce") is True,
        relay_id=_text(event, "Message_GUID"),
        by=_text(event, "source"),
    )


def _sparkpost(event: dict[str, Any]) -> Iterator[FeedbackReport]:
    """https://developers.sparkpost.com/api/webhooks/ ."""
    system = event.get("msys")
    for inner in system.values() if isinstance(system, dict) else ():
        name = _text(inner, "type") or ""
        kind = {
            "bounce": FeedbackKind.BOUNCED,
            "out_of_band": FeedbackKind.BOUNCED,
            "policy_rejection": FeedbackKind.BOUNCED,
            "delay": FeedbackKind.DELAYED,
            "spam_complaint": FeedbackKind.COMPLAINED,
            "list_unsubscribe": FeedbackKind.UNSUBSCRIBED,
            "link_unsubscribe": FeedbackKind.UNSUBSCRIBED,
        }.get(name)
        if kind is not None:
            yield _report(
                kind,
                _text(inner, "raw_rcpt_to") or _text(inner, "rcpt_to"),
                said=_text(inner, "raw_reason") or _text(inner, "reason"),
                hard=_text(inner, "bounce_class") in ("10", "30", "90"),  # invalid recipient, no RCPT, unsubscribe
                relay_id=_text(inner, "message_id"),
                return_path=_text(inner, "msg_from"),
                by=_text(inner, "report_by"),
                time=_when(_text(inner, "timestamp")),
            )


def _resend(event: dict[str, Any]) -> Iterator[FeedbackReport]:
    """https://resend.com/docs/webhooks/event-types ."""
    kind = {
        "email.bounced": FeedbackKind.BOUNCED,
        "email.failed": FeedbackKind.BOUNCED,
        "email.suppressed": FeedbackKind.BOUNCED,
        "email.delivery_delayed": FeedbackKind.DELAYED,
        "email.complained": FeedbackKind.COMPLAINED,
    }.get(_text(event, "type") or "")
    data = event.get("data")
    people = data.get("to") if isinstance(data, dict) else None
    for one in people if kind is not None and isinstance(people, list) else ():
        yield _report(
            kind or FeedbackKind.OTHER,
            one if isinstance(one, str) else None,
            said=_text(data, "bounce", "message") or _text(data, "failed", "reason"),
            hard=_text(data, "bounce", "type") == "Permanent",
            message_id=_text(data, "message_id"),
            relay_id=_text(data, "email_id"),
            time=_when(_text(event, "created_at")),
        )


def _ses(event: dict[str, Any]) -> Iterator[FeedbackReport]:
    """https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html ."""
    yield from notified_object(event)


RELAYS: Final[dict[str, Callable[[dict[str, Any]], Iterator[FeedbackReport]]]] = {
    "brevo": _brevo,
    "mailgun": _mailgun,
    "mailjet": _mailjet,
    "postmark": _postmark,
    "resend": _resend,
    "sendgrid": _sendgrid,
    "ses": _ses,
    "sparkpost": _sparkpost,
}
"""The relays whose webhooks are understood, by name."""
