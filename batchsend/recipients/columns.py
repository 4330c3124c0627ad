"""The names of a list's columns: which one holds the addresses, and what templates call the others."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from batchsend.campaign.nearest import nearest
from batchsend.errors import RecordError, UsageError
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RECIPIENT_FIELDS: Final = ("email", "to", "recipient", "address")
"""The fields that a record's address is looked for in first, in this order, where the campaign names none."""

ROW: Final = "row"
"""What templates call the record itself: ``row["First Name"]``."""

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})

# One of these words makes a column one of e-mail addresses …
_MAIL_WORDS: Final = frozenset(
    {
        *("email", "emails", "mail", "smtp", "courriel", "couriel", "correo", "correoelectronico"),
        *("epost", "epostadress", "epostadresse", "eposta", "meiliaadress", "sahkoposti", "почта"),
        *("邮箱", "邮箱地址", "电子邮箱", "電子メール", "電子メールアドレス", "メールアドレス", "メール"),
        *("电子邮件", "电子邮件地址", "電子郵件", "이메일", "이메일주소", "emailova", "mailova", "почты"),
    }
)
# Written together with one of the words below it is one as well: "useremail", "mailaddress".
_JOINED: Final = late_pattern(r"(?P<before>.*?)e?mails?(?P<after>.*)")
# … if all others are among these. "Email Domain", "Email Opt Out", "Mailing City" are none.
_BESIDE: Final = frozenset(
    {
        *("address", "addr", "id", "value", "primary", "main", "default", "preferred", "contact", "customer", "client"),
        *("subscriber", "subscribers", "user", "member", "recipient", "lead", "person", "guest", "attendee", "your"),
        *("my", "to", "the", "work", "business", "office", "home", "personal", "private", "account", "billing"),
        *("other", "additional", "secondary", "alternate", "alternative", "second", "backup", "of", "smtp"),
        *(
            "addresses",
            "adresse",
            "adrese",
            "adresa",
            "adres",
            "adress",
            "electronico",
            "electronique",
            "direccion",
            "de",
            "indirizzo",
        ),
        *("primaire", "endereco", "электронная", "адрес", "электронной", "почты"),
    }
)
_SECONDARY: Final = frozenset({"other", "additional", "secondary", "alternate", "alternative", "second", "backup"})
_OTHERS: Final = frozenset(
    {
        *(
            "owner",
            "from",
            "mailfrom",
            "sender",
            "reply",
            "replyto",
            "return",
            "by",
            "agent",
            "rep",
            "admin",
            "manager",
        ),
        *(
            "author",
            "creator",
            "assigned",
            "assignee",
            "operator",
            "moderator",
            "support",
            "campaign",
            "list",
            "message",
        ),
    }
)
_CAMEL: Final = late_pattern(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_LATIN_MARKS: Final = late_pattern("(?<=[a-z])[\u0300-\u036f]+")
_WORD: Final = late_pattern(r"[^\W_]+")
_NOT_WORD: Final = late_pattern(r"\W+")
# Jinja2's own words, and what it lets no variable be called.
_RESERVED: Final = frozenset(
    {
        *("batch", "true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else"),
        *("self", "super", "loop", "caller", "varargs", "kwargs"),
    }
)


class AmbiguousColumnsError(RecordError):
    """Several columns can hold the address, and nothing says which of them is meant.

    Args:
        message: As for every `BatchsendError`.
        remedy: As for every `BatchsendError`.
        candidates: These columns; none where the error is made of its arguments again, which say no more than message
            and remedy.

    Attributes:
        candidates: As given.
    """

    def __init__(self, message: str, remedy: str | None = None, *, candidates: Iterable[str] = ()) -> None:
        super().__init__(message, remedy)
        self.candidates = tuple(candidates)


def listed(names: Iterable[str]) -> str:
    """Column names for an error message, quoted, those beyond twenty left out."""
    names = list(names)
    shown = ", ".join(f"{name!r}" for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown or "none"


def address_column(fields: Mapping[str, object], wanted: str | None = None) -> str:
    """The field of a record that holds its address.

    Args:
        fields: The record's fields.
        wanted: The field that the campaign names, or None to find it by its name.

    Raises:
        RecordError: There is none; or several (`AmbiguousColumnsError`).
    """
    if wanted is not None:
        if wanted in fields:
            return wanted
        raise RecordError(f"the record has no field {wanted!r}, which holds the recipient")
    if "email" in fields:
        return "email"
    return _found(tuple(fields))


def find_address_column(names: tuple[str, ...]) -> str:
    """The name among these by which addresses are called.

    ``email`` comes first, then ``to`` and ``recipient``, then any other name for e-mail addresses ("Email" before
    "E-Mail" or "Primary Email"), then ``to`` and ``recipient`` in another case, and last ``address``, which is more
    often a street.

    Raises:
        RecordError: None of them is; or several are (`AmbiguousColumnsError`).
    """
    return "email" if "email" in names else _found(names)


@lru_cache(maxsize=256)
def _found(names: tuple[str, ...]) -> str:
    for name in ("to", "recipient"):
        if name in names:
            return name
    candidates = [(name, words) for name in names if (words := _mail_words(name)) is not None]
    plainest = [item for item in candidates if item[0].casefold() == "email"]
    if len(candidates) > 1:
        # "Email" is meant before "Email Address", and "E-mail 2 - Value" and "Other Email" after what is the first one.
        first = [item for item in candidates if not _is_secondary(item[1]) and not _is_program(item[0])]
        candidates = plainest[:1] or first or candidates
    if len(candidates) == 1:
        return candidates[0][0]
    if candidates:
        called = tuple(name for name, _ in candidates)
        raise AmbiguousColumnsError(
            f"several columns can hold the recipient's address: {listed(called)}", candidates=called
        )
    for wanted in ("to", "recipient", "address"):
        if alike := [name for name in names if name.casefold() == wanted]:
            return wanted if wanted in alike else alike[0]
    raise RecordError(f"the record has no recipient: none of its fields is called {', '.join(RECIPIENT_FIELDS)}")


def means_address(names: Iterable[str]) -> bool:
    """Whether one of the names is that of a column of addresses."""
    return any(name.casefold() in RECIPIENT_FIELDS or _mail_words(name) is not None for name in names)


def may_hold_address(name: str) -> bool:
    """Whether a column of that name may hold an e-mail address beside the one that `find_address_column` finds."""
    return name.casefold() in ("to", "recipient") or _mail_words(name) is not None


def is_of_somebody_else(name: str) -> bool:
    """Whether a column names who writes or keeps the list ("Contact owner", "from", "added_by"), not who is on it."""
    return not _OTHERS.isdisjoint(split_words(name))


def with_all_named(names: Sequence[str]) -> list[str]:
    """The names of columns, of which those without one are called by their places."""
    return [name or f"column {place}" for place, name in enumerate(names, 1)]


def _mail_words(name: str) -> frozenset[str] | None:
    """The words of a name for e-mail addresses; None of any other name."""
    words = split_words(name)
    if not any(_means_mail(word) for word in words):
        return None
    if all(_means_mail(word) or word in _BESIDE or word.isdigit() for word in words):
        return frozenset(words)
    return None


def _means_mail(word: str) -> bool:
    if word in _MAIL_WORDS:
        return True
    joined = _JOINED.fullmatch(word)
    # "Tomail" and "mailing" are other words.
    return joined is not None and all(part in _BESIDE and len(part) > 2 for part in joined.groups() if part)


def _is_secondary(words: frozenset[str]) -> bool:
    return bool(words & _SECONDARY) or any(word.isdigit() and int(word) > 1 for word in words)


def _is_program(name: str) -> bool:
    """Whether a name is that of the program in which somebody reads mail: "Email Client"."""
    return split_words(name)[-2:] == ["email", "client"]


def split_words(name: str) -> list[str]:
    """The words of a column's name, without case and accents: "E-Mail", "e_mail" and "eMail" are one word, "email"."""
    apart = _CAMEL.sub(" ", unicodedata.normalize("NFKC", name)).casefold()
    # Only Latin letters lose their marks: in other scripts they make another letter.
    bare = _LATIN_MARKS.sub("", unicodedata.normalize("NFD", apart))
    words = _WORD.findall(unicodedata.normalize("NFC", bare))
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "e" and word.startswith(("mail", "post")):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


@lru_cache(maxsize=256)
def aliases(names: tuple[str, ...]) -> Mapping[str, str]:
    """What templates may call columns whose names are no variable's: ``First_Name`` for "First Name".

    Every run of other characters becomes one underscore; none is left at either end; before a digit one is set. Where
    two columns would share a name, or a column is called so already, there is none: ``row["First Name"]`` always works.

    Args:
        names: The names of all columns.

    Returns:
        The column by its other name.
    """
    found: dict[str, str] = {}
    shared: set[str] = set()
    for name in names:
        alias = _alias(name)
        if alias == name or not alias:
            continue
        if alias in found or alias in names:
            shared.add(alias)
        found[alias] = name
    return {alias: name for alias, name in found.items() if alias not in shared}


def template_variables(fields: Mapping[str, Any], others: Mapping[str, Any] = _NONE) -> dict[str, Any]:
    """A record's fields as templates see them: by their names, by their `aliases`, and together as ``row``.

    Args:
        fields: The fields.
        others: Further variables; a field of the same name, or alias, hides one.
    """
    variables: dict[str, Any] = {**others, ROW: fields, **fields}
    for alias, name in aliases(tuple(fields)).items():
        variables[alias] = fields[name]
    if ROW in fields and isinstance(value := fields[ROW], str):
        variables[ROW] = _ColumnCalledRow.of(value, fields)
    return variables


class _ColumnCalledRow(str):
    """The value of a column called ``row``, which has the record's other fields too: ``row["First Name"]``."""

    __slots__ = ("_fields",)

    _fields: Mapping[str, Any]

    @classmethod
    def of(cls, value: str, fields: Mapping[str, Any]) -> _ColumnCalledRow:
        """The value of the column in a record of these fields."""
        made = cls(value)
        made._fields = fields
        return made

    def __getitem__(self, key: Any) -> Any:
        return self._fields[key] if isinstance(key, str) else super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of the record itself."""
        return self._fields.get(key, default)


def is_known(name: str, columns: tuple[str, ...]) -> bool:
    """Whether a template finds something under a name: a column, what one is called in templates, or the record."""
    return name in columns or name in aliases(columns) or name == ROW


def meant_by(name: str, columns: tuple[str, ...]) -> str | None:
    """How a template writes the column that was probably meant by a name that none has; None if none is like it."""
    meant = nearest(name, (*columns, *aliases(columns)))
    return variable(meant, columns) if meant in columns else meant


def unknown(name: str, columns: tuple[str, ...], *, where: str, what: str = "column") -> UsageError:
    """The error for a name that no column of a list has; the remedy names the one that was probably meant, and all.

    Args:
        name: What a template or an expression asks for.
        columns: The columns that there are.
        where: What asks for it.
        what: What the columns are called: JSON Lines have fields.
    """
    meant = meant_by(name, columns)
    remedy = "" if meant is None else f"did you mean {meant}? "
    return UsageError(f"{where}: there is no {what} {name!r}", remedy=f"{remedy}The {what}s are {listed(columns)}")


def variable(name: str, names: tuple[str, ...]) -> str:
    """How a template writes a column: ``name``, ``First_Name``, or ``row["…"]`` where nothing shorter is its own."""
    if is_variable(name):
        return name
    for alias, column in aliases(names).items():
        if column == name:
            return alias
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'{ROW}["{quoted}"]'


def is_variable(name: str) -> bool:
    """Whether a template can name a column as it is called."""
    return name.isidentifier() and name not in _RESERVED


def _alias(name: str) -> str:
    alias = _NOT_WORD.sub("_", name).strip("_") if not is_variable(name) else name
    if alias[:1].isdigit():
        alias = f"_{alias}"
    return alias if is_variable(alias) and alias != ROW else ""
