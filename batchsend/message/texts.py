"""A text of all messages of a campaign, rendered and encoded: in a short way where record and template allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from batchsend.message.encoding import EIGHT_BIT, MAX_LINE, SEVEN_BIT, Encoded, encode_text
from batchsend.message.plain_template import PlainTemplate

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.message.template import TextTemplate

Rendered: TypeAlias = tuple[str, Encoded]
"""A text as a record makes it, and as it is sent."""


class Text:
    """One text of all messages: a template, its encoding, and a short way for most records.

    Args:
        template: The template.
        delimiter: What ends a part, and must not be in the text.
        where: What it is, as errors name it.
        eight_bit: Whether octets above 127 may be sent.
        finish: What is done to each rendered text, such as inlining its style sheets; None for nothing.
    """

    def __init__(
        self,
        template: TextTemplate,
        delimiter: str,
        where: str,
        *,
        eight_bit: bool,
        finish: Callable[[str], str] | None = None,
    ) -> None:
        self._template = template
        self._delimiter = delimiter
        self._where = where
        self._eight_bit = eight_bit
        self._finish = finish
        self.constant: Rendered | None = None
        self._lines: PlainTemplate | None = None
        self._room = 0
        if template.constant is not None:
            self.constant = self.encoded(template.constant)
        elif template.filling is not None and finish is None:
            self._take_the_short_way(template.filling)

    def _take_the_short_way(self, filling: PlainTemplate) -> None:
        """Settle once what is true of the template's own texts, so that only the values have to be looked at."""
        own = "\1".join(filling.own)
        if "\0" in own or "\r" in own or not (own.isascii() or self._eight_bit):
            return
        longest = max(len(line.encode(errors="surrogatepass")) for line in own.split("\n"))
        self._lines = PlainTemplate(
            [text.replace("\n", "\r\n") for text in filling.own], filling.names, escaped=filling.escaped
        )
        self._room = MAX_LINE - longest

    def render(self, variables: dict[str, Any]) -> Rendered:
        """The text of one record.

        Raises:
            RecordError: It cannot be rendered with this record.
        """
        if self.constant is not None:
            return self.constant
        if (lines := self._lines) is not None:
            values = self._template.values(lines, variables)
            data = "".join(values)
            # Without control characters the values add no line; together they fit on any that is there.
            if data.isprintable() and len(data.encode()) <= self._room and (self._eight_bit or data.isascii()):
                text = "".join(lines.interleave(values))
                if self._delimiter not in text:
                    return text, ((SEVEN_BIT if text.isascii() else EIGHT_BIT), text.encode())
        return self.encoded(self._template.render(variables))

    def encoded(self, text: str) -> Rendered:
        """A text as a record makes it, finished and encoded.

        Raises:
            RecordError: It cannot be finished, or holds half a character.
        """
        if self._finish is not None:
            text = self._finish(text)
        return text, encode_text(text, self._delimiter, self._where, eight_bit=self._eight_bit)
