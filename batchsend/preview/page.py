"""A message as one HTML page that needs nothing else: what `preview --open` shows in a browser."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from batchsend.display import html as escape

if TYPE_CHECKING:
    from batchsend.message.parsed import ParsedAttachment, ParsedMessage

# RFC 2392 §2: cid:, and the Content-ID percent-encoded.
_REFERENCE: Final = re.compile(r"""\bcid:([^"'\s<>)]+)""", re.IGNORECASE)

# What a message asks about the colours that its reader prefers (Media Queries Level 5 §11.5).
_SCHEME: Final = re.compile(r"\(\s*+prefers-color-scheme\s*+:\s*+(light|dark)\s*+\)", re.IGNORECASE)

_VIEWS: Final = (
    ("wide", "", "light"),
    ("narrow: 375 pixels", "narrow", "light"),
    ("dark, where the message has colours for that", "narrow dark", "dark"),
)

_SHOWN_HEADERS: Final = ("from", "to", "reply-to", "subject", "date")

_STYLE: Final = """
:root { color-scheme: light dark }
body { margin: 0; height: 100vh; display: flex; flex-direction: column; font: 15px/1.5 system-ui, sans-serif }
header { padding: .8em 1em; border-bottom: 1px solid #8884; overflow-wrap: anywhere }
dl { margin: 0; display: grid; grid-template-columns: max-content 1fr; gap: 0 .8em }
dt { opacity: .65 } dd { margin: 0 }
main { flex: 1; min-height: 0; display: flex; overflow: auto }
figure { margin: 0; flex: 1 0 24em; display: flex; flex-direction: column; border-right: 1px solid #8884 }
figure.narrow { flex: 0 0 375px }
figcaption { padding: .2em 1em; font-size: .85em; opacity: .65 }
iframe { flex: 1; border: 0; background: #fff; color-scheme: light }
.dark iframe { background: #121212; color-scheme: dark }
@media (max-width: 60em) { main { flex-direction: column } figure, figure.narrow { flex: 0 0 85vh; max-width: 100% } }
pre { margin: 0; padding: 1em; overflow: auto; flex: 1; white-space: pre-wrap; font-family: ui-monospace, monospace }
"""

# What no mail program does, a browser is not to do either: run scripts, send forms, embed pages.
_POLICY: Final = "script-src 'none'; object-src 'none'; form-action 'none'"
_SANDBOX: Final = "allow-popups allow-popups-to-escape-sandbox"


def page(message: ParsedMessage) -> str:
    """The message with its headers above it and its inline images in it."""
    shown = [(name, value) for name, value in message.headers if name.lower() in _SHOWN_HEADERS]
    attached = [part for part in message.attachments if part.content_id is None]
    shown += [("Attached", _described(part)) for part in attached]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in shown)
    title = escape(f"Record {message.record}")
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n"
        f"<header><dl>{listed}</dl></header>\n{_body(message)}\n</html>\n"
    )


def _body(message: ParsedMessage) -> str:
    if message.html is None:
        return f"<pre>{escape(message.text or '')}</pre>"
    html = _with_images(message, message.html)
    return f"<main>{''.join([_view(html, *view) for view in _VIEWS])}</main>"


def _view(html: str, title: str, classes: str, scheme: str) -> str:
    """The message as one reader has it before them.

    Whoever looks at it has a colour scheme of their own: the message's questions for one are answered here.
    """

    def answer(question: re.Match[str]) -> str:
        return "(min-width: 0)" if question[1].lower() == scheme else "(max-width: 0)"

    # In an iframe's srcdoc nothing but a document is needed: it is in standards mode without its doctype, too.
    document = f'<base target="_blank">{_SCHEME.sub(answer, html)}'
    return (
        f'<figure class="{classes}"><figcaption>{escape(title)}</figcaption>'
        f'<iframe title="The message, {escape(title)}" sandbox="{_SANDBOX}" srcdoc="{escape(document)}"></iframe>'
        "</figure>"
    )


def _with_images(message: ParsedMessage, html: str) -> str:
    inline = message.inline

    def data(reference: re.Match[str]) -> str:
        part = inline.get(unquote(reference[1])) or inline.get(reference[1])
        if part is None:
            return reference[0]
        return f"data:{part.content_type};base64,{b64encode(part.content).decode('ascii')}"

    return _REFERENCE.sub(data, html)


def _described(part: ParsedAttachment) -> str:
    return f"{part.name or 'without a name'} ({part.content_type}, {len(part.content):,} octets)"
