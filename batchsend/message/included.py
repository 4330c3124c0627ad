"""Templates with the files that they take in: whose names these are, and whether what is shown is only shown."""

from __future__ import annotations

from typing import Final

import jinja2
from jinja2 import nodes

TAKES_IN: Final = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)
"""The statements that take in another file."""

# What works with what templates show, or escapes it otherwise.
_CHANGES_TEXT: Final = (nodes.FilterBlock, nodes.ScopedEvalContextModifier, nodes.EvalContextModifier)
_BLOCKS_AS_VALUES: Final = frozenset({"self", "super", "caller"})


def names_written_in(node: nodes.Stmt) -> list[str]:
    """The names, in a template's own text, of the file that a statement takes in; the first that exists is meant."""
    if not isinstance(node, TAKES_IN):
        return []
    match node.template:
        case nodes.Const(value=str() as name):
            return [name]
        case nodes.Const(value=tuple() | list() as several):
            return [str(name) for name in several]
        case nodes.List(items=items) | nodes.Tuple(items=items):
            names = [item.value for item in items if isinstance(item, nodes.Const) and isinstance(item.value, str)]
            return names if len(names) == len(items) else []
        case _:
            return []


def source_of(environment: jinja2.Environment, name: str) -> str:
    """The source of a file that a template takes in.

    Raises:
        jinja2.TemplateNotFound: There is none.
    """
    assert environment.loader is not None  # noqa: S101 - Templates gives every environment one
    return environment.loader.get_source(environment, name)[0]


def shows_as_it_goes(tree: nodes.Template, environment: jinja2.Environment) -> bool:
    """Whether what a template shows goes into its text at once, and into those of the files that it takes in.

    What macros and blocks show may be a value for a while, but nothing may be done with that besides showing it.

    Args:
        tree: The template.
        environment: The environment that compiles it.

    Raises:
        jinja2.TemplateSyntaxError: One of the files is no template.
    """
    trees = [tree]
    seen: set[str] = set()
    for one in trees:  # it grows
        taken_in: list[nodes.Stmt] = []
        for kind in TAKES_IN:
            taken_in += one.find_all(kind)
        for other in taken_in:
            names = names_written_in(other)
            if len(names) != 1:
                return False
            if names[0] in seen:
                continue
            seen.add(names[0])
            try:
                trees.append(environment.parse(source_of(environment, names[0]), names[0]))
            except jinja2.TemplateNotFound:  # where that is ignored
                continue
    if any(next(one.find_all(_CHANGES_TEXT), None) is not None for one in trees):
        return False
    # An included file sees the variables of those that include it.
    held = _BLOCKS_AS_VALUES.union(*map(_held, trees))
    return all(_only_shown(one, held) for one in trees)


def _held(tree: nodes.Template) -> set[str]:
    """The names of what may hold what a template shows."""
    found = {macro.name for macro in tree.find_all(nodes.Macro)}
    for block in tree.find_all(nodes.AssignBlock):
        found.update(name.name for name in block.find_all(nodes.Name) if name.ctx == "store")
    found.update(one.target for one in tree.find_all(nodes.Import))
    for some in tree.find_all(nodes.FromImport):
        found.update(name if isinstance(name, str) else name[1] for name in some.names)
    return found


def _only_shown(tree: nodes.Template, held: frozenset[str]) -> bool:
    """Whether all that is done with values of these names is to show them, or what they give when they are called."""
    for block in tree.find_all(nodes.AssignBlock):
        if block.filter is not None or not isinstance(block.target, nodes.Name):
            return False
    shown: set[int] = set()
    for output in tree.find_all(nodes.Output):
        shown.update(id(_called(piece)) for piece in output.nodes)
    shown.update(id(_called(block.call)) for block in tree.find_all(nodes.CallBlock))
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "loop" and id(call.node) not in shown:
            return False
    return all(name.ctx != "load" or name.name not in held or id(name) in shown for name in tree.find_all(nodes.Name))


def _called(piece: nodes.Expr) -> nodes.Expr:
    """The name that is shown, or whose call is: of ``{{ y }}``, ``{{ button(x) }}`` and ``{{ forms.button(x) }}``."""
    match piece:
        case nodes.Call(node=nodes.Getattr(node=nodes.Name() as module)):
            return module
        case nodes.Call(node=nodes.Name() as macro):
            return macro
        case _:
            return piece
