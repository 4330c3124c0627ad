"""Exceptions, by blast radius: one record, one session, the whole run.

Every message is for the person at the terminal: what happened, where, and what to do about it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from batchsend.patterns import late_pattern

# What a message quotes, as repr() writes it, unless it is the name of a variable, which is the campaign's own. A
# quotation mark behind a backslash opens nothing, so each part of a text is looked at once.
_QUOTED: Final = late_pattern(
    r"""(?<!\\)(?:'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")(?! is undefined| has no attribute|, which holds)"""
)


class BatchsendError(Exception):
    """The root of everything batchsend raises on purpose.

    >>> error = UsageError("there is no server", remedy="Give one.")
    >>> error.message, error.remedy
    ('there is no server', 'Give one.')

    Args:
        message: What happened, and where; one line, no final stop.
        remedy: What to do about it; one line, or None where the message says it.
    """

    def __init__(self, message: str, remedy: str | None = None) -> None:
        require(message, "message", str)
        if remedy is not None:
            require(remedy, "remedy", str)
        # Whoever has stored the arguments only, as Celery's JSON backend does, makes the error of them again.
        super().__init__(*([message] if remedy is None else [message, remedy]))
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message if self.remedy is None else f"{self.message}\n{self.remedy}"


class RecordErrorKind(StrEnum):
    """What is wrong with a record, for a program; the error's message says it to people.

    >>> try:
    ...     Template(Message(from_="a@example.com", subject="{{ name }}", text="x")).render({"email": "b@example.com"})
    ... except RecordError as error:
    ...     error.kind is RecordErrorKind.MISSING_FIELD
    True
    """

    MISSING_FIELD = "missing_field"
    """A template asks for a field, or for a part of one, that the record does not have."""

    OTHER = "other"
    """Anything else: the message says what."""


class RecordError(BatchsendError):
    """One record cannot be sent: its outcome is ``invalid`` with this message as the reason, and the run goes on.

    >>> try:
    ...     Envelope("shop@example.com", "ada")
    ... except RecordError as error:
    ...     print(error.kind)
    other

    Args:
        message: As for every `BatchsendError`.
        remedy: As for every `BatchsendError`.
        kind: What is wrong, out of a closed set.
    """

    def __init__(
        self, message: str, remedy: str | None = None, *, kind: RecordErrorKind = RecordErrorKind.OTHER
    ) -> None:
        super().__init__(message, remedy)
        self.kind: RecordErrorKind = require(kind, "kind", RecordErrorKind)


class SessionError(BatchsendError):
    """One session could not be opened or had to be ended; the pool decides what that means for the run.

    >>> isinstance(SessionError("the server has hung up"), BatchsendError)
    True
    """


class RunError(BatchsendError):
    """The run stops early and can be resumed (exit code 3): server gone, credentials refused, disk full.

    >>> try:
    ...     summary = send("campaign.toml")
    ... except RunError as error:
    ...     print(f"stopped, and can be resumed: {error.message}")
    """


class RefusalError(RunError):
    """What servers have said stops the run, and would stop it wherever it is sent from."""


class UsageError(BatchsendError):
    """The command, the campaign file or what it names is wrong; nothing was sent (exit code 2).

    >>> Delivery(max_connections=0)
    Traceback (most recent call last):
    batchsend.errors.UsageError: Delivery.max_connections is 0
    expected a whole number from 1 to 1000
    """


class ValueUsageError(UsageError, ValueError):
    """A text or number is none of its kind; what reads a file takes it as any other `ValueError`, and names the key."""


class RunningLoopError(UsageError, RuntimeError):
    """An event loop is running where another one is to run; it is taken as the `RuntimeError` that it is, too."""


def not_writable(path: Path, error: OSError, what: str | None = None) -> UsageError:
    """The error for a file that a command was told to write and that cannot be written, by what is in the way.

    Args:
        path: The file.
        error: What the system said.
        what: What was to be written there, in a few words; None where the file's name says it.
    """
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not path.parent.is_dir():
        why = f"there is no folder {path.parent}"
        remedy = "make that folder, or name a file in one that is there"
    else:
        why = error.strerror or str(error)
        remedy = _WRITE_ELSEWHERE.get(error.errno or 0, "name another file")
    subject = f"{path} cannot be written" if what is None else f"{what} cannot be written to {path}"
    return UsageError(f"{subject}: {why}", remedy=remedy)


_WRITE_ELSEWHERE: Final = {
    errno.EEXIST: "name a file that is not there yet",
    errno.EISDIR: "name a file, not a folder",
    errno.EACCES: "name a file where you may write",
    errno.EPERM: "name a file where you may write",
    errno.EROFS: "name a file where you may write",
    errno.ENOSPC: "make room, or name a file on another disk",
}


def without_values(message: str, stand_in: str) -> str:
    """A message without the values that it quotes: the same for all records in which the same thing is wrong.

    Args:
        message: What an error says.
        stand_in: What takes the place of each value.
    """
    return _QUOTED.sub(stand_in, message)


def require(value: Any, what: str, *kinds: type) -> Any:
    """The value of a program's argument, if it is of one of these kinds; True and False are no numbers.

    Args:
        value: The value.
        what: The argument, as the error names it.
        kinds: What it may be; ``NoneType`` among them where it may be None.

    Raises:
        TypeError: It is of another kind: a mistake of the program, said where it was made.
    """
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join("None" if kind is type(None) else with_article(kind.__name__) for kind in kinds)
        raise TypeError(f"{what} must be {names}, not {type(value).__name__}")
    return value


def require_callable(value: Any, what: str) -> Any:
    """The value of a program's argument, if it can be called, and does what it is for when it is.

    Args:
        value: The value.
        what: The argument, as the error names it.

    Raises:
        TypeError: It cannot; or what it does would have to be awaited, which nobody does.
    """
    if not callable(value):
        raise TypeError(f"{what} must be callable, not {type(value).__name__}")
    from inspect import iscoroutinefunction  # noqa: PLC0415 - which commands do without

    if iscoroutinefunction(value) or iscoroutinefunction(getattr(value, "__call__", None)):  # noqa: B004 - see above
        raise TypeError(f"{what} must be an ordinary function: what an asynchronous one does is not awaited")
    return value


def with_article(name: str) -> str:
    """The name of a type as a sentence has it: "an int", "a str", "an SSLContext"."""
    # Capitals in a row are read letter by letter: the names of these begin with a vowel.
    letters = name[:2].isupper() and name[0] in "AEFHILMNORSX"
    return f"{'an' if letters or name[0] in 'AEIOaeiou' else 'a'} {name}"


def is_path(text: str) -> bool:
    """Whether there can be a file of this name: it is not empty, and has no character that no path has."""
    try:
        octets = os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return bool(octets) and b"\0" not in octets


def require_path(value: Any, what: str) -> Path:
    """The path that a program gives, if there can be a file of that name.

    Args:
        value: The path.
        what: The argument, as the error names it.

    Raises:
        TypeError: It is neither a path nor a text.
        UsageError: It is empty, or has a character that no path has.
    """
    text = str(require(value, what, Path, str))
    if not is_path(text):
        raise UsageError(f"{what} is {text!r}", remedy="expected the path of a file or folder")
    return Path(text)


def require_many(value: Any, what: str) -> Iterable[Any]:
    """Several values that a program gives in one argument: a text is none, although it can be gone through.

    Args:
        value: The values.
        what: The argument, as the error names it.

    Raises:
        TypeError: It is a text, octets, a mapping, or nothing that can be gone through.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{what} must be several in a tuple or a list, not {type(value).__name__}")
    return value
