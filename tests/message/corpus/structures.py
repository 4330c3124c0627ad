"""The campaigns of the corpus: every structure that a message may have, each with what its message then says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from tests.message.corpus.letter import Attached

if TYPE_CHECKING:
    from collections.abc import Callable

Fields = dict[str, str]

TERMS = bytes(range(256)) * 20 + b"\r\n.\r\n"
NOTES = b"plain\nnotes\r\n.\r\nwith dots\r\n"
COMMON: dict[str, Any] = {
    "from": "{{ sender }} <hello@mail.example.com>",
    "to": "{{ name }} <{{ email }}>",
    "reply_to": "{{ name }} <reply@example.com>, Desk <desk@example.org>",
    "subject": "{{ title }}",
    "headers": {
        "List-Unsubscribe": "<https://example.com/u/{{ token }}>, <mailto:leave@example.com?subject={{ token }}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "X-Note": "{{ note }}",
    },
}


@dataclass(frozen=True, slots=True)
class Body:
    """What a message says below its header.

    Attributes:
        text: The plain text.
        html: The HTML; ``""`` for none.
        attachments: The other parts.
        bare: The text is all there is: whether it had a final line end cannot be told (RFC 5321 §4.1.1.4).
    """

    text: str
    html: str = ""
    attachments: tuple[Attached, ...] = ()
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Structure:
    """A campaign's message.

    Attributes:
        name: What it is.
        message: The keys of ``[message]`` beside `COMMON`; with ``eml_file``, all there are.
        says: What the message then says, from a record's fields.
        files: What lies in the campaign's folder, by path.
    """

    name: str
    message: dict[str, Any]
    says: Callable[[Fields], Body]
    files: dict[str, bytes] = field(default_factory=dict)


def _own(fields: Fields) -> tuple[str, str]:
    return fields["text"], fields["html"]


def _page(fields: Fields) -> str:
    return f"<h1>{escape(fields['title'])}</h1>\n"


def _named(fields: Fields) -> Attached:
    return Attached.of(fields["file"], fields["file"].encode())


def _inlined(html: str) -> str:
    """A record's HTML with the style that the campaign has for its paragraphs."""
    return html.replace("<p>", '<p style="color: red">')


def _markdown_page(words: str) -> str:
    return (
        '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<style>\nli { color: red }\n</style>\n</head>\n"
        f'<body>\n<div class="message">\n<p><strong>{words}</strong></p>\n'
        f'<ul>\n<li style="color: red">{words}</li>\n</ul>\n</div>\n</body>\n</html>\n'
    )


def _macro_page(words: str, token: str) -> str:
    return (
        f"<h1>{words}</h1>\n<p><a href='https://example.com/{token}'>{words}</a></p>\n<p></p>\n"
        f"<table><tr><th>{words}</th></tr><tr><td>1</td></tr></table>\n"
    )


def _derived_page(words: str, token: str) -> str:
    width = max(len(words), 3)
    return (
        f"{words}\n{'=' * len(words)}\n\n{words} <https://example.com/{token}>\n\n"
        f"| {words.ljust(width)} |\n| {'-' * width} |\n| {'1'.ljust(width)} |\n"
    )


_BOTH = {"text": "{{ text }}", "html": "{{ html | safe }}"}
_TERMS = Attached.of("terms.pdf", TERMS)
_NOTES = Attached.of("notes.txt", NOTES)
_EMPTY = Attached.of("empty.bin", b"")
_STATIC = {"attachments": ["files/terms.pdf", "notes.txt", "empty.bin"]}
_STATIC_FILES = {"files/terms.pdf": TERMS, "notes.txt": NOTES, "empty.bin": b""}
_PER_RECORD = {"attachments": ["each/{{ file }}"]}

SIMPLE = (
    Structure("text", {"text": "{{ text }}"}, lambda fields: Body(fields["text"], bare=True)),
    Structure(
        "text-file",
        {"text_file": "message.txt"},
        lambda fields: Body(f"Hello {fields['name']},\n\n{fields['title']}\n.\n", bare=True),
        {"message.txt": b"\xef\xbb\xbfHello {{ name }},\n\n{{ title }}\n.\n"},
    ),
    Structure("alternative", _BOTH, lambda fields: Body(*_own(fields))),
    Structure("ascii-only", {**_BOTH, "encoding": "7bit"}, lambda fields: Body(*_own(fields))),
    Structure(
        "constant",
        {"text": "Ein für alle Mal: ½ price.\n", "html": "<p>Ein für alle Mal: ½ price.</p>"},
        lambda _: Body("Ein für alle Mal: ½ price.\n", "<p>Ein für alle Mal: ½ price.</p>"),
    ),
    Structure(
        "derived-text",
        {"html": "<p>{{ words }}</p>\n<p>{{ words }}</p>\n"},
        lambda fields: Body(
            "{words}\n\n{words}\n".format(**fields), "<p>{words}</p>\n<p>{words}</p>\n".format(**fields)
        ),
    ),
    Structure(
        "derived-text-with-a-macro",
        {
            "html": "{% macro to(url, said) %}<a href='{{ url }}'>{{ said }}</a>{% endmacro %}<h1>{{ words }}</h1>\n"
            "<p>{{ to('https://example.com/' ~ token, words) }}</p>\n<p>{{ nothing | default('') }}</p>\n"
            "<table><tr><th>{{ words }}</th></tr><tr><td>1</td></tr></table>\n"
        },
        lambda fields: Body(
            _derived_page(fields["words"], fields["token"]), _macro_page(fields["words"], fields["token"])
        ),
    ),
    Structure(
        "inline-css",
        {
            "html": "<style>p{color:red}a:hover{top:0}</style><p>{{ words }}</p>{{ html | safe }}\n",
            "text": "{{ text }}",
            "inline_css": True,
        },
        lambda fields: Body(
            fields["text"],
            '<style>p{{color:red}}a:hover{{top:0}}</style><p style="color: red">{words}</p>{0}\n'.format(
                _inlined(fields["html"]), **fields
            ),
        ),
    ),
    Structure(
        "markdown",
        {"markdown_file": "message.md", "style_file": "own.css"},
        lambda fields: Body("**{words}**\n\n- {words}\n".format(**fields), _markdown_page(fields["words"])),
        {"message.md": b"**{{ words }}**\n\n- {{ words }}\n", "own.css": b"li { color: red }\n"},
    ),
    Structure(
        "templates-in-files",
        {"html_file": "page.html", "text": "{% include 'parts/text.txt' %}"},
        lambda fields: Body(fields["text"], f"<main>{_page(fields)}</main>\n"),
        {
            "page.html": b"{% extends 'parts/base.html' %}{% block main %}<h1>{{ title }}</h1>\n{% endblock %}",
            "parts/base.html": b"<main>{% block main %}{% endblock %}</main>\n",
            "parts/text.txt": b"{{ text }}",
        },
    ),
    Structure(
        "text-and-attachments",
        {"text": "{{ text }}", **_STATIC},
        lambda fields: Body(fields["text"], "", (_TERMS, _NOTES, _EMPTY)),
        _STATIC_FILES,
    ),
    Structure(
        "alternative-and-attachments",
        {**_BOTH, **_STATIC},
        lambda fields: Body(*_own(fields), (_TERMS, _NOTES, _EMPTY)),
        _STATIC_FILES,
    ),
    Structure(
        "text-and-its-own-file",
        {"text": "{{ text }}", **_PER_RECORD},
        lambda fields: Body(fields["text"], "", (_named(fields),)),
    ),
    Structure(
        "alternative-and-both-kinds-of-files",
        {**_BOTH, "attachments": ["notes.txt", "each/{{ file }}", "files/terms.pdf"]},
        lambda fields: Body(*_own(fields), (_NOTES, _named(fields), _TERMS)),
        _STATIC_FILES,
    ),
)
