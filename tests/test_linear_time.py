"""What a record, a template, a server or the DNS brings takes time in proportion to its length, whatever it says.

One record that took the square of it would hold up all others. What is measured is growth: double the input, and at
most two and a half times the time. It is measured over three doublings at once, where time in proportion is 8 times,
the limit 15.6 and the square 64: what else the machine does meanwhile does not make one look like the other.
Each place where an expression or a parser meets foreign text is here with the texts that are the worst for it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.check.dkim import read_tags
from batchsend.check.finding import Severity
from batchsend.check.gathering import Gathering
from batchsend.check.html import Html
from batchsend.check.markup import Markup
from batchsend.delivery.login_client import PatientProtocol
from batchsend.display import visible
from batchsend.errors import RecordError, UsageError, without_values
from batchsend.feedback.understanding import understand
from batchsend.message.attachments import AttachmentFiles, check_media_type
from batchsend.message.calendars import request
from batchsend.message.css import inlined
from batchsend.message.dkim import canonical_body, canonical_fields
from batchsend.message.eml import WholeMessage
from batchsend.message.encoding import encode_text
from batchsend.message.html_tokens import text_of, tokens
from batchsend.message.images import Images
from batchsend.message.mailboxes import AddressField
from batchsend.message.marks import covered
from batchsend.message.parsed import ParsedMessage, decoded
from batchsend.message.submission import Envelope, Submission
from batchsend.message.templates import Templates
from batchsend.message.text import text_from_html
from batchsend.message.tokens import tokens as header_tokens
from batchsend.message.words import clean, encoded_words, phrase, unstructured
from batchsend.outcome import Outcome
from batchsend.preview.page import page
from batchsend.recipients import Record, open_records
from batchsend.recipients.entries import addresses_among, entries
from batchsend.recipients.kinds import refuse_eight_bit, refuse_other_kinds
from batchsend.report.causes import cause_of
from batchsend.report.kinds import Kind
from batchsend.report.spreadsheet import defused
from batchsend.report.wording import reason_wording, wording
from batchsend.smtp.commands import mail
from batchsend.smtp.content import canonical, dot_stuffed
from batchsend.smtp.parameters import utf8_xtext, xtext
from batchsend.smtp.replies import ReplyParser

if TYPE_CHECKING:
    from collections.abc import Callable

DOUBLINGS = 3
MOST = 2.5**DOUBLINGS
SHORTEST = 4096
LONGEST = 32_768
"""Characters. What is done with so many in no measurable time is fast enough, whatever its growth."""
QUICK = 4
"""In `make test` both are shorter by so much, and one of so many texts is tried: `make test-all` has the rest."""
MEASURABLE = 0.004
"""Seconds: below this a clock's own steps show."""
LOOKS_AT_ONCE = 3
LOOKS = 12
NEAR = 5 * 2**DOUBLINGS
LOOKS_IF_NEAR = 200
"""What else the machine does may make all of some seconds slower: a ratio below `NEAR` is looked at for longer."""

PLAIN = [
    " ",
    "\n",
    "\t",
    "\0",
    "a",
    "ä",
    "\U0001f600",
    "a ",
    "'",
    '"',
    "\\'",
    "'a",
    "a'\\",
    "\\",
    ";",
    ';"',
    "(",
    ")",
    "a@",
    "a.",
    "<",
    ">",
]
WORDS = [
    *PLAIN,
    "=?",
    "=?utf-8?q?a?=",
    "=?utf-8?q?a?= ",
    "=?a?b?",
    "id=A1",
    "A1",
    "A1.",
    "1:",
    "a:1",
    "<a@b> ",
    "[",
    "5.1.1 ",
    "as ",
    "\r",
    ",",
    "|",
    "=",
    '" =',
]
MARKS = [
    "{{",
    "{%",
    "{#",
    "{{}}",
    "{% raw %}",
    "{%raw",
    "{% endraw %}",
    "{{ '",
    "}}",
    "{",
    "{% raw %}{{",
    "{%" + " " * 50,
]
HTML = [
    *(
        "<",
        "<!",
        "<!--",
        "-->",
        "<?",
        "</",
        "<a",
        "<a b",
        "<a b=",
        "<a b='",
        "<a '\"",
        "<a b=\"'<a ",
        "<a b=c ",
        "id=A1 ",
    ),
    *(
        "&",
        "&#",
        "&#9",
        "&amp",
        "<p>",
        "<b><i>",
        "<a href=x>",
        "<img src=",
        "<img src='",
        "<img src=a>",
        "<img ",
        "<td background=",
    ),
    *("url(", "url( ", "url('", "<style>", "<style>a{", "<script>", "<title>", "<textarea>", "</style>", "<![CDATA["),
    *(
        "<th>",
        "<table>",
        "</table ",
        "<table><th>",
        "<!--[if mso]>",
        "<![endif]-->",
        "<br>",
        "*",
        "_",
        "`",
        "|",
        "<pre>",
        "\\",
    ),
]


# Filters that look into a text, each with what is worst for it.
JINJA = {
    **dict.fromkeys(("striptags", "urlize", "escape", "xmlattr"), HTML),
    **dict.fromkeys(("wordwrap(40)", "title", "wordcount", "truncate(9)", "indent", "trim", "capitalize"), PLAIN),
    **{name: [*PLAIN, "9"] for name in ("pprint", "tojson", "urlencode", "replace('a', 'b')", "int", "float")},
}


def header(name: str, source: str, value: str) -> None:
    field = AddressField(name, TEMPLATES.structured(source, f"header {name}"))
    field.render({"x": value})


def _reply(text: str) -> list[Any]:
    return ReplyParser().feed(text.encode(errors="surrogatepass"))


def _reply_to_ehlo(text: str) -> None:
    """A reply while a session is opened, which comes line by line."""
    loop = asyncio.new_event_loop()
    protocol = PatientProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    for line in OCTETS(text).splitlines(keepends=True):
        protocol.data_received(line)
    loop.close()


def look_into(html: str) -> None:
    found = Html.read(html)
    Markup(Gathering("list.csv"), "html").look(found, len(html), Record(1, 1, {"x": 1}))


def cause(text: str) -> None:
    cause_of(Kind(Outcome.REJECTED, 550, None, None, text))


def gather(text: str) -> None:
    Gathering("list.csv").add("kind", Severity.WARNING, text, Record(1, 1, {"x": 1}), remedy="none")


def filled(source: str, value: str) -> str:
    return TEMPLATES.text(source, "text").render({"x": value})


def whole(before: str, text: str) -> None:
    """A whole message with the text in some place of it, as a template."""
    with NamedTemporaryFile("wb", suffix=".eml") as file:
        file.write(f"From: a@example.com\n{before}{text}\n".encode(errors="surrogatepass"))
        file.flush()
        WholeMessage(Path(file.name), TEMPLATES, eight_bit=True)


def listed(text: str) -> None:
    """A list that begins with the text."""
    with NamedTemporaryFile("wb", suffix=".csv") as file:
        file.write(OCTETS(f"{text}\nemail\n"))
        file.flush()
        open_records(Path(file.name)).close()


def report(before: str, text: str) -> None:
    """What came back."""
    understand(OCTETS(f"From: MAILER-DAEMON@mx.example.org\n{before}{text}"))


def taken_apart(before: str, text: str) -> None:
    """A message with the text in some place of it, taken apart and shown."""
    content = f"From: a@example.com\r\n{before}{text}\r\n".encode(errors="surrogatepass")
    parsed = ParsedMessage.of(
        Submission(record=1, envelope=Envelope("a@example.com", "b@example.com"), content=content)
    )
    page(parsed)


def percent(text: str) -> str:
    return TEMPLATES.text("{{ x % 1 }}", "text").render({"x": text})


TEMPLATES = Templates(Path(__file__).parent)


def images() -> Templates:
    folder = Path(__file__).parent
    return Templates(folder, Images(AttachmentFiles(folder, inside=folder), folder))


TEMPLATES_WITH_IMAGES = images()
NUMBERS = count()
"""Make a document another one than the last, so that what was remembered of that is of no use."""
OCTETS = partial(str.encode, errors="surrogatepass")
FOREIGN: dict[str, tuple[Callable[[str], object], list[str]]] = {
    "suppression, addresses in another cell": (addresses_among, [*WORDS, "a@", "x@a.", "x@a,", "'a@b'"]),
    "suppression, an entry": (
        entries,
        [*WORDS, "(a) ", '"a" ', "a@b.example ", "a@b.example#", "mailto:", "-=", "#1 ", "#W"],
    ),
    "list, its kind": (
        lambda text: refuse_other_kinds("x", OCTETS(text), "jsonl"),
        ['{"a":\n', "a\n", '{"a":1},', "[{"],
    ),
    "list, an octet that is none of UTF-8": (
        lambda text: refuse_eight_bit("x", b"email\n" + OCTETS(text) + b" \xe4", line=1, is_cut=False),
        WORDS,
    ),
    "list, its header": (listed, ["\r", "\n", "a\n", "a,", '"a']),
    "list, many columns": (lambda text: listed(",".join(map(str, range(len(text) // 8))) + "\n"), ["a"]),
    "clean": (lambda text: clean(text, "x"), WORDS),
    "unstructured": (lambda text: unstructured("X-Name", text), WORDS),
    "unstructured, long words kept": (lambda text: unstructured("X-Name", text, longest=900), WORDS),
    "unstructured, ending in a word": (lambda text: unstructured("X-Name", f"{text}a"), WORDS),
    "phrase": (lambda text: phrase(text, 0), WORDS),
    "encoded_words": (lambda text: encoded_words(text, 0), WORDS),
    "Feedback-ID": (lambda text: header_tokens("Feedback-ID", f"{text}\x7f"), WORDS),
    "List-Id": (lambda text: header_tokens("List-Id", f"{text}\x7f"), WORDS),
    "Auto-Submitted": (lambda text: header_tokens("Auto-Submitted", f"no{text}\x7f"), WORDS),
    "References": (lambda text: header_tokens("References", text), WORDS),
    "address, its name": (partial(header, "To", "{{ x }} <a@example.com>"), WORDS),
    "address, itself": (partial(header, "To", "{{ x }}"), WORDS),
    "address, its domain": (partial(header, "To", "a@{{ x }}"), WORDS),
    "addresses of the template's own": (lambda text: header("To", f"{{{{ x }}}} {text}", "a"), WORDS),
    "media type": (check_media_type, WORDS),
    "calendar": (lambda text: request(OCTETS(f"METHOD:{text}\nBEGIN:")), WORDS),
    "encode_text": (lambda text: encode_text(text, "=_x", "text"), WORDS),
    "DKIM, header": (lambda text: canonical_fields(OCTETS(text)), WORDS),
    "DKIM, body": (lambda text: canonical_body(OCTETS(text)), WORDS),
    "marks": (covered, MARKS),
    "template, images": (lambda text: TEMPLATES_WITH_IMAGES.html(text, "html"), HTML),
    "HTML tokens": (lambda text: [text_of(text, token) for token in tokens(text) if token.kind == "text"], HTML),
    "check, HTML": (look_into, HTML),
    "check, link": (lambda text: look_into(f"<a href='https://{text}'>http://{text} a</a>"), WORDS),
    "check, gathering": (gather, WORDS),
    "check, DNS tags": (read_tags, WORDS),
    "text from HTML": (text_from_html, HTML),
    "inline_css, selectors": (
        lambda text: inlined(
            f"<html><head><style>{text}{{width: {next(NUMBERS)}px}}</style></head><body><p class=a>x</p></body></html>"
        ),
        [*PLAIN, "[", ".a[", '["', "['", '[a="', "[ '[", ":a(", ":not(", "::", "#a", ".\\", "a,", "[]", "~", "/*"],
    ),
    "inline_css, a string that is not closed": (
        lambda text: inlined(f"<style>{text}a\n{{width: {next(NUMBERS)}px}}</style><p>x</p>"),
        [*PLAIN, '"\\', "'\\"],
    ),
    "inline_css": (lambda text: inlined(f"<style>b {{ width: {next(NUMBERS)}px }}</style>{text}"), HTML),
    "encoded-words read": (decoded, WORDS),
    "preview, text": (visible, WORDS),
    "whole message, text": (partial(whole, "\n"), [*MARKS, *PLAIN, "=", "--"]),
    "whole message, header": (partial(whole, "X-Name: "), [*WORDS, *MARKS]),
    "whole message, name": (partial(whole, "To: "), [*WORDS, *MARKS]),
    "whole message, parameters": (partial(whole, "Content-Type: text/plain; "), [*WORDS, ";a=", ';a="', ";a*1="]),
    "whole message, parts": (
        partial(whole, "Content-Type: multipart/mixed; boundary=b\n\n"),
        ["--b\n\n", "--b\n", "-"],
    ),
    "message taken apart, header": (partial(taken_apart, "Subject: "), WORDS),
    "message taken apart, HTML": (partial(taken_apart, "Content-Type: text/html\r\n\r\n"), [*HTML, "cid:", "cid:a@"]),
    "report, header": (partial(report, "Subject: "), WORDS),
    "report, text": (partial(report, "\n"), [*WORDS, "550 5.1.1 ", "<a@b.example>:\n", "delivery ", "--", "RCPT TO:<"]),
    "report, HTML": (partial(report, "Content-Type: text/html\n\n"), ["<", "<a ", "&", "<style>", "<br"]),
    "report, fields": (
        partial(report, "Content-Type: message/delivery-status\n\n"),
        ["Final-Recipient: rfc822;a@b.example\n", "Final-Recipient: rfc822;a@b.example\n\n", "Status: 5.1.1\n", " "],
    ),
    "report, parts": (
        partial(report, "Content-Type: multipart/mixed; boundary=b\n\n"),
        ["--b\n\n", "--b\n", "-", "--b\nContent-Type: multipart/mixed; boundary=b\n\n"],
    ),
    "percent": (percent, [*WORDS, "%", "%(", "%(a)", "%((", "% ", "%9", "%."]),
    "spreadsheet": (defused, WORDS),
    "spreadsheet, a formula": (lambda text: defused(f"{text}=1"), WORDS),
    "values in errors": (lambda text: without_values(text, "…"), WORDS),
    "wording": (wording, WORDS),
    "reason": (reason_wording, WORDS),
    "cause": (cause, WORDS),
    "MAIL": (mail, WORDS),
    "xtext": (xtext, WORDS),
    "utf-8 xtext": (utf8_xtext, WORDS),
    "canonical": (lambda text: canonical(OCTETS(text)), WORDS),
    "dots": (lambda text: dot_stuffed(OCTETS(text)), [*WORDS, "\r\n.", "."]),
    "reply": (_reply, WORDS),
    "reply to EHLO": (_reply_to_ehlo, ["250-\r\n", "250-a\n", "250 \r\n", "\n"]),
    **{f"filter {name}": (partial(filled, f"{{{{ x | {name} }}}}"), units) for name, units in JINJA.items()},
}


def growth(work: Callable[[str], object], unit: str, shortest: int, longest: int) -> float:
    """How many times the time takes what is 2**DOUBLINGS as long, at the first length at which that can be measured."""
    # Most of what is tried here is fast, and done with after one look.
    first = spent(work, unit, longest)
    if first < MEASURABLE:
        return 1.0
    # Were it to grow with the length, this one would be the first that can be measured.
    length = shortest
    while length < longest and first * length / longest < MEASURABLE:
        length *= 2
    # The first look at a text may fill caches that the next ones find full: these are compared with their like.
    while (once := min(spent(work, unit, length) for _ in range(LOOKS_AT_ONCE))) < MEASURABLE:
        if length >= longest:
            return 1.0
        length *= 2
    # What else the machine does makes both slower, never faster: the best of several of each is what they take.
    longer = first if length * 2**DOUBLINGS == longest else spent(work, unit, length * 2**DOUBLINGS)
    for look in range(LOOKS_IF_NEAR):
        if longer / once <= MOST or (look >= LOOKS and longer / once >= NEAR):
            break
        longer = min(longer, spent(work, unit, length * 2**DOUBLINGS))
        once = min(once, spent(work, unit, length))
    return longer / once


def spent(work: Callable[[str], object], unit: str, length: int) -> float:
    """Seconds of this process for a text of so many characters."""
    text = unit * (length // len(unit))
    gc.disable()  # it would look through all there is at some length or other
    started = time.process_time()
    try:
        with suppress(RecordError, UsageError, ValueError):
            work(text)
        return time.process_time() - started
    finally:
        gc.enable()


@pytest.mark.parametrize("place", FOREIGN)
def test_time_grows_with_the_length_and_not_with_its_square(place: str, request: pytest.FixtureRequest) -> None:
    work, units = FOREIGN[place]
    shorter = 1
    if request.config.getoption("--quick"):
        units = units[sorted(FOREIGN).index(place) % QUICK :: QUICK]  # `make test-all` tries all
        shorter = QUICK
    lengths = SHORTEST // shorter, LONGEST // shorter
    assert {unit: ratio for unit in units if (ratio := growth(work, unit, *lengths)) > MOST} == {}
