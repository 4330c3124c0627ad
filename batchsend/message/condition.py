"""``where``: an expression over a record's fields, which says whether the record is of the campaign."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import jinja2
from jinja2 import meta, nodes
from jinja2.visitor import NodeVisitor

from batchsend.errors import RecordError, RecordErrorKind, UsageError
from batchsend.message.bounds import BoundedCodeGenerator, BoundedEnvironment
from batchsend.message.budget import Excess
from batchsend.message.field_use import FieldUse
from batchsend.message.templates import remedy_for
from batchsend.patterns import late_pattern
from batchsend.recipients.columns import aliases, template_variables, variable
from batchsend.recipients.consent import says_no

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2.compiler import Frame

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
_AFTER_IT: Final = late_pattern(r"expected token '\)', got (.+)")
_AT: Final = late_pattern(r" at \d+$")  # counted with what is ours
_CAPITALS: Final = late_pattern(r"\b(AND|OR|NOT|IN|IS)\b")
_TEXT_AND_NUMBER: Final = late_pattern(r"'(?:str|int|float)' and '(?:str|int|float)'")
# Filters and methods whose result is a text where they are given one.
_KEEP_A_TEXT: Final = frozenset(
    {*("default", "d", "trim", "lower", "upper", "string", "capitalize", "title", "replace", "strip", "casefold")}
)
# Tests of what no text is, and what is said of them; then those that compare.
_OF_NO_TEXT: Final = {
    **{name: name for name in ("true", "false", "none")},
    **dict.fromkeys(("number", "integer", "float"), "a number"),
    "boolean": "true and false",
}
_COMPARING_TESTS: Final = frozenset({"eq", "equalto", "==", "ne", "!=", "sameas", "in"})
_TRUTH: Final = "taken for true or false"
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
        environment = _Environment(undefined=jinja2.StrictUndefined, autoescape=False)
        self._truths = environment.truths
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
            raise UsageError(f"where: {_said(message, expression)}", remedy=remedy) from None
        except (RecursionError, SyntaxError):
            raise UsageError("where: the expression is nested too deeply", remedy="make it shorter") from None
        if "batch" in names:
            raise UsageError(
                "where: batch is the run, and no field of a record", remedy='a column of that name is row["batch"]'
            )
        self.use.add(tree, "where")
        self.use.numbers.update(_numbers(tree))

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
            RecordError: A text would be taken for the opposite of what it says: ``no`` counts as true.
        """
        variables = template_variables(fields)
        truths = self._truths
        truths.said, truths.believes = [], False
        held = bool(self._evaluate(variables))
        if not truths.said:
            return held
        text, name = truths.said[0]
        truths.believes = True
        if bool(self._evaluate(variables)) == held:
            return held
        columns = tuple(fields)
        column = aliases(columns).get(name, name)
        raise RecordError(
            f"where: {name} is the text {text!r}, and any text counts as true; compare it, as in "
            f"{variable(column, columns) if column in fields else name} == 'yes'"
        )


class _Truths:
    """Looks at the values that an expression takes for true or false.

    Attributes:
        said: Those of them that are texts which say no, and of which field each is made.
        believes: Whether such a text counts as false, as it is meant.
    """

    __slots__ = ("believes", "said")

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.believes = False

    def __call__(self, value: Any, name: str) -> Any:
        """A value that is about to be taken for true or false, given back.

        Args:
            value: The value.
            name: What it is made of.

        Raises:
            RecordError: It is a method, which is not called, and counts as true.
        """
        text = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
        if isinstance(text, str) and says_no(text, name):
            self.said.append((text, name))
            return "" if self.believes else value
        if callable(value) and not isinstance(value, jinja2.Undefined):
            called = getattr(value, "__name__", "it")
            raise RecordError(
                f"where: {called} is a method that is not called, and counts as true; write {called}(), or "
                f"row[{called!r}] for a column of that name"
            )
        return value


class _CodeGenerator(BoundedCodeGenerator):
    """Compiles an expression so that what it takes for true or false is looked at."""

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: N802 - Jinja2's name for it
        """A whole expression, as the value that Jinja2 gives a name."""
        for assign in node.find_all(nodes.Assign):
            if isinstance(assign.node, nodes.Expr):
                assign.node = _Asking(self.environment).operand(assign.node)
        super().visit_Template(node, frame)


class _Environment(BoundedEnvironment):
    """Where conditions are compiled.

    Attributes:
        truths: What looks at the values that are taken for true or false.
    """

    code_generator_class = _CodeGenerator

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.truths = _Truths()
        self.filters[_TRUTH] = self.truths


class _Asking(NodeVisitor):
    """Passes what an expression takes for true or false through `_Truths`, but for what is neither a text nor a list.

    The value of ``x or y`` counts as true or false only where the whole does: ``(x or 'none') == 'none'`` asks whether
    there is something.
    """

    def __init__(self, environment: jinja2.Environment) -> None:
        self._environment = environment

    def truth(self, node: nodes.Expr) -> nodes.Expr:
        """An expression that is taken for true or false.

        Raises:
            UsageError: It is true whatever the record says.
        """
        match node:
            case nodes.And() | nodes.Or():
                node.left, node.right = self.operand(node.left), self.operand(node.right)
            case nodes.Not():
                self.visit(node)
            case nodes.CondExpr():
                node.test, node.expr1 = self.truth(node.test), self.truth(node.expr1)
                node.expr2 = None if node.expr2 is None else self.truth(node.expr2)
            case nodes.Compare() | nodes.Test():
                self.visit(node)
            case nodes.List() | nodes.Tuple() | nodes.Dict() if list(node.iter_child_nodes()):
                raise UsageError(
                    "where: a list in brackets counts as true, whatever the fields in it are",
                    remedy="ask for each of them: vip == 'yes' or opted_in == 'yes'",
                )
            case nodes.Const(value=str(text)) if says_no(text):
                raise UsageError(f"where: any text counts as true, {text!r} as well", remedy="true and false are none")
            case nodes.Const():
                pass
            case _:
                self.visit(node)
                return self._looked_at(node)
        return node

    def operand(self, node: nodes.Expr) -> nodes.Expr:
        """A whole expression that is taken for true or false, or one beside ``and`` or ``or``.

        Raises:
            UsageError: It is true whatever the record says.
        """
        if isinstance(node, nodes.Const) and node.value and not isinstance(node.value, bool):
            raise UsageError(
                f"where: {node.value!r} is compared with nothing, and counts as true",
                remedy="compare it: country == 'DE' or country == 'AT', or country in ['DE', 'AT']",
            )
        return self.truth(node)

    def _looked_at(self, node: nodes.Expr) -> nodes.Expr:
        names = (name for one in (node, *node.find_all(nodes.Expr)) if (name := _field(one)) is not None)
        asked = nodes.Filter(node, _TRUTH, [nodes.Const(next(names, "it"))], [], None, None, lineno=node.lineno)
        asked.set_environment(self._environment)
        return asked

    def visit_And(self, node: nodes.And) -> None:  # noqa: N802 - Jinja2's name for it
        """``x and y`` of which the value is wanted."""
        node.left = self.truth(node.left)
        self.visit(node.right)

    def visit_Not(self, node: nodes.Not) -> None:  # noqa: N802 - Jinja2's name for it
        """``not x``."""
        node.node = self.truth(node.node)

    def visit_CondExpr(self, node: nodes.CondExpr) -> None:  # noqa: N802 - Jinja2's name for it
        """``y if x else z`` of which the value is wanted."""
        node.test = self.truth(node.test)
        for branch in (node.expr1, node.expr2):
            if branch is not None:
                self.visit(branch)


def _said(message: str, expression: str) -> str:
    """What is wrong with an expression; Jinja2 may name a bracket that stands around it and is ours."""
    if not expression.strip():
        return "there is no expression"
    if message.startswith(("unexpected '}'", "unexpected ')', expected")) or "'end of template'" in message:
        return "a bracket is not closed"
    if message.startswith(('unexpected char "\'"', "unexpected char '\"'")):
        return "a quotation mark has no second one"
    if ")" not in expression and message == "unexpected ')'":
        return "the expression ends where something has to follow"
    if "(" not in expression and (got := _AFTER_IT.fullmatch(message)) is not None:
        return f"unexpected {got[1]}"
    return _AT.sub("", message)


def _meant(message: str, expression: str) -> str:
    """What to do about an expression that is none."""
    if "{{" in expression:
        return "no braces stand around it: country == 'DE', not {{ country == 'DE' }}"
    for pattern, remedy in _MEANT:
        if pattern.search(message):
            return remedy
    if (word := _CAPITALS.search(expression)) is not None:
        return f"{word[1]} is written in small letters: {word[1].lower()}"
    return _LANGUAGE


def _numbers(tree: nodes.Template) -> dict[str, str]:
    """The fields that are compared with what no text is, as they are, and nowhere with a text; and with what."""
    numbers: dict[str, str] = {}
    texts: set[str] = set()
    for expression, values in _comparisons(tree):
        name = _text(expression)
        if name is not None and any(isinstance(value, str) for value in values):
            texts.add(name)
        elif name is not None and values:
            numbers.setdefault(name, " or ".join(str(value).lower() for value in values))
    for test in tree.find_all(nodes.Test):
        if test.name in _OF_NO_TEXT and (name := _text(test.node)) is not None:
            numbers.setdefault(name, _OF_NO_TEXT[test.name])
    return {name: value for name, value in numbers.items() if name not in texts}


def _comparisons(tree: nodes.Template) -> Iterator[tuple[nodes.Expr, list[Any]]]:
    """What is compared with constants, and with which."""
    for compare in tree.find_all(nodes.Compare):
        sides = [compare.expr, *(operand.expr for operand in compare.ops)]
        for left, right in pairwise(sides):
            yield left, _constants(right)
            yield right, _constants(left)
    for test in tree.find_all(nodes.Test):
        if test.name in _COMPARING_TESTS and len(test.args) == 1:
            yield test.node, _constants(test.args[0])


def _constants(expression: nodes.Expr) -> list[Any]:
    """The value that an expression is as it stands, or the values of a list; none of any other."""
    try:
        value = expression.as_const()
    except nodes.Impossible:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _text(expression: nodes.Expr | None) -> str | None:
    """The field that an expression is, or that it makes another text of; None of any other."""
    match expression:
        case nodes.Filter(name=kept, node=nodes.Expr() as made_of) if kept in _KEEP_A_TEXT:
            return _text(made_of)
        case nodes.Call(node=nodes.Getattr(attr=kept, node=made_of)) if kept in _KEEP_A_TEXT:
            return _text(made_of)
    return None if expression is None else _field(expression)


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
