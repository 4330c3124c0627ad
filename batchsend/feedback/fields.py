"""Reports in fields: delivery status notifications (RFC 3464, RFC 6533) and abuse reports (RFC 5965)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.feedback.entities import first, header, readable
from batchsend.feedback.report import FeedbackKind
from batchsend.smtp.parameters import from_xtext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.feedback.entities import ReportPart

MOST_RECIPIENTS: Final = 500
"""Recipients of one report that are looked at."""

_STATUS_KINDS: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ABUSE: Final = "message/feedback-report"
_ACTIONS: Final = {
    "failed": FeedbackKind.BOUNCED,
    "delayed": FeedbackKind.DELAYED,
    "delivered": FeedbackKind.DELIVERED,
    "relayed": FeedbackKind.DELIVERED,
    "expanded": FeedbackKind.DELIVERED,
}
_WORD: Final = re.compile(r"[a-z]+")
_BLANK: Final = re.compile(rb"\r?\n[ \t]*\r?\n")
_OF_A_RECIPIENT: Final = re.compile(rb"^(?:final|original)-recipient[ \t]*:", re.IGNORECASE | re.MULTILINE)
_FINAL: Final = re.compile(rb"^final-recipient[ \t]*:", re.IGNORECASE | re.MULTILINE)
_UNICODE: Final = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")

_OPTS_OUT: Final = frozenset({"opt-out", "opt-out-list"})


class StatusFields(NamedTuple):
    """What a delivery status notification has in fields of one recipient.

    Attributes:
        recipient: The original recipient, or else the final one; None where neither is an address.
        kind: By the Action field, or by the status where there is none.
        status: The Status field, or ``""``.
        diagnostic: The Diagnostic-Code without its type, or ``""``.
        reported_by: The Reporting-MTA without its type, or ``""``.
        envelope_id: The Original-Envelope-Id, or ``""``.
    """

    recipient: str | None
    kind: FeedbackKind
    status: str
    diagnostic: str
    reported_by: str
    envelope_id: str


def statuses(entities: tuple[ReportPart, ...]) -> Iterator[StatusFields]:
    """The recipients of the first delivery status notification among a message's parts, or in its text."""
    for entity in entities:
        if entity.kind in _STATUS_KINDS:
            yield from _of_blocks(entity.content())
            return
    for entity in entities:
        # Some say in the text what belongs into a part of its own.
        if entity.kind.startswith("text/") and _OF_A_RECIPIENT.search(text := entity.text().encode()) is not None:
            yield from _of_blocks(text)
            return


def _of_blocks(octets: bytes) -> Iterator[StatusFields]:
    reported_by = envelope_id = ""
    count = 0
    for block in _blocks(octets):
        if count >= MOST_RECIPIENTS:
            return
        fields = header(block.replace(b"\r\n", b"\n"))
        reported_by = address_of(first(fields, "reporting-mta")) or reported_by
        envelope_id = first(fields, "original-envelope-id") or envelope_id
        if _OF_A_RECIPIENT.search(block) is None:
            continue
        count += 1
        status = first(fields, "status")
        yield StatusFields(
            _recipient(first(fields, "original-recipient")) or _recipient(first(fields, "final-recipient")),
            _kind(first(fields, "action"), status),
            status,
            _typed(first(fields, "diagnostic-code")),
            reported_by,
            envelope_id,
        )


def _blocks(octets: bytes) -> Iterator[bytes]:
    """What stands between blank lines; some forget the blank line between two recipients."""
    for block in _BLANK.split(octets):
        begins = [match.start() for match in _FINAL.finditer(block)]
        ends = [*begins[1:], len(block)]
        yield block[: ends[0]]
        yield from (block[begin:end] for begin, end in zip(begins[1:], ends[1:], strict=True))


def _kind(action: str, status: str) -> FeedbackKind:
    word = _WORD.match(action.strip().lower())
    known = None if word is None else _ACTIONS.get(word[0])
    if known is None:
        return {"2": FeedbackKind.DELIVERED, "4": FeedbackKind.DELAYED}.get(status[:1], FeedbackKind.BOUNCED)
    return known


def _typed(value: str) -> str:
    """A field's value without the type that it may begin with (RFC 3464 §2.1.2)."""
    kind, semicolon, rest = value.partition(";")
    return rest.strip() if semicolon and re.fullmatch(r"\s*[\w-]{1,40}\s*", kind) else value.strip()


def address_of(value: str) -> str:
    """The name in a field such as ``dns; mail.example.org``."""
    return _typed(value).split(" ")[0].strip("<>()")


def _recipient(value: str) -> str | None:
    """An address as one of the types of RFC 3464 §2.3.1 and RFC 6533 §3 writes it."""
    kind = value.partition(";")[0].strip().lower()
    address = _typed(value).strip().strip("<>").strip()
    if address.lower().startswith("rfc822;"):  # some reporters put the type before what has it already
        address = _typed(address).strip().strip("<>").strip()
    if kind == "utf-8":
        address = _UNICODE.sub(lambda found: _character(found[1]), address)
    if kind == "rfc822" and "@" not in address:
        address = from_xtext(address)
    return address if "@" in address and " " not in address and address.isprintable() and len(address) <= 320 else None


def _character(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if 0x20 < number <= 0x10FFFF and not 0xD800 <= number < 0xE000 else ""


class AbuseFields(NamedTuple):
    """What an abuse report has in fields.

    Attributes:
        recipients: Those of the message complained about; none where the report hides them.
        kind: By the Feedback-Type field (RFC 5965 §7.3).
        authentication: It is about a failure of SPF, DKIM or DMARC (RFC 6591), not what a recipient thinks.
        reported_by: Who wrote it.
        envelope_id: The Original-Envelope-Id, or ``""``.
    """

    recipients: tuple[str, ...]
    kind: FeedbackKind
    authentication: bool
    reported_by: str
    envelope_id: str


def abuse(entities: tuple[ReportPart, ...]) -> AbuseFields | None:
    """What the abuse report among a message's parts says, or None where there is none."""
    for entity in entities:
        if entity.kind == _ABUSE:
            fields = header(entity.content().lstrip(b"\r\n").replace(b"\r\n", b"\n"))
            kind = first(fields, "feedback-type").strip().lower()
            found = [
                _recipient(readable(value))
                for name, value in fields
                if name in ("original-rcpt-to", "removal-recipient")
            ]
            return AbuseFields(
                tuple(dict.fromkeys(one for one in found if one is not None))[:MOST_RECIPIENTS],
                _abuse_kind(kind),
                kind == "auth-failure",
                first(fields, "reporting-mta") and address_of(first(fields, "reporting-mta")),
                first(fields, "original-envelope-id"),
            )
    return None


def _abuse_kind(kind: str) -> FeedbackKind:
    if kind in _OPTS_OUT:
        return FeedbackKind.UNSUBSCRIBED
    # A recipient who says that something is no spam (RFC 6430) does not complain.
    return FeedbackKind.OTHER if kind == "not-spam" else FeedbackKind.COMPLAINED
