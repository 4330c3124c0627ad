"""What was written by others, made safe to print: a terminal obeys control characters, and reorders by others."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line of text with every character that is not printed as itself escaped: controls, line ends, bidi marks."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
