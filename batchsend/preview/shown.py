"""A message as text: plain lines for a pipe, the same with colours and rendered HTML for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batchsend.display import visible
from batchsend.errors import RecordError
from batchsend.message.text import markdown_from_html

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType

    from batchsend.message.parsed import ParsedAttachment, ParsedMessage


def plain(message: ParsedMessage, *, raw: bool) -> Iterator[str]:
    """The message as lines.

    Args:
        message: What is shown.
        raw: Headers and HTML as they are sent, instead of decoded and rendered.
    """
    yield f"record {message.record}: {_envelope(message)}"
    yield f"{len(message.content):,} octets"
    yield ""
    yield from visible(message.raw_headers).splitlines() if raw else map(_header, message.headers)
    for title, body in _bodies(message, raw=raw):
        yield ""
        yield f"--- {title} ---"
        yield from body.splitlines()
    if message.attachments:
        yield ""
        yield "--- attachments ---"
        yield from map(_attachment, message.attachments)


def styled(message: ParsedMessage, *, raw: bool) -> Iterator[RenderableType]:
    """The message for a `rich` console; the arguments are those of `plain`."""
    from rich.markdown import Markdown  # noqa: PLC0415 - rich, only on a terminal
    from rich.rule import Rule  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    yield Rule(Text(f"record {message.record:,}"), style="cyan")
    yield Text(_envelope(message), style="dim")
    yield Text(f"{len(message.content):,} octets\n", style="dim")
    if raw:
        yield Text(visible(message.raw_headers))
    else:
        for name, value in message.headers:
            yield Text.assemble((f"{visible(name)}: ", "cyan"), visible(value))
    for title, body in _bodies(message, raw=raw):
        yield Rule(Text(title), style="dim", align="left")
        # A line ends only where the HTML has it end; in Markdown two spaces say so.
        yield Markdown(body.replace("\n", "  \n"), hyperlinks=False) if title == _RENDERED else Text(body)
    if message.attachments:
        yield Rule(Text("attachments"), style="dim", align="left")
        yield from (Text(_attachment(part)) for part in message.attachments)


def show(message: ParsedMessage, console: Console, *, raw: bool) -> None:
    """Print the message on a terminal."""
    for renderable in styled(message, raw=raw):
        console.print(renderable, soft_wrap=False, highlight=False)


_RENDERED: Final = "HTML"


def _bodies(message: ParsedMessage, *, raw: bool) -> Iterator[tuple[str, str]]:
    """Titles and texts; the HTML's title says whether it is rendered."""
    if message.text is not None:
        yield "text", visible(message.text).rstrip("\n")
    if message.html is None:
        return
    if raw:
        yield "HTML, as it is sent", visible(message.html).rstrip("\n")
        return
    try:
        yield _RENDERED, visible(markdown_from_html(message.html)).rstrip("\n")
    except RecordError as error:
        yield f"HTML ({error.message})", visible(message.html).rstrip("\n")


def _envelope(message: ParsedMessage) -> str:
    envelope = message.envelope
    return visible(f"MAIL FROM:<{envelope.reverse_path}> RCPT TO:<{envelope.forward_path}>")


def _header(header: tuple[str, str]) -> str:
    name, value = header
    return visible(f"{name}: {value}")


def _attachment(part: ParsedAttachment) -> str:
    where = "" if part.content_id is None else f", in the HTML as cid:{part.content_id}"
    return visible(f"{part.name or 'without a name'} ({part.content_type}, {len(part.content):,} octets{where})")
