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
_REPEATS: Final = frozenset("?*+{")
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
        """Whether a text has had the words. A start is quick while few branches are, which a test holds by this."""
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
    """Reads an expression from left to right. At the first refusals of a run it reads some hundred: it is to be quick.

    Args:
        expression: The expression.
    """

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens: list[str] = _TOKEN.findall(expression)
        if sum(map(len, self._tokens)) != len(expression):
            raise ValueError(f"an expression that gives no clues: {expression}")
        self._tokens.append("")

    def branches(self) -> list[Branch]:
        found: list[Branch] = []
        at, tokens = -1, self._tokens
        while at < 0 or tokens[at] == "|":
            begin = at + 1
            clues, at = self._sequence(begin)
            found.append(Branch("".join(tokens[begin:at]), tuple(clues)))
        if tokens[at]:
            raise ValueError(f"a bracket too many: {self._expression}")
        return found

    def _sequence(self, at: int) -> tuple[list[Clue], int]:
        """The clues of what stands from a token up to the next ``|`` or closing bracket of its level, and where."""
        tokens = self._tokens
        clues: list[Clue] = []
        run = ""
        while (token := tokens[at]) not in _ENDS:
            at += 1
            if token in _NOTHING:
                continue
            within: list[Clue] = []
            letters = ""
            if token[0] == "(":
                within, at = self._alternatives(at)
                if token in _LOOKS:
                    continue
            else:
                letters = self._letters(token)
            following = tokens[at]
            is_there = True
            if following[:1] in _REPEATS:
                at += 1
                is_there = _is_there(following)
            elif letters:
                run += letters
                continue
            # Where something may be missing, or be there more than once, it is not known what stands beside the run.
            run += letters if is_there else letters[:-1]  # a repeat is of the last letter only
            if len(run) >= _LEAST:
                clues.append((run,))
            run = ""
            if is_there:
                clues += within
        if len(run) >= _LEAST:
            clues.append((run,))
        return clues, at

    def _letters(self, token: str) -> str:
        """What a token other than a bracket matches, where that is always the same."""
        first = token[0]
        if first == "\\":
            return "" if token[1].isalnum() else token[1:]
        if first in _REPEATS:
            raise ValueError(f"a repeat of nothing, or a group that gives no clues: {self._expression}")
        return "" if first in "[." else token

    def _alternatives(self, at: int) -> tuple[list[Clue], int]:
        """The clues of a group from the token behind its opening bracket on, and where it ends."""
        tokens = self._tokens
        each: list[list[Clue]] = []
        while True:
            clues, at = self._sequence(at)
            each.append(clues)
            at += 1
            if tokens[at - 1] != "|":
                break
        if not tokens[at - 1]:
            raise ValueError(f"a bracket is not closed: {self._expression}")
        if len(each) == 1:
            return each[0], at
        if not all(each):
            return [], at
        # Of each alternative the clue whose shortest word is longest: the others would make too much of a list.
        words: dict[str, None] = {}
        for clues in each:
            best = clues[0] if len(clues) == 1 else max(clues, key=_shortest)
            words.update(dict.fromkeys(best))
        return [tuple(words)], at


def _is_there(repeat: str) -> bool:
    """Whether what is repeated is there at least once."""
    return repeat[0] == "+" or (repeat[0] == "{" and repeat[1] not in "0,}")


def _shortest(clue: Clue) -> int:
    return min(map(len, clue))
