"""``where``: an expression over a record's fields, which says whether the record is of the campaign."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import jinja2
from jinja2 import meta, nodes

from batchsend.errors import RecordError, RecordErrorKind, UsageError
from batchsend.message.bounds import BoundedEnvironment
from batchsend.message.budget import Excess
from batchsend.message.field_use import FieldUse
from batchsend.message.templates import remedy_for
from batchsend.patterns import late_pattern
from batchsend.recipients.columns import aliases, template_variables, variable
from batchsend.recipients.consent import NO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batchsend.recipients import Record

# What other languages write, by what Jinja2 says of it, or by the expression.
_MEANT: Final = (
    (late_pattern(r"'='"), "whether two are the same is asked by two of them: country == 'DE'"),
    (late_pattern(r"unexpected char '&'"), "it is the word and: country == 'DE' and opted_in == 'yes'"),
    (late_pattern(r"got '\|'"), "it is the word or: country == 'DE' or country == 'AT'"),
    (late_pattern(r"unexpected char '!'"), "it is the word not: not vip; or != between two: country != 'DE'"),
    (late_pattern(r"unexpected '>'"), "whether two differ is asked by != : country != 'DE'"),
    (late_pattern("unexpected char '[\u2018-\u201f]'"), "quotes are straight ones: country == 'DE'"),
)
_CAPITALS: Final = late_pattern(r"\b(AND|OR|NOT|IN|IS)\b")
_TEXT_AND_NUMBER: Final = late_pattern(r"'(?:str|int|float)' and '(?:str|int|float)'")
# Filters whose result counts as true where the text does.
_KEEP_A_TEXT: Final = frozenset({"default", "d", "trim", "lower", "upper", "string", "capitalize"})
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
            message = error.message or ""
            remedy = remedy_for(message, environment, otherwise=_meant(message, expression))
            raise UsageError(f"where: {error.message}", remedy=remedy) from None
        except (RecursionError, SyntaxError):
            raise UsageError("where: the expression is nested too deeply", remedy="make it shorter") from None
        if "batch" in names:
            raise UsageError(
                "where: batch is the run, and no field of a record", remedy='a column of that name is row["batch"]'
            )
        self.use.add(tree, "where")
        self.use.numbers.update(_numbers(tree))
        self._truths = sorted({name for node in tree.find_all(nodes.Output) for name in _truths(node.nodes[0])})

    def holds(self, record: Record) -> bool:
        """Whether the record is of the campaign.

        Raises:
            RecordError: It cannot be said of this record.
        """
        self._budget.renew()
        try:
            return self._decided(record.fields)
        except RecordError:
            raise
        except Excess as error:
            raise RecordError(f"where: the expression {error}") from error
        except jinja2.UndefinedError as error:
            raise RecordError(f"where: {error.message}", kind=RecordErrorKind.MISSING_FIELD) from error
        except Exception as error:  # whatever a filter or an operator makes of this record's values
            hint = "; a text is made a number by | int" if _TEXT_AND_NUMBER.search(str(error)) else ""
            raise RecordError(f"where: {type(error).__name__}: {error}{hint}") from error

    def _decided(self, fields: Mapping[str, Any]) -> bool:
        """Whether the expression holds.

        Raises:
            RecordError: A field would be taken for the opposite of what it says: the text ``no`` counts as true.
        """
        held = bool(self._evaluate(template_variables(fields)))
        if not self._truths:
            return held
        by_alias = aliases(tuple(fields))
        columns = {by_alias.get(name, name): name for name in self._truths}
        said = {column: name for column, name in columns.items() if _is_no(fields.get(column))}
        if said and held != bool(self._evaluate(template_variables({**fields, **dict.fromkeys(said, "")}))):
            column, name = next(iter(said.items()))
            raise RecordError(
                f"where: {name} is the text {fields[column]!r}, and any text counts as true; compare it, as in "
                f"{variable(column, tuple(fields))} == 'yes'"
            )
        return held


def _meant(message: str, expression: str) -> str:
    """What to do about an expression that is none."""
    for pattern, remedy in _MEANT:
        if pattern.search(message):
            return remedy
    if (word := _CAPITALS.search(expression)) is not None:
        return f"{word[1]} is written in small letters: {word[1].lower()}"
    return _LANGUAGE


def _numbers(tree: nodes.Template) -> dict[str, str]:
    """The fields that are compared with a number or a truth value as they are, and nowhere with a text."""
    numbers: dict[str, str] = {}
    texts: set[str] = set()
    for compare in tree.find_all(nodes.Compare):
        sides = [compare.expr, *(operand.expr for operand in compare.ops)]
        for left, right in pairwise(sides):
            for field, other in ((left, right), (right, left)):
                name, value = _field(field), _constant(other)
                if name is not None and isinstance(value, str):
                    texts.add(name)
                elif name is not None and isinstance(value, int | float):
                    numbers.setdefault(name, str(value))
    return {name: value for name, value in numbers.items() if name not in texts}


def _truths(expression: nodes.Node) -> Iterator[str]:
    """The fields that an expression takes for true or false as they are, where it is so taken itself."""
    match expression:
        case nodes.And() | nodes.Or():
            yield from _truths(expression.left)
            yield from _truths(expression.right)
        case nodes.Not():
            yield from _truths(expression.node)
        case nodes.CondExpr():
            for part in (expression.test, expression.expr1, expression.expr2):
                if part is not None:
                    yield from _truths(part)
        case nodes.Filter(name=kept, node=nodes.Expr() as filtered) if kept in _KEEP_A_TEXT:
            yield from _truths(filtered)
        case nodes.Expr() if (name := _field(expression)) is not None:
            yield name


def _is_no(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() in NO


def _constant(expression: nodes.Expr) -> object:
    """The value that an expression is as it stands; None of any other."""
    bare = expression.node if isinstance(expression, nodes.Neg) else expression
    return bare.value if isinstance(bare, nodes.Const) else None


def _field(expression: nodes.Expr) -> str | None:
    """The field that an expression is, as `FieldUse` knows it; None of any other."""
    match expression:
        case nodes.Name():
            return expression.name
        case nodes.Getitem(node=nodes.Name(name="row"), arg=nodes.Const(value=str(name))):
            return name
        case nodes.Getattr(node=nodes.Name(name="row"), attr=str(name)) if name != "get":
            return name
        case nodes.Call(
            node=nodes.Getattr(node=nodes.Name(name="row"), attr="get"), args=[nodes.Const(value=str(name)), *_]
        ):
            return name
    return None
