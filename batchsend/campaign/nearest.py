"""Finds the name that was probably meant by a misspelt one: of a key, a preset, a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALIKE: Final = 0.6  # what difflib.get_close_matches takes for close


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a word, whatever its case, hyphens and underscores; None if none is like it.

    Unlike `difflib.get_close_matches`, it knows a name again in which two letters changed places, however short.
    """
    likest, best = 0.0, None
    for name in known:
        likeness = _likeness(_plain(word), _plain(name))
        if likeness > likest:
            likest, best = likeness, name
    return best if likest >= _ALIKE else None


def suggestion(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """A remedy: ``did you mean …?``, or what is said where no name is like the word."""
    name = nearest(word, known)
    return otherwise if name is None else f"did you mean {name}?"


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _likeness(word: str, name: str) -> float:
    """From 0, nothing in common, to 1, the same."""
    from difflib import SequenceMatcher  # noqa: PLC0415 - for what is misspelt only

    ratio = SequenceMatcher(None, word, name).ratio()
    if ratio < 1 and sorted(word) == sorted(name):
        return max(ratio, 0.9)
    return ratio
