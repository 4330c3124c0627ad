"""Which files a campaign's messages are made of: told by what is read, for whoever has to carry them elsewhere.

A template may include others, an HTML body may show images and link to style sheets, and a record may name an
attachment: nobody but the code that reads them knows all of them.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ: Final[ContextVar[set[Path] | None]] = ContextVar("files read", default=None)


@contextmanager
def noting(paths: set[Path]) -> Iterator[None]:
    """While the context lasts, every file that a message is made of is added to ``paths`` as it is read."""
    before = _READ.set(paths)
    try:
        yield
    finally:
        _READ.reset(before)


def note(path: Path | str) -> None:
    """A file is about to be read."""
    paths = _READ.get()
    if paths is not None:
        paths.add(Path(path))
