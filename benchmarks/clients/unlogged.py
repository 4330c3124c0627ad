"""``batchsend`` with a ledger that keeps nothing: what journal and results log cost is the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import batchsend.run.batch
from batchsend.cli import main

if TYPE_CHECKING:
    from batchsend.outcome import DeliveryResult


class NullLedger:
    """Stands where the ledger does, and forgets everything."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._unwritten = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def commit(self, record: int, attempt: int) -> None:
        pass

    def append(self, _: DeliveryResult) -> bool:
        """True where a flush is due, as often as the ledger asks for one."""
        due, self._unwritten = not self._unwritten, True
        return due

    def flush(self) -> None:
        self._unwritten = False

    def withdraw(self, record: int, attempt: int) -> None:
        pass

    def look(self) -> str | None:
        """Nothing can be wrong with what is not there."""
        return None

    def end(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    setattr(batchsend.run.batch, "Ledger", NullLedger)  # noqa: B010 - a name that is none of the module's interface
    main()
