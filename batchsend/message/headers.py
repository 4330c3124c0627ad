"""Header fields as the campaign asks for them, and the check that nothing else is in the header block."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from batchsend.campaign import header_refusal
from batchsend.errors import RecordError, UsageError
from batchsend.message import tokens
from batchsend.message.mailboxes import AddressField
from batchsend.message.words import HARD_LINE, clean, unstructured
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from batchsend.message.template import StructuredTemplate, TextTemplate
    from batchsend.message.templates import Templates

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

ADDRESS_FIELDS = frozenset({"sender", "disposition-notification-to", "return-receipt-to", "errors-to"})
URL_FIELDS = frozenset(
    {"list-unsubscribe", "list-help", "list-subscribe", "list-post", "list-owner", "list-archive", "archived-at"}
)
_HTTP, _HTTPS = late_pattern("<http:", re.IGNORECASE), late_pattern("<https:", re.IGNORECASE)
_URLS = late_pattern(r" *<[!-;=?-~]+>(?: *, *<[!-;=?-~]+>)* *")


class Head(NamedTuple):
    """What a campaign's messages have above their bodies, as templates.

    Attributes:
        from_: The From header.
        to: The To header; None for the bare recipient.
        reply_to: The Reply-To header, or None.
        subject: The Subject header, or None.
        others: Further header fields, in order.
    """

    from_: str
    to: str | None
    reply_to: str | None
    subject: str | None
    others: Sequence[tuple[str, str]]


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

    def __init__(self, name: str, template: TextTemplate, write: Callable[[str, str], str]) -> None:
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
        one_click: Whether a program is to follow it, which RFC 8058 §3.1 wants to be over HTTPS and nothing else.
    """

    def __init__(self, name: str, template: StructuredTemplate, *, one_click: bool = False) -> None:
        self.name = name
        self._template = template
        self._one_click = one_click
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
        if self._one_click and (_HTTP.search(text) or not _HTTPS.search(text)):
            raise RecordError(
                f"{where} must have a URL with https:, and none with http:, for List-Unsubscribe-Post (RFC 8058 §3.1)"
            )
        return tokens.tokens(self.name, text)


def with_way_out(head: Head, url: str | None) -> Head:
    """A header by which mail readers unsubscribe with one click (RFC 8058 §3.1); fields that are there already stay.

    Args:
        head: The header.
        url: Where the campaign's unsubscribe links lead; None for nowhere, and the header stays as it is.
    """
    if url is None:
        return head
    given = {name.lower() for name, _ in head.others}
    fields = (("List-Unsubscribe", "<{{ batch.unsubscribe_url }}>"), ("List-Unsubscribe-Post", tokens.ONE_CLICK))
    return head._replace(others=[*head.others, *(field for field in fields if field[0].lower() not in given)])


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
    seen: dict[str, str] = {}
    headers = list(headers)
    given = {name.lower() for name, _ in headers}
    one_click = "list-unsubscribe-post" in given
    if one_click and "list-unsubscribe" not in given:
        raise UsageError(
            "List-Unsubscribe-Post needs List-Unsubscribe beside it (RFC 8058 §3.1)",
            remedy='Add List-Unsubscribe = "<https://…>", with what says who unsubscribes.',
        )
    for name, source in headers:
        key = name.lower()
        if wrong := header_refusal(name, seen):
            raise UsageError(f"{name} {wrong[0]}", remedy=wrong[1])
        where = f"header {name}"
        if key in ADDRESS_FIELDS:
            fields.append(AddressField(name, templates.structured(source, where), single=key == "sender"))
        elif key in URL_FIELDS:
            of_program = one_click and key == "list-unsubscribe"
            fields.append(UrlField(name, templates.structured(source, where), one_click=of_program))
        elif key in tokens.NAMES:
            fields.append(PlainField(name, templates.text(source, where), tokens.tokens))
        else:
            # What a program made of X-… may be for a program to read: long words stay as long as a line can hold them.
            write = partial(unstructured, longest=HARD_LINE - len(name) - 1)
            fields.append(PlainField(name, templates.text(source, where), write))
    return fields


class BlockCheck:
    """The last look at a header block: the fields that were asked for, in order, and nothing else.

    What builds the fields refuses bad data by name; this holds even where it should be mistaken.

    Args:
        names: The names of the fields, in order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._beginnings = [f"{name}: " for name in names]

    def require(self, block: str) -> None:
        """Let the block pass, or not.

        Raises:
            RecordError: It is not made of exactly these fields.
        """
        if not self._is_sound(block):
            raise RecordError("the header would not be made of the campaign's fields alone")

    def _is_unfolded(self, block: str, lines: list[str]) -> bool:
        """Whether each field is one line, as in most headers, which takes less time to see."""
        fields = len(self._beginnings)
        if len(lines) != fields + 1 or lines[-1] or "\0" in block:
            return False
        if block.count("\r") != fields or block.count("\n") != fields:
            return False
        longest = HARD_LINE
        # No `map`: compiled, a loop over texts costs a fifth of it, and as much where it is not.
        for line, beginning in zip(lines, self._beginnings, strict=False):
            if len(line) > longest or not line.startswith(beginning):
                return False
        return True

    def _is_sound(self, block: str) -> bool:
        lines = block.split("\r\n")
        if self._is_unfolded(block, lines):
            return True
        together = "".join(lines)
        if lines.pop() or "\r" in together or "\n" in together or "\0" in together:
            return False
        longest = HARD_LINE
        beginnings = self._beginnings
        fields = len(beginnings)
        begun = 0
        for line in lines:
            if len(line) > longest:
                return False
            # A field's name begins with no space, so most lines need one look only.
            if begun < fields and line.startswith(beginnings[begun]):
                begun += 1
            elif not begun or not line.startswith(" ") or line.isspace():
                # A blank continuation line would be obs-FWS (RFC 5322 §4.2).
                return False
        return begun == fields


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
