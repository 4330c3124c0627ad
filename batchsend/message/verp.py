"""Signed return paths and unsubscribe links: ``batch.verp``, ``batch.unsubscribe_url``; and the check of them.

A token is the record's number, eight letters that tell the run, and a MAC of both, in letters and digits that survive a
mail system that changes the case of a local part. Who does not have the key cannot make one: a forged report is tied to
nobody. The method is that of VERP and BATV; with 80 bits of MAC guessing is hopeless. A link has 128 bits, and another
MAC: who sees the one token has nothing of the other. Neither expires, as long as the key is kept.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from base64 import b32encode
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final

from batchsend.errors import UsageError
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

VARIABLE: Final = "BATCHSEND_VERP_KEY"
"""The environment variable that holds the key, where it is not to lie beside the log."""

TOKEN: Final = late_pattern(r"(?<![0-9a-z])([1-9][0-9]{0,8})-([a-z2-7]{8})-([a-z2-7]{16})(?![0-9a-z])", re.IGNORECASE)
"""A token in a mail address."""

LINK: Final = late_pattern(r"([1-9][0-9]{0,8})-([a-z2-7]{8})-([a-z2-7]{26})", re.ASCII)
"""The token that an unsubscribe link ends with."""

_KEY_OCTETS: Final = 32
_FEWEST: Final = 16  # characters of a key in the environment
_MOST: Final = 1024


class Verp:
    """Makes the tokens of one run.

    Args:
        run: The run's identity.
        key: What gives the key; asked once, when the first token is made.
    """

    def __init__(self, run: str, key: Callable[[], bytes]) -> None:
        self._tag = _tag(run)
        self._run = run
        self._key = key
        self._known: bytes | None = None

    def prepare(self) -> bytes:
        """The key. Asked for before the first message, what is wrong with it stops the run instead of each record.

        Raises:
            UsageError: It cannot be had.
        """
        if self._known is None:
            self._known = self._key()
        return self._known

    def token(self, record: int) -> str:
        """The token of a record: at most 35 characters, all of them allowed in a local part.

        Raises:
            UsageError: The key cannot be had.
        """
        return f"{record}-{self._tag}-{_mac(self.prepare(), self._run, record)}"

    def link(self, record: int) -> str:
        """The token of a record that its unsubscribe link ends with (RFC 8058).

        Raises:
            UsageError: The key cannot be had.
        """
        return f"{record}-{self._tag}-{_link_mac(self.prepare(), self._run, record)}"


def record_of(addresses: Iterable[str], runs: Iterable[str], key: bytes | None) -> tuple[bool, int | None]:
    """The record that a signed return path among addresses is of.

    Args:
        addresses: Where a report was sent to.
        runs: The runs that it may be of.
        key: The key that they were signed with, or None.

    Returns:
        Whether one of them has a token at all, and the record of the first that is genuine, or None.
    """
    known = {_tag(run): run for run in runs}
    found = False
    for address in addresses:
        for token in TOKEN.finditer(address.rpartition("@")[0]):
            found = True
            record, run = int(token[1]), known.get(token[2].lower())
            if key is not None and run is not None and hmac.compare_digest(_mac(key, run, record), token[3].lower()):
                return True, record
    return found, None


def record_of_link(token: str, run: str, key: bytes) -> int | None:
    """The record whose unsubscribe link ends with a token; None where it was not signed for this run with this key."""
    match = LINK.fullmatch(token)
    if match is None or match[2] != _tag(run):
        return None
    record = int(match[1])
    return record if hmac.compare_digest(_link_mac(key, run, record), match[3]) else None


def key_file(log: Path) -> Path:
    """Where the key lies that a results log's return paths and unsubscribe links are signed with."""
    return log.with_name(f"{log.name}.key")


def load_key(log: Path) -> bytes | None:
    """The key from the environment, or else from the file beside a results log; None where there is none.

    Raises:
        UsageError: The environment's is too short, or the file cannot be read.
    """
    given = os.environ.get(VARIABLE)
    if given is not None:
        if len(given) < _FEWEST:
            raise UsageError(
                f"{VARIABLE} has fewer than {_FEWEST} characters", remedy="take a long random one: openssl rand -hex 32"
            )
        return sha256(given.encode("utf-8", "surrogateescape")).digest()
    path = key_file(log)
    try:
        # Not blocking: of a pipe that somebody has put there, opening it would wait for the other end.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            text = file.read(_MOST).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: the key cannot be read: {error.strerror}", remedy="see who may read it") from None
    if not re.fullmatch(rb"[0-9a-f]{64}", text):
        raise UsageError(f"{path} is not a key", remedy="bring it back as it was: what was sent is signed with it")
    return bytes.fromhex(text.decode())


def make_key(log: Path) -> bytes:
    """The key as `load_key` has it; where there is none, one is made beside the log, for its owner only (0600).

    Raises:
        UsageError: It cannot be read or written.
    """
    known = load_key(log)
    if known is not None:
        return known
    path = key_file(log)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        if path.is_symlink():
            raise UsageError(f"{path} is a link to where nothing is", remedy="see what has made it") from None
        return make_key(log)  # another process has made it meanwhile
    except OSError as error:
        raise UsageError(
            f"{path}: the key of batch.verp and batch.unsubscribe_url cannot be written: {error.strerror}",
            remedy=f"give one in {VARIABLE}",
        ) from None
    key = secrets.token_bytes(_KEY_OCTETS)
    try:
        os.write(file, f"{key.hex()}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)
    return key


def kept_key(log: Path) -> bytes:
    """The key as `load_key` has it, for a run that has signed messages with it already.

    With another one nothing that comes back of those messages could be tied to them, and their unsubscribe links would
    not be heard of: so there must be one.

    Raises:
        UsageError: It is lost, or cannot be read.
    """
    known = load_key(log)
    if known is None:
        raise UsageError(
            f"{key_file(log)} is lost: return paths and unsubscribe links of what was sent are signed with it",
            remedy=f"bring it back, or give that run's key in {VARIABLE}; a new one there goes on without it: what "
            "comes back of the messages sent before is then not tied to them, nor their unsubscribe links known",
        )
    return known


def throwaway_key() -> bytes:
    """A key for messages that are only looked at: no report will come back to their return path."""
    return secrets.token_bytes(_KEY_OCTETS)


def _tag(run: str) -> str:
    return b32encode(blake2b(run.encode(), digest_size=5).digest()).decode().lower()


def _mac(key: bytes, run: str, record: int) -> str:
    digest = blake2b(f"{run}\n{record}".encode(), key=key, digest_size=10, person=b"batchsend-verp").digest()
    return b32encode(digest).decode().lower()


def _link_mac(key: bytes, run: str, record: int) -> str:
    digest = blake2b(f"{run}\n{record}".encode(), key=key, digest_size=16, person=b"batchsend-link").digest()
    return b32encode(digest).decode().lower().rstrip("=")
