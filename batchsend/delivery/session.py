"""One session: the transport's callbacks on one side, the sans-IO client on the other, and the clock.

Nothing here is awaited: what arrives is handed to the client, what it decides is settled, what there is room for is
begun, and everything that is to go out goes in one write.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from batchsend.delivery.judges import judge
from batchsend.delivery.offer import Offer, not_believed
from batchsend.delivery.several_recipients import is_too_many_recipients, room_for_recipients
from batchsend.delivery.transactions import share, single
from batchsend.message.submission import Bundle
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.smtp.client import Client
from batchsend.smtp.client_state import State
from batchsend.smtp.parameters import ReportRequest, SessionParameters
from batchsend.smtp.transaction import Disposition, SharedTransaction, Transaction
from batchsend.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from batchsend.campaign import Delivery
    from batchsend.delivery.connector import Opened
    from batchsend.delivery.relay import Relay
    from batchsend.delivery.replies import Judgement
    from batchsend.message.submission import Submission
    from batchsend.smtp.replies import Reply

# Looked up once: see `batchsend.outcome`.
_CLOSED: Final = State.CLOSED
_QUITTING: Final = State.QUITTING
_IN_DOUBT: Final = Outcome.IN_DOUBT
_ACCEPTED: Final = Outcome.ACCEPTED
_DEFERRED: Final = Outcome.DEFERRED

# Octets a second: about a window in the three minutes that RFC 5321 §4.5.3.2.5 gives each block of the content.
_SLOWEST: Final = 64

# Seconds that a timer may be late on a machine that is busy as usual.
_LATE: Final = 0.02

# What an offer was told, and whether it was committed.
_Told: TypeAlias = "tuple[Offer, DeliveryResult, bool]"


class WorkSource(Protocol):
    """Where a session gets its work, and where it says what became of each offer: the pool."""

    def supply(self, session: Session) -> Submission | None:
        """The next submission, or None: then the session's `pump` is called when there is one."""

    def share(self, bundle: Bundle, most: int, session: Session) -> tuple[Submission, ...]:
        """Of a bundle that was just supplied, those that go in one transaction, at most so many."""

    def together(self, too_many: Sequence[Offer]) -> AbstractContextManager[None]:
        """What is settled and put back meanwhile is about the recipients of one transaction; some were too many."""

    def commit(self, offer: Offer, session: Session) -> bool:
        """The end of an offer's content goes out next: from then on it may have been delivered.

        False holds the session back until its `release` is called: nothing may go out before.
        """

    def settle(self, offer: Offer, result: DeliveryResult, judgement: Judgement | None, session: Session) -> None:
        """A reply, or the lack of one, has decided an offer."""

    def put_back(self, offer: Offer, session: Session) -> None:
        """The session ended before the offer was committed, or before it was answered and nothing was taken."""

    def supersede(self, offer: Offer, earlier: DeliveryResult, result: DeliveryResult) -> None:
        """What an earlier result of an offer said cannot be believed; ``result`` takes its place."""


class SessionOwner(Protocol):
    """What owns a session's life: the slots of its relay."""

    def retiring(self, session: Session) -> None:
        """The session will soon have begun all the transactions that it may."""

    def ended(self, session: Session) -> None:
        """Nothing of the session is left: every offer it made is settled or put back."""

    def closed(self, session: Session) -> None:
        """The transport of a session that has ended is closed, too."""

    def may_chunk(self, session: Session) -> bool:
        """Whether a session that begins its first transaction may send it by BDAT."""

    def chunking_proven(self) -> None:
        """The server has taken a BDAT."""


class Session(asyncio.Protocol):
    """A session after its opening: drives the transport until the server or `finish` ends it.

    Args:
        number: Its number within the run, from 1.
        opened: The open transport and what the server offers.
        relay: The relay that it is a session of.
        work: Where its work comes from and goes to.
        owner: What owns its life.
        options: How long to wait for which reply, and what to ask of the server with each message.
        depth: Transactions that may be unanswered at once.
        max_messages: Transactions after which it ends by itself.
        announce_at: After so many transactions it tells its owner that it is retiring.

    Attributes:
        retired: Set when it begins nothing more.
        ended: Set when nothing of it is left.
        trouble: What ended it before its time, or None.
        began: When it was to begin its first transaction, on the loop's clock.
        answered: How many of its transactions a reply has decided.
        took: How many of them were accepted.
        doubted: How many of them were in doubt when it ended, because their replies had not come.
        chunked: Its content goes by BDAT.
        opened_at: When it was opened, on the loop's clock.
        group_lost: The server answered the first command of a group, and was silent then for too long.
        aborted: It was ended from this side, at once: its end says nothing of the server.
        left: It was told to leave: what it put back was not lost, and it took no harm.
        trace: Where its dialogue is written, or None. The transport sees to that; its owner may add notes.
        unfinished: It ended while it could still have begun transactions, or with some that were put back.
        probed_in_vain: It ended before the server had answered its first BDAT.
    """

    # Python 3.11 keeps more than thirty attributes in a dictionary of the object's own, and looks each method up anew.
    # fmt: off
    __slots__ = (
        "_announce_at", "_client", "_due", "_excused", "_held", "_in_clear", "_last_progress", "_last_reply",
        "_left_before", "_limits", "_looked", "_loop", "_owner", "_parameters", "_paused", "_timeouts", "_timer",
        "_transport", "_unconfirmed", "_unproven", "_work", "_written", "aborted", "answered", "began", "chunked",
        "doubted", "ended", "extensions", "group_lost", "left", "max_messages", "number", "opened_at", "probed_in_vain",
        "relay", "retired", "took", "trace", "trouble", "unfinished",
    )
    # fmt: on

    def __init__(
        self,
        number: int,
        opened: Opened,
        *,
        relay: Relay,
        work: WorkSource,
        owner: SessionOwner,
        options: Delivery,
        depth: int,
        max_messages: int,
        announce_at: int,
    ) -> None:
        self._timeouts = timeouts = options.timeouts
        self.number = number
        self.max_messages = max_messages
        self.retired = asyncio.Event()
        self.ended = asyncio.Event()
        self.trouble: str | None = None
        self.answered = self.took = self.doubted = 0
        self.unfinished = False
        self.left = self.aborted = False
        self.group_lost = False
        self.probed_in_vain = False
        self.chunked = depth > 1
        # The first BDAT that the server takes is still to come, from this session's point of view.
        self._unproven = self.chunked and not relay.chunking_works
        self._announce_at = announce_at
        self.extensions = opened.extensions
        self.trace = opened.trace
        self._transport = opened.transport
        self._in_clear = opened.transport.get_extra_info("sslcontext") is None
        dsn = options.dsn
        reports = None if dsn is None else ReportRequest(dsn.notify, dsn.ret)
        self._parameters = SessionParameters(opened.extensions, reports=reports, require_tls=options.require_tls)
        self.relay = relay
        self._work = work
        self._owner = owner
        self._limits = {
            Stage.MAIL: timeouts.mail,
            Stage.RCPT: timeouts.rcpt,
            Stage.DATA: timeouts.data,
            Stage.CONTENT: timeouts.content,
        }
        self._client: Client[Offer] = Client(
            pipelining=opened.extensions.pipelining,
            depth=depth,
            max_messages=max_messages,
            chunking_works=relay.chunking_works,
            known_replies=relay.known_replies,
        )
        # What offers were told and the client has not yet seen confirmed.
        # One entry a transaction, of one or more recipients.
        self._unconfirmed: deque[_Told | list[_Told]] = deque()
        self._paused = False
        self._held = False  # something to be committed is not in the account yet
        self._loop = asyncio.get_running_loop()
        self._last_progress = self._last_reply = self._looked = self.began = self._loop.time()
        self.opened_at = self.began
        self._written = self._left_before = 0  # octets handed to the transport; of these, left at the last look
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the timer is due
        self._excused = False  # it was late once

    @property
    def begun(self) -> int:
        """How many transactions it has begun."""
        return self._client.begun

    @property
    def unanswered(self) -> int:
        """How many of its transactions await their last reply."""
        return self._client.unanswered

    @property
    def under_way(self) -> int:
        """How many of its offers await their last reply."""
        return sum(1 for _ in self._client.unanswered_keys())

    @property
    def octets(self) -> int:
        """The size of the messages that await their last reply."""
        return self._client.octets

    @property
    def closing_reply(self) -> Reply | None:
        """The 421 that ended it, or what the server said when it ended an idle session; or None."""
        return self._client.closing_reply

    @property
    def full(self) -> bool:
        """The server ended it for reasons of its own, such as enough messages; what it put back is not at fault."""
        reply = self._client.closing_reply
        if reply is None:
            return False
        judgement = judge(Stage.MAIL, reply)
        # 421 without words that say more may be about the record: the fifth session that it ends defers it.
        return judgement.outcome is None and judgement.verdict is not Verdict.LATER

    @property
    def broken(self) -> bool:
        """It was ended because its replies could not be believed: by us, so nothing follows for the server's limits."""
        return self._client.error is not None or self._client.out_of_step

    @property
    def why_ended(self) -> str:
        """What ended it, for messages."""
        return self.trouble or "it ended"

    @property
    def was_idle(self) -> bool:
        """The server ended it because nothing was sent for a while."""
        return self._client.was_idle

    @property
    def chunking_refused(self) -> bool:
        """The server offered CHUNKING, and refused it."""
        return self._client.chunking_refused

    @property
    def probing(self) -> bool:
        """Its first BDAT is unanswered, and the server is not known to take any."""
        return self._client.probing

    @property
    def says_twice(self) -> bool:
        """The server seems to answer something twice."""
        return self._client.says_twice

    def holds(self, record: int) -> Offer | None:
        """The offer of a record that is under way here, or None."""
        return next((offer for offer in self._client.unanswered_keys() if offer.submission.record == record), None)

    def attach(self) -> None:
        """Take the transport over from the connector; until `begin`, only watch it."""
        self._transport.set_protocol(self)
        self._watch(min(self._limits.values()))
        if self._transport.is_closing():
            self._end("the server closed the connection")
            self._owner.closed(self)  # the connector was told, and nobody will be again

    def begin(self) -> None:
        """Begin to send."""
        self.began = self._loop.time()
        if not self.ended.is_set():
            self.pump()

    def finish(self) -> None:
        """Begin nothing more; QUIT when everything is answered."""
        if not self.ended.is_set():
            self._client.finish()
            self._write()

    def leave(self) -> None:
        """Commit nothing more, because it would be refused: end as soon as what is committed is answered.

        A transaction that was begun cannot be taken back but by the end of the connection, and the content that a 354
        asks for must not follow.
        """
        self.left = True
        self.finish()

    def abort(self, trouble: str) -> None:
        """End at once: what is committed and not answered is in doubt."""
        self.aborted = True
        self._end(trouble)
        self._transport.abort()

    def cut(self) -> None:
        """Close the transport of a session that has ended, whatever the server has still to say."""
        self._transport.abort()

    # --- the hot path: once for each read -------------------------------------------------------------------------

    def pump(self) -> None:
        """Begin as many transactions as there is room and work for, and write once."""
        client = self._client
        if client.idle:
            self._last_progress = self._loop.time()
        while client.room and not self._paused:
            submission = self._work.supply(self)
            if submission is None:
                break
            transaction = self._transaction(submission)
            if transaction is not None:
                if self._unproven and not client.begun and not self._owner.may_chunk(self):
                    self.chunked = self._unproven = False
                    client.without_chunking()
                client.begin(transaction)
                if client.begun == self._announce_at:
                    self._owner.retiring(self)
        self._write()

    def data_received(self, data: bytes) -> None:
        """Replies: settle what they decide, begin what there is room for, write once."""
        client = self._client
        replies = client.replies
        now = self._loop.time()
        for transaction in client.receive(data, unsent=self._unsent(), quiet=now - self._last_reply):
            self._settle(transaction, None)
        if client.replies != replies:
            # Only whole replies count: a server that sends one octet now and then is as silent as one that sends none.
            self._last_progress = self._last_reply = now
        # As `_forget_confirmed`, without a call for each message.
        unconfirmed = self._unconfirmed
        while len(unconfirmed) > client.unconfirmed:
            unconfirmed.popleft()
        if self._unproven and client.chunking_works:
            self._unproven = False
            self._owner.chunking_proven()
        if client.state is _CLOSED:
            said = client.closing_reply and f"the server said {client.closing_reply}"
            self._end(client.error or client.trouble or said)
        elif not (self.left and self._leaves()):
            self.pump()

    def _leaves(self) -> bool:
        """End a session that was told to leave, where only what is not committed is unanswered."""
        if self._client.unanswered and not self._client.bound:
            self._end(None)
            return True
        return False

    def _forget_confirmed(self) -> None:
        while len(self._unconfirmed) > self._client.unconfirmed:
            self._unconfirmed.popleft()

    def _write(self) -> None:
        client = self._client
        if client.state is _QUITTING and client.takes_leave:
            self._watch(self._timeouts.quit)
            return
        if self.left and client.unanswered:
            return  # the last replies are awaited
        for offer in client.committing():
            if not self._work.commit(offer, self):
                self._held = True
        if not self._held and (data := client.data_to_send()):
            self._written += len(data)
            self._transport.write(data)
        if client.state is _QUITTING:
            self.retired.set()
            if not client.unanswered or client.awaits_end:
                self._watch(self._timeouts.quit)

    def release(self, safe: bool) -> None:
        """What held the session back is over: go on, or, where nothing more may go out, end."""
        if self.ended.is_set():
            return
        if not safe:
            self.abort("what goes out could not be taken down")
            return
        self._held = False
        self._last_progress = self._loop.time()
        if self.left and self._leaves():
            return  # what was held has not gone out, and nobody would ever answer it
        # First what was held: `pump` begins transactions that have to be taken down in their turn.
        self._write()
        self.pump()

    def _unsent(self) -> int:
        """Octets that were written and have not left yet; 0 under TLS, whose buffer holds other octets than ours."""
        return self._transport.get_write_buffer_size() if self._in_clear else 0

    def _transaction(self, submission: Submission) -> Transaction[Offer] | None:
        """The submission as commands and content; None if this server cannot take it, which settles it."""
        if submission.__class__ is Bundle:
            return self._shared_transaction(submission)
        made = single(submission, self.extensions, self._parameters)
        if isinstance(made, str):
            self._settle_unoffered(submission, made)
            return None
        return made

    def _shared_transaction(self, bundle: Bundle) -> Transaction[Offer] | None:
        """Several recipients as one transaction; those that this server cannot take are settled."""
        limits = (self.relay.limits.recipients, self.extensions.rcpt_max)
        members = self._work.share(bundle, min(limit for limit in limits if limit is not None), self)
        transaction, obstacles = share(members, self.extensions, self._parameters)
        for member, obstacle in obstacles:
            self._settle_unoffered(member, obstacle)
        return transaction

    def _settle_each(self, transaction: SharedTransaction[Offer], trouble: str | None) -> None:
        """Settle each recipient of a transaction as if it had had its own; towards limits it counts as one."""
        answered, took, unconfirmed = self.answered, self.took, len(self._unconfirmed)
        parts = transaction.parts()
        too_many: list[Offer] = []
        if (room := room_for_recipients(transaction)) is not None:
            self.relay.limits.too_many_recipients(room)
            too_many = [part.key for part in parts if is_too_many_recipients(part.reply)]
        with self._work.together(too_many):
            for part in parts:
                self._settle(part, trouble)
        self.answered, self.took = min(self.answered, answered + 1), min(self.took, took + 1)
        told = [self._unconfirmed.pop() for _ in range(len(self._unconfirmed) - unconfirmed)]
        if transaction.reply is not None or told:
            self._unconfirmed.append([one for one in reversed(told) if isinstance(one, tuple)])

    def _settle(self, transaction: Transaction[Offer], trouble: str | None) -> None:
        if isinstance(transaction, SharedTransaction):
            self._settle_each(transaction, trouble)
            return
        offer = transaction.key
        submission = offer.submission
        reply = transaction.reply
        if reply is None and transaction.disposition is Disposition.UNSENT:
            self._work.put_back(offer, self)
            return
        judgement = None
        status, reason = _IN_DOUBT, trouble
        if reply is not None:
            self.answered += 1
            status, reason = _ACCEPTED, None
            if reply.code >= 300:
                judgement = judge(transaction.stage, reply)
                status, reason = judgement.outcome or _DEFERRED, judgement.reason
        result = DeliveryResult(
            record=submission.record,
            recipient=submission.envelope.forward_path,
            status=status,
            stage=transaction.stage,
            code=None if reply is None else reply.code,
            enhanced=None if reply is None else reply.enhanced,
            reply=None if reply is None else reply.text,
            reason=reason,
            attempt=submission.attempt,
            session=self.number,
            message_id=submission.message_id,
            time=time.time(),
            # Whole microseconds: `round` goes by way of the decimal digits, which takes ten times as long.
            elapsed=int((time.monotonic() - offer.started) * 1e6 + 0.5) / 1e6,
        )
        if reply is not None:
            self._unconfirmed.append((offer, result, transaction.committed))
        self._work.settle(offer, result, judgement, self)

    def _settle_unoffered(self, submission: Submission, obstacle: str) -> None:
        """Settle what this server cannot take."""
        result = DeliveryResult(
            record=submission.record,
            recipient=submission.envelope.forward_path,
            status=Outcome.INVALID,
            reason=obstacle,
            session=self.number,
            message_id=submission.message_id,
            time=time.time(),
        )
        self._work.settle(Offer(submission, time.monotonic()), result, None, self)

    # --- the transport's other callbacks --------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The send buffer is full: begin nothing more, keep reading."""
        self._paused = True

    def resume_writing(self) -> None:
        """The send buffer has drained."""
        self._paused = False
        self._last_progress = self._loop.time()
        self.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; where that was not expected, it is what ended the session."""
        trouble = f"the connection was lost ({exc})" if exc else "the server closed the connection"
        if not self.ended.is_set():
            self._client.ended_by_server(trouble, self._loop.time() - self._last_reply)
            self._forget_confirmed()
        self._end(self._client.error or self._client.trouble or trouble)
        if self._timer is not None:
            self._timer.cancel()
        self._owner.closed(self)

    # --- the end --------------------------------------------------------------------------------------------------

    def _end(self, trouble: str | None) -> None:
        """End the session, whatever its state, and account for everything that it still holds. Once."""
        if self.ended.is_set():
            return
        self.retired.set()
        self.ended.set()
        if self._timer is not None:
            self._timer.cancel()
        client = self._client
        self.unfinished = client.state is not _QUITTING or bool(client.unanswered)
        self.probed_in_vain = client.probing
        if client.error is not None:
            # First what is taken back, then what goes back: a record that is in doubt now is not offered again. Until
            # then the client keeps what is under way: a later offer of the record may be in this same session.
            for entry in self._unconfirmed:
                for offer, result, committed in entry if isinstance(entry, list) else [entry]:
                    self._work.supersede(offer, result, not_believed(result, client.error, self.number, committed))
        unanswered = client.abandon(unsent=self._unsent())
        # Where nothing was sent in it, and it was not idle for long, it was opened in vain.
        in_vain = self.unfinished and not self.begun and not client.was_idle
        self.trouble = trouble if unanswered or client.error or client.trouble or in_vain else None
        self.doubted = sum(one.disposition is Disposition.IN_DOUBT for one in unanswered)
        for transaction in reversed(unanswered):
            self._settle(transaction, trouble)
        if self._client.error is None and not unanswered:
            self._transport.close()
            # In TLS the server has a part in that, and little time for it.
            self._timer = self._loop.call_later(self._timeouts.quit, self.cut)
        else:
            # What is still in the send buffer must not be sent any more.
            self._transport.abort()
        self._owner.ended(self)

    # --- time -----------------------------------------------------------------------------------------------------

    def _watch(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """See whether the server has been silent for too long; one timer a session, not one a command."""
        now = self._loop.time()
        client = self._client
        unsent = self._transport.get_write_buffer_size()
        # Octets that leave are progress; a few of them now and then are not, or a server could read for ever.
        left = self._written - unsent
        if client.idle or self._held or left - self._left_before > _SLOWEST * (now - self._looked):
            self._last_progress = now
        self._left_before, self._looked = left, now
        stage = client.awaits
        if client.state is _QUITTING and (not client.unanswered or client.awaits_end):
            limit = float(self._timeouts.quit)
        else:
            limit = self._limits.get(stage, self._timeouts.mail) if stage is not None else self._timeouts.mail
        remaining = self._last_progress + limit - now
        late = now - self._due
        if remaining <= 0 and late > _LATE and not self._excused:
            # While this process did not get to run, nothing was read either: that was not the server's silence. So it
            # is given as long again, and once only: a machine that is always late must not wait for ever.
            self._excused = True
            self._watch(min(late, limit))
            return
        self._excused = False
        if remaining <= 0:
            self.group_lost = stage is Stage.RCPT and self.extensions.pipelining
        if remaining <= 0 and client.ask_for_the_end():
            self._write()
            self._watch(self._timeouts.quit)
        elif remaining <= 0:
            trouble = f"no reply at {stage} within {limit:g} s"
            client.ended_by_server(trouble, now - self._last_reply)
            self._forget_confirmed()
            self._end(client.error or client.trouble or trouble)
        else:
            # The next stage may begin at any time, and its limit be shorter than what is left of this one's.
            self._watch(min(remaining, *self._limits.values()))

    def __repr__(self) -> str:
        return f"<Session {self.number} {'ended' if self.ended.is_set() else self._client!r}>"
