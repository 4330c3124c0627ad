"""What a list says of a person who wants no mail: exports of newsletter tools hold those, too, who have unsubscribed.

Columns and values are those of the tools' own documentation: Mailchimp, HubSpot, Salesforce, Brevo, Klaviyo, Shopify,
listmonk, Kit, Zoho and others.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from unicodedata import normalize

from batchsend.recipients.addresses import without_invisible_ends
from batchsend.recipients.columns import variable

if TYPE_CHECKING:
    from collections.abc import Mapping

_LETTERS: Final = re.compile(r"[^a-z]+")
_YES: Final = frozenset({"yes", "y", "true", "t", "1", "x"})
_NO: Final = frozenset(
    {
        *("no", "n", "false", "f", "0", "off", "nein", "falsch", "non", "faux", "falso", "nao", "não", "nee", "onwaar"),
        *("nej", "nei", "falsk", "falskt", "ei", "epätosi", "nie", "fałsz", "ne", "nē", "nepravda", "nem", "hamis"),
        *("nu", "fals", "hay\u0131r", "hayir", "yanl\u0131ş", "нет", "ложь", "ні", "не", "όχι", "οχι", "לא", "لا"),
        *("tidak", "không", "否", "不", "不是", "无", "無", "没有", "いいえ", "偽", "아니요", "아니오", "거짓"),
        *("✗", "✘", "✖", "❌", "☐"),
    }
)
_SAYS_YES: Final = frozenset(
    {
        *(*_YES, "on", "ja", "jo", "joo", "kyllä", "oui", "si", "sí", "sì", "sim", "da", "tak", "ano", "áno", "igen"),
        *(
            "evet",
            "taip",
            "jah",
            "jā",
            "да",
            "так",
            "\u03bd\u03b1\u03b9",
            "כן",
            "نعم",
            "ya",
            "có",
            "是",
            "有",
            "はい",
            "예",
            "네",
        ),
        *("ok", "okay", "wahr", "vrai", "vero", "sant", "sand", "✓", "✔", "☑", "✅", "active", "aktiv", "confirmed"),
        *("subscribed", "opted in", "opted-in", "optedin", "opt in", "opt-in", "optin", "double opt-in", "checked"),
        *("granted", "given", "accepted", "agreed", "enabled", "verified", "marketing contact"),
    }
)
# "Yes, I want to have the newsletter", and when somebody has said so.
_BEGINS_WITH_YES: Final = re.compile(r"(?:yes|ja|oui|s[ií]|sim|tak|да)\b|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?!\d)")
_COUNT: Final = re.compile(r"\+?0*[1-9]\d*(?:[.,]\d+)?")
_LONGEST: Final = 24  # characters of a text that may say no

# A column whose name says that somebody wants mail, and one that says that they do not, without all but the letters.
_WANTS: Final = re.compile(
    r"accepts(?:email)?marketing(?:consent)?|(?:is)?subscribed|subscriber|optin|optedin|hasoptedin|emailoptin"
    r"|(?:email)?marketingconsent|emailconsent|newsletter"
)
_WANTS_NOT: Final = re.compile(
    r"(?:email)?(?:blacklisted|blocklisted|blocked|optout|optedout|disabled|unsubscribed|bounced)"
    r"|(?:is|has)?(?:unsubscribed|blacklisted|blocklisted)|unsubscribedfromallemail|donotemail"
    # HubSpot has one such column for each kind of mail: "Opted out of email: Marketing Information".
    r"|(?:is|has)?optedout(?:ofemail.*)?|is(?:email)?bounced|(?:portal|global)(?:bounce|unsubscribe|spamreport)"
)
# A column in which stands since when or why somebody gets no mail: whatever it holds says so.
_SINCE: Final = re.compile(
    r"(?:unsub|unsubscribed?|optout|optedout|(?:emailhard|email|hard)?bounced?|complaint|complained)"
    r"(?:time|timestamp|date|at|on|reason)|clean(?:ed)?time"
)
_NOTHING: Final = frozenset({"null", "none", "nil", "nan", "na", "never", "undefined"})
_AROUND: Final = " .,;!#'\"\u2018\u2019\u201c\u201d\u201e\xab\xbb()[]{}"
_ZEROS: Final = "+-\u2013\u20140., :/"
# A column in which words say so.
_STATES: Final = re.compile(
    r"(?:email|member|subscriber|subscription|contact|marketingcontact|email(?:permission|subscription|marketing))?(?:status|state|consent)"
    r"|emailmarketingconsent|acceptsmarketing"
)
_GONE: Final = frozenset(
    {*("unsubscribed", "unsubscribe", "blocklisted", "blacklisted", "blocked", "cancelled", "canceled", "cleaned")}
    | {*("optedout", "optout", "complained", "complaint", "spamcomplaint", "suppressed", "neversubscribed", "bounced")}
    | {"nonmarketingcontact"}
)
# What such words say in any other column as well, whose name does not say it itself.
_DECLINED: Final = frozenset(
    {
        *(
            "declined",
            "denied",
            "withdrawn",
            "revoked",
            "refused",
            "noconsent",
            "noconsentgiven",
            "nothanks",
            "nothankyou",
        )
    }
    | {*("notsubscribed", "notoptedin", "abgemeldet", "abgelehnt", "widerrufen", "keineeinwilligung", "desinscrit")}
)


class Unwanted(NamedTuple):
    """A field by which somebody wants no mail.

    Attributes:
        column: The column.
        value: What it holds; None where anything in it says so, such as the time of unsubscribing.
    """

    column: str
    value: str | None

    @property
    def said(self) -> str:
        """What the list says."""
        return f"{self.column} is filled in" if self.value is None else f"{self.column} is {self.value!r}"

    def where(self, columns: tuple[str, ...]) -> str:
        """The expression for ``where`` that leaves out whoever it is said of.

        Args:
            columns: The names of the list's columns.
        """
        name = variable(self.column, columns)
        return f"not {name}" if self.value is None else f"{name} != {self.value!r}"


def unwanted(fields: Mapping[str, Any]) -> Unwanted | None:
    """The first field of a record that says that its recipient wants no mail, or None."""
    for column in _columns(tuple(fields)):
        value = fields[column]
        said = str(value).strip() if isinstance(value, str | int) else ""
        if said and _says_so(_letters(column), said.lower()):
            return Unwanted(column, said)
        if said and _SINCE.fullmatch(_letters(column)) and _is_something(said.lower()):
            return Unwanted(column, None)
    return None


def says_no(text: str, column: str = "") -> bool:
    """Whether a text says no, or stands for nothing, in one of many languages: ``Nein``, ``0.0``, ``null``, blanks.

    In a column that asks whether somebody wants mail, whatever does not say yes says no: ``pending``, ``ask me later``.

    Args:
        text: It.
        column: Where it stands: ``unsubscribed`` says no in each but those whose own name says that.
    """
    if text == "" or text.isspace():
        return text != ""
    if len(text) > _LONGEST:
        return _asks(column) and _BEGINS_WITH_YES.match(text[:_LONGEST].casefold().strip(_AROUND)) is None
    said = without_invisible_ends(normalize("NFKC", text)).casefold().strip(_AROUND)
    if said == "":
        return True
    if said in _NO or said.replace("/", "") in _NOTHING or not said.strip(_ZEROS):
        return True
    if _asks(column):
        return not (said in _SAYS_YES or _BEGINS_WITH_YES.match(said) or _COUNT.fullmatch(said))
    letters, name = _letters(said), _letters(column)
    return (letters in _GONE or letters in _DECLINED) and not (_WANTS_NOT.fullmatch(name) or _SINCE.fullmatch(name))


@lru_cache(maxsize=64)
def _asks(column: str) -> bool:
    """Whether a column asks if somebody wants mail; a state may as well be one of a country."""
    name = _letters(column)
    is_state = name not in ("state", "status") and _STATES.fullmatch(name) is not None
    return is_state or _WANTS.fullmatch(name) is not None


@lru_cache(maxsize=64)
def _columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that may say so: the records of a list have the same ones."""
    patterns = (_WANTS, _WANTS_NOT, _STATES, _SINCE)
    return tuple(one for one in columns if any(pattern.fullmatch(_letters(one)) for pattern in patterns))


def _says_so(column: str, value: str) -> bool:
    return (
        _letters(value) in _GONE
        or (value in _NO and _WANTS.fullmatch(column) is not None)
        or (value in _YES and _WANTS_NOT.fullmatch(column) is not None)
    )


def _is_something(value: str) -> bool:
    """Whether a value is more than a word, or a date of zeros, for nothing."""
    return value not in _NO and _letters(value) not in _NOTHING and re.search(r"[1-9]|[^\W\d_]", value) is not None


def _letters(text: str) -> str:
    return _LETTERS.sub("", text.lower())
