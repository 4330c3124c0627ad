"""Django's ordinary messages, composed from their attributes: octet for octet what Django's own way comes to."""

from __future__ import annotations

import random
import re
from email.charset import QP, Charset
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("django", minversion="4.2")

from django.conf import settings as django_settings

if not django_settings.configured:
    django_settings.configure(EMAIL_BACKEND="batchsend.django.EmailBackend", USE_I18N=False)

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.test.utils import override_settings
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from batchsend.django.composing import compose
from batchsend.message.outgoing import outgoing

MADE_UP = re.compile(rb"^(Date|Message-ID): .*\r\n(?: .*\r\n)*", re.MULTILINE | re.IGNORECASE)
WORDS = st.sampled_from(
    [
        "Your",
        "order",
        "é",
        "Łęcka",
        "=?utf-8?q?a?=",
        " ",
        "  ",
        "\t",
        "x" * 40,
        "x" * 90,
        ",",
        ";",
        '"',
        "(c)",
        "\u2028",
    ]
)
LINES = st.lists(WORDS, max_size=7).map("".join)
TEXTS = st.lists(st.sampled_from(["a", "é", "\n", ".", "From ", " ", "x" * 60, "=", "\0"]), max_size=12).map(
    "".join
) | st.lists(st.sampled_from(["a", "é", "\n", "\r\n", "\r", "x" * 77, "x" * 999, "\x0b", "\u2028"]), max_size=9).map(
    "".join
)
ADDRESSES = st.sampled_from(
    [
        *["a@example.com", "Ada Lovelace <ada@example.com>"] * 10,
        "Ada  L <ada@example.com>",
        '"Love, Ada" <ada@example.com>',
        "Łęcka <a@example.com>",
        "ada@bücher.example",
        "<a@example.com>",
        "a@example.com (Ada)",
        "x" * 50 + "@example.com",
    ]
)
SEVERAL = st.lists(ADDRESSES, max_size=2)
NAMES = st.sampled_from(
    [
        "Sender",
        "Date",
        "Message-ID",
        "From",
        "To",
        "Reply-To",
        "Subject",
        "Bcc",
        "Content-Type",
        "x-tag",
        "X-" + "y" * 60,
    ]
)


def octets(message: EmailMessage) -> bytes:
    """What Django's own way comes to, but for what is made up anew each time."""
    return MADE_UP.sub(
        rb"\1: made up\r\n", outgoing(message.message(), sender="s@x.org", recipients="r@x.org")[0].content
    )


def composed(message: EmailMessage) -> bytes | None:
    made = compose(message)
    if made is None:
        return None
    assert f"Message-ID: {made.message_id}\r\n".encode() in made.content
    return MADE_UP.sub(rb"\1: made up\r\n", made.content)


def same(message: EmailMessage) -> bool:
    """Whether it was composed; if so, to what Django's own way comes to, with the same boundaries."""
    compose(message)  # the first of its shape: Django is asked, which draws a boundary
    random.seed(1)
    ours = composed(message)
    if ours is None:
        return False
    random.seed(1)
    assert ours == octets(message)
    return True


@settings(max_examples=200)
@given(
    subject=LINES,
    body=TEXTS,
    sender=ADDRESSES,
    lists=st.tuples(SEVERAL, SEVERAL, SEVERAL, SEVERAL),
    headers=st.dictionaries(st.sampled_from(["X-Tag", "List-Unsubscribe", "Precedence"]) | NAMES, LINES, max_size=2),
    subtype=st.sampled_from(["plain", "html"]),
    more=st.none()
    | st.lists(st.tuples(TEXTS, st.sampled_from(["text/html", "text/html", "text/calendar", "image/gif"])), max_size=2),
    attached=st.booleans(),
)
@example("Subject", "Text", "a@x.org", (["b@x.org"], [], ["c@x.org"], []), {}, "plain", [("<p>", "text/html")], False)
def test_it_is_what_django_makes(
    subject: str,
    body: str,
    sender: str,
    lists: tuple[list[str], list[str], list[str], list[str]],
    headers: dict[str, str],
    subtype: str,
    more: list[tuple[str, str]] | None,
    attached: bool,
) -> None:
    to, cc, bcc, reply_to = lists
    message: Any = EmailMessage if more is None else EmailMultiAlternatives
    message = message(subject, body, sender, to, bcc=bcc, cc=cc, reply_to=reply_to, headers=headers)
    message.content_subtype = subtype
    for alternative in more or ():
        message.attach_alternative(*alternative)
    if attached and not subject.isascii():
        message.attach("a.txt", "text", "text/plain")
    same(message)


@settings(max_examples=100)
@given(
    subject=st.lists(st.sampled_from(["Your", "é", " ", "x" * 30, "Łęcka", "  "]), min_size=1).map("".join),
    body=st.lists(st.sampled_from(["a", "é", "\n", ".", " ", "x" * 20]), min_size=1, max_size=9).map("".join),
    to=st.lists(st.sampled_from(["a@example.com", "Ada Lovelace <ada@example.com>"]), min_size=1, max_size=2),
    header=st.lists(st.sampled_from(["tag", "é", " ", "y" * 50]), min_size=1).map("".join),
    html=st.booleans(),
)
def test_ordinary_ones_are_composed(subject: str, body: str, to: list[str], header: str, html: bool) -> None:
    message = EmailMultiAlternatives(subject, body, "Shop <shop@example.com>", to, headers={"X-Tag": header})
    if html:
        message.attach_alternative(mark_safe(f"<p>{body}</p>"), "text/html")
    assert same(message) or max(len(line.encode()) for line in body.split("\n")) > 70 or not is_written_out(message)


def is_written_out(message: EmailMessage) -> bool:
    """Whether Django's way comes to anything, and encodes no text."""
    try:
        return b"quoted-printable" not in octets(message) and b"base64" not in octets(message)
    except Exception:
        return False


class Overriding(EmailMessage):  # type: ignore[misc]  # Django says nothing of its types
    def message(self, **more: Any) -> Any:
        made = super().message(**more)
        made["X-Own"] = "said"
        return made


class OverridingDeeper(EmailMultiAlternatives):  # type: ignore[misc]  # Django says nothing of its types
    def _create_alternatives(self, msg: Any) -> Any:
        return super()._create_alternatives(msg)


class Tagged(EmailMultiAlternatives):  # type: ignore[misc]  # Django says nothing of its types
    tags: tuple[str, ...] = ("a",)


def test_only_what_is_made_by_djangos_own_functions_is_composed() -> None:
    given = ("Subject", "Text", "shop@example.com", ["ada@example.com"])
    assert same(Tagged(*given))
    assert same(EmailMessage(*given))
    assert compose(Overriding(*given)) is None
    if hasattr(EmailMultiAlternatives, "_create_alternatives"):
        assert compose(OverridingDeeper(*given)) is None
    patched = EmailMessage(*given)
    patched.message = lambda: None
    assert compose(patched) is None
    latin = EmailMessage(*given)
    latin.encoding = "iso-8859-1"
    assert compose(latin) is None
    quoted = EmailMessage(*given)
    quoted.encoding = Charset("utf-8")
    quoted.encoding.body_encoding = QP
    assert compose(quoted) is None
    parallel = EmailMultiAlternatives(*given)
    parallel.attach_alternative("<p>Text</p>", "text/html")
    assert same(parallel)
    parallel.alternative_subtype = "parallel"
    assert compose(parallel) is None
    assert compose(EmailMessage(gettext_lazy("Subject"), *given[1:])) is None
    with override_settings(DEFAULT_CHARSET="iso-8859-1"):
        assert compose(EmailMessage(*given)) is None


def test_eight_bits_have_a_form_of_seven() -> None:
    message = EmailMessage("Łęcka", "é\n", "shop@example.com", ["ada@example.com"])
    made = compose(message)
    if made is None:
        pytest.skip("this Django encodes such a text itself")
    [submission] = made.to(["ada@example.com"], "shop@example.com", 3)
    assert submission.record == 3
    assert submission.eight_bit
    assert submission.seven_bit is not None
    assert submission.seven_bit().isascii()
