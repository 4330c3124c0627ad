"""The in-flight journal: which messages may have been delivered without the log saying so, whatever ends the process.

A small file beside the log, mapped into memory: what is stored there is the kernel's, and outlives a killed process,
without a system call a message. Each message has a place in it from before the octets that commit it are handed to the
transport until its outcome's line is with the kernel. The outcome itself is stored as soon as it is known, so that only
what the server has not answered is ever in doubt.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend import figures
from batchsend.errors import RunError, UsageError
from batchsend.outcome import Outcome
from batchsend.results import syncpoint
from batchsend.results.beside import make_anew, set_aside_file, sync_directory, write_all
from batchsend.results.format import MAX_RECORD
from batchsend.results.lock import BY_ANOTHER_NAME, close_locked, leave_to_parent
from batchsend.results.mapping import Mapping
from batchsend.results.tally import CODES, MAX_ATTEMPTS, OUTCOMES
from batchsend.results.way_on import way_on

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


_MAKE_ROOM: Final = "make room, or see what is wrong with the disk"
_LEAVE_ALONE: Final = "have nothing move, remove or write to the files beside the results log"

_MAGIC: Final = b"bsflight"
_VERSION: Final = 3
# Magic, version, capacity, whether the disk is waited for, run, boot, checksum of these and, since version 3, of where
# in the log the run begins; then the log's size, which changes, and where the run begins.
_STATIC: Final = struct.Struct("=8sIII64s40s")
_CHECKSUM: Final = struct.Struct("=I")
_WORD: Final = struct.Struct("=Q")
# Indices among the file's 64-bit words.
_LOG_SIZE: Final = 16
_BEGUN: Final = 17
_LOOKS: Final = 18  # counts up while the run goes on, so that an older copy that is put over the file is known by it
_HEADER: Final = 24  # where the table begins

# An entry, from the highest bit: record 32, attempt 13, reply code 10, outcome 3, and a check of these, 5.
_ATTEMPT: Final = 1 << 13
_CODE: Final = 1 << 10
_OUTCOME: Final = 1 << 3
_CHECK: Final = 1 << 5
# The same as shifts, for what is done for each message: compiled, they stay within a machine word, and a product of
# such numbers does not.
_RECORD_BITS: Final = 26  # of an entry without its check, below the record
_ATTEMPT_BITS: Final = 13
_CODE_BITS: Final = 3
_CHECK_BITS: Final = 5
_MODULUS: Final = 31
"""A prime below the check's range, and not a factor of any shift: every flipped bit shows."""


class Entry(NamedTuple):
    """One place of the table.

    Attributes:
        record: The record's number.
        attempt: The number of the attempt.
        status: The outcome of that attempt, or None: the server has not answered.
        code: The reply code that decided it, or None.
    """

    record: int
    attempt: int
    status: Outcome | None = None
    code: int | None = None

    def pack(self) -> int:
        """The entry as a number of 64 bits."""
        word = self.record * _ATTEMPT + min(self.attempt, MAX_ATTEMPTS)
        word = (word * _CODE + (self.code or 0)) * _OUTCOME + (CODES[self.status] if self.status is not None else 0)
        return word * _CHECK + word % _MODULUS

    @classmethod
    def unpack(cls, packed: int) -> Entry | None:
        """The entry that a number stands for; None if it stands for none."""
        word, check = divmod(packed, _CHECK)
        rest, outcome = divmod(word, _OUTCOME)
        rest, code = divmod(rest, _CODE)
        record, attempt = divmod(rest, _ATTEMPT)
        if check != word % _MODULUS or outcome >= len(OUTCOMES) or not (0 < record <= MAX_RECORD and attempt):
            return None
        return cls(record, attempt, OUTCOMES[outcome], code or None)


class LeftBehind(NamedTuple):
    """What a journal holds that its run did not take away.

    Attributes:
        run: The run's identity.
        log_size: The octets of the log that were with the kernel at least.
        entries: What was in flight, or answered and perhaps not in the log yet.
        rebooted: The machine has been started anew since, so the kernel may have lost what it had not written.
        durable: The run waited for the disk: ``log_size`` octets of the log are on it at least, and every message whose
            outcome is not among them has its entry here.
        begun: Where in the log the line of its run begins, so that the journal of an earlier run is known by it; None
            in a journal of version 2, which does not say so.
    """

    run: str
    log_size: int
    entries: list[Entry]
    rebooted: bool
    durable: bool
    begun: int | None = None


_GO_ON: Final = "go on, and some may get the message twice: --accept-duplicates, in Python accept_duplicates=True"

NOT_KNOWN: Final = f"bring it back as it was; or {_GO_ON}"
"""What to do where a journal does not say what was in flight."""


class JournalError(UsageError):
    """A journal cannot be read, or is not one."""


def journal_path(log: Path) -> Path:
    """Where the journal of a log is: beside it, whatever symbolic link the log was named by."""
    log = log.resolve()
    return log.with_name(f"{log.name}.inflight")


class Journal:
    """The journal of a run that goes on.

    It is made whole under another name and then moved into its place, so that the journal of the run before stays until
    this one has taken its entries over. It is locked while its run goes on, and one that is another run's is neither
    overwritten nor removed, whatever has become of the log.

    Args:
        log: The results log.
        run: The run's identity.
        capacity: How many messages may be in flight, or answered and not in the log; it grows where that is too few.
        entries: What an earlier run of the log has left behind.
        log_size: The octets of the log that are with the kernel; where the disk is waited for, on the disk.
        durable: Its making waits for the disk, and `sync_to` is used.
        resumes: The journal that is there was looked at, and what there is to take over of it is in ``entries``.
        set_aside: It was not believed: it is kept under another name.

    Raises:
        UsageError: It cannot be made there, or there is one of another run that has something in flight.
        RunError: There is no room for it, or something is wrong with the disk.
    """

    def __init__(
        self,
        log: Path,
        run: str,
        capacity: int,
        entries: Iterable[Entry] = (),
        *,
        log_size: int = 0,
        durable: bool = False,
        resumes: bool = False,
        set_aside: bool = False,
    ) -> None:
        self.path = journal_path(log)
        self._run = run
        self._begun = log_size
        self._looks = 1
        self._durable = durable
        entries = list(entries)
        self._places = {entry.record: place for place, entry in enumerate(entries, _HEADER)}
        try:
            _refuse_another(log, resumes=resumes)
            if set_aside:
                set_aside_file(self.path)
            self._make(max(capacity, len(entries)), [entry.pack() for entry in entries], log_size)
        except OSError as error:
            what = f"{self.path}: the journal of what is in flight cannot be made: {error.strerror}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise RunError(what, remedy=_MAKE_ROOM) from None
            raise UsageError(
                what, remedy=f"it stands beside the results log; name another one: {BY_ANOTHER_NAME}"
            ) from None

    # --- the hot path ---------------------------------------------------------------------------------------------

    def mark(self, record: int, attempt: int) -> None:
        """Write down that a message is about to be committed.

        Raises:
            RunError: There is no place left, and none can be made; or the file was cut short.
        """
        place = self._places.get(record)
        if place is None:
            if not self._free:
                self._grow()
            place = self._places[record] = self._free.pop()
        word = (record << _RECORD_BITS) | (attempt << _ATTEMPT_BITS)
        self._words[place] = (word << _CHECK_BITS) | (word % _MODULUS)
        self._attempts[place] = attempt
        if self._table.lost:
            raise self._not_kept()

    def mark_again(self, record: int, attempt: int) -> None:
        """Write down that an attempt that was answered may have been delivered after all.

        Where a later attempt of the record has a place, that one stays: it is the one that may be under way.
        """
        place = self._places.get(record)
        if place is None or self._attempts[place] < attempt:
            self.mark(record, attempt)

    def answer(self, record: int, attempt: int, status: Outcome, code: int | None) -> None:
        """Write down what became of a message that has a place; its line is not with the kernel yet.

        What is said of an earlier attempt than the one that has the place is passed over.
        """
        place = self._places.get(record)
        if place is not None and self._attempts[place] <= attempt:
            word = (record << _RECORD_BITS) | (attempt << _ATTEMPT_BITS) | ((code or 0) << _CODE_BITS) | CODES[status]
            self._words[place] = (word << _CHECK_BITS) | (word % _MODULUS)
            self._attempts[place] = attempt

    def release(self, records: Iterable[int], log_size: int) -> None:
        """The lines of these records are with the kernel, and the log has so many octets: give their places back.

        A record that was marked again since it was answered keeps its place.
        """
        words, places = self._words, self._places
        # First the size: should the process end between the two, what is released has to be in the log.
        words[_LOG_SIZE] = log_size
        for record in records:
            place = places.get(record)
            if place is not None and (words[place] >> _CHECK_BITS) & (_OUTCOME - 1):
                del places[record]
                words[place] = 0
                self._free.append(place)

    def withdraw(self, record: int, attempt: int) -> None:
        """An attempt was marked, and then not committed; a place that holds anything else is left as it is.

        What it may hold is the outcome of an earlier attempt whose line is not with the kernel yet.
        """
        place = self._places.get(record)
        if place is None:
            return
        word = (record << _RECORD_BITS) | (attempt << _ATTEMPT_BITS)
        if self._words[place] == (word << _CHECK_BITS) | (word % _MODULUS):
            del self._places[record]
            self._words[place] = 0
            self._free.append(place)

    # --- its life -------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """How many places are taken."""
        return len(self._places)

    def require_kept(self) -> None:
        """Check that the file is where it was made, and holds what was written to it.

        Raises:
            RunError: It was moved, replaced, removed, cut short or overwritten.
        """
        if not self.is_in_place:
            raise RunError(
                f"{self.path}: the journal of what is in flight was moved, replaced or removed while the run went on",
                remedy=_LEAVE_ALONE,
            )
        if not self._is_as_it_was:
            raise self._not_kept()
        self._looks += 1
        self._words[_LOOKS] = self._looks

    @property
    def _is_as_it_was(self) -> bool:
        return self._table.is_whole and self._words[_LOOKS] == self._looks

    def renew(self, log_size: int) -> None:
        """With nothing in flight: make the file anew if it was cut short or overwritten, for what it says of the log.

        Raises:
            RunError: There is no room for it, or it is not where it was made.
        """
        if not self._is_as_it_was:
            self._places.clear()
            self._make_again(self._capacity, [], log_size)

    @property
    def is_in_place(self) -> bool:
        """Whether the file beside the log is still this one."""
        try:
            return os.path.samestat(os.fstat(self._file), self.path.lstat())
        except OSError:
            return False

    def close(self, *, remove: bool) -> None:
        """Let go of the file, and remove it if its run is over and nothing is in flight; never another run's.

        Raises:
            RunError: With ``durable``: the disk does not take its removal.
        """
        remove = remove and self.is_in_place
        self._table.close()
        if remove:
            self.path.unlink(missing_ok=True)
        close_locked(self._file, process=self._process)  # and with it goes the lock: not before the name
        if remove and self._durable:
            sync_directory(self.path.parent)

    def leave_to_parent(self) -> None:
        """In a child process, after a fork: let go of the file, which is the parent's, and of its lock with it.

        Raises:
            OSError: There are too many open files.
        """
        self._table.leave_to_parent()
        leave_to_parent(self._file)

    def duplicate(self) -> int:
        """Another descriptor of the file as it is now, for the caller to sync in a thread and to close."""
        return os.dup(self._file)

    def _make(self, capacity: int, words: list[int], log_size: int, old: int | None = None) -> None:
        """Make the file; ``old`` is the descriptor of the one that it takes the place of, None where there is none."""
        new = self.path.with_name(f"{self.path.name}.new")
        header = _static(self._run, capacity, self._begun, durable=self._durable).ljust(_LOG_SIZE * 8, b"\0")
        header += _WORD.pack(log_size) + _WORD.pack(self._begun) + _WORD.pack(self._looks)
        whole = header.ljust(_HEADER * 8, b"\0") + struct.pack(f"={len(words)}Q", *words)
        file = make_anew(new)
        table = None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Written, not only made long: there must be room on the disk for every page before it is used.
            write_all(file, whole.ljust((_HEADER + capacity) * 8, b"\0"))
            table = Mapping(file)
            if self._durable:
                os.fsync(file)
            if old is not None and not self.is_in_place:
                raise OSError(errno.ESTALE, "it was moved or replaced")
            new.replace(self.path)
            if self._durable:
                sync_directory(self.path.parent)
        except (OSError, RunError):
            new.unlink(missing_ok=True)
            if table is not None:
                table.close()
            os.close(file)
            raise
        if old is not None:
            os.close(old)
        self._file = file
        self._process = os.getpid()
        self._table = table
        self._words = table.words
        self._capacity = capacity
        self._free: list[int] = list(range(_HEADER + capacity - 1, _HEADER + len(words) - 1, -1))
        # The attempt that each place holds, as its word has it: taking a number of 64 bits apart costs ten times this.
        self._attempts = [word // (_CHECK * _OUTCOME * _CODE) % _ATTEMPT for word in self._words]

    def _grow(self) -> None:
        log_size, words = self._words[_LOG_SIZE], self._words[_HEADER:].tolist()
        if not self._is_as_it_was:
            raise self._not_kept()
        self._make_again(2 * self._capacity, words, log_size)

    def _make_again(self, capacity: int, words: list[int], log_size: int) -> None:
        old = self._table
        try:
            self._make(capacity, words, log_size, self._file)
        except OSError as error:
            raise RunError(
                f"{self.path}: the journal of what is in flight cannot be made anew: {error.strerror}",
                remedy=_MAKE_ROOM,
            ) from None
        old.close()

    def _not_kept(self) -> RunError:
        return RunError(
            f"{self.path}: the journal of what is in flight was cut short or overwritten while the run went on",
            remedy=_LEAVE_ALONE,
        )

    def __repr__(self) -> str:
        return f"<Journal {self.path} with {self.in_flight} of {self._capacity}>"


def read_journal(log: Path) -> LeftBehind | None:
    """Read what the last run of a log has left behind; None if there is no journal.

    Raises:
        JournalError: There is one, and it cannot be read, or holds what batchsend did not write.
    """
    path = journal_path(log)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"{path}: the journal cannot be read: {error.strerror}", remedy=NOT_KNOWN) from None
    damaged = JournalError(f"{path} is damaged: what was in flight cannot be known", remedy=NOT_KNOWN)
    if len(data) < _HEADER * 8 or len(data) % 8:
        raise damaged
    magic, version, capacity, durable, run, boot = _STATIC.unpack_from(data)
    begun: int | None = _WORD.unpack_from(data, _BEGUN * 8)[0] if version >= _VERSION else None
    checked = data[: _STATIC.size] + (b"" if begun is None else _WORD.pack(begun))
    checksum = _CHECKSUM.unpack_from(data, _STATIC.size)[0]
    if magic != _MAGIC or checksum != zlib.crc32(checked) or len(data) != (_HEADER + capacity) * 8:
        raise damaged
    if version not in (2, _VERSION):
        raise JournalError(
            f"{path} was written by another version of batchsend",
            remedy=f"resume with that version, which its log names; or {_GO_ON}",
        )
    words = memoryview(data).cast("Q")
    entries = [Entry.unpack(word) for word in words[_HEADER:] if word]
    sound = [entry for entry in entries if entry is not None]
    if len(sound) < len(entries):
        raise damaged
    rebooted = boot.rstrip(b"\0") != syncpoint.boot_id()
    return LeftBehind(run.rstrip(b"\0").decode(), words[_LOG_SIZE], sound, rebooted, bool(durable), begun)


def _refuse_another(log: Path, *, resumes: bool) -> None:
    """Check that no journal would be overwritten that is still wanted.

    Raises:
        UsageError: The journal that is there is of a run that goes on, or of one that has something in flight and is
            not gone on with.
        OSError: It cannot be opened.
    """
    path = journal_path(log)
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"{path} is the journal of a run that goes on, whose results log was moved or removed",
            remedy=f"wait for its end, or keep this one's results elsewhere: {BY_ANOTHER_NAME}",
        ) from None
    finally:
        os.close(file)
    if resumes:
        return
    try:
        left = read_journal(log)
    except JournalError as error:
        what = error.message
    else:
        if left is None or not left.entries:
            return
        messages = figures.count(len(left.entries), "message")
        what = f"{path} says that {messages} of run {left.run} {'was' if len(left.entries) == 1 else 'were'} in flight"
    raise UsageError(
        f"{what}, and that run's results log is not there",
        remedy=f"bring it back and go on with it: {way_on(log)}; "
        f"or keep this one's elsewhere: {BY_ANOTHER_NAME}; or remove the journal, if it is of no use any more",
    )


def _static(run: str, capacity: int, begun: int, *, durable: bool) -> bytes:
    static = _STATIC.pack(_MAGIC, _VERSION, capacity, durable, run.encode(), syncpoint.boot_id())
    return static + _CHECKSUM.pack(zlib.crc32(static + _WORD.pack(begun)))
