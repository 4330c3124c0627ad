"""Which of a record's fields a campaign's templates use, and which of them a record must have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jinja2
from jinja2 import nodes
from jinja2.defaults import DEFAULT_NAMESPACE

from batchsend.errors import RecordError, UsageError
from batchsend.recipients.columns import ROW

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The names that a template has given itself, and the field that each of them stands for, if it is but another name.
_Given = dict[str, "str | None"]

# Filters by which a template says what stands in the place of nothing.
_COVERING: Final = frozenset({"default", "d"})
# Tests that have an answer for what is not there; others fail.
_ASKING: Final = frozenset(
    {"defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false", "mapping"}
    | {"sequence", "callable", "sameas", "escaped"}
)
# Filters and tests that do without what they are given, or look at it only when their result is gone through.
_LATE: Final = frozenset({"map", "select", "reject", "selectattr", "rejectattr"})
_PATIENT: Final = frozenset({*_COVERING, *_LATE, "items", "pprint"})
_PATIENT_TESTS: Final = _ASKING | {"in"}
# Filters that go through what they are given at once.
_GOING_THROUGH: Final = frozenset({"first", "join", "list", "sort", "sum"})
# What templates have besides a record's fields.
_GIVEN: Final = frozenset(
    {ROW, "batch", "loop", "self", "super", "caller", "varargs", "kwargs", "namespace", *DEFAULT_NAMESPACE}
)
# A dictionary's methods: `row.get` is no field.
_METHODS: Final = frozenset(name for name in dir(dict) if not name.startswith("_"))


class FieldUse:
    """Takes down the fields that templates use, one template after another.

    Fields are known by what templates call them: ``name``, ``First_Name``; of ``row["First Name"]``, ``First Name``.

    Attributes:
        needed: The fields that a record cannot be without, and the first template that uses each of them. Left out is
            what stands only in branches of a template that asks for it somewhere (``is defined``, ``default``).
        always: Those of them without which no record can be sent: they stand in no branch, loop or macro.
        numbers: The fields that ``where`` compares with what a text never is, such as a number, and what that is.
    """

    def __init__(self) -> None:
        self.needed: dict[str, str] = {}
        self.numbers: dict[str, str] = {}
        self.always: set[str] = set()
        self._shown: set[str] = set()
        self._covered: set[str] = set()

    @property
    def shown(self) -> frozenset[str]:
        """The fields that a template shows as they are, and nowhere says what is shown where they are empty."""
        return frozenset(self._shown - self._covered - _GIVEN)

    def add(self, tree: nodes.Template, where: str) -> None:
        """Take down what a template uses, and what those use that it includes or extends.

        Args:
            tree: The template, not compiled yet: compiling changes it.
            where: What it is for, as errors name it.
        """
        found = _Found()
        found.look(tree, where, {})
        for name, place in found.used.items():
            if name not in _GIVEN and (name not in found.asked_for or name in found.always):
                self.needed.setdefault(name, place)
        self.always |= self.needed.keys() & found.always
        self._shown |= found.shown
        self._covered |= found.covered


class _Found:
    """What is found in a template and in those that are rendered with it.

    Names are followed in the order and in the scopes in which Jinja2 renders: what a loop or a macro calls its own is
    a field again after it, and so is what is set later.

    Attributes:
        used: The names that are not its own where they stand, and the first template that uses each of them. What is
            only passed on, such as ``z`` in ``{% set y = z %}`` or ``[z]``, is not used: Jinja2 renders without it.
        always: Those of them that every rendering uses.
        asked_for: The names of which it asks whether they are there.
        shown: The names that its output is made of.
        covered: The names of which it says what is shown without them, and those that it has given itself.
    """

    def __init__(self) -> None:
        self.used: dict[str, str] = {}
        self.always: set[str] = set()
        self.asked_for: set[str] = set()
        self.shown: set[str] = set()
        self.covered: set[str] = set()
        self._followed: set[tuple[str, bool]] = set()

    def look(self, tree: nodes.Template, where: str, given: _Given, sure: bool = True) -> None:
        """Look through a template.

        Args:
            tree: The template.
            where: What it is for.
            given: The names that the template which includes this one has given itself.
            sure: Whether it is rendered for every record.
        """
        names = {*given, *_set_names(tree)}
        self.asked_for.update(_asked_for(tree))
        self.shown |= set(_shown(tree)) - names
        self.covered.update(_covered(tree), names)
        _Walk(self, tree, where).through(dict(given), sure=sure)

    def use(self, name: str, where: str, *, sure: bool) -> None:
        self.used.setdefault(name, where)
        if sure:
            self.always.add(name)

    def follow(self, other: nodes.Template, name: str, where: str, given: _Given, *, sure: bool) -> None:
        """Look through a template that another renders."""
        if (name, sure) not in self._followed:
            self._followed.add((name, sure))
            self.look(other, f"{where}, {name}", given, sure)


class _Walk:
    """Goes through one template as it is rendered."""

    def __init__(self, found: _Found, tree: nodes.Template, where: str) -> None:
        self._found = found
        self._tree = tree
        self._where = where
        # Macros and blocks are rendered later than where they stand: all that the template sets may be set by then.
        self._in_the_end = set(_set_names(tree))

    def through(self, given: _Given, *, sure: bool) -> None:
        parent = next((node for node in self._tree.body if isinstance(node, nodes.Extends)), None)
        loaded = None if parent is None else self._load(parent.template)
        if loaded is None:
            self._all(self._tree.body, given, sure)
            return
        base, name = loaded
        # What is rendered is the base, with this template's blocks; of the rest, only what it sets counts.
        for node in self._tree.body:
            if isinstance(node, (nodes.Assign, nodes.Macro, nodes.Import, nodes.FromImport)):
                self._visit(node, given, sure=sure)
            else:
                given |= dict.fromkeys(_set_names(node))
        own = {block.name: block for block in self._tree.find_all(nodes.Block)}
        for block in base.find_all(nodes.Block):
            if (instead := own.get(block.name)) is not None:
                block.body = [*instead.body, *(block.body if _calls_super(instead) else [])]
        self._found.follow(base, name, self._where, given, sure=sure)

    def _all(self, parts: Iterable[nodes.Node], given: _Given, sure: bool, *, passed_on: bool = False) -> None:
        for part in parts:
            self._visit(part, given, sure=sure, passed_on=passed_on)

    def _visit(self, node: nodes.Node, given: _Given, *, sure: bool, passed_on: bool = False) -> None:
        """Look at a node.

        Args:
            node: A statement or an expression.
            given: The names that the template has set so far in this scope; what is set here is added.
            sure: Whether every rendering comes by it.
            passed_on: Whether its value is only handed to something else, which may do without.
        """
        match node:
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                self._value(node, given, sure, passed_on)
            case nodes.If() | nodes.CondExpr() | nodes.And() | nodes.Or() | nodes.Compare():
                self._branch(node, given, sure, passed_on)
            case nodes.Test() | nodes.Filter() | nodes.Call() | nodes.Mod():
                self._call(node, given, sure)
            case nodes.List() | nodes.Tuple() | nodes.Dict() | nodes.Pair() | nodes.Keyword() | nodes.Slice():
                self._all(node.iter_child_nodes(), given, sure, passed_on=True)
            case nodes.Include() | nodes.Import() | nodes.FromImport() | nodes.Extends():
                self._other(node, given, sure)
            case nodes.Stmt():
                self._scope(node, given, sure)
            case _:
                self._all(node.iter_child_nodes(), given, sure)

    def _value(
        self, node: nodes.Name | nodes.Getattr | nodes.Getitem, given: _Given, sure: bool, passed_on: bool
    ) -> None:
        if isinstance(node, nodes.Name) and node.ctx != "load":
            given[node.name] = None
        elif (field := _field(node)) is not None and (isinstance(node, nodes.Name) or ROW not in given):
            if isinstance(node, nodes.Name) and field in given:
                # Where it is not sure that this is rendered, it may be asked for by the name that it was given.
                field = given[field] if sure else None
            if field is not None and not passed_on:
                self._found.use(field, self._where, sure=sure)
        elif not isinstance(node, nodes.Name):
            self._visit(node.node, given, sure=sure)
            if isinstance(node, nodes.Getitem):
                self._visit(node.arg, given, sure=sure, passed_on=True)

    def _branch(
        self,
        node: nodes.If | nodes.CondExpr | nodes.And | nodes.Or | nodes.Compare,
        given: _Given,
        sure: bool,
        passed_on: bool,
    ) -> None:
        match node:
            case nodes.If():
                self._visit(node.test, given, sure=sure)
                before = dict(given)
                for branch in (node.body, node.elif_, node.else_):
                    inner = dict(before)
                    self._all(branch, inner, sure=False)
                    # A branch is no scope: what it sets may be set after it.
                    given |= dict.fromkeys(name for name in inner if name not in before or inner[name] != before[name])
            case nodes.CondExpr():
                self._visit(node.test, given, sure=sure)
                for one in (node.expr1, node.expr2):
                    if one is not None:
                        self._visit(one, given, sure=False, passed_on=passed_on)
            case nodes.Compare():
                first, *others = node.ops
                # An empty list holds nothing, and is not compared with what is sought in it.
                self._visit(node.expr, given, sure=sure, passed_on=first.op in {"in", "notin"})
                self._visit(first.expr, given, sure=sure)
                for operand in others:
                    self._visit(operand.expr, given, sure=False)
            case _:
                self._visit(node.left, given, sure=sure)
                self._visit(node.right, given, sure=False, passed_on=passed_on)

    def _call(self, node: nodes.Test | nodes.Filter | nodes.Call | nodes.Mod, given: _Given, sure: bool) -> None:
        """What is done to the first of several values; the others are passed on.

        A text that is formatted need not use what it is formatted with: ``"-" % z`` is ``-``.
        """
        first = node.left if isinstance(node, nodes.Mod) else node.node
        for part in node.iter_child_nodes():
            if part is not first:
                self._visit(part, given, sure=sure, passed_on=True)
            elif isinstance(node, nodes.Filter) and node.name in _GOING_THROUGH:
                self._gone_through(part, given, sure)
            else:
                self._visit(part, given, sure=sure, passed_on=_is_patient(node))

    def _gone_through(self, node: nodes.Node, given: _Given, sure: bool) -> None:
        """A value of which every item is looked at."""
        while isinstance(node, nodes.Filter) and node.name in _LATE and node.node is not None:
            self._all((*node.args, *node.kwargs), given, sure, passed_on=True)
            node = node.node
        self._visit(node, given, sure=sure)

    def _scope(self, node: nodes.Stmt, given: _Given, sure: bool) -> None:
        """A statement whose parts have names of their own, or one without any."""
        inner = dict(given)
        match node:
            case nodes.Assign():
                self._assign(node.target, node.node, given, given, sure)
            case nodes.ExprStmt():
                self._visit(node.node, given, sure=sure, passed_on=True)
            case nodes.For():
                self._gone_through(node.iter, given, sure)
                self._visit(node.target, inner, sure=False)
                inner["loop"] = None
                self._all([*([] if node.test is None else [node.test]), *node.body], inner, sure=False)
                self._all(node.else_, dict(given), sure=False)
            case nodes.Macro() | nodes.CallBlock():
                self._macro(node, given, sure)
            case nodes.With():
                for target, value in zip(node.targets, node.values, strict=True):
                    self._assign(target, value, given, inner, sure)
                self._all(node.body, inner, sure)
            case nodes.AssignBlock():
                self._all([*node.body, *([] if node.filter is None else [node.filter])], inner, sure)
                self._visit(node.target, given, sure=sure)
            case nodes.Block():
                # A block has no names of the scopes around it, and may have a field of the same name.
                self._all(node.body, dict.fromkeys(given), sure)
            case nodes.FilterBlock():
                self._all(node.iter_child_nodes(), inner, sure)
            case _:
                self._all(node.iter_child_nodes(), given, sure)

    def _assign(self, target: nodes.Node, value: nodes.Node, given: _Given, into: _Given, sure: bool) -> None:
        is_taken_apart = isinstance(target, nodes.Tuple)
        self._visit(value, given, sure=sure, passed_on=not is_taken_apart)
        field = _field(value)
        if isinstance(value, nodes.Name):
            field = given.get(value.name, value.name)
        elif ROW in given:
            field = None
        self._visit(target, into, sure=sure)
        if isinstance(target, nodes.Name):
            into[target.name] = field

    def _macro(self, node: nodes.Macro | nodes.CallBlock, given: _Given, sure: bool) -> None:
        if isinstance(node, nodes.Macro):
            given[node.name] = None
        else:
            self._visit(node.call, given, sure=sure)
        self._all(node.defaults, given, sure=False, passed_on=True)
        names = [*given, *self._in_the_end, *(argument.name for argument in node.args)]
        self._all(node.body, dict.fromkeys(names), sure=False)

    def _other(
        self, node: nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends, given: _Given, sure: bool
    ) -> None:
        """What another template is needed for; an imported one has the record's fields only where it is said so."""
        self._visit(node.template, given, sure=sure)
        if isinstance(node, (nodes.Include, nodes.Extends)) or node.with_context:
            loaded = self._load(node.template)
            if loaded is not None:
                surely = sure and not isinstance(node, nodes.Extends)
                self._found.follow(*loaded, self._where, given, sure=surely)
        if isinstance(node, nodes.Import):
            given[node.target] = None
        elif isinstance(node, nodes.FromImport):
            given |= dict.fromkeys(name if isinstance(name, str) else name[1] for name in node.names)

    def _load(self, named: nodes.Node) -> tuple[nodes.Template, str] | None:
        """The template of a name, or the first that there is of a list of names, and its name; None if unknown yet."""
        environment = self._tree.environment
        names = named.items if isinstance(named, (nodes.List, nodes.Tuple)) else [named]
        for name in names:
            if not isinstance(name, nodes.Const) or environment is None or environment.loader is None:
                return None
            called = str(name.value)
            try:
                source = environment.loader.get_source(environment, called)[0]
            except (jinja2.TemplateNotFound, UsageError):
                continue  # Rendering says that it is not there, where a record gets there.
            except RecordError:
                return None  # Likewise that no record may name it, as in a list of which it names another one.
            try:
                return environment.parse(source, called), called
            except (jinja2.TemplateError, RecursionError):
                return None  # Likewise what is wrong with it.
        return None


def _is_patient(node: nodes.Node) -> bool:
    """Whether a filter or a test has a result for what is not there."""
    match node:
        case nodes.Filter():
            return node.name in _PATIENT
        case nodes.Test():
            return node.name in _PATIENT_TESTS
        case _:
            return False


def _of_row(node: nodes.Node | None) -> str | None:
    """The field that ``row["First Name"]`` or ``row.First`` is; None of anything else."""
    match node:
        case nodes.Getitem(node=nodes.Name(name="row"), arg=nodes.Const(value=str() as name)):
            return name
        case nodes.Getattr(node=nodes.Name(name="row"), attr=name) if name not in _METHODS:
            return str(name)
        case _:
            return None


def _field(node: nodes.Node | None) -> str | None:
    """The field that an expression is, by itself."""
    return node.name if isinstance(node, nodes.Name) else _of_row(node)


def _asked_for(tree: nodes.Template) -> Iterator[str]:
    """The fields of which a template asks whether they are there, in any of the ways that there are."""
    for asking in tree.find_all(nodes.Test):
        if asking.name in _ASKING and (name := _field(asking.node)):
            yield name
    for covered in tree.find_all(nodes.Filter):
        if covered.name in _COVERING and (name := _field(covered.node)):
            yield name
    for compare in tree.find_all(nodes.Compare):  # 'First Name' in row
        for operand in compare.ops:
            if isinstance(compare.expr, nodes.Const) and _field(operand.expr) == ROW:
                yield str(compare.expr.value)
    for call in tree.find_all(nodes.Call):  # row.get('First Name')
        if isinstance(call.node, nodes.Getattr) and call.node.attr == "get" and _field(call.node.node) == ROW:
            yield from (str(name.value) for name in call.args[:1] if isinstance(name, nodes.Const))


def _shown(tree: nodes.Template) -> Iterator[str]:
    """The fields that the output is made of: ``{{ name }}`` and ``{{ name | upper }}``."""
    for output in tree.find_all(nodes.Output):
        for piece in output.nodes:
            value: nodes.Node | None = piece
            while isinstance(value, nodes.Filter) and value.name not in _COVERING:
                value = value.node
            if (name := _field(value)) is not None:
                yield name


def _covered(tree: nodes.Template) -> Iterator[str]:
    """The fields in conditions and in the places of defaults: the template says what is shown without them."""
    branches: list[nodes.If | nodes.CondExpr] = [*tree.find_all(nodes.If), *tree.find_all(nodes.CondExpr)]
    for branch in branches:
        yield from _fields_in(branch.test)
    for either in tree.find_all(nodes.Or):
        yield from _fields_in(either)
    for covered in tree.find_all(nodes.Filter):
        if covered.name in _COVERING:
            yield from _fields_in(covered)


def _set_names(tree: nodes.Node) -> Iterator[str]:
    """The names that a template, or a part of it, gives itself: by ``set``, ``for``, ``macro`` and ``import``."""
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load":
            yield name.name
    for macro in tree.find_all(nodes.Macro):
        yield macro.name
    for imported in tree.find_all(nodes.Import):
        yield imported.target
    for names in tree.find_all(nodes.FromImport):
        for given in names.names:
            yield given if isinstance(given, str) else given[1]


def _calls_super(tree: nodes.Node) -> bool:
    return any(name.name == "super" for name in tree.find_all(nodes.Name))


def _fields_in(node: nodes.Node) -> Iterator[str]:
    if (name := _field(node)) is not None:
        yield name
    for inner in node.find_all((nodes.Name, nodes.Getitem, nodes.Getattr)):
        if (name := _field(inner)) is not None:
            yield name
