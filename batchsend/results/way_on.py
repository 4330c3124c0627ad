"""How one goes on with the run of a results log: by the command, and from a program, which may be who reads it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def way_on(log: Path, *, retry: str | None = None, accept_duplicates: bool = False) -> str:
    """What goes on with a run.

    Args:
        log: Its results log.
        retry: An outcome whose records are sent again.
        accept_duplicates: Although it cannot be known what was in flight when the run was killed.
    """
    command, call = f"batchsend resume {shlex.quote(str(log))}", "Batch(…, resumption=…)"
    if retry is not None:
        command, call = f"{command} --retry {retry}", f'Resumption(…, Choice(["{retry}"]))'
    if accept_duplicates:
        command, call = f"{command} --accept-duplicates", "Resumption(…, accept_duplicates=True)"
    return f"{command}, in Python {call}"
