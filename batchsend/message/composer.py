"""Composes messages: everything a campaign's messages share is made once, the rest is filled in for each record."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batchsend.errors import RecordError, UsageError
from batchsend.message.addresses import reverse_path
from batchsend.message.attachments import AttachmentFiles
from batchsend.message.encoding import encode_text
from batchsend.message.headers import BlockCheck, Field, PlainField, custom_fields, date
from batchsend.message.mailboxes import AddressField
from batchsend.message.mime import Skeleton
from batchsend.message.submission import Envelope, Submission
from batchsend.message.templates import Batch, Templates, read_source
from batchsend.message.text import text_from_html
from batchsend.message.words import unstructured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batchsend.campaign import Message
    from batchsend.message.templates import Template
    from batchsend.records import Record

RECIPIENT_FIELDS = ("email", "to", "recipient", "address")
"""Where a record's address is looked for, in this order, when the campaign does not say."""

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class Composer:
    """Makes a submission of each record.

    A record's fields are the templates' variables. ``batch.id`` and ``batch.record`` are there too; a field called
    ``batch`` is hidden by them. The message goes out as pure ASCII, an address with a local part in another script
    excepted: that needs SMTPUTF8 (RFC 6531).

    Args:
        message: The campaign's message.
        directory: The campaign's folder: templates include, and records attach, files inside it only.
        batch_id: The run's identifier, part of each Message-ID; a dot-atom of at most 64 characters.
        recipient_field: The field that holds a record's address; None for the first of `RECIPIENT_FIELDS` that it has.

    Raises:
        UsageError: A template, header, file or address of the campaign is wrong; the message names the key.
        ValueError: ``batch_id`` is no part of a Message-ID.
    """

    def __init__(self, message: Message, *, directory: Path, batch_id: str, recipient_field: str | None = None) -> None:
        if len(batch_id) > 64 or not _DOT_ATOM.fullmatch(batch_id):
            raise ValueError(f"batch_id {batch_id!r} cannot be part of a Message-ID")
        self._batch_id = batch_id
        self._recipient_field = recipient_field
        self._templates = templates = Templates(directory)
        with _naming("message.from"):
            self._from = AddressField("From", templates.structured(message.from_, "header From"), single=True)
        self._to: AddressField | None = None
        if message.to is not None:
            with _naming("message.to"):
                self._to = AddressField("To", templates.structured(message.to, "header To"))
        self._return_path: Template | None = None
        if message.return_path is not None:
            with _naming("message.return_path"):
                self._return_path = templates.text(message.return_path, "return path")
                reverse_path(self._return_path.constant or "")
        self._fields = _fields(message, templates)
        names = ("Date", "Message-ID", "From", "To", *(field.name for field in self._fields))
        self._block_check = BlockCheck(names)
        self._bodies = _Bodies(message, templates)
        self._attachments = _Attachments(message.attachments, directory, templates)
        self._skeleton = Skeleton(html=self._bodies.has_html, attachments=bool(message.attachments))
        self._bodies.encode_constants(self._skeleton.delimiter)

    def compose(self, record: Record) -> Submission:
        """Fill in everything for one record.

        Raises:
            RecordError: The record cannot be sent; the message names the field, header or template, and why.
        """
        recipient = self._recipient(record.fields)
        variables = self._templates.variables(record.fields, Batch(self._batch_id, record.number))
        from_field, sender = self._from.with_address(variables)
        return_path = sender if self._return_path is None else self._return_path.render(variables)
        envelope = Envelope(return_path, recipient)
        message_id = f"<{self._batch_id}.{record.number}@{sender[sender.rindex('@') + 1 :]}>"
        to_field = f"To: {envelope.forward_path}\r\n" if self._to is None else self._to.render(variables)
        block = "".join(
            [
                f"Date: {date(int(time.time()))}\r\nMessage-ID: {message_id}\r\n",
                from_field,
                to_field,
                *[field.render(variables) for field in self._fields],
            ]
        )
        self._block_check.require(block)
        if not block.isascii() and envelope.forward_path.isascii() and envelope.reverse_path.isascii():
            raise RecordError("a header holds an address that needs SMTPUTF8, which the envelope does not ask for")
        text, html = self._bodies.render(variables)
        pieces = self._skeleton.assemble(text, html, self._attachments.render(variables))
        return Submission(
            record=record.number,
            envelope=envelope,
            content=b"".join([block.encode(), *pieces]),
            message_id=message_id,
            canonical=block.isascii(),
        )

    def named_recipient(self, record: Record) -> str | None:
        """What stands where the recipient's address should be, valid or not; None where there is no such text."""
        try:
            return self._recipient(record.fields)
        except RecordError:
            return None

    def _recipient(self, fields: dict[str, Any]) -> str:
        name = self._recipient_name(fields)
        value = fields[name]
        if not isinstance(value, str):
            raise RecordError(f"field {name!r} holds no address but {type(value).__name__}")
        return value

    def _recipient_name(self, fields: dict[str, Any]) -> str:
        if self._recipient_field is not None:
            if self._recipient_field in fields:
                return self._recipient_field
            raise RecordError(f"the record has no field {self._recipient_field!r}, which holds the recipient")
        for name in RECIPIENT_FIELDS:
            if name in fields:
                return name
        lower = {name.lower(): name for name in reversed(fields)}
        for name in RECIPIENT_FIELDS:
            if name in lower:
                return lower[name]
        raise RecordError(f"the record has no recipient: none of the fields {', '.join(RECIPIENT_FIELDS)}")


def _fields(message: Message, templates: Templates) -> list[Field]:
    """The header fields after To."""
    fields: list[Field] = []
    if message.reply_to is not None:
        with _naming("message.reply_to"):
            fields.append(AddressField("Reply-To", templates.structured(message.reply_to, "header Reply-To")))
    with _naming("message.subject"):
        fields.append(PlainField("Subject", templates.text(message.subject, "header Subject"), unstructured))
    with _naming("message.headers"):
        fields += custom_fields(message.headers.items(), templates)
    return fields


class _Bodies:
    """The text and the HTML of a campaign's messages."""

    def __init__(self, message: Message, templates: Templates) -> None:
        html = _body("html", message.html, message.html_file, templates.html)
        text = _body("text", message.text, message.text_file, templates.text)
        if html is None and text is None:
            raise UsageError("message: there is neither text nor HTML", remedy="Set html_file or text_file.")
        self.has_html = html is not None
        self._html = html
        self._text = text
        self._delimiter = ""
        self._constant_html: tuple[bytes, bytes] | None = None
        self._constant_text: tuple[bytes, bytes] | None = None

    def encode_constants(self, delimiter: str) -> None:
        """Encode once what is the same for all records; ``delimiter`` is what `encode_text` keeps out of bodies."""
        self._delimiter = delimiter
        if self._html is not None and self._html.constant is not None:
            with _naming("message.html"):
                self._constant_html = encode_text(self._html.constant, delimiter, "html")
        text = self._text.constant if self._text is not None else None
        if self._text is None and self._html is not None and self._html.constant is not None:
            with _naming("message.html"):
                text = text_from_html(self._html.constant)
        if text is not None:
            with _naming("message.text"):
                self._constant_text = encode_text(text, delimiter, "text")

    def render(self, variables: dict[str, Any]) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes] | None]:
        """The text and the HTML, encoded.

        Raises:
            RecordError: One of them cannot be rendered with this record.
        """
        html, rendered = self._constant_html, ""
        if html is None and self._html is not None:
            rendered = self._html.render(variables)
            html = encode_text(rendered, self._delimiter, "html")
        if self._constant_text is not None:
            return self._constant_text, html
        text = text_from_html(rendered) if self._text is None else self._text.render(variables)
        return encode_text(text, self._delimiter, "text"), html


class _Attachments:
    """A campaign's attachments: the same for all records, or named by each."""

    def __init__(self, names: tuple[str, ...], directory: Path, templates: Templates) -> None:
        # What the campaign's author names may lie anywhere; what a record names may not.
        everywhere = AttachmentFiles(directory, confined=False)
        self._inside = AttachmentFiles(directory, confined=True)
        self._parts: list[bytes | Template] = []
        for name in names:
            with _naming("message.attachments"):
                template = templates.text(name, f"attachment {name!r}")
                self._parts.append(template if template.constant is None else everywhere.part(template.constant))

    def render(self, variables: dict[str, Any]) -> list[bytes]:
        """The attached parts, in the order of the campaign file.

        Raises:
            RecordError: A record names a file that may not or cannot be attached.
        """
        return [part if isinstance(part, bytes) else self._inside.part(part.render(variables)) for part in self._parts]


def _body(
    key: str, source: str | None, file: Path | None, compile_template: Callable[[str, str], Template]
) -> Template | None:
    if source is not None:
        return compile_template(source, f"message.{key}")
    if file is not None:
        where = f"message.{key}_file"
        return compile_template(read_source(file, where), file.name)
    return None


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Make an error of the campaign out of what is wrong before any record is there."""
    try:
        yield
    except (RecordError, UsageError) as error:
        remedy = error.remedy or "Mend this key of the campaign file."
        raise UsageError(f"{key}: {error.message}", remedy=remedy) from error
