"""What a command says on standard error: text for people, or one JSON object a line for programs."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import click

from batchsend.cli.campaigns import say
from batchsend.display import printable
from batchsend.results.line import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Level = Literal["info", "warning", "error"]


class Console:
    """Says everything that a command has to say while it runs, in one form.

    Attributes:
        as_json: Say it as JSON objects with time, level, event and what the event has to tell.
        is_quiet: Say nothing but errors.
    """

    def __init__(self) -> None:
        self.as_json = False
        self.is_quiet = False
        self._print: Callable[[str], None] = say

    @contextmanager
    def through(self, print_line: Callable[[str], None]) -> Iterator[None]:
        """While the context lasts, lines go to ``print_line``: to whoever else writes on the same terminal."""
        before, self._print = self._print, print_line
        try:
            yield
        finally:
            self._print = before

    def notice(self, text: str) -> None:
        """Tell what the user should know, one line."""
        self._say("warning", "notice", [f"batchsend: {text}"], message=text)

    def begin(self, text: str, **fields: Any) -> None:
        """Tell what a command is about to do, one line."""
        self._say("info", "begin", [f"batchsend: {text}"], message=text, **fields)

    def progress(self, text: str, **fields: Any) -> None:
        """Tell how far a run has come."""
        self._say("info", "progress", [f"batchsend: {text}"], **fields)

    def end(self, lines: Iterable[str], **fields: Any) -> None:
        """Tell what a run has come to."""
        self._say("info", "end", lines, **fields)

    def error(self, message: str, remedy: str | None) -> None:
        """Tell why the command ends."""
        lines = [f"batchsend: {message}", *([f"           {remedy}"] if remedy is not None else [])]
        self._say("error", "error", lines, message=message, remedy=remedy)

    def crash(self, error: BaseException) -> None:
        """Tell of an error that nobody has foreseen, to a program; people get Python's own account of it."""
        import traceback  # noqa: PLC0415 - only here

        what = f"internal error: {type(error).__name__}: {error}"
        told = traceback.format_exception(error)
        self._say("error", "error", [], message=what, remedy="report it, with the traceback", traceback="".join(told))

    def _say(self, level: Level, event: str, lines: Iterable[str], **fields: Any) -> None:
        if self.is_quiet and level != "error":
            return
        if self.as_json:
            # The standard library's escapes what is not ASCII, and so what a terminal might obey; and it takes the half
            # characters that stand for a file name's other bytes.
            import json  # noqa: PLC0415 - only here

            told = {"time": timestamp(time.time()), "level": level, "event": event, **fields}
            self._print(json.dumps(told))
        else:
            for line in lines:
                self._print(printable(line))


pass_console = click.make_pass_decorator(Console, ensure=True)
"""Hands a command the console of this invocation as its first argument."""
