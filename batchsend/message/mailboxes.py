"""Header fields of addresses: the template says how many there are and where, data fills in names and addresses."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NoReturn

from batchsend.errors import RecordError
from batchsend.message.words import LINE, clean, fold, phrase
from batchsend.recipients.addresses import mailbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchsend.message.template import StructuredTemplate

# A piece of a mailbox: the template's own text, or the place of the data that is filled in.
_Piece = str | int

_PLANS = 64  # a template with conditions has a few shapes; one that has thousands is planned anew each time


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where one mailbox of an address list comes from.

    Attributes:
        name: The pieces of its display-name.
        address: The pieces of its addr-spec.
    """

    name: tuple[_Piece, ...]
    address: tuple[_Piece, ...]


class AddressField:
    """A header field of mailboxes (RFC 5322 §3.4), such as From, To and Reply-To.

    Commas, quotes and angle brackets structure the list where the template writes them, never where data brings them:
    they are part of a display-name then, and an error in an address.

    Args:
        name: The field's name.
        template: Its value.
        single: Whether it holds exactly one mailbox.
    """

    def __init__(self, name: str, template: StructuredTemplate, *, single: bool = False) -> None:
        self.name = name
        self._where = f"header {name}"
        self._template = template
        self._single = single
        self._plans: dict[tuple[str, ...], tuple[_Plan, ...]] = {}
        self._constant = None if template.constant is None else self._field((template.constant,), (), "")

    @property
    def address(self) -> str | None:
        """The first address, where it is the same for all records."""
        return None if self._constant is None else self._constant[1]

    def render(self, variables: dict[str, Any]) -> str:
        """The field, folded, with its CRLF.

        Raises:
            RecordError: As `with_address`.
        """
        return self.with_address(variables)[0]

    def with_address(self, variables: dict[str, Any], *, known: str | None = None) -> tuple[str, str]:
        """The field, folded, with its CRLF; and its first address, in which only a domain may have changed (A-labels).

        Args:
            variables: What `Templates.variables` made of the record.
            known: An address that is known to be one, or None.

        Raises:
            RecordError: The template cannot be rendered with this record, or the result is not a list of mailboxes.
        """
        if self._constant is not None:
            return self._constant
        own, data = self._template.own_and_data(variables)
        return self._field(own, data, known)

    def _field(self, own: tuple[str, ...], data: Sequence[str], known: str | None) -> tuple[str, str]:
        """From the template's own texts, and the data between them, to the field and its first address."""
        plans = self._plans.get(own)
        if plans is None:
            plans = _MailboxFinder(own, self._where).plans()
            if self._single and len(plans) != 1:
                raise RecordError(f"{self._where} must hold exactly one address, not {len(plans)}")
            if len(self._plans) < _PLANS:
                self._plans[own] = plans
        chunks: list[str] = []
        first = ""
        used = len(self.name) + 2
        for number, plan in enumerate(plans, 1):
            address = _fill(plan.address, data)
            if address != known:
                address = mailbox(address, f"{self._where}:")
            first = first or address
            name = clean(_fill(plan.name, data), self._where)
            comma = "," if number < len(plans) else ""
            if name:
                chunks += [f" {word}" for word in phrase(name, used)]
                chunks.append(f" <{address}>{comma}")
            else:
                chunks.append(f" {address}{comma}")
            used = 1  # a later name may always begin a line of its own
        text = "".join(chunks)
        return (f"{self.name}:{text}\r\n" if len(self.name) + 1 + len(text) <= LINE else fold(self.name, chunks)), first


def _fill(pieces: tuple[_Piece, ...], data: Sequence[str]) -> str:
    if len(pieces) == 1 and isinstance(piece := pieces[0], int):
        return data[piece]
    return "".join([piece if isinstance(piece, str) else data[piece] for piece in pieces])


def _joined(pieces: list[_Piece]) -> tuple[_Piece, ...]:
    """The pieces with the template's own in one where they touch, and without its white space at both ends.

    White space that data brings stays: in an address it is the data's fault.
    """
    joined: list[_Piece] = []
    for is_own, together in groupby(pieces, lambda piece: isinstance(piece, str)):
        run = list(together)
        joined += ["".join(map(str, run))] if is_own else run
    if joined and isinstance(joined[0], str):
        joined[0] = joined[0].lstrip()
    if joined and isinstance(joined[-1], str):
        joined[-1] = joined[-1].rstrip()
    return tuple(piece for piece in joined if piece != "")


class _MailboxFinder:
    """Finds the mailboxes in an address template's own text; data lies between one of its texts and the next.

    Args:
        own: The template's own texts, in order.
        where: What the template is for, as errors name it.
    """

    def __init__(self, own: tuple[str, ...], where: str) -> None:
        self._own = own
        self._where = where
        self._plans: list[_Plan] = []
        self._pieces: list[_Piece] = []
        self._name: tuple[_Piece, ...] | None = None
        self._address: tuple[_Piece, ...] | None = None
        self._quoted = False
        self._in_angle = False

    def plans(self) -> tuple[_Plan, ...]:
        """The mailboxes, in order.

        Raises:
            RecordError: It is not a list of mailboxes, or an empty one.
        """
        for place, text in enumerate(self._own):
            if place:
                self._pieces.append(place - 1)
            self._read(text)
        if self._quoted:
            self._fail("a quotation mark is never closed")
        self._end_mailbox()
        if not self._plans:
            self._fail("there is no address")
        return tuple(self._plans)

    def _read(self, text: str) -> None:
        characters = iter(text)
        for character in characters:
            if self._quoted and character == "\\":
                self._pieces.append(next(characters, ""))
            elif character == '"' and not self._in_angle:
                self._quoted = not self._quoted
            elif self._quoted:
                self._pieces.append(character)
            else:
                self._read_unquoted(character)

    def _read_unquoted(self, character: str) -> None:
        if character == "<":
            self._open_angle()
        elif character == ">":
            self._close_angle()
        elif character == "," and not self._in_angle:
            self._end_mailbox()
        elif character in "();:" and not self._in_angle:
            self._fail(f"{character!r} has no place outside quotation marks: comments and groups are not supported")
        else:
            self._pieces.append(character)

    def _open_angle(self) -> None:
        if self._in_angle or self._address is not None:
            self._fail("'<' stands twice in one mailbox")
        self._name, self._pieces, self._in_angle = _joined(self._pieces), [], True

    def _close_angle(self) -> None:
        if not self._in_angle:
            self._fail("'>' stands without '<'")
        self._address, self._pieces, self._in_angle = _joined(self._pieces), [], False

    def _end_mailbox(self) -> None:
        if self._in_angle:
            self._fail("'<' is never closed")
        rest = _joined(self._pieces)
        if self._address is None:
            if rest:
                self._plans.append(_Plan((), rest))
        elif not rest:
            self._plans.append(_Plan(self._name or (), self._address))
        else:
            self._fail("something stands between '>' and the next comma")
        self._name, self._address, self._pieces = None, None, []

    def _fail(self, reason: str) -> NoReturn:
        raise RecordError(f"{self._where}: {reason}")
