"""A letter as text: plain lines for a pipe, the same with colours and rendered HTML for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batchsend.display import visible
from batchsend.errors import RecordError
from batchsend.message.text import markdown_from_html

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType

    from batchsend.message.parsed import ParsedAttachment, ParsedMessage


def plain(letter: ParsedMessage, *, raw: bool) -> Iterator[str]:
    """The letter as lines.

    Args:
        letter: What is shown.
        raw: Headers and HTML as they are sent, instead of decoded and rendered.
    """
    yield f"record {letter.record}: {_envelope(letter)}"
    yield f"{len(letter.content):,} octets"
    yield ""
    yield from visible(letter.raw_headers).splitlines() if raw else map(_header, letter.headers)
    for title, body in _bodies(letter, raw=raw):
        yield ""
        yield f"--- {title} ---"
        yield from body.splitlines()
    if letter.attachments:
        yield ""
        yield "--- attachments ---"
        yield from map(_attachment, letter.attachments)


def styled(letter: ParsedMessage, *, raw: bool) -> Iterator[RenderableType]:
    """The letter for a `rich` console; the arguments are those of `plain`."""
    from rich.markdown import Markdown  # noqa: PLC0415 - rich, only on a terminal
    from rich.rule import Rule  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    yield Rule(Text(f"record {letter.record:,}"), style="cyan")
    yield Text(_envelope(letter), style="dim")
    yield Text(f"{len(letter.content):,} octets\n", style="dim")
    if raw:
        yield Text(visible(letter.raw_headers))
    else:
        for name, value in letter.headers:
            yield Text.assemble((f"{visible(name)}: ", "cyan"), visible(value))
    for title, body in _bodies(letter, raw=raw):
        yield Rule(Text(title), style="dim", align="left")
        # A line ends only where the HTML has it end; in Markdown two spaces say so.
        yield Markdown(body.replace("\n", "  \n"), hyperlinks=False) if title == _RENDERED else Text(body)
    if letter.attachments:
        yield Rule(Text("attachments"), style="dim", align="left")
        yield from (Text(_attachment(part)) for part in letter.attachments)


def show(letter: ParsedMessage, console: Console, *, raw: bool) -> None:
    """Print the letter on a terminal."""
    for renderable in styled(letter, raw=raw):
        console.print(renderable, soft_wrap=False, highlight=False)


_RENDERED: Final = "HTML"


def _bodies(letter: ParsedMessage, *, raw: bool) -> Iterator[tuple[str, str]]:
    """Titles and texts; the HTML's title says whether it is rendered."""
    if letter.text is not None:
        yield "text", visible(letter.text).rstrip("\n")
    if letter.html is None:
        return
    if raw:
        yield "HTML, as it is sent", visible(letter.html).rstrip("\n")
        return
    try:
        yield _RENDERED, visible(markdown_from_html(letter.html)).rstrip("\n")
    except RecordError as error:
        yield f"HTML ({error.message})", visible(letter.html).rstrip("\n")


def _envelope(letter: ParsedMessage) -> str:
    envelope = letter.envelope
    return visible(f"MAIL FROM:<{envelope.reverse_path}> RCPT TO:<{envelope.forward_path}>")


def _header(header: tuple[str, str]) -> str:
    name, value = header
    return visible(f"{name}: {value}")


def _attachment(part: ParsedAttachment) -> str:
    where = "" if part.content_id is None else f", in the HTML as cid:{part.content_id}"
    return visible(f"{part.name or 'without a name'} ({part.content_type}, {len(part.content):,} octets{where})")
