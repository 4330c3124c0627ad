"""Composes messages: everything a campaign's messages share is made once, the rest is filled in for each record."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from batchsend.campaign.own import NO_FILES, OwnFiles
from batchsend.errors import RecordError
from batchsend.message.attachments import AttachmentFiles
from batchsend.message.bodies import CampaignBody, inline_names
from batchsend.message.headers import BlockCheck, Field, Head, PlainField, custom_fields, date, with_way_out
from batchsend.message.images import Images
from batchsend.message.mailboxes import AddressField
from batchsend.message.naming import in_a_file, naming
from batchsend.message.submission import Envelope, Submission
from batchsend.message.templates import TemplateBatch, Templates
from batchsend.message.words import unstructured
from batchsend.recipients.addresses import cleaned, reverse_path
from batchsend.recipients.columns import address_column

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchsend.campaign import Message
    from batchsend.message.dkim import Signer
    from batchsend.message.entity import Body
    from batchsend.message.field_use import FieldUse
    from batchsend.message.naming import KeyName
    from batchsend.message.proof import Proof
    from batchsend.message.template import TextTemplate
    from batchsend.message.verp import Verp
    from batchsend.recipients import Record

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class Composer:
    """Makes a submission of each record.

    A record's fields are the templates' variables. ``batch.id``, ``batch.record``, ``batch.verp`` and
    ``batch.unsubscribe_url`` are there too; a field called ``batch`` is hidden by them. Its header is pure ASCII, an
    address with a local part in another script excepted: that needs SMTPUTF8 (RFC 6531).

    Args:
        message: The campaign's message.
        directory: The campaign's folder: templates include, and records attach, files inside it only.
        batch_id: The run's identifier, part of each Message-ID; a dot-atom of at most 64 characters.
        recipient_field: The field that holds a record's address; None to find it by its name.
        proof: What makes tests of the messages; None for the messages themselves.
        verp: What signs their return paths and links; None where they are only looked at.
        own: The campaign's own files, which no record may name.
        called: What errors call the keys of the message.

    Raises:
        UsageError: A template, header, file or address of the campaign is wrong; the message names the key.
        ValueError: ``batch_id`` is no part of a Message-ID.
    """

    def __init__(
        self,
        message: Message,
        *,
        directory: Path,
        batch_id: str,
        recipient_field: str | None = None,
        proof: Proof | None = None,
        verp: Verp | None = None,
        own: OwnFiles = NO_FILES,
        called: KeyName = in_a_file,
    ) -> None:
        if len(batch_id) > 64 or not _DOT_ATOM.fullmatch(batch_id):
            raise ValueError(f"batch_id {batch_id!r} cannot be part of a Message-ID")
        self._batch_id = batch_id
        self._verp = verp if proof is None else None  # a test's links are worth nothing
        self._unsubscribe = message.unsubscribe
        self._recipient_field = recipient_field
        # Relays may make quoted-printable of octets above 127, which a signature does not outlive (RFC 6376 §5.3).
        eight_bit = message.encoding == "auto" and not message.dkim
        self._body: Body
        if message.eml_file is not None:
            from batchsend.message.eml import WholeMessage  # noqa: PLC0415 - it needs a parser, which most do not

            self._templates = Templates(directory, own=own)
            with naming(called("eml_file")):
                self._body = WholeMessage(message.eml_file, self._templates, eight_bit=eight_bit, proof=proof)
            head = self._body.head
        else:
            file = message.html_file or message.markdown_file
            folder = directory if file is None else file.parent
            files = AttachmentFiles(directory, inside=directory, own=own)
            named_by_records = AttachmentFiles(directory, inside=directory, own=own, linked=False)
            images = Images(files, folder, inline_names(message), named_by_records=named_by_records)
            self._templates = Templates(directory, images, own=own)
            self._body = CampaignBody(
                message,
                directory=directory,
                named_by_records=named_by_records,
                templates=self._templates,
                images=images,
                eight_bit=eight_bit,
                proof=proof,
                called=called,
            )
            others = tuple(message.headers.items())
            head = Head(message.from_ or "", message.to, message.reply_to, message.subject, others)
        head = with_way_out(head, message.unsubscribe)
        if proof is not None:
            head = proof.head(head)
        # Of a whole message the headers are no keys.
        of_head: KeyName = called if message.eml_file is None else lambda _: called("eml_file")
        with naming(of_head("from")):
            self._from = AddressField("From", self._templates.structured(head.from_, "header From"), single=True)
        self._to: AddressField | None = None
        if head.to is not None:
            with naming(of_head("to")):
                self._to = AddressField("To", self._templates.structured(head.to, "header To"))
        self._return_path = None if proof is not None else _return_path(message, self._templates, called)
        self._fields = _fields(head, self._templates, of_head)
        self._block_check = BlockCheck(("Date", "Message-ID", "From", "To", *(field.name for field in self._fields)))
        self._signer = _signer(message, self._from.address, called) if message.dkim else None

    @property
    def field_use(self) -> FieldUse:
        """Which of a record's fields the message is made of."""
        return self._templates.use

    def compose(self, record: Record, *, at: int | None = None) -> Submission:
        """Fill in everything for one record.

        Args:
            record: The record.
            at: What its Date says, in seconds since the epoch; None for now.

        Raises:
            RecordError: The record cannot be sent; the message names the field, header or template, and why.
        """
        name = address_column(record.fields, self._recipient_field)
        given = record.fields[name]
        if not isinstance(given, str):
            raise RecordError(f"field {name!r} holds no address but {type(given).__name__}")
        recipient = cleaned(given)
        # A template that shows the address, as To does, shows the one that is written to.
        fields = record.fields if recipient == given else {**record.fields, name: recipient}
        if self._templates.may_be_variables(fields):
            try:
                return self._composed(record.number, recipient, fields, at)
            except RecordError:
                if not self._templates.lacks_variables(fields):
                    raise
        batch = TemplateBatch(self._batch_id, record.number, self._verp, self._unsubscribe)
        return self._composed(record.number, recipient, self._templates.variables(fields, batch), at)

    def _composed(self, number: int, recipient: str, variables: dict[str, Any], at: int | None) -> Submission:
        """The submission of the record of a number, whose variables are known."""
        from_field, sender = self._from.with_address(variables)
        if self._signer is not None:
            self._signer.require_alignment(sender)
        return_path = sender if self._return_path is None else self._return_path.render(variables)
        envelope = Envelope(return_path, recipient)
        message_id = f"<{self._batch_id}.{number}@{sender.rpartition('@')[2]}>"
        to = envelope.forward_path
        to_field = f"To: {to}\r\n" if self._to is None else self._to.with_address(variables, known=to)[0]
        rest = "".join([field.render(variables) for field in self._fields])
        now = date(int(time.time()) if at is None else at)
        block = f"Date: {now}\r\nMessage-ID: {message_id}\r\n{from_field}{to_field}{rest}"
        self._block_check.require(block)
        plain = block.isascii()
        if not plain and envelope.forward_path.isascii() and envelope.reverse_path.isascii():
            name = next(field for field in re.split(r"\r\n(?! )", block) if not field.isascii()).partition(":")[0]
            raise RecordError(f"header {name} has an address that needs SMTPUTF8, which the envelope does not ask for")
        entity = self._body.render(variables)
        head = block.encode()
        return Submission(
            record=number,
            envelope=envelope,
            content=self._finished(head, entity.pieces),
            message_id=message_id,
            canonical=True,
            eight_bit=entity.eight_bit or not plain,
            # A server that takes addresses in other scripts takes octets above 127 (RFC 6531 §3.1).
            seven_bit=partial(self._in_seven_bits, head, entity.seven_bit) if entity.seven_bit and plain else None,
        )

    def _in_seven_bits(self, head: bytes, pieces: Callable[[], list[bytes]]) -> bytes:
        return self._finished(head, pieces())

    def _finished(self, head: bytes, pieces: list[bytes]) -> bytes:
        """The content: the fields that the campaign asks for, the entity below them, and above them its signatures."""
        content = b"".join([head, *pieces])
        return content if self._signer is None else self._signer.sign(content) + content

    def named_recipient(self, record: Record) -> str | None:
        """The recipient's address as it was meant, valid or not; None where there is no such text."""
        given = self.given_recipient(record)
        return None if given is None else cleaned(given)

    def given_recipient(self, record: Record) -> str | None:
        """What stands where the recipient's address should be, as it stands there; None where there is no such text."""
        try:
            given = record.fields[address_column(record.fields, self._recipient_field)]
        except RecordError:
            return None
        return given if isinstance(given, str) else None


def _return_path(message: Message, templates: Templates, called: KeyName) -> TextTemplate | None:
    """The template of the return path; None where that is the address in From."""
    if message.return_path is None:
        return None
    with naming(called("return_path")):
        template = templates.text(message.return_path, "return path")
        reverse_path(template.constant or "")
    return template


def _signer(message: Message, author: str | None, called: KeyName) -> Signer:
    """What signs the campaign's messages; ``author`` is the address in From where all have the same."""
    from batchsend.message.dkim import Signer  # noqa: PLC0415 - most campaigns leave it to the relay

    signer = Signer.from_campaign(message.dkim)
    if author is not None:
        with naming(called("dkim")):
            signer.require_alignment(author)
    return signer


def _fields(head: Head, templates: Templates, called: KeyName) -> list[Field]:
    """The header fields after To."""
    fields: list[Field] = []
    if head.reply_to is not None:
        with naming(called("reply_to")):
            fields.append(AddressField("Reply-To", templates.structured(head.reply_to, "header Reply-To")))
    if head.subject is not None:
        with naming(called("subject")):
            fields.append(PlainField("Subject", templates.text(head.subject, "header Subject"), unstructured))
    with naming(called("headers")):
        fields += custom_fields(head.others, templates)
    return fields
