"""Records whose names, titles and notes are in many scripts, and what a message to each must say, rendered anew."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import parseaddr
from itertools import cycle
from typing import TYPE_CHECKING, Self, cast

import jinja2
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from email.message import Message
    from pathlib import Path

NAMES = (
    *("Ada", "Zoë Ångström", "François Lefèvre", "Þórdís Ægisdóttir", "Łukasz Żółć", "Nguyễn Thị Ánh", "Ğülşah Çelik"),
    *(
        "Юлия Щербакова",
        "Олексій Їжакевич",
        "Георги Ъгълов",
        "Ελένη Παπαδοπούλου",
        "Անահիտ Հակոբյան",
        "ნინო ჯავახიშვილი",
    ),
    *("محمد الأمين", "فاطمة، بنت محمد", "شیرین‌ بانو", "רחל \u200f(בן־דוד)\u200f", "יִצְחָק", "አበበ በቂላ"),
    *("अनुष्का शर्मा", "প্রীতি চৌধুরী", "தமிழ்ச்செல்வி", "ಸುನೀತಾ", "ณัฐวุฒิ น้ำทิพย์", "ကျော်ဇော", "ភក្តី", "བསྟན་འཛིན"),
    *("山田 太郎", "李小龍", "王(小明)", "김철수", "𠮷野家 髙橋", "﨑山", "ｶﾀｶﾅ"),
    *("👩‍👩‍👧‍👦 Family", "🇳🇵🏔️", "José", "Zalgo Z̵̛a̷͝l̸g̷o̴", "ﷺ", "🙂" * 40, "Ω" * 120),
    *(
        '"Quoted" Queen',
        "Smith, John",
        "O'Brien; Pat",
        "back\\slash",
        "A <b@example.net>",
        "me@example.net",
        "a: b, c;",
    ),
    *(
        "=?utf-8?q?=42cc?=",
        "Tom & <Jerry>",
        "Anne-Marie",
        "{{ 7 * 7 }} {% raw %}",
        "%s {0} ${HOME}",
        ".",
        "-",
        "x" * 300,
    ),
)
TITLES = (
    *("Welcome", "Überraschung für Sie", "Добро пожаловать", "Καλώς ορίσατε", "مرحبا بكم", "ברוכים הבאים", "स्वागत है"),
    *(
        "ยินดีต้อนรับ",
        "欢迎光临",
        "ようこそ",
        "환영합니다",
        "🎉 100 % off?!",
        'a, b; c: <d> "e" =?f?=',
        "naïve café",
        "Z̵̛a̷͝l̸",
    ),
    *("A title that is long enough to be folded more than once, in ASCII words " * 2 + "only", "長" * 90),
)
NOTES = (
    *(
        "",
        ".",
        "..",
        ".\nMAIL FROM:<x@example.net>\n.\n",
        "one\n\n\ntwo\n",
        "-- \nsignature",
        "From here on",
        "=3D=\n=",
        "\ttab ",
    ),
    *(
        "é" * 600,
        "x" * 1500,
        "漢字" * 700,
        "trailing space \nand none\n",
        "--=_boundary--",
        "&amp; <script>alert(1)</script>",
    ),
)

SUBJECT = "{title}, {name} (№ {number})"
TEXT = "Hello {name},\n\n{title}. This is message {number}.\n{note}\n.\nYour recipient id: {email}\n"
HTML = """<!doctype html>
<html><head><meta charset="utf-8"><title>{{ title }}</title></head>
<body>
<h1>{{ title }}</h1>
<p>Hello <b>{{ name }}</b>, this is message {{ number }}.</p>
{% if note %}<pre>
{{ note }}
</pre>{% else %}<p>.</p>{% endif %}
<p><a href="https://example.com/u/{{ number }}?name={{ name | urlencode }}">Unsubscribe</a></p>
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Reader:
    """One record; its fields are these, in this order.

    Attributes:
        email: Its recipient, as no other record has it.
        name: A display name.
        title: A part of the subject.
        number: The record's number.
        note: A text of lines.
    """

    email: str
    name: str
    title: str
    number: str
    note: str

    def fields(self) -> dict[str, str]:
        """Its values by name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Said:
    """What one message says to whoever reads it; lines end in LF.

    Attributes:
        sender: The envelope's sender.
        to: Display name and address.
        subject: The subject.
        text: The plain text.
        html: The HTML.
        message_id: The Message-ID.
    """

    sender: str
    to: tuple[str, str]
    subject: str
    text: str
    html: str
    message_id: str

    @classmethod
    def by(cls, sender: str, content: bytes) -> Self:
        """Read a message as its recipient's program does.

        With the parser's older policy: that of ``policy.default`` puts a space between the encoded-words of a display
        name in Python 3.11, which RFC 2047 §6.2 does not allow, and takes ten times as long.
        """
        message = message_from_bytes(content)
        assert message.get_content_type() == "multipart/alternative"
        text, html = cast("list[Message]", message.get_payload())
        name, address = parseaddr(_unfolded(message, "To"))
        assert not message.defects
        return cls(
            sender,
            (_decoded(name), address),
            _decoded(_unfolded(message, "Subject")),
            _body(text, "text/plain"),
            _body(html, "text/html"),
            message["Message-ID"],
        )


def _unfolded(message: Message, name: str) -> str:
    (value,) = message.get_all(name, [])
    return str(value).replace("\r\n", "")


def _decoded(text: str) -> str:
    return str(make_header(decode_header(text)))


def _body(part: Message, kind: str) -> str:
    assert part.get_content_type() == kind
    assert part.get_content_charset() == "utf-8"
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode().replace("\r\n", "\n")


_HTML = jinja2.Environment(autoescape=True, keep_trailing_newline=True).from_string(HTML)


def expected(reader: Reader, message_id: str) -> Said:
    """What the message to a reader must say."""
    fields = reader.fields()
    return Said(
        f"bounce+{reader.number}@mail.example.com",
        (reader.name, reader.email),
        SUBJECT.format(**fields),
        TEXT.format(**fields),
        _HTML.render(fields),
        message_id,
    )


def readers(count: int) -> Iterator[Reader]:
    """So many readers; every pair of the lists' entries comes up, as their lengths have no common factor."""
    rows = zip(cycle(NAMES), cycle(TITLES), cycle(NOTES), range(1, count + 1), strict=False)
    for name, title, note, number in rows:
        yield Reader(f"reader{number}@example.com", name, title, str(number), note)


def message_table() -> dict[str, str]:
    """The ``[message]`` of a campaign that says this, its templates in files; see `write_templates`."""
    return {
        "from": "The Reading Room <hello@mail.example.com>",
        "to": "{{ name }} <{{ email }}>",
        "return_path": "bounce+{{ batch.record }}@mail.example.com",
        "subject": _as_jinja(SUBJECT),
        "html_file": "message.html",
        "text_file": "message.txt",
    }


def write_templates(directory: Path) -> None:
    """Write the files that `message_table` names."""
    (directory / "message.html").write_text(HTML)
    (directory / "message.txt").write_text(_as_jinja(TEXT))


def write_csv(path: Path, rows: Iterable[Reader]) -> None:
    """Write readers as CSV: quoted where RFC 4180 wants it, lines within fields ending in LF."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Reader.__slots__)
        writer.writerows(reader.fields().values() for reader in rows)


def write_jsonl(path: Path, rows: Iterable[Reader]) -> None:
    """Write readers as JSON Lines."""
    path.write_bytes(b"".join(orjson.dumps(reader.fields(), option=orjson.OPT_APPEND_NEWLINE) for reader in rows))


def _as_jinja(template: str) -> str:
    return template.replace("{", "{{ ").replace("}", " }}")
