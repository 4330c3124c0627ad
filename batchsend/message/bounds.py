"""A sandbox whose templates come to an end: what repeats, grows or pads is paid for before it is done."""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from batchsend.message.budget import MAX_ITEMS, Budget, Excess, require_number, require_width
from batchsend.message.filters import bounded_filter, pay_for_percent, replaced
from batchsend.message.included import TAKES_IN, names_written_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping

    from jinja2.lexer import Token, TokenStream
    from jinja2.runtime import Context

MAX_PIECES = 50_000
"""Pieces of one template: its own texts, the marks between them, and each name, value and sign within the marks.

Jinja2 takes about 0.1 ms and 3 KiB for each to compile them.
"""

_PADDING = frozenset({"center", "ljust", "rjust", "zfill", "to_bytes", "expandtabs"})
_LOOP = "each_turn_is_a_step"


class BoundedCodeGenerator(CodeGenerator):
    """Compiles templates so that each turn of a loop is a step, and what is joined by ``~`` is paid for."""

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: N802 - Jinja2's name for it
        """A whole template, in which the loops are made to count."""
        for loop in node.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, _LOOP, [], [], None, None, lineno=loop.lineno)
            loop.iter.set_environment(self.environment)
        super().visit_Template(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja2's name for it
        """Values joined by ``~``."""
        name = "(markup_join if context.eval_ctx.autoescape else str_join)"
        self.write(f"{name}((")
        for value in node.nodes:
            self.write("environment.shown(")
            self.visit(value, frame)
            self.write("), ")
        self.write("))")


class TooManyPiecesError(jinja2.TemplateSyntaxError):
    """A template of more than `MAX_PIECES`."""


class _Pieces(Extension):
    """Counts the pieces of each template as it is parsed."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Jinja2's hook: the pieces on their way to the parser."""
        for count, token in enumerate(stream):
            if count >= MAX_PIECES:
                raise TooManyPiecesError(
                    f"the template has more than {MAX_PIECES:,} marks, names and texts between them",
                    token.lineno,
                    stream.name,
                    stream.filename,
                )
            yield token


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox with a `Budget` for each rendering.

    The sandbox itself keeps templates from what they must not touch, but not from going on for ever: of all that a
    template can do, loops, calls, filters and operators take time or memory out of proportion to its size.

    Attributes:
        budget: What is left; whoever renders renews it. Overlays share it.
        written: The names of other files that stand in templates in so many words. Overlays share them.
    """

    code_generator_class = BoundedCodeGenerator
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(extensions=[_Pieces], **options)
        self.budget = Budget()
        self.written: set[str] = set()
        self.filters = {name: bounded_filter(name, function, self.budget) for name, function in self.filters.items()}
        self.filters[_LOOP] = self._turns
        self.globals["namespace"] = _Namespace
        del self.globals["lipsum"]  # random texts of any length

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Jinja2's hook: a template, or a file that one takes in, is parsed."""
        tree = super()._parse(source, name, filename)
        for statement in tree.find_all(TAKES_IN):
            self.written.update(names_written_in(statement))
        return tree

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Jinja2's hook: an operator at work."""
        budget = self.budget
        if operator == "+":
            if hasattr(left, "__len__") and hasattr(right, "__len__"):
                budget.spend(len(left) + len(right))
        elif operator == "*":
            self._pay_for_product(left, right)
        elif operator == "**":
            if isinstance(left, int) and isinstance(right, int):
                require_number(left.bit_length() * abs(right))
        elif isinstance(left, str | bytes):
            pay_for_percent(budget, left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805, PYI063 - as Jinja2
        """Jinja2's hook: a macro, a method or a function is called."""
        budget = __self.budget
        budget.step()
        weight = sum([budget.weigh(value) for value in (*args, *kwargs.values())])
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str | bytes | int):
            args = __self._pay_for_method(__obj.__name__, owner, args, weight)
            require_width(*kwargs.values())
        return budget.made(super().call(__context, __obj, *args, **kwargs))

    def call_filter(self, *args: Any, **kwargs: Any) -> Any:
        """Jinja2's hook: a filter for each item, as of ``map``."""
        self.budget.step()
        return super().call_filter(*args, **kwargs)

    def call_test(self, *args: Any, **kwargs: Any) -> Any:
        """Jinja2's hook: a test for each item, as of ``select``."""
        self.budget.step()
        return super().call_test(*args, **kwargs)

    def get_template(
        self,
        name: str | jinja2.Template,
        parent: str | None = None,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - Jinja2's name for it
    ) -> jinja2.Template:
        """Jinja2's hook: another template is included, extended or imported."""
        self.budget.step()
        return super().get_template(name, parent, globals)

    def select_template(self, *args: Any, **kwargs: Any) -> jinja2.Template:
        """Jinja2's hook: one of several templates is included."""
        self.budget.step()
        return super().select_template(*args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Jinja2's hook: ``str.format`` and ``str.format_map``."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def bounded(*args: Any, **kwargs: Any) -> str:
            weight = sum([self.budget.weigh(given) for given in (*args, *kwargs.values())])
            self._pay_for_format(value.__self__, weight)
            return wrapped(*args, **kwargs)

        return bounded

    def concat(self, chunks: Iterable[str]) -> str:
        """Jinja2's hook: what a macro, a block or a filter block has said, in one."""
        kept = list(chunks)
        self.budget.spend(sum(map(len, kept)))
        return "".join(kept)

    def shown(self, value: Any) -> Any:
        """A value that is about to become text, given back if it may."""
        self.budget.spend(self.budget.weigh(value))
        return value

    def _turns(self, values: Iterable[Any]) -> _Turns:
        return _Turns(values, self.budget)

    def _pay_for_product(self, left: Any, right: Any) -> None:
        if isinstance(left, int) and isinstance(right, int):
            require_number(left.bit_length() + right.bit_length())
            return
        times, value = (left, right) if isinstance(left, int) else (right, left)
        if isinstance(times, int) and isinstance(value, str | bytes):
            self.budget.spend(max(times, 0) * len(value))
        elif isinstance(times, int) and isinstance(value, list | tuple):
            if max(times, 0) * self.budget.weigh(value) > MAX_ITEMS:
                raise Excess(f"makes lists of more than {MAX_ITEMS:,} values")
            self.budget.spend(max(times, 0) * len(value))

    def _pay_for_format(self, text: str, weight: int) -> None:
        fields = widest = 0
        for _, field, form, _ in Formatter().parse(text):
            fields += field is not None
            if form and "{" in form:
                raise SecurityError("a width may not come from a value")
            widest = max([widest, *[int(width[:20]) for width in re.findall(r"\d+", form or "")]])
        require_width(widest)
        self.budget.spend(len(text) + fields * (weight + widest))

    def _pay_for_method(self, name: str, owner: Any, args: tuple[Any, ...], weight: int) -> tuple[Any, ...]:
        """What a method of a text or a number is called with, paid for."""
        if name in _PADDING:
            require_width(*args)
        if name == "translate":
            raise SecurityError("a text may not be translated")
        if name == "expandtabs":
            width = args[0] if args and isinstance(args[0], int) else 8
            self.budget.spend(len(owner) + owner.count("\t" if isinstance(owner, str) else b"\t") * abs(width))
        elif name == "replace" and len(args) >= 2:
            self.budget.spend(replaced(owner, *args[:2]))
        elif name == "join" and args:
            items = list(args[0])
            self.budget.spend(self.budget.weigh(items) + len(items) * len(owner))
            return (items,)
        elif isinstance(owner, str | bytes):
            self.budget.spend(min(weight, len(owner)))
        return args


class _Turns:
    """What a loop goes over; it knows its length where that is known, for ``loop.length``."""

    __slots__ = ("_budget", "_values")

    def __init__(self, values: Any, budget: Budget) -> None:
        self._values = values
        self._budget = budget

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        step = self._budget.step
        for value in self._values:
            step()
            yield value


class _Namespace(Namespace):
    """Jinja2's namespace, which does not show what it holds: that may be itself."""

    def __repr__(self) -> str:
        return "<namespace>"
