"""A family of words: what is searched for in a reply's text, compiled when a reply may have it."""

from __future__ import annotations

import re

from batchsend.delivery.replies.clues import Branch, branches


class WordFamily:
    """Alternatives that mean the same, as regular expressions over a kind's text (see `kinds`).

    All families together take a tenth of a second to compile, as long as a thousand messages take to be sent, and a
    refusal in words that most of them do not speak of needs few. So each alternative is compiled when a text has the
    words without which it cannot match (see `clues`).

    Args:
        alternatives: The expressions, of which one has to match.

    Attributes:
        alternatives: As given.
    """

    __slots__ = ("_branches", "_pattern", "alternatives")

    def __init__(self, *alternatives: str) -> None:
        self.alternatives = alternatives
        self._branches: list[Branch] | None = None
        self._pattern: re.Pattern[str] | None = None

    @property
    def pattern(self) -> re.Pattern[str]:
        """The expression of the whole family."""
        if self._pattern is None:
            self._pattern = re.compile("|".join(self.alternatives), re.ASCII)
        return self._pattern

    @property
    def branches(self) -> list[Branch]:
        """The outermost alternatives, each with the words that a text must have for it."""
        if self._branches is None:
            self._branches = [branch for each in self.alternatives for branch in branches(each)]
        return self._branches

    def search(self, text: str) -> re.Match[str] | None:
        """A place at which one of the alternatives stands; None where none does."""
        for branch in self._branches or self.branches:
            if branch.may_match(text) and (match := branch.pattern.search(text)) is not None:
                return match
        return None

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """The whole of a text, if it is one of the alternatives."""
        return self.pattern.fullmatch(text)

    def sub(self, replacement: str, text: str) -> str:
        """The text with a replacement in each place at which one of the alternatives stands."""
        return text if self.search(text) is None else self.pattern.sub(replacement, text)
