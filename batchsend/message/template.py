"""One template of a campaign: what it renders to for a record, and what fails with it in the record's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jinja2

from batchsend.errors import RecordError, RecordErrorKind, UsageError
from batchsend.message.budget import Excess

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batchsend.message.budget import Budget
    from batchsend.message.plain_template import PlainTemplate

MAX_RENDERED: Final = 16 << 20
"""Characters that one template may render to for one record."""

_SHOWN: Final = 200


class TextTemplate:
    """One compiled template.

    Attributes:
        where: What it is for, as errors name it: a campaign key, a header, a file.
        constant: Its text where it has nothing to fill in, otherwise None.
        filling: Where it has nothing but variables to fill in, what does that; otherwise None.
    """

    __slots__ = ("_budget", "_flat", "_template", "constant", "filling", "where")

    def __init__(
        self,
        where: str,
        template: jinja2.Template | None,
        *,
        budget: Budget,
        constant: str | None = None,
        flat: bool = True,
        filling: PlainTemplate | None = None,
    ) -> None:
        self.where = where
        self.constant = constant
        self.filling = filling
        self._template = template
        self._budget = budget
        self._flat = flat

    def render(self, variables: dict[str, Any]) -> str:
        """Fill it in.

        Args:
            variables: What `Templates.variables` made of the record.

        Raises:
            RecordError: It cannot be rendered with this record: a field is missing, a filter fails, it grows too large.
        """
        if self._template is None:
            return self.constant or ""
        try:
            if self.filling is not None:
                rendered = self.filling(variables)
            else:
                self._budget.renew()
                # Not Jinja2's Template.render, which copies the variables once more for each template of the record.
                chunks = self._template.root_render_func(self._template.new_context(variables, shared=True))
                rendered = "".join(chunks) if self._flat else self._bounded(chunks)
        except Exception as error:
            raise self._told(error) from error
        if len(rendered) > MAX_RENDERED:
            raise self._too_large()
        return rendered

    def values(self, filling: PlainTemplate, variables: dict[str, Any]) -> Sequence[str]:
        """What this template's `filling`, or one like it, fills in, as it is shown.

        Raises:
            RecordError: As `render`.
        """
        try:
            return filling.values(variables)
        except Exception as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> RecordError:
        """The error in the record's terms.

        A template may call what the sandbox allows on whatever a record holds: there is no list of what fails.
        """
        kind = RecordErrorKind.OTHER
        match error:
            case RecordError():
                return error
            case UsageError():  # of an included file, which is read when it is first met
                what = error.message
            case Excess():
                what = f"the template {error}"
            case jinja2.TemplateNotFound():
                what = f"there is no template {error.name!r} in the campaign's folder"
            case jinja2.TemplateSyntaxError():  # of an included file
                what = f"{error.name}, line {error.lineno}: {error.message}"
            case jinja2.UndefinedError():
                kind = RecordErrorKind.MISSING_FIELD
                what = _one_line(error.message or "a variable is undefined")
            case _:
                what = f"{type(error).__name__}: {_one_line(str(error))}"
        return RecordError(f"{self.where}: {what}", kind=kind)

    def _bounded(self, chunks: Iterable[str]) -> str:
        kept: list[str] = []
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > MAX_RENDERED:
                raise self._too_large()
            kept.append(chunk)
        return "".join(kept)

    def _too_large(self) -> RecordError:
        return RecordError(f"{self.where}: renders to more than {MAX_RENDERED >> 20} MiB")


class StructuredTemplate:
    """A template that tells what it says itself from what was filled in.

    Args:
        template: The template, compiled so that what is filled in stands between marks.
        mark: The mark.
    """

    __slots__ = ("_mark", "_template", "constant", "where")

    def __init__(self, template: TextTemplate, mark: str) -> None:
        self.where = template.where
        self.constant = template.constant
        self._template = template
        self._mark = mark

    def render(self, variables: dict[str, Any]) -> list[str]:
        """Fill it in.

        Returns:
            The template's own text and the data by turns; the first and the last are the template's own, perhaps empty.

        Raises:
            RecordError: As `TextTemplate.render`.
        """
        template = self._template
        if template.filling is not None:
            return template.filling.interleave(template.values(template.filling, variables))
        return template.render(variables).split(self._mark)

    @property
    def own(self) -> tuple[str, ...] | None:
        """The template's own texts where they are the same for all records: it fills in nothing but variables."""
        return None if self._template.filling is None else self._template.filling.own

    def own_and_data(self, variables: dict[str, Any]) -> tuple[tuple[str, ...], Sequence[str]]:
        """The same by kind: the template's own texts, and the data that stands between each and the next.

        Raises:
            RecordError: As `TextTemplate.render`.
        """
        template = self._template
        if template.filling is not None:
            return template.filling.own, template.values(template.filling, variables)
        pieces = template.render(variables).split(self._mark)
        return tuple(pieces[::2]), pieces[1::2]


def _one_line(text: str) -> str:
    """What an exception says, fit for one line of a log: it may quote the record's data."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
