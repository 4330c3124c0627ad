"""A family of words: what is searched for in a reply's text, compiled when the first reply is."""

from __future__ import annotations

import re


class WordFamily:
    """Alternatives that mean the same, as regular expressions over a kind's text (see `kinds`).

    All families together take a tenth of a second to compile, and a run that nothing is refused in needs none of them:
    each is compiled when it is first searched for.

    Args:
        alternatives: The expressions, of which one has to match.
    """

    __slots__ = ("_alternatives", "_pattern")

    def __init__(self, *alternatives: str) -> None:
        self._alternatives = alternatives
        self._pattern: re.Pattern[str] | None = None

    @property
    def pattern(self) -> re.Pattern[str]:
        """The expression of the whole family."""
        if self._pattern is None:
            self._pattern = re.compile("|".join(self._alternatives), re.ASCII)
        return self._pattern

    def search(self, text: str) -> re.Match[str] | None:
        """The first place at which one of the alternatives stands."""
        return self.pattern.search(text)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """The whole of a text, if it is one of the alternatives."""
        return self.pattern.fullmatch(text)

    def sub(self, replacement: str, text: str) -> str:
        """The text with a replacement in each place at which one of the alternatives stands."""
        return self.pattern.sub(replacement, text)
