"""Submissions that are ready to be sent and not yet in a session."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from batchsend.delivery.signal import Signal
from batchsend.message.submission import bundle, members_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchsend.message.submission import Submission

_OCTETS: Final = 8 * 1024 * 1024

MOST_OCTETS: Final = 64 * 1024 * 1024
"""Octets of large messages that are under way at once, in all sessions together. Each takes about twice its size: as it
was composed, and as it goes out. One alone may be larger."""

LARGE: Final = 1024 * 1024
"""Octets of a message from which on messages are counted so."""


class Backlog:
    """A queue that knows when it wants more: bounded by number and, for large messages, by octets.

    Args:
        low: Below this number of submissions it wants more.

    Attributes:
        queue: What waits, in its order: to be looked at, not to be changed.
        large: There was a large message.
        wanted: It wants more. `withdraw` tells; where there are waiters, who calls `take` has to.
    """

    def __init__(self, low: int) -> None:
        self._low = low
        self.queue: deque[Submission] = deque()
        self._left: list[Submission] = []  # not offered any more, because the run stops
        self._octets = 0
        self.large = False
        self.wanted = Signal()

    def __len__(self) -> int:
        return len(self.queue)

    @property
    def wants_more(self) -> bool:
        """Whether the producer should go on."""
        return not self.queue or (len(self.queue) < self._low and self._octets < _OCTETS)

    def extend(self, submissions: Iterable[Submission]) -> None:
        """Queue new ones."""
        for submission in submissions:
            self.queue.append(submission)
            self._octets += (size := len(submission.content))
            if size > LARGE:
                self.large = True

    def put_back(self, submission: Submission) -> None:
        """Queue one that a lost session had taken: it goes first."""
        self.queue.appendleft(submission)
        self._octets += len(submission.content)

    def take(self) -> Submission:
        """The next one; there must be one."""
        submission = self.queue.popleft()
        self._octets -= len(submission.content)
        return submission

    def fits(self, under_way: Iterable[int]) -> bool:
        """Whether the next one may go out beside messages of these sizes."""
        return not self.queue or sum(under_way) + len(self.queue[0].content) <= MOST_OCTETS

    def holds(self, record: int) -> bool:
        """Whether a record's submission waits here, or was left when the run stopped."""
        queues = (self.queue, self._left)
        return any(member.record == record for queue in queues for one in queue for member in members_of(one))

    def withdraw(self, record: int) -> Submission | None:
        """Take a record's submission out, wherever it stands; None if it is not here."""
        for queue in (self.queue, self._left):
            for place, queued in enumerate(queue):
                members = members_of(queued)
                found = next((member for member in members if member.record == record), None)
                if found is not None:
                    rest = [member for member in members if member is not found]
                    if rest:
                        queue[place] = bundle(rest)
                    else:
                        del queue[place]
                        if queue is self.queue:
                            self._octets -= len(queued.content)
                            if self.wants_more:
                                self.wanted.notify()
                    return found
        return None

    def leave(self, submission: Submission) -> None:
        """Keep one that comes back while the run stops: it is not offered any more, but `withdraw` finds it."""
        self._left.append(submission)

    def clear(self) -> None:
        """The run stops: none of them is offered any more.

        They count as never attempted, unless `withdraw` takes one out because an earlier offer of it is in doubt.
        """
        self._left += self.queue
        self.queue.clear()
        self._octets = 0

    def __repr__(self) -> str:
        return f"<Backlog {len(self.queue)} submissions, {self._octets} octets>"
