"""Notifications of Amazon SES through SNS, as JSON: mailed, or posted to a webhook."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from batchsend.feedback.meaning import meaning
from batchsend.feedback.report import FeedbackKind, FeedbackReport, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_RECIPIENTS: Final = 100
_KINDS: Final = {
    "Bounce": "bouncedRecipients",
    "Complaint": "complainedRecipients",
    "Delivery": "recipients",
    "DeliveryDelay": "delayedRecipients",
}
_BECAME: Final = {
    "Bounce": FeedbackKind.BOUNCED,
    "Complaint": FeedbackKind.COMPLAINED,
    "Delivery": FeedbackKind.DELIVERED,
    "DeliveryDelay": FeedbackKind.DELAYED,
}


def notified(text: str) -> list[FeedbackReport]:
    """The reports in the text of a notification; none where it is no notification."""
    start = text.find("{")
    if start < 0 or ("notificationType" not in text and "eventType" not in text):
        return []
    return notified_object(_object(text[start:]))


def notified_object(document: dict[str, Any]) -> list[FeedbackReport]:
    """The reports in a notification, as SNS posts it or as it is in that; none where it is no notification."""
    if isinstance(inner := document.get("Message"), str):
        document = _object(inner)
    kind = document.get("notificationType") or document.get("eventType")
    if not isinstance(kind, str) or kind not in _KINDS:
        return []
    return list(_reports(kind, document))


def _object(text: str) -> dict[str, Any]:
    """The JSON object that a text begins with.

    A footer behind it and line ends that a mail program put into its strings are of no account.
    """
    joined = text.replace("\r", "").replace("\n", "")
    for end in (len(joined), joined.rfind("}--") + 1, joined.rfind("}") + 1):
        try:
            found = orjson.loads(joined[:end])
        except orjson.JSONDecodeError:
            continue
        return found if isinstance(found, dict) else {}
    return {}


def _reports(kind: str, document: dict[str, Any]) -> Iterator[FeedbackReport]:
    mail, about = _part(document, "mail"), _part(document, kind[0].lower() + kind[1:])
    message_id = _message_id(mail)
    relay_id = mail.get("messageId") if isinstance(mail.get("messageId"), str) else None
    addresses = (mail["source"],) if isinstance(mail.get("source"), str) else ()
    time = _time(about)
    people = about.get(_KINDS[kind])
    for one in people[:_MOST_RECIPIENTS] if isinstance(people, list) else ():
        recipient = one if isinstance(one, str) else _part({"": one}, "").get("emailAddress")
        fields = one if isinstance(one, dict) else about
        if not isinstance(recipient, str):
            continue
        if kind == "Complaint":
            yield FeedbackReport(
                recipient=recipient,
                kind=FeedbackKind.COMPLAINED,
                message_id=message_id,
                relay_id=relay_id,
                addresses=addresses,
                time=time,
            )
            continue
        said = str(fields.get("diagnosticCode") or fields.get("smtpResponse") or "").removeprefix("smtp; ")
        for_good = kind != "DeliveryDelay" and about.get("bounceType") != "Transient"
        found = meaning(said, str(fields.get("status") or ""), for_good=for_good)
        delivered = kind == "Delivery"
        yield FeedbackReport(
            recipient=recipient,
            kind=_BECAME[kind],
            hard=found.hard and not delivered,
            enhanced=found.enhanced,
            code=found.code,
            reason=None if delivered else found.reason,
            said=said or None,
            reported_by=str(about.get("reportingMTA") or "").rpartition(" ")[2] or None,
            message_id=message_id,
            relay_id=relay_id,
            addresses=addresses,
            time=time,
        )


def _time(about: dict[str, Any]) -> float | None:
    try:
        return moment(datetime.fromisoformat(str(about.get("timestamp"))).timestamp())
    except (ValueError, OverflowError):
        return None


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _message_id(mail: dict[str, Any]) -> str | None:
    headers = _part(mail, "commonHeaders")
    found = headers.get("messageId")
    return found if isinstance(found, str) and found.startswith("<") else None
