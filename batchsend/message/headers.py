"""Header fields as the campaign asks for them, and the check that nothing else is in the header block."""

from __future__ import annotations

import re
import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Protocol

from batchsend.errors import RecordError, UsageError
from batchsend.message.mailboxes import AddressField
from batchsend.message.words import HARD_LINE, LINE, clean, fold, unstructured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from batchsend.message.templates import StructuredTemplate, Template, Templates

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_FIELD_NAME = re.compile("[!-9;-~]{1,76}")  # RFC 5322 §3.6.8, and short enough to stand on a line

# What the composer writes itself, and where the campaign file says it.
_OWN_FIELDS = {
    "from": "Use the key from in [message].",
    "to": "Use the key to in [message].",
    "reply-to": "Use the key reply_to in [message].",
    "subject": "Use the key subject in [message].",
    "return-path": "Use the key return_path in [message].",
    "bcc": "Every record is a recipient of its own: a blind copy is one more record.",
    "date": "Every message gets its own.",
    "message-id": "Every message gets its own.",
    "received": "Servers write it.",
    "mime-version": "Every message has it.",
}
_ADDRESS_FIELDS = frozenset({"cc", "sender", "disposition-notification-to", "return-receipt-to", "errors-to"})
_URL_FIELDS = frozenset(
    {"list-unsubscribe", "list-help", "list-subscribe", "list-post", "list-owner", "list-archive", "archived-at"}
)
# Defined as tokens, not as text: an encoded-word in them would be taken for itself (RFC 2047 §5).
_TOKEN_FIELDS = frozenset(
    {"list-unsubscribe-post", "list-id", "auto-submitted", "precedence", "in-reply-to", "references", "feedback-id"}
    | {"importance", "priority", "x-priority", "x-auto-response-suppress", "content-language"}
)
_URLS = re.compile(r" *<[!-;=?-~]+>(?: *, *<[!-;=?-~]+>)* *")


class Field(Protocol):
    """A header field that is rendered for each record."""

    name: str

    def render(self, variables: dict[str, Any]) -> str:
        """The field, folded, with its CRLF.

        Raises:
            RecordError: It cannot be made from this record; the message names the header.
        """


class PlainField:
    """A field without a structure that data could change: words in any script, or tokens.

    Args:
        name: The field's name.
        template: Its value.
        write: Makes the field of its name and its value.
    """

    def __init__(self, name: str, template: Template, write: Callable[[str, str], str]) -> None:
        self.name = name
        self._template = template
        self._write = write
        self._constant = None if template.constant is None else self._field(template.constant)

    def render(self, variables: dict[str, Any]) -> str:
        """As `Field.render`."""
        if self._constant is not None:
            return self._constant
        return self._field(self._template.render(variables))

    def _field(self, text: str) -> str:
        return self._write(self.name, clean(text, self._template.where))


class UrlField:
    """A field of URLs in angle brackets, such as List-Unsubscribe (RFC 2369 §2): data fills in parts of a URL only.

    Args:
        name: The field's name.
        template: Its value; the angle brackets are the template's own.
    """

    def __init__(self, name: str, template: StructuredTemplate) -> None:
        self.name = name
        self._template = template
        self._constant = None if template.constant is None else self._field([template.constant])

    def render(self, variables: dict[str, Any]) -> str:
        """As `Field.render`."""
        if self._constant is not None:
            return self._constant
        return self._field(self._template.render(variables))

    def _field(self, pieces: list[str]) -> str:
        where = self._template.where
        for data in pieces[1::2]:
            if "<" in data or ">" in data:
                raise RecordError(f"{where}: data may not bring angle brackets of its own")
        text = clean("".join(pieces), where)
        if not _URLS.fullmatch(text):
            raise RecordError(
                f"{where} is not a list of URLs in angle brackets; white space and characters outside ASCII must be "
                "percent-encoded, for example by the filter urlencode"
            )
        return tokens(self.name, text)


def tokens(name: str, text: str) -> str:
    """A field of ASCII words for machines: none of them is changed, whatever its length.

    Args:
        name: The field's name.
        text: Its value; `clean` has seen it.

    Raises:
        RecordError: It is not ASCII, or a word is too long for any line.
    """
    if not text.isascii():
        raise RecordError(f"header {name} may hold ASCII only")
    if len(name) + 2 + len(text) <= LINE:
        return f"{name}: {text}\r\n"
    chunks = [f" {word}" for word in text.split()]
    if max(map(len, chunks)) + len(name) + 1 > HARD_LINE:
        raise RecordError(f"header {name} holds a word that is too long for a line of {HARD_LINE} characters")
    return fold(name, chunks)


def custom_fields(headers: Iterable[tuple[str, str]], templates: Templates) -> list[Field]:
    """Compile the campaign's own headers, each by the grammar that its name has.

    Args:
        headers: Names and templates, in order.
        templates: What compiles them.

    Raises:
        UsageError: A name is no header's, stands twice or is one that the composer writes; or a template is wrong.
        RecordError: A value without template marks is not one for its header.
    """
    fields: list[Field] = []
    seen: set[str] = set()
    for name, source in headers:
        key = name.lower()
        _check_name(name, seen)
        seen.add(key)
        where = f"header {name}"
        if key in _ADDRESS_FIELDS:
            fields.append(AddressField(name, templates.structured(source, where), single=key == "sender"))
        elif key in _URL_FIELDS:
            fields.append(UrlField(name, templates.structured(source, where)))
        elif key in _TOKEN_FIELDS:
            fields.append(PlainField(name, templates.text(source, where), tokens))
        else:
            # What a program made of X-… may be for a program to read: long words stay as long as a line can hold them.
            write = partial(unstructured, longest=HARD_LINE - len(name) - 1)
            fields.append(PlainField(name, templates.text(source, where), write))
    return fields


def _check_name(name: str, seen: set[str]) -> None:
    key = name.lower()
    if not _FIELD_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a header name",
            remedy="At most 76 letters, digits and hyphens, without a colon.",
        )
    if key.startswith("content-") and key != "content-language":
        raise UsageError(f"{name} cannot be set", remedy="Every part of a message gets its own.")
    if remedy := _OWN_FIELDS.get(key):
        raise UsageError(f"{name} cannot be set here", remedy=remedy)
    if key in seen:
        raise UsageError(f"{name} stands twice", remedy="Keep one; case makes no difference.")


class BlockCheck:
    """The last look at a header block: the fields that were asked for, in order, and nothing else.

    What builds the fields refuses bad data by name; this holds even where it should be mistaken.

    Args:
        names: The names of the fields, in order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        line = rf"[^\r\n\0]{{0,{HARD_LINE}}}+"
        more = rf"(?:\r\n (?![ \t]*\r\n){line})*+"  # a blank continuation line would be obs-FWS (RFC 5322 §4.2)
        self._block = re.compile("".join(rf"{re.escape(name)}: {line}{more}\r\n" for name in names))

    def require(self, block: str) -> None:
        """Let the block pass, or not.

        Raises:
            RecordError: It is not made of exactly these fields.
        """
        if not self._block.fullmatch(block):
            raise RecordError("the header would not be made of the campaign's fields alone")


@lru_cache(maxsize=1)
def date(second: int) -> str:
    """A Date (RFC 5322 §3.3) in UTC; names are English in every locale.

    Args:
        second: Whole seconds since the epoch.
    """
    at = time.gmtime(second)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} +0000"
    )
