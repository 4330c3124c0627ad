"""``where``: an expression over a record's fields, which says whether the record is of the campaign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from batchsend.recipients.columns import ROW, aliases, template_variables, variable
from batchsend.recipients.consent import says_no

if TYPE_CHECKING:
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
_MARKS: Final = late_pattern(r"\{[\{%]")
_BY_IS: Final = late_pattern(r"\bis(?: not)? ?[\"'\d]")
_NO_NAME: Final = late_pattern(r"expected token 'name', got '(?:string|integer|float)'")
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
_SHOWN: Final = 80  # characters of a value that an error shows
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
        if _divides_by_nothing(tree):
            raise UsageError("where: nothing can be divided by 0", remedy="divide by another number, or leave it out")
        if not names:  # it is the same for every record
            try:
                self._held({})
            except RecordError as error:
                raise UsageError(error.message, remedy=_LANGUAGE) from None
        self.use.add(tree, "where")
        self.use.numbers.update(_numbers(tree))

    def holds(self, record: Record) -> bool:
        """Whether the record is of the campaign.

        Raises:
            RecordError: It cannot be said of this record.
        """
        return self._held(record.fields)

    def _held(self, fields: Mapping[str, Any]) -> bool:
        self._budget.renew()
        try:
            return self._decided(fields)
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
            RecordError: A value would be taken for the opposite of what it says: ``no`` counts as true.
        """
        variables = template_variables(fields)
        truths = self._truths
        truths.said, truths.believes = [], False
        held = bool(self._evaluate(variables))
        if not truths.said:
            return held
        value, name = truths.said[0]
        truths.believes = True
        if bool(self._evaluate(variables)) == held:
            return held
        columns = tuple(fields)
        column = aliases(columns).get(name, name)
        if not isinstance(value, str):
            raise RecordError(
                f"where: {name} is {repr(value)[:_SHOWN]}, and what is not empty counts as true; compare what is in it"
            )
        raise RecordError(
            f"where: {name} is the text {value!r}, and any text counts as true; compare it, as in "
            f"{variable(column, columns) if column in fields else name} == 'yes'"
        )


class _Truths:
    """Looks at the values that an expression takes for true or false.

    Attributes:
        said: Those of them that say no and count as true, or what they are made of that does; and of which field.
        believes: Whether such a value counts as false, as it is meant.
    """

    __slots__ = ("believes", "said")

    def __init__(self) -> None:
        self.said: list[tuple[Any, str]] = []
        self.believes = False

    def __call__(self, value: Any, name: str, *made_of: Any) -> Any:
        """A value that is about to be taken for true or false, given back.

        Args:
            value: The value.
            name: The field that it is, or is made of.
            made_of: Where it is none itself, the names and values of the fields that it is made of, in turns.

        Raises:
            RecordError: It is a method, which is not called, or a list that nothing has gone through yet: these count
                as true whatever the record says.
        """
        said = None
        # An answer, such as that of `startswith`, is none of a text's own, and what is false says no as it is.
        if made_of and not isinstance(value, bool | jinja2.Undefined) and value:
            pairs = zip(made_of[::2], made_of[1::2], strict=True)
            said, name = next(((field, its) for its, field in pairs if _says_no(field, its)), (None, name))
        if said is None and _says_no(value, name):
            said = value
        if said is not None:
            is_of_one = isinstance(said, list | tuple) and len(said) == 1 and isinstance(said[0], str)
            self.said.append((said[0] if is_of_one else said, name))
            return "" if self.believes else value
        if isinstance(value, Iterator):
            raise RecordError("where: a list that nothing has gone through yet counts as true; write | list behind it")
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
        arguments: list[nodes.Expr] = [nodes.Const(next(names, "it"))]
        if _field(node) is None:
            arguments += [one for name, field in _made_of(node) for one in (nodes.Const(name), field)]
        asked = nodes.Filter(node, _TRUTH, arguments, [], None, None, lineno=node.lineno)
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


def _says_no(value: Any, name: str) -> bool:
    """Whether a value that counts as true says no: a text, or a list or an object in which nothing says otherwise."""
    if isinstance(value, str):
        return says_no(value, name)
    if not isinstance(value, list | tuple | Mapping) or not value:
        return False
    left: list[Any] = [value]
    while left:
        one = left.pop()
        if isinstance(one, list | tuple | Mapping):
            left += one.values() if isinstance(one, Mapping) else one
        elif one and not (isinstance(one, str) and says_no(one, name)):
            return False
    return True


def _made_of(expression: nodes.Node) -> Iterator[tuple[str, nodes.Expr]]:
    """The fields of which a value is made, by name; not those that are only compared, or by which it is looked up."""
    name = _field(expression)
    if name is not None and isinstance(expression, nodes.Expr):
        if name != ROW:
            yield name, expression
        return
    parts: Iterator[nodes.Node]
    match expression:
        case nodes.Compare() | nodes.Test() | nodes.Not():
            return
        case nodes.Filter(name="default" | "d", node=nodes.Expr() as made_of):
            parts = iter([made_of, *expression.args])
        case nodes.Filter(node=nodes.Expr() as made_of) | nodes.Call(node=nodes.Getattr(node=made_of)):
            parts = iter([made_of])
        case nodes.Getitem(node=made_of) | nodes.Getattr(node=made_of):
            parts = iter([made_of])
        case nodes.CondExpr():
            parts = iter([expression.expr1, *([] if expression.expr2 is None else [expression.expr2])])
        case _:
            parts = expression.iter_child_nodes()
    for part in parts:
        yield from _made_of(part)


def _divides_by_nothing(tree: nodes.Template) -> bool:
    """Whether a number is divided by 0, whatever the record says; ``%`` behind a text fills it in."""
    return any(
        value == 0
        for division in tree.find_all((nodes.Div, nodes.FloorDiv, nodes.Mod))
        if not (isinstance(division.left, nodes.Const) and isinstance(division.left.value, str))
        for value in _constants(division.right)
    )


def _said(message: str, expression: str) -> str:
    """What is wrong with an expression; Jinja2 may name a bracket that stands around it and is ours."""
    is_open = message.startswith(("unexpected '}'", "unexpected ')', expected")) or "'end of template'" in message
    for is_so, said in (
        (not expression.strip(), "there is no expression"),
        (_MARKS.search(expression), "an expression stands there alone, without the marks of a template"),
        (_compares_by_is(message, expression), "is asks what kind of value something is, and compares it with none"),
        (is_open, "a bracket is not closed"),
        (message.startswith(('unexpected char "\'"', "unexpected char '\"'")), "a quotation mark has no second one"),
        (
            ")" not in expression and message == "unexpected ')'",
            "the expression ends where something has to follow",
        ),
    ):
        if is_so:
            return said
    if "(" not in expression and (got := _AFTER_IT.fullmatch(message)) is not None:
        return f"unexpected {got[1]}"
    return _AT.sub("", message)


def _meant(message: str, expression: str) -> str:
    """What to do about an expression that is none."""
    if "{{" in expression:
        return "no braces stand around it: country == 'DE', not {{ country == 'DE' }}"
    if "{%" in expression:
        return "no marks stand around it: country == 'DE', not {% if country == 'DE' %}"
    if _compares_by_is(message, expression):
        return "whether two are the same is asked by == : country == 'DE'"
    for pattern, remedy in _MEANT:
        if pattern.search(message):
            return remedy
    if (word := _CAPITALS.search(expression)) is not None:
        return f"{word[1]} is written in small letters: {word[1].lower()}"
    return _LANGUAGE


def _compares_by_is(message: str, expression: str) -> bool:
    return _NO_NAME.fullmatch(message) is not None and _BY_IS.search(expression) is not None


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


def _field(expression: nodes.Node) -> str | None:
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
