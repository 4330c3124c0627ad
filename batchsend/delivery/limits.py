"""How many sessions, and how many messages in each: what the campaign allows, and what the server does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from batchsend.message.submission import MOST_RECIPIENTS
from batchsend.smtp.closing_replies import is_about_waiting

if TYPE_CHECKING:
    from batchsend.smtp.replies import Reply

_PER_SESSION: Final = re.compile(
    rb"(?:message|recipient|mail|transaction|email)s? ?(?:count|limit)?.{0,20}(?:per|this|in|on|for) ?(?:a|one|the)? "
    rb"?(?:session|connection)",
    re.IGNORECASE,
)
# Sessions, one after the other, that the server ends after the same number of messages before that is its limit.
_REPEATED: Final = 3
_FIRST_HOLD: Final = 30.0
_LONGEST_HOLD: Final = 600.0
# What was only concluded is tried again after so long: the server may have had a bad hour.
_CONCLUSION_SECONDS: Final = 600.0


class Limits:
    """Decides how many sessions there may be and when each is rotated. Time is given, not asked for.

    Args:
        max_connections: The campaign's.
        max_messages: The campaign's.

    Attributes:
        max_messages: Messages of a session at present.
        recipients: Recipients of a transaction at present.
        learned: What the server has shown, by the name of the option that would set it.
    """

    def __init__(self, max_connections: int, max_messages: int) -> None:
        self.max_messages = max_messages
        self.recipients = MOST_RECIPIENTS
        self.learned: dict[str, float] = {}
        self._told_messages = max_messages  # the least that the campaign or the server has said in so many words
        self._configured_messages = max_messages
        self._concluded_until: float | None = None
        self._max_connections = max_connections
        self._connections = max_connections
        self._most_live = 0
        self._hold = _FIRST_HOLD
        self._held_until = 0.0
        self._last_count = 0
        self._last_end = 0.0
        self._repeated = 0

    @property
    def allowed(self) -> int:
        """How many sessions there might be at once when that was last decided."""
        return self._connections

    def connections(self, now: float) -> int:
        """How many sessions there may be at once."""
        return self._connections + (1 if self._may_grow(now) else 0)

    @property
    def most(self) -> int:
        """How many sessions are allowed by whoever sends."""
        return self._max_connections

    def set_most(self, connections: int) -> None:
        """From now on so many are allowed by whoever sends; what the server was found to allow holds as before."""
        unlimited = self._connections == self._max_connections
        self._max_connections = connections
        self._connections = connections if unlimited else min(self._connections, connections)

    def grow(self, now: float) -> None:
        """A session is about to be opened: if the last limit has been kept for long enough, try one more."""
        if self._may_grow(now):
            self._connections += 1
            self._held_until = now + self._hold

    def _may_grow(self, now: float) -> bool:
        return self._connections < self._max_connections and now >= self._held_until

    def opened(self, live: int) -> None:
        """A session was opened; there are now ``live``."""
        self._most_live = max(self._most_live, live)

    def connection_refused(self, others: int, now: float, *, local: bool = False) -> bool:
        """A session was refused for now while there were ``others``: perhaps one too many. True if that is concluded.

        Where as many were served before, the server only has not noticed yet that one has gone. Where this machine is
        at its own limits (``local``), fewer sessions will do, too, but nothing is learned of the server.
        """
        allowed = max(others, 1)
        if allowed >= self._connections or allowed < self._most_live:
            return False
        self._shrink(allowed, now, learned=not local)
        return True

    def too_many_connections(self, live: int, now: float) -> None:
        """The server says in so many words that there are too many sessions."""
        self._most_live = 0
        self._shrink(max(live - 1, 1), now)

    def fewer(self, now: float) -> None:
        """A slower rate did not help: half as many sessions."""
        self._shrink(max(self._connections // 2, 1), now)

    def announced(self, mail_max: int | None) -> None:
        """The server says in EHLO how many transactions a session may have (RFC 9422 §4.1)."""
        if mail_max is not None:
            self._is_told(mail_max)

    def too_many_recipients(self, taken: int) -> None:
        """The server says that a transaction has too many recipients; so many, one at least, it would have taken."""
        self.recipients = max(1, min(self.recipients, taken))

    def session_full(self, answered: int, now: float) -> None:
        """The server says that a session has had as many messages as it may have."""
        if answered > 0:
            self._is_told(answered)
        del now

    def max_messages_now(self, now: float) -> int:
        """Messages of a session that is opened now; a limit that was only concluded is tried again after a while."""
        if self._concluded_until is not None and now >= self._concluded_until:
            self._concluded_until = None
            self.learned.pop("max_messages", None)
            self.max_messages = self._configured_messages
            self._is_told(self._told_messages)
        return self.max_messages

    def session_closed(self, closing_reply: Reply | None, answered: int, opened_at: float, now: float) -> None:
        """The server ended a session before its time, after it had answered so many transactions.

        It may say that this is a limit. The same number again and again says it too, but only of sessions that follow
        each other: what ends several at once is no limit of each.

        Args:
            closing_reply: What the server said, or None.
            answered: How many transactions it had answered.
            opened_at: When the session was opened.
            now: The time.
        """
        if not 0 < answered < self.max_messages:
            return
        if closing_reply is not None and _PER_SESSION.search(closing_reply.raw):
            self._is_told(answered)
            return
        if closing_reply is not None and is_about_waiting(closing_reply):
            return  # it would have taken more, had there been any
        if answered != self._last_count:
            self._repeated = 0
        elif opened_at < self._last_end:
            return  # it was open when the one before it ended: they went together
        self._repeated += 1
        self._last_count, self._last_end = answered, now
        if self._repeated >= _REPEATED:
            self._learn_messages(answered)
            self._concluded_until = now + _CONCLUSION_SECONDS

    def _is_told(self, count: int) -> None:
        """The server says how many it takes; that holds also once what was only concluded is tried again."""
        self._told_messages = min(self._told_messages, count)
        if count < self.max_messages:
            self._learn_messages(count)

    def _learn_messages(self, count: int) -> None:
        self.max_messages = count
        self.learned["max_messages"] = count

    def _shrink(self, allowed: int, now: float, *, learned: bool = True) -> None:
        if allowed < self._connections:
            self._connections = allowed
            if learned:
                self.learned["max_connections"] = allowed
        self._held_until = now + self._hold
        self._hold = min(2 * self._hold, _LONGEST_HOLD)

    def __repr__(self) -> str:
        return f"<Limits {self._connections} of {self._max_connections} sessions, {self.max_messages} messages each>"
