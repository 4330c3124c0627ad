"""Which key of the campaign file an error is about."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from batchsend.errors import RecordError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

KeyName: TypeAlias = Callable[[str], str]
"""Says what errors call a key of ``[message]``."""


def in_a_file(key: str) -> str:
    """As the campaign file has it; a message that stands in none has `python_terms.of_message`."""
    return f"message.{key}"


@contextmanager
def naming(key: str) -> Iterator[None]:
    """Make an error of the campaign out of what is wrong before any record is there.

    Args:
        key: Where it is wrong, as errors call it.

    Raises:
        UsageError: Something is; the message begins with the key.
    """
    try:
        yield
    except (RecordError, UsageError) as error:
        remedy = error.remedy or "Fix this key of the campaign file."
        # A text of the campaign file is called by its key, and a file may be called like one: message.html.
        is_said = error.message.startswith((f"{key}: ", f"{key}, line "))
        raise UsageError(error.message if is_said else f"{key}: {error.message}", remedy=remedy) from error
