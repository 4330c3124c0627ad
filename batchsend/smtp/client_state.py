"""What a client knows of its session, what can be asked of it, and what goes out; what replies do is the client's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, cast

from batchsend.outcome import Stage
from batchsend.smtp.replies import KnownReplies, Reply, ReplyParser
from batchsend.smtp.telling_texts import Habits, TellingTexts
from batchsend.smtp.transaction import Key, SharedTransaction, Transaction

if TYPE_CHECKING:
    from batchsend.smtp.bare_replies import BareReply

Handler: TypeAlias = Callable[[Reply, Any], None]
"""Takes a reply to a command of a transaction."""

Awaited: TypeAlias = "tuple[Handler, Transaction[Any], Stage, int]"
"""Who takes a reply, for which transaction, at which stage, and where in the stream its command ends."""


class State(Enum):
    """Where a session is in its life."""

    OPEN = "open"
    QUITTING = "quitting"
    CLOSED = "closed"


# Looked up once, because every message passes through here: `batchsend.outcome` says what it costs.
_OPEN: Final = State.OPEN
_CLOSED: Final = State.CLOSED


class ClientState(Generic[Key]):
    """The state of one session.

    Args:
        pipelining: The server offered PIPELINING.
        depth: How many transactions may be unanswered at once. Above 1 the content goes by BDAT, which needs
            PIPELINING and CHUNKING offered.
        max_messages: How many transactions this session may begin; QUIT follows the last one.
        chunking_works: BDAT is known to be taken by this server. Where it is not, the first one goes alone.
        known_replies: What this server has said in other sessions; None for nothing.

    Attributes:
        state: OPEN, QUITTING once QUIT is on its way, CLOSED when no more octets may be sent.
        error: Why the replies cannot be believed any more, or None.
        trouble: Why the session was ended although its replies can be believed, or None.
        closing_reply: The reply that ended the session, or None: 421, or what was said to an idle session.
        was_idle: It was ended because nothing was sent for a while: that says nothing of how much it may carry.
        begun: How many transactions were begun.
        replies: How many whole replies were taken.
        chunking_refused: The server offered CHUNKING, and refused the first BDAT: it does not work there (rule 8).
        chunking_works: BDAT is known to be taken by this server.
        says_twice: A 2yz came that nothing was left for: the server seems to answer something twice.
        out_of_step: Replies came that did not fit, or texts out of place: the server is to be sent nothing by BDAT any
            more, whatever became of it.
        unconfirmed: How many of the transactions that were handed back last may have been told another one's reply
            (rule 5). Counts when ``error`` is set.
    """

    # Python 3.11 keeps more than thirty attributes in a dictionary of the object's own, and looks each method up anew.
    # fmt: off
    __slots__ = (
        "_asked_for_the_end", "_awaited", "_bare", "_bdat_refusal", "_before_farewell", "_chunked", "_committing",
        "_content_said", "_depth", "_farewell", "_finished", "_habits", "_handed", "_held", "_kept", "_lines_refused",
        "_mail_said", "_max_messages", "_opening", "_out", "_parser", "_pipelining", "_queued", "_quit_wanted",
        "_rcpt_said", "_refusals", "_refused_since", "_reset_owed", "_set_aside", "_since_idle", "_surplus",
        "_telling", "_unanswered", "begun", "chunking_refused", "chunking_works", "closing_reply", "error",
        "out_of_step", "replies", "says_twice", "state", "trouble", "unconfirmed", "was_idle",
    )
    # fmt: on

    def __init__(
        self,
        *,
        pipelining: bool,
        depth: int = 1,
        max_messages: int = 100,
        chunking_works: bool = True,
        known_replies: KnownReplies | None = None,
    ) -> None:
        if depth > 1 and not pipelining:
            raise ValueError("transactions that follow each other unanswered need PIPELINING")
        self.state = State.OPEN
        self.error: str | None = None
        self.trouble: str | None = None
        self.closing_reply: Reply | None = None
        self.was_idle = False
        self.begun = 0
        self.replies = 0
        self.unconfirmed = 0
        self._pipelining = pipelining
        self._depth = depth
        self._chunked = depth > 1
        self.chunking_works = chunking_works
        self.chunking_refused = False
        self.says_twice = False
        self.out_of_step = False
        self._max_messages = max_messages
        self._parser = ReplyParser(known_replies)
        # Who takes the next replies, in order (rule 1): for which transaction, at which stage, and where in the stream
        # of octets its command ends (rule 3).
        self._awaited: deque[Awaited] = deque()
        # Without PIPELINING: the commands that wait for the reply before them.
        self._held: deque[tuple[bytes, Handler, Transaction[Key], Stage]] = deque()
        self._out: list[bytes] = []
        self._committing: list[Key] = []
        self._queued = 0  # octets, since the beginning of the session
        self._handed = 0  # of these, given to the caller
        self._opening: Transaction[Key] | None = None  # DATA not answered yet
        self._unanswered: dict[Transaction[Key], None] = {}  # in the order of their beginning
        self._finished: list[Transaction[Key]] = []
        self._reset_owed = False
        self._since_idle = 0  # of the unconfirmed, those handed back since the last moment that nothing was awaited
        self._refusals = 0
        self._quit_wanted = self._asked_for_the_end = False
        # Since the last reply that has one place only (rule 5): replies too many, and whether there was a refusal.
        self._surplus, self._refused_since = 0, False
        self._telling = TellingTexts()
        # What the last MAIL, RCPT and content were told, where that was 2yz; and what this server says to them.
        self._mail_said = self._rcpt_said = self._content_said = cast("Reply | None", None)
        self._habits: Habits | None = None
        # The refusal of the first BDAT (rule 8), and how many more may come, one for each line of its content.
        self._bdat_refusal: Reply | None = None
        self._lines_refused = 0
        self._bare: BareReply[Key] | None = None
        # What seemed to be the last reply, while committed octets were behind it (rule 10), and the state until then.
        self._farewell, self._before_farewell = cast("Reply | None", None), State.OPEN
        # Once replies did not fit (rule 9): the commands that were unanswered, and all that came since.
        self._set_aside: deque[Awaited] = deque()
        self._kept: list[Reply] = []

    @property
    def room(self) -> int:
        """How many transactions may be begun now."""
        if self._opening is not None or self.state is not _OPEN or self._quit_wanted:
            return 0  # of BDAT none is opening
        left = self._max_messages - self.begun
        if self._chunked:
            depth = self._depth if self.chunking_works else 1
            return min(depth - len(self._unanswered), left)
        return 1 if left > 0 else 0

    @property
    def unanswered(self) -> int:
        """How many transactions were begun and not handed back."""
        return len(self._unanswered)

    @property
    def awaits_end(self) -> bool:
        """Only the end of the connection is still to come: after 221 (rule 9), or what seems a farewell (rule 10)."""
        return self._farewell is not None or (bool(self._kept) and self._kept[-1].code == 221)

    @property
    def takes_leave(self) -> bool:
        """The server has said what seems its last reply, and nothing more is sent until that is known (rule 10)."""
        return self._farewell is not None

    @property
    def _is_committed_behind(self) -> bool:
        """Whether content was handed out whole behind the command at the head."""
        return any(
            stage is Stage.CONTENT and end <= self._handed and place > 0
            for place, (_, _, stage, end) in enumerate(self._awaited)
        )

    def _take_farewell(self, reply: Reply) -> None:
        """Send nothing more, and see whether the server ends the session."""
        self._farewell, self._before_farewell = reply, self.state
        self.state = State.QUITTING

    def _no_farewell(self) -> Reply:
        """The server goes on: give back what seemed its last reply, to be taken for what it is."""
        reply, self._farewell = self._farewell, None
        if reply is None:
            raise RuntimeError("nothing seemed the last reply")
        self.state = self._before_farewell
        self.closing_reply, self.was_idle = None, False
        return reply

    def _leave_for_good(self) -> None:
        """Replies come in order: nothing behind the command that the last one answers was taken, committed or not."""
        self._farewell = None
        self._end()
        for transaction in self._unanswered:
            transaction.committed = False

    def _end(self) -> None:
        self.state = State.CLOSED
        self._uncommit(self._handed)  # what was not handed out by now never will be
        self._committing.clear()
        self._out.clear()

    def committing(self) -> list[Key]:
        """The names of what the octets to be handed out next commit: the last moment to write them down."""
        committing, self._committing = self._committing, []
        return committing

    def data_to_send(self) -> bytes:
        """The octets to hand to the transport now; what they commit is committed from here on."""
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._handed = self._queued
        return data

    def _send(self, data: bytes, handler: Handler, transaction: Transaction[Key], stage: Stage) -> None:
        if self._pipelining or not self._awaited:
            self._out.append(data)
            self._queued = end = self._queued + len(data)
            self._awaited.append((handler, transaction, stage, end))
        else:
            self._held.append((data, handler, transaction, stage))

    def _commit(self, transaction: Transaction[Key]) -> None:
        transaction.committed = True
        if isinstance(transaction, SharedTransaction):
            self._committing += transaction.not_refused
        else:
            self._committing.append(transaction.key)

    def _anchor(self) -> None:
        """A reply that has one place only is in its place: so were those before it (rule 5)."""
        self.unconfirmed = 0
        self._surplus = 0
        self._refused_since = False

    def _cut(self, trouble: str | None) -> None:
        # Nothing more is read, but what was read is in order: what was answered stands.
        if self.state is not _CLOSED:
            self.trouble = trouble
            self._end()

    def _break(self, error: str) -> None:
        if self.state is not _CLOSED:
            self.error = error
            for transaction in self._unanswered:
                transaction.forget_replies()  # a refusal that other replies were still to follow: perhaps another's
            self._end()

    def _uncommit(self, position: int) -> None:
        for _, transaction, _, end in (*self._awaited, *self._set_aside):
            if end > position:
                transaction.committed = False

    @property
    def idle(self) -> bool:
        """No reply is awaited."""
        return not self._awaited

    @property
    def awaits(self) -> Stage | None:
        """The stage of the reply awaited next, or None: what a time-out is counted against."""
        return self._awaited[0][2] if self._awaited else None

    @property
    def probing(self) -> bool:
        """The first BDAT to a server that is not known to take any is unanswered."""
        return self._chunked and not self.chunking_works and bool(self._unanswered)

    @property
    def _suspects(self) -> int:
        """How many of the transactions handed back last may have been told a later reply, if one was lost."""
        if not self._awaited:
            return 0
        return 0 if self._is_told_apart else min(self.unconfirmed, self._since_idle)

    @property
    def _is_told_apart(self) -> bool:
        """Whether what the last content was told cannot be the reply to the MAIL or RCPT behind it (rule 5)."""
        said = self._content_said
        if self._chunked or self._refused_since or said is None:
            return False
        if self._habits is not None and self._habits.tell_apart(said):
            return True
        about_address = self._mail_said is not None and self._mail_said.raw.startswith(b"2.1.")
        return about_address and said.enhanced is not None and not said.raw.startswith(b"2.1.")

    @property
    def octets(self) -> int:
        """The size of the contents of the transactions that are unanswered."""
        return sum(len(transaction.content) for transaction in self._unanswered)

    def unanswered_keys(self) -> Iterable[Key]:
        """The callers' names of the transactions that are unanswered, in the order of their beginning."""
        return (key for transaction in self._unanswered for key in transaction.keys)

    def __repr__(self) -> str:
        trouble = f", {self.error}" if self.error else f", {self.closing_reply.code}" if self.closing_reply else ""
        counts = f"{self.begun} of {self._max_messages} begun, {len(self._unanswered)} unanswered"
        return f"<Client {self.state.value}, {counts}{trouble}>"
