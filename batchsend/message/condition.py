"""``where``: an expression over a record's fields, which says whether the record is of the campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jinja2
from jinja2 import meta

from batchsend.errors import RecordError, RecordErrorKind, UsageError
from batchsend.message.bounds import BoundedEnvironment
from batchsend.message.budget import Excess
from batchsend.message.field_use import FieldUse
from batchsend.message.templates import remedy_for
from batchsend.recipients.columns import template_variables

if TYPE_CHECKING:
    from batchsend.recipients import Record

_LANGUAGE: Final = "its language is that of Jinja2's expressions, such as: country == 'DE' and opted_in == 'yes'"


class Condition:
    """A compiled ``where``, in the sandbox that templates have.

    The names in it are those that templates use. A field of CSV is a text: ``age | int > 17`` compares numbers. A name
    that a record does not have is an error of that record, unless it is asked for: ``vip is defined and vip``.

    Args:
        expression: The expression.

    Attributes:
        use: Which of a record's fields it uses.

    Raises:
        UsageError: It is no expression.
    """

    def __init__(self, expression: str) -> None:
        environment = BoundedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
        self._budget = environment.budget
        self.use = FieldUse()
        try:
            self._budget.renew()
            tree = environment.parse(f"{{{{ ({expression}\n) }}}}")
            self._evaluate = environment.compile_expression(expression, undefined_to_none=False)
            names = meta.find_undeclared_variables(tree)
        except jinja2.TemplateSyntaxError as error:
            remedy = remedy_for(error.message or "", environment, otherwise=_LANGUAGE)
            raise UsageError(f"where: {error.message}", remedy=remedy) from None
        except (RecursionError, SyntaxError):
            raise UsageError("where: the expression is nested too deeply", remedy="make it shorter") from None
        if "batch" in names:
            raise UsageError(
                "where: batch is the run, and no field of a record", remedy='a column of that name is row["batch"]'
            )
        self.use.add(tree, "where")

    def holds(self, record: Record) -> bool:
        """Whether the record is of the campaign.

        Raises:
            RecordError: It cannot be said of this record.
        """
        self._budget.renew()
        try:
            return bool(self._evaluate(template_variables(record.fields)))
        except Excess as error:
            raise RecordError(f"where: the expression {error}") from error
        except jinja2.UndefinedError as error:
            raise RecordError(f"where: {error.message}", kind=RecordErrorKind.MISSING_FIELD) from error
        except Exception as error:  # whatever a filter or an operator makes of this record's values
            raise RecordError(f"where: {type(error).__name__}: {error}") from error
