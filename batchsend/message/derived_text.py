"""The text that is made from HTML, for all records at once where that comes to the same."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from batchsend.message.html_tokens import tokens
from batchsend.message.text import text_from_html

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from batchsend.message.plain_template import PlainTemplate
    from batchsend.message.template import Template
    from batchsend.message.templates import Templates
    from batchsend.message.texts import Text

# Attributes that do not change what is shown of a text, or are said in it.
_SAID: Final = frozenset({"href", "src", "alt", "title", "background"})
_UNDERLINE: Final = re.compile(r"(?:=+|-+)")


class DerivedText:
    """The text of a template that fills in nothing but variables, as a template of its own.

    Args:
        template: The template of the text.
        text: The text, as messages have it.
        linked: The variables that stand in addresses.

    Attributes:
        text: As given.
    """

    def __init__(self, template: Template, text: Text, linked: Collection[str]) -> None:
        self.text = text
        self._template = template
        names = () if template.filling is None else template.filling.names
        self._linked = [place for place, name in enumerate(names) if name in linked]

    @classmethod
    def of(cls, html: Template, templates: Templates, made: Callable[..., Text]) -> DerivedText | None:
        """The text of an HTML template; None where each record's has to be made from its own HTML.

        Args:
            html: The HTML template.
            templates: Compiles the text.
            made: Makes a text of messages of its template.

        Raises:
            RecordError: The HTML cannot be read.
        """
        filling = html.filling
        if filling is None:
            return None
        token = f"v{secrets.token_hex(8)}n"
        names = list(dict.fromkeys(filling.names))  # one mark for each: an address may be what is said of it
        document = "".join(filling.interleave([f"{token}{names.index(name)}e" for name in filling.names]))
        if _changes_more(document, token):
            return None
        text = text_from_html(document)
        if any(mark in text for mark in ("{{", "{%", "{#")) or _is_measured(text, token):
            return None
        mark = re.compile(f"{token}([0-9]+)e")
        template = templates.text(mark.sub(lambda found: f"{{{{ {names[int(found[1])]} }}}}", text), "text")
        linked = {names[int(number)] for target in _targets(document) for number in mark.findall(target)}
        return cls(template, made(template, where="text"), linked)

    def holds(self, variables: dict[str, Any]) -> bool:
        """Whether a record's values stand in the text as they are.

        HTML knows no two blanks in a row, nor any around a text, and a paragraph with nothing in it is none.
        """
        filling: PlainTemplate | None = self._template.filling
        if filling is None:
            return True
        values = self._template.values(filling, variables)
        for value in values:
            if not value or not value.isprintable() or value[0] == " " or value[-1] == " " or "  " in value:
                return False
        # In an address the text has no blanks at all, and none that leads to a place in the HTML.
        return not any(" " in values[place] or values[place][0] == "#" for place in self._linked)


def _targets(document: str) -> Iterator[str]:
    """Where the links lead."""
    for token in tokens(document):
        if token.kind == "start" and token.name == "a":
            yield token.value("href") or ""


def _changes_more(document: str, token: str) -> bool:
    """Whether a value could change what is shown, or how, beside the place where it stands."""
    for one in tokens(document):
        if one.kind == "start":
            if token in one.name or any(
                token in attribute.name or (attribute.name not in _SAID and token in (attribute.value or ""))
                for attribute in one.attributes
            ):
                return True
            # An address in the text has no blanks, whatever stands in the HTML.
            if one.name in ("a", "area") and " " in (one.value("href") or "").strip():
                return True
        elif one.kind != "text" and token in document[one.start : one.end]:
            return True
    return False


def _is_measured(text: str, token: str) -> bool:
    """Whether a value stands in a table or above a line that is as long as it is."""
    lines = text.split("\n")
    return any(
        token in line and (line.lstrip().startswith("|") or (following and _UNDERLINE.fullmatch(following)))
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
    )
