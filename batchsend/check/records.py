"""Every record read and rendered, as it would be for sending, and what is wrong with which of them."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchsend.campaign.forecast import Plan
from batchsend.campaign.model import feedback_path
from batchsend.campaign.own import own_files
from batchsend.check.finding import Section, Severity
from batchsend.check.gathering import Gathering
from batchsend.check.message import MessageCheck
from batchsend.check.providers import provider_of
from batchsend.check.typos import likely_meant
from batchsend.errors import RecordError, RecordErrorKind, RunError
from batchsend.message import Composer, Suppression
from batchsend.message.condition import Condition
from batchsend.recipients import BadRecord, open_recipients
from batchsend.recipients.addressees import Addressees
from batchsend.recipients.addresses import forward_path, is_invisible
from batchsend.recipients.admission import DUPLICATE, UNNAMED, Admission, missing_fields, require_fields, taken_column
from batchsend.recipients.columns import is_known, meant_by, template_variables, variable
from batchsend.recipients.consent import unwanted
from batchsend.recipients.exclusion import Exclusion

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.campaign import Campaign
    from batchsend.recipients import Record, RecordReader

_BLOCK: Final = 500


@dataclass(slots=True)
class Counted:
    """How many records there are of which kind.

    Attributes:
        records: All that were read.
        ready: Those whose message can be sent.
        passed_over: Those that ``where`` does not hold for.
        suppressed: Those on a suppression list, or in an excluded log.
        duplicates: Those whose address was there before, where it gets one message.
        need_utf8: Those whose address needs SMTPUTF8 (RFC 6531).
        at_providers: Those at large mailbox providers, by provider.
        largest: The octets of the largest message, and its record.
        seconds: How long reading and rendering took.
    """

    records: int = 0
    ready: int = 0
    passed_over: int = 0
    suppressed: int = 0
    duplicates: int = 0
    need_utf8: int = 0
    at_providers: Counter[str] = field(default_factory=Counter)
    largest: tuple[int, int] = (0, 0)
    seconds: float = 0.0


class RecordsCheck:
    """Reads and renders the records of a campaign; of them nothing but hashes of their addresses is kept.

    Args:
        campaign: The campaign.
        limit: Look at the first records only; None for all.
        tick: Called now and then with the number of records so far and, where it is known, how much of the file that
            is, from 0 to 1.

    Attributes:
        counted: What there is.

    Raises:
        UsageError: A template, an attachment or a suppression list or an excluded log of the campaign is wrong.
    """

    def __init__(
        self, campaign: Campaign, *, limit: int | None, tick: Callable[[int, float | None], None] = lambda *_: None
    ) -> None:
        self.counted = Counted()
        self._campaign = campaign
        self._tick = tick
        self._file = "standard input" if campaign.recipients == "-" else campaign.recipients.name
        self._composer = Composer(
            campaign.message,
            directory=campaign.directory,
            batch_id="check",
            recipient_field=campaign.recipient_field,
            own=own_files(campaign),
        )
        self._suppression = Suppression.read(
            campaign.delivery.suppress,
            recipient_field=campaign.recipient_field,
            own=feedback_path(campaign.results),
        )
        self._where = None if campaign.where is None else Condition(campaign.where)
        self._shown = sorted(self._composer.field_use.shown)
        scratch = Path(tempfile.gettempdir())
        self._exclusion = Exclusion(campaign.delivery.exclude, scratch)
        self._addressees = Addressees(scratch)
        self._gets_one = campaign.delivery.duplicates == "suppress"
        self._admission = Admission(
            self._suppression,
            exclusion=self._exclusion,
            addressees=self._addressees if self._gets_one else None,
            where=self._where,
            limit=limit,
        )
        self._is_unsendable = False  # a template uses a field that no record has, and that has been said
        self._about_records = Gathering(self._file)
        self._about_messages = Gathering(self._file)
        self.messages = MessageCheck(campaign, self._about_messages, self._shown)

    def run(self) -> tuple[Section, Section]:
        """Look at all of them.

        Returns:
            What there is to say of the records, and of their messages.

        Raises:
            UsageError: The recipients file cannot be opened, nothing in it can be an address, or ``where`` asks for
                what is not in it.
        """
        records, messages = Section(f"records: {self._file}"), Section("message")
        started = time.monotonic()
        with open_recipients(self._campaign) as reader, self._addressees, self._exclusion:
            uses = [] if self._where is None else [self._where.use]
            require_fields(reader, self._campaign.recipient_field, uses)
            self._look_at_columns(records, reader)
            try:
                self._read(reader)
            except RunError as error:
                records.error("records-unfinished", error.message, where=self._file, remedy=error.remedy)
            if reader.unnamed:
                remedy = "give the column a name, if the values matter"
                records.note("column-unnamed", UNNAMED, where=f"{self._file}:{reader.unnamed}", remedy=remedy)
        self._state_suppression(records)
        counted = self.counted
        counted.passed_over = self._admission.passed_over
        counted.seconds = time.monotonic() - started
        counted.largest = self.messages.largest
        if counted.ready:
            self._state_facts(records)
        else:
            self._state_withheld(records)
        self._about_records.conclude(records)
        if not counted.ready:
            self._state_nothing(records)
        self._about_messages.conclude(messages)
        self.messages.conclude(messages, counted.ready)
        return records, messages

    def _state_facts(self, section: Section) -> None:
        counted = self.counted
        rate = counted.records / max(counted.seconds, 1e-6)
        section.facts |= {
            "rendered": f"{counted.records:,} in {counted.seconds:.1f} s ({rate:,.0f}/s)",
            "ready to send": f"{counted.ready:,}",
        }
        if (done := Plan.of(self._campaign).foretells(time.time(), counted.ready)) is not None:
            section.facts["done"] = f"if it is begun now, {done}"
        self._state_withheld(section)
        if counted.at_providers:
            section.facts["at large providers"] = ", ".join(
                f"{name} {count:,}" for name, count in counted.at_providers.most_common()
            )

    def _state_nothing(self, section: Section) -> None:
        """Say why nothing would be sent.

        Where the campaign asks for that, `send` ends with 0, and so does `check`. Both warn of a list in which there is
        nobody, and `send` ends with 0 then, too: a list that is made every day may be empty one day.
        """
        counted = self.counted
        if not counted.records:
            remedy = "put recipients into it, unless there may be nobody to write to"
            section.warning("nothing-to-send", "there are no records", where=self._file, remedy=remedy)
        elif counted.suppressed + counted.duplicates + counted.passed_over == counted.records:
            section.note("nobody-to-write-to", "nobody would get a message: see the numbers above", where=self._file)
        elif not self._is_unsendable:  # that is said, and what follows from it is no other finding
            remedy = "fix what is said of them above"
            section.error("nothing-to-send", "none of the records can be sent", where=self._file, remedy=remedy)

    def _state_withheld(self, section: Section) -> None:
        counted = self.counted
        if self._where is not None:
            section.facts["passed over"] = f"{counted.passed_over:,}, for which where does not hold"
        if counted.suppressed:
            section.facts["suppressed"] = f"{counted.suppressed:,}"
        if counted.duplicates:
            section.facts["duplicates"] = f"{counted.duplicates:,}, which get no second message"

    def _look_at_columns(self, section: Section, reader: RecordReader) -> None:
        """Say what the names of the columns tell of all records at once."""
        if (column := taken_column(reader, self._campaign.recipient_field)) is not None:
            section.facts["addresses in"] = column
        if reader.fields is not None and "batch" in reader.fields:
            what = 'a column is called "batch", which templates have for the run: {{ row["batch"] }} shows the column'
            section.note("column-hidden", what, where=self._file)
        use = self._composer.field_use
        for error in missing_fields(reader, use.needed, use.always):
            self._is_unsendable = True
            section.error("field-missing", error.message, where=self._file, remedy=error.remedy)

    def _state_suppression(self, section: Section) -> None:
        notes = self._suppression.notes()
        if notes:
            section.facts["suppression lists"] = ", ".join(f"{path.name} {count:,}" for path, count, _ in notes)
        for path, count, note in notes:
            if not count:
                section.warning("suppression-empty", note, where=str(path), remedy=_NO_ENTRIES_REMEDY)

    def _read(self, reader: RecordReader) -> None:
        admission = self._admission
        while admission.left != 0 and (rows := reader.read(admission.most(_BLOCK))):
            passed_over = admission.passed_over
            wanted = admission.wanted(rows)
            self.counted.records += len(wanted) + admission.passed_over - passed_over
            for row in wanted:
                if isinstance(row, BadRecord):
                    self._about_records.warn("row-unreadable", row.reason, row, "fix the line, or take it out")
                else:
                    self._look(row)
            self._tick(self.counted.records, reader.progress)

    def _look(self, row: Record) -> None:
        try:
            submission = self._composer.compose(row)
        except RecordError as error:
            self._refused(row, error)
            return
        given = self._composer.given_recipient(row)
        if given is not None and given != self._composer.named_recipient(row):
            self._about_records.add("address-cleaned", Severity.NOTE, _CLEANED, row, remedy=_CLEANED_REMEDY)
        recipient = submission.envelope.forward_path
        reason = self._admission.refusal(recipient)
        if reason == DUPLICATE or (reason is None and not self._gets_one and not self._addressees.add(recipient)):
            self._duplicate(row)
        if reason is not None:
            self.counted.suppressed += reason != DUPLICATE
            self.counted.duplicates += reason == DUPLICATE
            return
        self.counted.ready += 1
        self._look_at_address(recipient, row)
        if (said := unwanted(row.fields)) is not None:
            what = f"by the list some want no mail: {said.said}"
            where = said.where(tuple(row.fields))
            remedy = f"leave them out, unless they wait for this mail; where can be: {where}"
            self._about_records.warn("unwanted", what, row, remedy)
        fields = template_variables(row.fields) if self._shown else {}
        for name in self._shown:
            if name not in fields:
                continue
            value, shown = fields[name], variable(name, tuple(fields))
            remedy = f"let the template say what then: {{{{ {shown} | default('…', true) }}}}"
            if value in ("", None):
                what = f"the field {name} is empty, and a template shows it"
                self._about_records.warn("field-empty", what, row, f"fill it in, or {remedy}")
            elif isinstance(value, str) and all(map(is_invisible, value)):
                what = f"the field {name} has only blanks, and a template shows it"
                self._about_records.warn("field-empty", what, row, f"fill it in, or leave it empty and {remedy}")
        self.messages.look(submission, row)

    def _look_at_address(self, recipient: str, row: Record) -> None:
        if not recipient.isascii():
            self.counted.need_utf8 += 1
        domain = recipient.rpartition("@")[2].lower()
        if (provider := provider_of(domain)) is not None:
            self.counted.at_providers[provider] += 1
        if (meant := likely_meant(domain)) is not None:
            self._about_records.warn(
                "address-typo", f"{domain} was probably meant to be {meant}", row, "fix the address, or ask"
            )

    def _duplicate(self, row: Record) -> None:
        if self._gets_one:
            severity, what = Severity.NOTE, "the address has been there before, and gets one message"
        else:
            severity, what = Severity.WARNING, "the address has been there before, and gets another message"
        remedy = 'take it out, or set duplicates = "suppress" in [delivery]'
        self._about_records.add("address-duplicate", severity, what, row, remedy=remedy)

    def _refused(self, row: Record, error: RecordError) -> None:
        if not self._has_recipient(row):
            self._about_records.warn("address-bad", error.message, row, "fix the address, or take the record out")
        elif error.kind is not RecordErrorKind.MISSING_FIELD:
            self._about_records.warn("record-invalid", error.message, row, "fix the record or the template")
        elif not self._is_unsendable:
            self._about_records.warn("field-missing", error.message, row, self._missing_remedy(error.message, row))

    def _missing_remedy(self, message: str, row: Record) -> str:
        """What to do about a field that is missing; where the record has one of a like name, that it was meant."""
        there = tuple(row.fields)
        uses = [self._composer.field_use, *([] if self._where is None else [self._where.use])]
        # Of those that the record lacks, the message names the one that was asked for first.
        missing = (name for use in uses for name in use.needed if not is_known(name, there) and repr(name) in message)
        meant = next((one for name in missing if (one := meant_by(name, there)) is not None), None)
        return _MISSING_REMEDY if meant is None else f"did you mean {meant}? Otherwise {_MISSING_REMEDY}"

    def _has_recipient(self, row: Record) -> bool:
        try:
            forward_path(self._composer.named_recipient(row) or "")
        except RecordError:
            return False
        return True


_CLEANED: Final = "blanks, invisible characters, an apostrophe or mailto: around the address are left out"
_CLEANED_REMEDY: Final = "nothing has to be done; the list is cleaner without them"
_NO_ENTRIES_REMEDY: Final = "see whether it is the right file; a results log counts by its hard bounces only"
_MISSING_REMEDY: Final = "add the field, or let the template say what then: {{ name | default('…') }}"
