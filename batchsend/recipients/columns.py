"""Which column of a table holds the addresses, by what its name means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from batchsend.errors import UsageError
from batchsend.recipients.record import RECIPIENT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NOT_LETTERS: Final = re.compile(r"[\W_]+")
# As exports of mailing services and address books call it, in some languages; without case, blanks and signs.
_ADDRESS_NAMES: Final = frozenset(
    {
        *("email", "emailaddress", "emailaddr", "emails", "mail", "mailaddress", "primaryemail", "subscriberemail"),
        *(
            "useremail",
            "contactemail",
            "customeremail",
            "recipientemail",
            "workemail",
            "personalemail",
            "businessemail",
        ),
        *("emailid", "emailprimary", "email1", "email1value", "emailadresse", "mailadresse", "emailadres", "mailadres"),
        *("adresseemail", "adressemail", "courriel", "correo", "correoelectronico", "correoelectrónico", "epost"),
        *("eposta", "indirizzoemail", "adreseemail", "adresemail"),
    }
)


def address_column(names: Sequence[str], *, wanted: str | None, preferred: str | None, place: str) -> str:
    """The column that holds the addresses.

    Args:
        names: The columns.
        wanted: The one that was asked for, or None.
        preferred: The one that is taken if it is there: the campaign's ``recipient_field``; or None.
        place: File and line, for errors.

    Raises:
        UsageError: It is not there; or none fits, or several do.
    """
    listed = ", ".join(map(repr, names))
    if wanted is not None:
        found = _called(names, [wanted])
        if found is None:
            raise UsageError(f"{place}: there is no column {wanted!r}", remedy=f"the columns are {listed}")
        return found
    if preferred is not None and (found := _called(names, [preferred])) is not None:
        return found
    fitting = [name for name in names if _NOT_LETTERS.sub("", name.casefold()) in _ADDRESS_NAMES]
    exact = _called(fitting, RECIPIENT_FIELDS[:1])
    if exact is not None or len(fitting) == 1:
        return exact or fitting[0]
    if not fitting and (found := _called(names, RECIPIENT_FIELDS)) is not None:
        return found
    what = "no column for addresses" if not fitting else "more than one column for addresses"
    raise UsageError(
        f"{place}: there is {what}",
        remedy=f'name it: {{ file = "…", field = "…" }}; the columns are {listed}',
    )


def means_address(names: Iterable[str]) -> bool:
    """Whether one of the names is that of a column of addresses."""
    return any(
        name.casefold() in RECIPIENT_FIELDS or _NOT_LETTERS.sub("", name.casefold()) in _ADDRESS_NAMES for name in names
    )


def _called(names: Sequence[str], wanted: Iterable[str]) -> str | None:
    """The first of the wanted names that is there, by its exact spelling or else without regard to case."""
    for one in wanted:
        if one in names:
            return one
        same = [name for name in names if name.casefold() == one.casefold()]
        if same:
            return same[0]
    return None
