"""Which words a text must have for a regular expression to match: far cheaper to see than to compile the expression.

An expression is cut at its outermost ``|`` into branches. What every match of a branch is bound to contain is a clue: a
run of letters outside of everything that may be missing, or one run of each alternative of a group that may not. Only
what the families of words are written with is understood; whatever else stands in an expression gives no clue.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from batchsend.patterns import late_pattern

Clue: TypeAlias = tuple[str, ...]
"""Words of which a text must have one."""

_TOKEN: Final = late_pattern(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:[:=!]|<[=!])|[()|^$.]|[?*+][?+]?|\{\d*,?\d*\}[?+]?|[^\\\[\](){}|?*+^$.]+",
    re.DOTALL,
)
_NOTHING: Final = frozenset({"^", "$", r"\b", r"\B"})  # these take no letter
_REPEATS: Final = "?*+{"
_LOOKS: Final = frozenset({"(?=", "(?!", "(?<=", "(?<!"})
_ENDS: Final = frozenset({"|", ")", ""})
_LEAST: Final = 2  # letters of a clue: one letter says nothing


class Branch:
    """One of the alternatives of an expression.

    Args:
        expression: The alternative.
        clues: Of each of these a text must have one word.

    Attributes:
        clues: As given.
    """

    __slots__ = ("_expression", "_pattern", "clues")

    def __init__(self, expression: str, clues: tuple[Clue, ...]) -> None:
        self._expression = expression
        self.clues = clues
        self._pattern: re.Pattern[str] | None = None

    def may_match(self, text: str) -> bool:
        """Whether a text has the words without which there is no match."""
        for clue in self.clues:
            for word in clue:
                if word in text:
                    break
            else:
                return False
        return True

    @property
    def is_compiled(self) -> bool:
        """Whether a text has had the words."""
        return self._pattern is not None

    @property
    def pattern(self) -> re.Pattern[str]:
        """The alternative, compiled."""
        if self._pattern is None:
            self._pattern = re.compile(self._expression, re.ASCII)
        return self._pattern

    def __repr__(self) -> str:
        return f"<Branch {self._expression!r} with {self.clues}>"


def branches(expression: str) -> list[Branch]:
    """The outermost alternatives of an expression, of which one matches wherever the expression does.

    Args:
        expression: The expression, without flags, names and back references.

    Raises:
        ValueError: It is not understood.
    """
    return _ClueReader(expression).branches()


class _ClueReader:
    """Reads an expression from left to right."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens: list[str] = _TOKEN.findall(expression)
        if sum(map(len, self._tokens)) != len(expression):
            raise ValueError(f"an expression that gives no clues: {expression}")
        self._tokens.append("")
        self._next = 0
        self._read = 0  # letters of the expression

    def branches(self) -> list[Branch]:
        found: list[Branch] = []
        while True:
            begin = self._read
            clues = self._sequence()
            found.append(Branch(self._expression[begin : self._read], tuple(clues)))
            if self._take() != "|":
                break
        if self._next != len(self._tokens):
            raise ValueError(f"a bracket too many: {self._expression}")
        return found

    def _take(self) -> str:
        token = self._tokens[self._next]
        self._next += 1
        self._read += len(token)
        return token

    def _sequence(self) -> list[Clue]:
        """The clues of what stands up to the next ``|`` or closing bracket of this level, which is not taken."""
        clues: list[Clue] = []
        run = ""
        while (token := self._tokens[self._next]) not in _ENDS:
            self._take()
            within: list[Clue] = []
            letters = ""
            first = token[0]
            if token in _NOTHING:
                continue
            if token in _LOOKS:
                self._alternatives()
                continue
            if first in _REPEATS:
                raise ValueError(f"a repeat of nothing, or a group that gives no clues: {self._expression}")
            if first == "(":
                within = self._alternatives()
            elif first == "\\":
                letters = "" if token[1].isalnum() else token[1:]
            elif first not in "[.":
                letters = token
            repeat = self._repeat()
            if letters and repeat is None:
                run += letters
                continue
            # A repeat is of the last letter only; where that may be missing, nothing is known of what follows it.
            _add(clues, (run + (letters if repeat else letters[:-1]),))
            run = ""
            if repeat is not False:
                clues += within
        _add(clues, (run,))
        return clues

    def _repeat(self) -> bool | None:
        """Whether what was taken last is there at least once by the repeat that follows; None where none follows."""
        following = self._tokens[self._next]
        if not following or following[0] not in _REPEATS:
            return None
        self._take()
        return following[0] == "+" or (following[0] == "{" and following[1] not in "0,}")

    def _alternatives(self) -> list[Clue]:
        """The clues of a group whose opening bracket was taken; its closing one is, too."""
        each: list[list[Clue]] = []
        while True:
            each.append(self._sequence())
            end = self._take()
            if end == ")":
                break
            if not end:
                raise ValueError(f"a bracket is not closed: {self._expression}")
        if len(each) == 1:
            return each[0]
        if not all(each):
            return []
        # Of each alternative the clue whose shortest word is longest: the others would make too much of a list.
        best = [max(clues, key=lambda clue: min(map(len, clue))) for clues in each]
        return [tuple(dict.fromkeys(word for clue in best for word in clue))]


def _add(clues: list[Clue], clue: Clue) -> None:
    if len(clue[0]) >= _LEAST:
        clues.append(clue)
