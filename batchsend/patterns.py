"""Regular expressions that are compiled when they are first used: a run of a few records never comes to most of them.

The package has some three hundred, which take as long to compile as half of what else is imported.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, Final, cast

_METHODS: Final = ("findall", "finditer", "fullmatch", "match", "search", "split", "sub")


def late_pattern(expression: AnyStr, flags: int | re.RegexFlag = 0) -> re.Pattern[AnyStr]:
    """As `re.compile`, but compiled when one of its methods is first asked for.

    It is no `re.Pattern` at run time: it has its methods and attributes, and cannot be given to functions of `re`.

    Args:
        expression: The expression; what is wrong with it is found when it is first used.
        flags: As of `re.compile`.
    """
    return cast("re.Pattern[AnyStr]", _LatePattern(expression, flags))


class _LatePattern:
    """What stands for an expression. Once it is compiled, its slots hold the compiled one's own methods."""

    __slots__ = ("_expression", "_flags", *_METHODS)

    def __init__(self, expression: str | bytes, flags: int | re.RegexFlag) -> None:
        self._expression = expression
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        """Compile the expression: Python calls this only for what no slot holds, so once for all methods."""
        if name.startswith("__"):
            raise AttributeError(name)
        compiled = re.compile(self._expression, self._flags)
        for method in _METHODS:
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)

    def __repr__(self) -> str:
        return f"late_pattern({self._expression!r})"
