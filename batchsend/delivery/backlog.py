"""Submissions that are ready to be sent and not yet in a session."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from batchsend.message.submission import bundle, members_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchsend.message.submission import Submission

_OCTETS = 8 * 1024 * 1024


class Backlog:
    """A queue that knows when it wants more: bounded by number and, for large messages, by octets.

    Args:
        low: Below this number of submissions it wants more.
    """

    def __init__(self, low: int) -> None:
        self._low = low
        self._queue: deque[Submission] = deque()
        self._octets = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def wants_more(self) -> bool:
        """Whether the producer should go on."""
        return not self._queue or (len(self._queue) < self._low and self._octets < _OCTETS)

    def extend(self, submissions: Iterable[Submission]) -> None:
        """Queue new ones."""
        for submission in submissions:
            self._queue.append(submission)
            self._octets += len(submission.content)

    def put_back(self, submission: Submission) -> None:
        """Queue one that a lost session had taken: it goes first."""
        self._queue.appendleft(submission)
        self._octets += len(submission.content)

    def take(self) -> Submission:
        """The next one; there must be one."""
        submission = self._queue.popleft()
        self._octets -= len(submission.content)
        return submission

    def withdraw(self, record: int) -> Submission | None:
        """Take a record's submission out, wherever it stands; None if it does not wait here."""
        for place, queued in enumerate(self._queue):
            members = members_of(queued)
            found = next((member for member in members if member.record == record), None)
            if found is not None:
                rest = [member for member in members if member is not found]
                if rest:
                    self._queue[place] = bundle(rest)
                else:
                    del self._queue[place]
                    self._octets -= len(queued.content)
                return found
        return None

    def clear(self) -> None:
        """Forget all of them: the run stops, and they count as never attempted."""
        self._queue.clear()
        self._octets = 0

    def __repr__(self) -> str:
        return f"<Backlog {len(self._queue)} submissions, {self._octets} octets>"
