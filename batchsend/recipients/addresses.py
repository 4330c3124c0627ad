"""What a recipient and a sender are: the Mailbox of RFC 5321 §4.1.2, with RFC 6531 and IDNA, decided in one place."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote

from batchsend.errors import RecordError
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LOCAL_PART = 64
"""Octets in a local-part (RFC 5321 §4.5.3.1.1)."""

MAX_DOMAIN = 255
"""Octets in a domain (RFC 5321 §4.5.3.1.2)."""

MAX_PATH = 254
"""Octets in a path without its angle brackets, which count among the 256 of RFC 5321 §4.5.3.1.3."""

MAX_LABEL = 63
"""Octets in one label of a domain (RFC 1035 §2.3.4)."""

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"

# Nearly every address there is: pure ASCII, a dot-string and a domain. How long it may be is
# looked at beside: to look ahead at every character for that takes as long again.
_PLAIN = re.compile(rf"[{_ATEXT}]++(?:\.[{_ATEXT}]++)*+@{_LABEL}(?:\.{_LABEL})*")
# Of those, the ones that every server takes as what they are: see _check_recipient.
_SAFE = _ATEXT.translate({ord(character): None for character in "%!"})
_PLAIN_RECIPIENT = re.compile(rf"[{_SAFE}]++(?:\.[{_SAFE}]++)*+@{_LABEL}(?:\.{_LABEL})*")
# RFC 6531 §3.3 adds every non-ASCII character to atext and qtextSMTP; _check_characters refuses those that are none.
_DOT_STRING = rf"[{_ATEXT}\x80-\U0010ffff]++(?:\.[{_ATEXT}\x80-\U0010ffff]++)*+"
_NOT_ATEXT = rf"[^{_ATEXT}.\x80-\U0010ffff]"
_QUOTED_STRING = r'"(?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*+"'
# Compiled when the first address needs them: they take ten milliseconds, and most campaigns never do.
_rare = lru_cache(maxsize=None)(re.compile)
# As programs write several into one field: "a@x.org ::: b@x.org".
_SEVERAL = late_pattern(r"@[^\s:/|&\"<>]++[\s:/|&]++[^\s:/|&\"<>@]++@")
_LDH_LABEL = late_pattern(_LABEL)
_NOT_LDH = late_pattern(r"[^A-Za-z0-9\-]")
_FOREIGN_DOTS = late_pattern("[\u3002\uff0e\uff61]")
_JOINERS = "\u200c\u200d"
# Letters and marks that show nothing, beside the format characters: Unicode's Default_Ignorable_Code_Point (Hangul
# fillers, variation selectors and others) and the blank pattern of Braille.
_SHOWS_NOTHING = (
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
_SCHEME = "mailto:"
_ESCAPED = r"\\(.)"
_NOT_IN_QUOTES = r"[<>@\s\x00-\x1f\x7f-\x9f]"
_SHOWN = 80
_FAR_TOO_LONG = 1024  # characters: what is not worth a closer look


def cleaned(text: str) -> str:
    """An address as it was meant, without what spreadsheets, web pages and mail programs put around it.

    Taken off are blanks, line ends and invisible characters at both ends (no-break and zero-width spaces, byte-order
    marks, marks of writing direction), the apostrophe by which Excel marks a text, alone or as a pair of quotes, and
    ``mailto:`` with what RFC 6068 allows behind the address. What is inside the address stays, and is judged by
    `forward_path`.
    """
    if text[:1].isalnum() and text[-1:].isalnum() and ":" not in text:
        return text
    text = without_invisible_ends(text)
    if text.startswith("'"):
        text = without_invisible_ends(text.removeprefix("'").removesuffix("'"))
    if text[: len(_SCHEME)].lower() == _SCHEME:
        path, _, query = text[len(_SCHEME) :].partition("?")
        if _names_others(query):
            return text  # to write to one of several would be a guess: it stays, and is no address
        text = without_invisible_ends(unquote(path.removeprefix("//")))  # RFC 6068 has none; people and programs do
    return text


def _names_others(query: str) -> bool:
    """Whether what stands behind a ``mailto:`` address names further recipients (RFC 6068 §2)."""
    fields = (field.partition("=") for field in query.split("&"))
    return any(name.strip().lower() in ("to", "cc", "bcc") and value for name, _, value in fields)


def without_invisible_ends(text: str) -> str:
    """A text without blanks and invisible characters around it."""
    begin, end = 0, len(text)
    while begin < end and is_invisible(text[begin]):
        begin += 1
    while begin < end and is_invisible(text[end - 1]):
        end -= 1
    return text[begin:end]


def is_invisible(character: str) -> bool:
    """Whether a character is a blank of any kind, or shows nothing (Unicode's separators and format characters)."""
    if character.isspace() or unicodedata.category(character) in ("Cf", "Zs", "Zl", "Zp"):
        return True
    return not character.isascii() and _rare(_SHOWS_NOTHING).match(character) is not None


def without_invisible(text: str, *, keeps: str = "") -> str:
    """A text without the characters that show nothing, wherever they stand; blanks stay.

    Args:
        text: The text.
        keeps: Such characters that stay all the same.
    """
    if text.isascii():
        return text
    return "".join(c for c in text if c in keeps or not is_invisible(c) or c.isspace())


def forward_path(text: str) -> str:
    """A recipient as it goes into RCPT: a Mailbox without angle brackets.

    What passes is returned as it came, with two exceptions, so that one mailbox has one name, by which duplicates and
    suppression know it: a domain in another script becomes A-labels, and a quoted local part loses the quotes and
    backslashes that it does not need. A local-part in another script stays: it needs a server that offers SMTPUTF8.

    Args:
        text: The address, nothing around it: no display name, brackets, comment, source route or white space.

    Raises:
        RecordError: It is not a Mailbox (RFC 5321 §4.1.2), or one that servers are known to read as the address of
            somebody else; the message says why.
    """
    if (
        _PLAIN_RECIPIENT.fullmatch(text)
        and len(text) <= MAX_PATH
        and text.find("@") <= MAX_LOCAL_PART
        and text[-1] > "9"  # a number may be a machine's: see _check_recipient
    ):
        return text
    return _mailbox(text, "recipient", is_recipient=True)


@lru_cache(maxsize=16)  # most campaigns have one
def reverse_path(text: str) -> str:
    """A sender as it goes into MAIL: as `forward_path`, or ``""`` for the null reverse-path (RFC 5321 §4.5.5).

    That may also be given as MAIL has it, ``<>``.

    Raises:
        RecordError: It is neither; the message says why.
    """
    return mailbox(text, "return path") if text and text != "<>" else ""


def mailbox(text: str, role: str) -> str:
    """The same for an address in any other place, such as a header's addr-spec.

    Args:
        text: The address, nothing around it.
        role: What the address is there for; it opens the message of the error.

    Raises:
        RecordError: It is not a Mailbox; the message says whose and why.
    """
    if _PLAIN.fullmatch(text) and len(text) <= MAX_PATH and text.find("@") <= MAX_LOCAL_PART:
        return text
    return _mailbox(text, role, is_recipient=False)


def _mailbox(text: str, role: str, *, is_recipient: bool) -> str:
    refusal = _Refusal(text, role)
    _check_characters(text, refusal)
    quoted = _rare(_QUOTED_STRING).match(text)
    if quoted and text[quoted.end() :].startswith("@"):
        domain = text[quoted.end() + 1 :]
        local = _without_needless_quotes(quoted.group(), refusal)
        _check_shape(domain, refusal)
    else:
        _check_shape(text, refusal)
        local, at, domain = text.rpartition("@")
        if not at:
            refusal.because("it has no @")
        _check_dot_string(local, refusal)
    if len(local.encode()) > MAX_LOCAL_PART:
        refusal.because(f"its local part has {len(local.encode())} octets, and {MAX_LOCAL_PART} is the most")
    domain = _domain(domain, refusal)
    if is_recipient:
        _check_recipient(local, domain, refusal)
    path = f"{local}@{domain}"
    if len(path.encode()) > MAX_PATH:
        refusal.because(f"it has {len(path.encode())} octets, and {MAX_PATH} is the most")
    return path


def distinct(paths: Iterable[str]) -> list[str]:
    """Paths, each mailbox once and as it was first written, of recipients that a program has named for one message.

    A domain is the same in upper and lower case; what the local part means is the receiving host's matter (RFC 5321
    §2.4). Records of a list are compared without regard to the case of either, by `Addressees`.
    """
    found: dict[str, str] = {}
    for path in paths:
        local, at, domain = path.rpartition("@")
        found.setdefault(f"{local}{at}{domain.lower()}", path)
    return list(found.values())


class _Refusal:
    """Says no to one address, in the same words everywhere.

    Args:
        text: The address.
        role: What it is there for.
    """

    __slots__ = ("_role", "_text")

    def __init__(self, text: str, role: str) -> None:
        self._text = text
        self._role = role

    def because(self, reason: str) -> NoReturn:
        """Raise the RecordError that shows the address (shortened, control characters escaped) and the reason."""
        shown = self._text if len(self._text) <= _SHOWN else f"{self._text[:_SHOWN]}…"
        raise RecordError(f"{self._role} {shown!r} is not an address: {reason}")


def _check_characters(text: str, refusal: _Refusal) -> None:
    """Refuse what no part of an address may hold, before anything is taken apart."""
    if not text:
        refusal.because("it is empty")
    if len(text) > _FAR_TOO_LONG:
        refusal.because(f"it has {len(text)} characters, and {MAX_PATH} octets is the most")
    if text != text.strip():
        refusal.because("it begins or ends with white space")
    for character in text:
        category = unicodedata.category(character)
        code = f"U+{ord(character):04X}"
        if category == "Cc":
            refusal.because(f"it contains the control character {code}")
        if category == "Cs":
            refusal.because(f"it contains {code}, half of a character")
        if character in "\ufffd\ufffc":
            # Whose address this was cannot be told: U+FFFD is what a program writes for what it could not read.
            refusal.because(f"it contains {code}, which stands where a character was lost")
        if (category == "Cf" and character not in _JOINERS) or (category[0] == "Z" and character != " "):
            refusal.because(f"it contains the invisible character {code}")


def _check_shape(text: str, refusal: _Refusal) -> None:
    """Refuse what an address is often mistaken for, by its name."""
    if text == "<>":
        refusal.because("it is the null path, which nobody receives")
    if text.startswith("@") and ":" in text:
        refusal.because("source routes are obsolete (RFC 5321, appendix C)")
    if "," in text or ";" in text:
        refusal.because("only one address may stand here, without ',' or ';'")
    if _SEVERAL.search(text):
        refusal.because("only one address may stand here, and these are several")
    if "<" in text or ">" in text:
        refusal.because("only the bare address may stand here, without name and angle brackets")
    if "(" in text or ")" in text:
        refusal.because("comments are not part of an address")
    if " " in text:
        refusal.because("it contains a space")
    if text.count("@") > 1:
        refusal.because("it has more than one @")


def _check_dot_string(local: str, refusal: _Refusal) -> None:
    if _rare(_DOT_STRING).fullmatch(local):
        return
    if not local:
        refusal.because("nothing stands before the @")
    if wrong := _rare(_NOT_ATEXT).search(local):
        refusal.because(f"its local part contains {wrong.group()!r}, which has no place outside quotes")
    refusal.because("a dot begins or ends its local part, or follows another")


def _without_needless_quotes(quoted: str, refusal: _Refusal) -> str:
    """A Quoted-string local part in its shortest form: RFC 5321 §4.1.2 says that all forms of it are one mailbox.

    Some servers do not honour the quotes: they end the path at ``>``, the local part at the first ``@``, the argument
    at the first blank, and go on with what follows as a parameter or as another address. No mailbox of a living person
    needs such a character, so these are refused, with a backslash before them or not.
    """
    inner = _rare(_ESCAPED).sub(r"\1", quoted[1:-1])
    if not inner:
        refusal.because("its local part is empty")
    if wrong := _rare(_NOT_IN_QUOTES).search(inner):
        what = "a blank" if wrong.group() == " " else repr(wrong.group())
        refusal.because(f"its quoted local part contains {what}, where servers take an address apart differently")
    if _rare(_DOT_STRING).fullmatch(inner):
        return inner
    return '"' + inner.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check_recipient(local: str, domain: str, refusal: _Refusal) -> None:
    """Refuse a Mailbox that a relay may take for another one than it is here.

    - ``u@[127.0.0.1]``: an address literal makes the relay open a connection to a machine that the record chooses, of
      the relay's own network or the relay itself. Nobody's address on a list is one. Some servers take a domain of
      numbers, ``u@127.0.0.1``, for the same, and no domain in the DNS ends in a number (RFC 1123 §2.1).
    - ``v%o@relay`` and ``o!v@relay``: with the percent hack (RFC 1123 §5.2.16) and with bang paths a relay delivers to
      ``v@o``; Postfix does both for its own domains unless it is told not to. ``v@o`` may be on the suppression list.

    ``|/bin/id@…``, ``-oQ/tmp@…`` and ``${run{id}}@…`` pass: they are dot-strings of RFC 5321, every server takes them
    for the same mailbox, and people do have addresses that begin with a hyphen. They are dangerous to a program that
    hands them to a shell, a command line or an expanded string. Here they are octets in angle brackets and in JSON.
    """
    if domain.startswith("["):
        refusal.because("its domain is an address literal, which would let a record choose the machine to connect to")
    if domain.rpartition(".")[2].isdigit():
        refusal.because("its domain ends in a number, which servers take for the number of a machine")
    for character in "%!":
        if character in local:
            refusal.because(f"its local part contains {character!r}, by which some servers find another address in it")


def _domain(domain: str, refusal: _Refusal) -> str:
    """The domain as it goes out, or a refusal."""
    if domain.startswith("["):
        _check_address_literal(domain, refusal)
        return domain
    if not domain.isascii():
        if dot := _FOREIGN_DOTS.search(domain):
            refusal.because(f"its domain has {unicodedata.name(dot.group())} where a '.' belongs")
        labels = _a_labels(domain)
        if isinstance(labels, _NotIdna):
            refusal.because(f"its domain is not a domain name in any script (IDNA): {labels.reason}")
        domain = labels
    if len(domain) > MAX_DOMAIN:
        refusal.because(f"its domain has {len(domain)} octets, and {MAX_DOMAIN} is the most")
    for label in domain.split("."):
        if not _LDH_LABEL.fullmatch(label):
            _refuse_label(label, refusal)
    return domain


def _refuse_label(label: str, refusal: _Refusal) -> NoReturn:
    if not label:
        refusal.because("its domain is empty, or a dot begins or ends it or follows another")
    if wrong := _NOT_LDH.search(label):
        refusal.because(f"its domain contains {wrong.group()!r}")
    if len(label) > MAX_LABEL:
        refusal.because(f"a label of its domain has {len(label)} octets, and {MAX_LABEL} is the most")
    refusal.because(f"the label {label!r} of its domain begins or ends with a hyphen")


def _check_address_literal(literal: str, refusal: _Refusal) -> None:
    """RFC 5321 §4.1.3; of the tagged kinds only IPv6 is registered."""
    if not literal.endswith("]"):
        refusal.because("its address literal has no closing ']'")
    inner = literal[1:-1]
    try:
        if inner[:5].lower() != "ipv6:":
            IPv4Address(inner)
        elif "%" in inner:  # a zone identifier means something on one machine only
            refusal.because(f"{literal!r} is not an address literal")
        else:
            IPv6Address(inner[5:])
    except ValueError:
        refusal.because(f"{literal!r} is not an address literal")


class _NotIdna:
    """Why a domain has no A-labels: a value, so that it is remembered like a success."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


@lru_cache(maxsize=4096)
def _a_labels(domain: str) -> str | _NotIdna:
    """The domain by UTS 46 and IDNA 2008 as A-labels."""
    import idna  # noqa: PLC0415 - its tables are large, and most campaigns never meet such a domain

    if len(domain) > MAX_DOMAIN:
        return _NotIdna(f"it has {len(domain)} characters")
    try:
        labels = [
            label if label.isascii() else idna.encode(label, uts46=True, std3_rules=True).decode("ascii")
            for label in domain.split(".")
        ]
    except UnicodeError as error:
        return _NotIdna(str(error))
    for before, after in zip(domain.split("."), labels, strict=True):
        # UTS 46 maps full-width letters, ligatures and invisible characters to plain ASCII: not the domain as written.
        if not before.isascii() and not after.startswith("xn--"):
            return _NotIdna(f"{before!r} only looks like {after!r}")
    return ".".join(labels)
