"""The short way for templates that only fill in variables, ``Hello {{ name }}``: most of them, most of their cost."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import jinja2
from jinja2 import nodes
from markupsafe import escape

from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_TO_ESCAPE = late_pattern(r"[&<>'\"]")  # what markupsafe escapes

# Jinja2 gives these names a meaning of their own.
_SPECIAL = frozenset({"self", "super", "loop", "caller", "varargs", "kwargs"})


_ATTRIBUTES: Final = frozenset({"id", "record", "verp", "unsubscribe_url"})

OF_BATCH: Final = frozenset({f"batch.{attribute}" for attribute in _ATTRIBUTES})
"""The variables that each record has besides its fields."""


class PlainTemplate:
    """Text and the names of variables by turns; renders as the template that it was made of, without its machinery.

    Jinja2 makes a context for every rendering, which costs more than a dozen substitutions. What is no more than text
    and plain names needs none.

    Args:
        own: The template's own texts: one before each variable and one after the last, perhaps empty.
        names: The variables; those of `OF_BATCH` among them.
        escaped: Whether values are escaped for HTML.

    Attributes:
        own: As given.
        names: As given.
        escaped: As given.
    """

    __slots__ = ("_look_up", "_must_escape", "_pieces", "escaped", "names", "own")

    def __init__(self, own: Sequence[str], names: Sequence[str], *, escaped: bool) -> None:
        self.own = tuple(own)
        self.names = tuple(names)
        self.escaped = escaped
        self._look_up = _getter(self.names)
        self._must_escape = _TO_ESCAPE.search if escaped else None
        self._pieces = [""] * (2 * len(self.names) + 1)
        self._pieces[::2] = self.own

    def values(self, variables: Mapping[str, Any]) -> Sequence[str]:
        """The variables as they are shown, in their order.

        Raises:
            jinja2.UndefinedError: One of them is not there; in the words of `jinja2.StrictUndefined`.
        """
        try:
            values = self._look_up(variables)
        except KeyError as error:
            raise jinja2.UndefinedError(f"{error.args[0]!r} is undefined") from None
        try:
            together = "".join(values)
        except TypeError:  # not all of them are texts
            values = ["" if value is None else str(value) for value in values]
            together = "".join(values)
        # Most values have nothing to escape, and one look tells it of all.
        if (must_escape := self._must_escape) is not None and must_escape(together):
            return [str(escape(value)) for value in values]
        return values

    def interleave(self, values: Iterable[str]) -> list[str]:
        """The template's own texts and the values by turns."""
        pieces = self._pieces.copy()
        pieces[1::2] = values
        return pieces

    def __call__(self, variables: Mapping[str, Any]) -> str:
        """Fill in the variables.

        Raises:
            jinja2.UndefinedError: As `values`.
        """
        return "".join(self.interleave(self.values(variables)))


def filling(tree: nodes.Template, *, escaped: bool) -> PlainTemplate | None:
    """The short way for a parsed template, or None if it needs more than names."""
    own = [""]
    names: list[str] = []
    for statement in tree.body:
        if not isinstance(statement, nodes.Output):
            return None
        for piece in statement.nodes:
            if isinstance(piece, nodes.TemplateData):
                own[-1] += piece.data
            elif name := _name(piece):
                names.append(name)
                own.append("")
            else:
                return None
    return PlainTemplate(own, names, escaped=escaped)


def _name(piece: nodes.Expr) -> str | None:
    """The variable that an expression is: a name, or ``batch`` and one of its attributes."""
    match piece:
        case nodes.Name(name=name) if name not in _SPECIAL:
            return str(name)
        case nodes.Getattr(node=nodes.Name(name="batch"), attr=attribute) if attribute in _ATTRIBUTES:
            return f"batch.{attribute}"
        case _:
            return None


def _getter(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    if any("." in name for name in names):
        return lambda variables: [_look_up(name, variables) for name in names]
    if len(names) > 1:
        return itemgetter(*names)
    if not names:
        return lambda _: ()
    name = names[0]
    return lambda variables: (variables[name],)  # itemgetter would give one value, not a sequence


def _look_up(name: str, variables: Mapping[str, Any]) -> Any:
    variable, _, attribute = name.partition(".")
    return getattr(variables[variable], attribute) if attribute else variables[variable]
