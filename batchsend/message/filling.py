"""The short way for templates that only fill in variables, ``Hello {{ name }}``: most of them, most of their cost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import jinja2
from jinja2 import nodes
from markupsafe import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What markupsafe escapes; most values have nothing of it.
_TO_ESCAPE = re.compile(r"[&<>'\"]")

# Jinja2 gives these names a meaning of their own.
_SPECIAL = frozenset({"self", "super", "loop", "caller", "varargs", "kwargs"})


class Filling:
    """Text and the names of variables by turns; renders as the template that it was made of, without its machinery.

    Jinja2 makes a context for every rendering, which costs more than a dozen substitutions. What is no more than text
    and plain names needs none.

    Args:
        pieces: The template's texts and, as `jinja2.nodes.Name`, its variables.
        environment: Says how a value is shown: its ``finalize``, and whether it is escaped.
    """

    __slots__ = ("_names", "_pieces", "_show")

    def __init__(self, pieces: list[str | nodes.Name], environment: jinja2.Environment) -> None:
        finalize = cast("Callable[[object], object]", environment.finalize)

        def escaped(value: object) -> str:
            if type(value) is str and not _TO_ESCAPE.search(value):
                return value
            return escape(finalize(value))

        def plain(value: object) -> str:
            return str(finalize(value))

        self._show = escaped if environment.autoescape else plain
        self._pieces = [piece if isinstance(piece, str) else "" for piece in pieces]
        self._names = [(place, piece.name) for place, piece in enumerate(pieces) if not isinstance(piece, str)]

    def __call__(self, variables: Mapping[str, Any]) -> str:
        """Fill in the variables.

        Raises:
            jinja2.UndefinedError: One of them is not there; in the words of `jinja2.StrictUndefined`.
        """
        pieces = self._pieces.copy()
        show = self._show
        for place, name in self._names:
            if name not in variables:
                raise jinja2.UndefinedError(f"{name!r} is undefined")
            pieces[place] = show(variables[name])
        return "".join(pieces)


def filling(tree: nodes.Template, environment: jinja2.Environment) -> Filling | None:
    """The short way for a parsed template, or None if it needs more than names."""
    pieces: list[str | nodes.Name] = []
    for statement in tree.body:
        if not isinstance(statement, nodes.Output):
            return None
        for piece in statement.nodes:
            if isinstance(piece, nodes.TemplateData):
                pieces.append(piece.data)
            elif isinstance(piece, nodes.Name) and piece.name not in _SPECIAL:
                pieces.append(piece)
            else:
                return None
    return Filling(pieces, environment)
