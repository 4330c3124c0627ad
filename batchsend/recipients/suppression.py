"""Addresses that a campaign must not write to, from lists of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchsend.errors import RecordError, UsageError
from batchsend.recipients import BadRecord, open_records
from batchsend.recipients.addresses import forward_path
from batchsend.recipients.record import RECIPIENT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from batchsend.recipients import Record

_TABLES = (".csv", ".jsonl")
_COMPRESSIONS = (".gz", ".zst")
# Of a results log, what says that there is nobody at the address; a full mailbox or a policy says no such thing.
_HARD_BOUNCES = (
    "unknown mailbox",
    "unknown domain",
    "mailbox disabled",
    "mailbox moved",
    "domain takes no mail",
    "address",
)


class Suppression:
    """A set of addresses, compared without regard to case.

    Of each address only a 64-bit hash is kept: about 60 octets an address, whatever its length.
    """

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        self._hashes = {hash(_normalised(address)) for address in addresses}

    @classmethod
    def read(cls, files: Iterable[Path]) -> Suppression:
        """Read CSV, JSONL (a results log too: its hard bounces) and plain lists, one address a line.

        Raises:
            UsageError: One cannot be read whole; an address that was missed would be written to.
        """
        return cls(address for file in files for address in _addresses(file))

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def __contains__(self, address: str) -> bool:
        return hash(_normalised(address)) in self._hashes


def _normalised(address: str) -> str:
    # A local part is case-sensitive by RFC 5321 §2.4, and nowhere in practice: who unsubscribed as Bob@ is bob@ too.
    try:
        return forward_path(address.strip()).casefold()
    except RecordError:
        return address  # no recipient can be equal to it


def _addresses(file: Path) -> Iterator[str]:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return _table(file) if suffixes and suffixes[-1] in _TABLES else _plain_list(file)


def _plain_list(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for line in lines:
                address = line.strip()
                if address and not address.startswith("#"):
                    yield address
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"{file}: the suppression list cannot be read: {reason}", remedy="see suppress in [delivery]"
        ) from None


def _table(file: Path) -> Iterator[str]:
    with open_records(file) as reader:
        while rows := reader.read(1000):
            for row in rows:
                if isinstance(row, BadRecord):
                    raise UsageError(f"{file}:{row.line}: {row.reason}", remedy="fix the line, or take it out")
                address = _address(file, row)
                if address is not None:
                    yield address


def _address(file: Path, row: Record) -> str | None:
    fields: dict[str, Any] = row.fields
    if "run" in fields or "status" in fields:  # a results log
        is_hard = fields.get("status") == "rejected" and fields.get("reason") in _HARD_BOUNCES
        return str(fields.get("recipient")) if is_hard else None
    by_name = {name.lower(): value for name, value in fields.items()}
    for name in RECIPIENT_FIELDS:
        if isinstance(by_name.get(name), str):
            return str(by_name[name])
    raise UsageError(
        f"{file}:{row.line}: no address in it",
        remedy=f"the address belongs in one of the fields {', '.join(RECIPIENT_FIELDS)}",
    )
