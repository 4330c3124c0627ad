"""Markdown on a terminal: by rich, with headings at the left margin."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console
from rich.markdown import Heading, Markdown
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderResult


class _Heading(Heading):
    """A heading where the text begins; rich centres it, and frames the first."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield Text("") if self.tag != "h1" else self.text
        if self.tag != "h1":
            yield self.text


class _Page(Markdown):
    elements: ClassVar[dict[str, Any]] = {**Markdown.elements, "heading_open": _Heading}


def rendered(text: str, width: int) -> str:
    """Markdown as lines for a terminal of so many columns, with its colours unless NO_COLOR is set."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=width)
    console.print(_Page(text, code_theme="ansi_dark", inline_code_theme="ansi_dark"))
    return output.getvalue()
