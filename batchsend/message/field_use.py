"""Which of a record's fields a campaign's templates use, and which of them a record must have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jinja2
from jinja2 import meta, nodes
from jinja2.defaults import DEFAULT_NAMESPACE

from batchsend.errors import UsageError
from batchsend.recipients.columns import ROW

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Filters by which a template says what stands in the place of nothing.
_COVERING: Final = frozenset({"default", "d"})
_ASKING: Final = frozenset({"defined", "undefined"})
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
            what that template asks for somewhere (``is defined``, ``default``), and what it sets itself.
        always: Those of them without which no record can be sent: they stand in no branch and in no loop.
    """

    def __init__(self) -> None:
        self.needed: dict[str, str] = {}
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
        found.look(tree, where, frozenset())
        for name, place in found.used.items():
            if name not in found.asked_for and name not in _GIVEN:
                self.needed.setdefault(name, place)
        self.always |= self.needed.keys() & set(_always(tree))
        self._shown |= found.shown
        self._covered |= found.covered


class _Found:
    """What is found in a template and in those that are rendered with it.

    Attributes:
        used: The names that it has not given itself, and where they stand.
        asked_for: The names of which it asks whether they are there.
        shown: The names that its output is made of.
        covered: The names of which it says what is shown without them, and those that it has given itself.
    """

    def __init__(self) -> None:
        self.used: dict[str, str] = {}
        self.asked_for: set[str] = set()
        self.shown: set[str] = set()
        self.covered: set[str] = set()
        self._included: set[str] = set()

    def look(self, tree: nodes.Template, where: str, given: frozenset[str]) -> None:
        """Look through a template.

        Args:
            tree: The template.
            where: What it is for.
            given: The names that the template which includes this one has given itself.
        """
        given |= set(_set_names(tree))
        for name in (*sorted(meta.find_undeclared_variables(tree)), *_of_row_in(tree)):
            if name not in given:
                self.used.setdefault(name, where)
        self.asked_for.update(_asked_for(tree))
        self.shown |= set(_shown(tree)) - given
        self.covered.update(_covered(tree), given)
        others: list[nodes.Include | nodes.Extends] = [*tree.find_all(nodes.Include), *tree.find_all(nodes.Extends)]
        for other in others:
            self._follow(tree, other, where, given)

    def _follow(
        self, tree: nodes.Template, node: nodes.Include | nodes.Extends, where: str, given: frozenset[str]
    ) -> None:
        environment = tree.environment
        if not isinstance(node.template, nodes.Const) or environment is None or environment.loader is None:
            return
        name = str(node.template.value)
        if name in self._included:
            return
        self._included.add(name)
        try:
            other = environment.parse(environment.loader.get_source(environment, name)[0], name)
        except (jinja2.TemplateError, UsageError, RecursionError):
            return  # Rendering says what is wrong with it, where a record gets there.
        if isinstance(node, nodes.Extends) and not _calls_super(tree):
            replaced = {block.name for block in tree.find_all(nodes.Block)}
            for block in other.find_all(nodes.Block):
                if block.name in replaced:
                    block.body = []
        self.look(other, f"{where}, {name}", given)


def _of_row(node: nodes.Node | None) -> str | None:
    """The field that ``row["First Name"]`` or ``row.First`` is; None of anything else."""
    match node:
        case nodes.Getitem(node=nodes.Name(name="row"), arg=nodes.Const(value=str() as name)):
            return name
        case nodes.Getattr(node=nodes.Name(name="row"), attr=name) if name not in _METHODS:
            return str(name)
        case _:
            return None


def _of_row_in(tree: nodes.Node) -> Iterator[str]:
    for node in tree.find_all((nodes.Getitem, nodes.Getattr)):
        if (name := _of_row(node)) is not None:
            yield name


def _field(node: nodes.Node | None) -> str | None:
    """The field that an expression is, by itself."""
    return node.name if isinstance(node, nodes.Name) else _of_row(node)


def _asked_for(tree: nodes.Template) -> Iterator[str]:
    """The fields of which a template asks whether they are there, in any of the ways that there are."""
    for test in tree.find_all((nodes.Test, nodes.Filter)):
        if test.name in (_ASKING if isinstance(test, nodes.Test) else _COVERING) and (name := _field(test.node)):
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


def _set_names(tree: nodes.Template) -> Iterator[str]:
    """The names that a template gives itself: by ``set``, ``for``, ``macro`` and ``import``."""
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


def _always(node: nodes.Node) -> Iterator[str]:
    """The fields of an expression or a template that are looked at whatever a record holds."""
    if (name := _field(node)) is not None:
        yield name
        return
    parts: Iterable[nodes.Node]
    match node:
        case nodes.If() | nodes.CondExpr():
            parts = [node.test]
        case nodes.And(left=left) | nodes.Or(left=left):
            parts = [left]
        case nodes.For(iter=values):
            parts = [values]
        case nodes.Macro() | nodes.CallBlock() | nodes.Block():
            parts = []
        case _:
            parts = node.iter_child_nodes()
    for part in parts:
        yield from _always(part)


def _calls_super(tree: nodes.Template) -> bool:
    return any(name.name == "super" for name in tree.find_all(nodes.Name))


def _fields_in(node: nodes.Node) -> Iterator[str]:
    if (name := _field(node)) is not None:
        yield name
    for inner in node.find_all((nodes.Name, nodes.Getitem, nodes.Getattr)):
        if (name := _field(inner)) is not None:
            yield name
