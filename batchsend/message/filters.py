"""Jinja2's filters, each paying from the rendering's budget for what it is about to make."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import SecurityError

from batchsend.message.budget import MAX_ITEMS, MAX_WIDTH, Budget, Excess, require_width
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Filter = Callable[..., Any]
    # What a filter is given, looked at and paid for: its value, its options. Returns the value to be used.
    Rule = Callable[[Budget, Any, tuple[Any, ...]], Any]

# Behind the percent sign, and behind the key in parentheses where there is one.
_WIDTH = late_pattern(r"[-#0 +]*+(\*|\d++)?(?:\.(\*|\d++))?")
_RUNS = late_pattern(r"\S++|\s++")
_LONGEST_RUN = 5_000  # characters
_PARENTHESIS = late_pattern(r"[()]")


def bounded_filter(name: str, function: Filter, budget: Budget) -> Filter:
    """The same filter, which takes one step and pays for what it makes.

    Args:
        name: Its name.
        function: What it does.
        budget: What it pays from.
    """
    place = 1 if hasattr(function, "jinja_pass_arg") else 0
    rule = _RULES.get(name)

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        budget.step()
        given = (*args[place:], *kwargs.values())
        for value in given:
            budget.weigh(value)
        if rule is not None:
            args = (*args[:place], rule(budget, given[0], given[1:]), *args[place + 1 :])
        return budget.made(function(*args, **kwargs))

    return bounded


def pay_for_percent(budget: Budget, text: str | bytes, values: object) -> None:
    """Pay for ``text % values``.

    Raises:
        Excess: A width in it is too large, or the result.
        SecurityError: A width comes from a value.
    """
    pattern = text if isinstance(text, str) else text.decode("latin-1")
    widths = list(_widths(pattern))
    if "*" in widths:
        raise SecurityError("a width may not come from a value")
    widest = max([int(width[:20]) for width in widths] or [0])
    require_width(widest)
    budget.spend(len(pattern) + pattern.count("%") * (budget.weigh(values) + widest))


def _widths(pattern: str) -> Iterator[str]:
    """The widths and precisions in a pattern: digits, or ``*``. A key may have parentheses within parentheses."""
    at = 0
    while (at := pattern.find("%", at) + 1) > 0:
        if pattern.startswith("(", at):
            depth = 0
            for parenthesis in _PARENTHESIS.finditer(pattern, at):
                depth += 1 if parenthesis[0] == "(" else -1
                if not depth:
                    at = parenthesis.end()
                    break
            else:
                return  # the key has no end, which is an error of the pattern's
        if match := _WIDTH.match(pattern, at):
            yield from (width for width in match.groups() if width)
            at = match.end() + pattern.startswith("%", match.end())


def replaced(text: Any, old: Any, new: Any) -> int:
    """How long a text becomes when one part of it is replaced."""
    return len(text) + int(text.count(old)) * max(len(new) - len(old), 0)


def _format(budget: Budget, value: Any, options: tuple[Any, ...]) -> Any:
    pay_for_percent(budget, str(value), options)
    return value


def _replace(budget: Budget, value: Any, options: tuple[Any, ...]) -> Any:
    budget.spend(replaced(str(value), *[str(option) for option in options[:2]]))
    return value


def _tojson(budget: Budget, value: Any, options: tuple[Any, ...]) -> Any:
    """Each value may stand on a line of its own, as deep as the values within values go."""
    weight = budget.weigh(value)
    budget.spend(weight * min(weight, 1_000) * max([option for option in options if isinstance(option, int)] or [0]))
    return value


def _join(budget: Budget, value: Any, options: tuple[Any, ...]) -> Any:
    """Each item pays for what stands before it; a generator would be used up by weighing it."""
    items = list(value)
    budget.spend(budget.weigh(items) + len(items) * sum([budget.weigh(option) for option in options]))
    return items


def _indent(budget: Budget, value: Any, options: tuple[Any, ...]) -> Any:
    text = str(value)
    width = max([len(option) if isinstance(option, str) else int(option) for option in options] or [4])
    require_width(width)
    budget.spend(len(text) + (text.count("\n") + 1) * abs(width))
    return value


def _no_wider(most: int) -> Rule:
    """The options, where they are numbers, make so much more of a text or a list."""

    def rule(_: Budget, value: Any, options: tuple[Any, ...]) -> Any:
        require_width(*options, most=most)
        return value

    return rule


def _no_longer(most: int, *, widest: int | None = None) -> Rule:
    """Time grows with the square of the value, or what is made of each of its characters is much larger than that."""

    def rule(_: Budget, value: Any, options: tuple[Any, ...]) -> Any:
        if hasattr(value, "__len__") and len(value) > most:
            raise Excess(f"gives a filter more than {most:,} characters or values")
        if widest is not None:
            require_width(*options, most=widest)
        return value

    return rule


def _wordwrap(_: Budget, value: Any, options: tuple[Any, ...]) -> Any:  # noqa: ARG001 - a rule's signature
    """Time grows with the square of a word, and of the blanks between two."""
    text = str(value)
    if len(text) > 100_000 or max(map(len, _RUNS.findall(text)), default=0) > _LONGEST_RUN:
        raise Excess(f"wraps more than 100,000 characters, or a word of more than {_LONGEST_RUN:,}")
    return value


_RULES: dict[str, Rule] = {
    "format": _format,
    "replace": _replace,
    "tojson": _tojson,
    "join": _join,
    "indent": _indent,
    "center": _no_wider(MAX_WIDTH),
    "round": _no_wider(300),
    **dict.fromkeys(("batch", "slice"), _no_longer(MAX_ITEMS, widest=MAX_WIDTH)),
    **dict.fromkeys(("groupby", "list", "sort", "unique"), _no_longer(MAX_ITEMS)),
    **dict.fromkeys(("striptags", "urlize"), _no_longer(100_000)),
    "wordwrap": _wordwrap,
    "sum": _no_longer(10_000),
}
