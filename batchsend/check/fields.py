"""Which of a record's fields a reader would miss: those that the campaign's templates show as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jinja2
import msgspec
from jinja2 import nodes

from batchsend.message.templates import read_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.campaign import Message

# A whole message has its templates where only the composer finds them.
_NO_TEMPLATES: Final = frozenset({"html_file", "text_file", "markdown_file", "style_file", "eml_file", "dkim"})
# Filters by which a template says what stands in the place of nothing.
_COVERING: Final = frozenset({"default", "d"})


def shown_fields(message: Message) -> frozenset[str]:
    """The variables that a template shows, and nowhere asks for whether they are there.

    Args:
        message: The campaign's message; its templates compile.

    Raises:
        UsageError: A template file cannot be read.
    """
    environment = jinja2.Environment(autoescape=True)
    shown: set[str] = set()
    asked_for: set[str] = set()
    for source in _sources(message):
        if "{{" not in source:
            continue
        tree = environment.parse(source)
        shown.update(_shown(tree))
        asked_for.update(_asked_for(tree))
    return frozenset(shown - asked_for)


def _sources(message: Message) -> Iterator[str]:
    """Every template of the message."""
    for name, value in msgspec.structs.asdict(message).items():
        if name in ("html_file", "text_file", "markdown_file") and value is not None:
            yield read_source(value, f"message.{name}")
        elif name not in _NO_TEMPLATES:
            yield from _texts(msgspec.to_builtins(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _shown(tree: nodes.Template) -> Iterator[str]:
    """The names of variables that the output is made of: ``{{ name }}`` and ``{{ name | upper }}``."""
    for output in tree.find_all(nodes.Output):
        for piece in output.nodes:
            value: nodes.Node | None = piece
            while isinstance(value, nodes.Filter) and value.name not in _COVERING:
                value = value.node
            if isinstance(value, nodes.Name):
                yield value.name


def _asked_for(tree: nodes.Template) -> Iterator[str]:
    """The names in conditions, in the places of defaults, and those that the template sets itself."""
    for branch in tree.find_all(nodes.If):
        yield from _names(branch.test)
    for choice in tree.find_all(nodes.CondExpr):
        yield from _names(choice.test)
    for either in tree.find_all(nodes.Or):
        yield from _names(either)
    for covered in tree.find_all(nodes.Filter):
        if covered.name in _COVERING:
            yield from _names(covered)
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load":
            yield name.name


def _names(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Name):
        yield node.name
    for name in node.find_all(nodes.Name):
        yield name.name
