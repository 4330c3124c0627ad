"""The client's half of an SMTP session after EHLO: transactions in, octets out, replies in, outcomes out. No I/O.

The rules that everything below keeps, and why they are safe, stand in the docstring of `batchsend.smtp`; comments name
them by their numbers.

With PIPELINING, MAIL, RCPT and DATA go in one group, and the content of one message opens the group of the next
(RFC 2920 §3.1): one round trip a message. With CHUNKING and a depth above 1, whole transactions follow each other
unanswered (RFC 3030 §4.2), with RSET between them. Without PIPELINING the same commands wait for each other.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from batchsend.outcome import Stage
from batchsend.smtp import commands
from batchsend.smtp.bare_replies import BareReply, add_text
from batchsend.smtp.client_state import ClientState, Handler, State
from batchsend.smtp.closing_replies import ABOUT_IDLENESS, IDLE_SECONDS, SILENCE_SECONDS, has_waited
from batchsend.smtp.content import END_OF_DATA, dot_stuffed
from batchsend.smtp.from_the_end import Asked, Command, settle_from_the_end
from batchsend.smtp.replies import DONE as _DONE
from batchsend.smtp.replies import Reply
from batchsend.smtp.telling_texts import Habits, TellingPlace
from batchsend.smtp.transaction import Key, SharedTransaction, Transaction

_OUT_OF_PLACE: Final = frozenset({500, 502, 503})
_NOT_KNOWN: Final = _OUT_OF_PLACE | {504}  # how a server says that it does not do BDAT
# Refused recipients, less accepted messages, after which a session begins nothing more (rule 6).
_REFUSALS: Final = 5
# Replies too many that are passed over in a row: a server may say a thing twice, one that goes on and on is broken.
_MOST_SURPLUS: Final = 3

# What RSET, QUIT and the lone dot are for.
_NO_TRANSACTION: Final[Transaction[Any]] = Transaction(None, mail=b"", rcpt=b"", content=b"")
# Looked up once, because every message passes through here: `batchsend.outcome` says what it costs.
_OPEN: Final = State.OPEN
_CLOSED: Final = State.CLOSED
_MAIL: Final = Stage.MAIL
_RCPT: Final = Stage.RCPT
_DATA: Final = Stage.DATA
_CONTENT: Final = Stage.CONTENT
_TO_RCPT: Final = TellingPlace.RCPT
_TO_RSET: Final = TellingPlace.RSET
_ELSEWHERE: Final = TellingPlace.NONE


class Client(ClientState[Key]):
    """Drives the transactions of one session.

    The caller owns the connection and the clock. Whenever octets come, and once at the beginning, it goes through this
    cycle, and through its second half when there is work again::

        for transaction in client.receive(octets, unsent=transport.get_write_buffer_size(), quiet=seconds):
            settle(transaction)                         # its `disposition`, `stage` and `reply` are final
        if client.state is State.CLOSED:
            for transaction in client.abandon(unsent=transport.get_write_buffer_size()):
                settle(transaction)                     # unsent: may go to another session; or in doubt
            transport.abort()
        else:
            while client.room and (transaction := next_one()) is not None:
                client.begin(transaction)
            for key in client.committing():
                write_down(key)                         # from here on it may be delivered
            transport.write(client.data_to_send())

    Its duties, which nothing here can see to, stand in the docstring of `batchsend.smtp`, too.
    """

    __slots__ = ()

    # --- what the caller does -------------------------------------------------------------------------------------

    @property
    def bound(self) -> bool:
        """The end of a message's content was handed out, and the reply to it is not here."""
        return any(handler == self._on_content and end <= self._handed for handler, _, _, end in self._awaited)

    def without_chunking(self) -> None:
        """Send the content by DATA after all; nothing may have been begun."""
        if self.begun:
            raise RuntimeError(f"too late to send by DATA: {self!r}")
        self._chunked = False
        self._depth = 1

    def begin(self, transaction: Transaction[Key]) -> None:
        """Begin a transaction; there must be room."""
        if self.room < 1:
            raise RuntimeError(f"no room for another transaction: {self!r}")
        self.begun += 1
        self._unanswered[transaction] = None
        if self._reset_owed:
            self._send(commands.RSET, self._on_reset, _NO_TRANSACTION, _MAIL)
        # What a refused BDAT leaves of its transaction is indeterminate (RFC 3030 §2: RSET must follow), Exim leaves it
        # open, and the next MAIL goes out before any refusal can be known.
        self._reset_owed = self._chunked
        if self._pipelining and not self._chunked and transaction.__class__ is Transaction:
            self._send_group(transaction)
            return
        self._send(transaction.mail, self._on_mail, transaction, _MAIL)
        if isinstance(transaction, SharedTransaction):
            for rcpt in transaction.rcpts:
                self._send(rcpt, self._on_shared_rcpt, transaction, _RCPT)
        else:
            self._send(transaction.rcpt, self._on_rcpt, transaction, _RCPT)
        if self._chunked:
            self._commit(transaction)
            content = transaction.content
            self._send(commands.bdat(len(content)) + content, self._on_content, transaction, _CONTENT)
        else:
            self._opening = transaction
            self._send(commands.DATA, self._on_data, transaction, _DATA)
        if self.begun >= self._max_messages:
            self.finish()

    def finish(self) -> None:
        """Begin nothing more; QUIT as soon as what was begun allows it."""
        self._quit_wanted = True
        self._quit_when_possible()

    def receive(self, data: bytes, *, unsent: int = 0, quiet: float = 0.0) -> list[Transaction[Key]]:
        """Take octets from the server; return the transactions that they decide, in order.

        Args:
            data: What the server sent.
            unsent: Octets handed out that have not left yet: nothing among them can have been answered (rule 3).
            quiet: Seconds since the server's last reply.
        """
        arrived = self._handed - unsent
        replies = self._parser.feed(data)
        self.replies += len(replies)
        for reply in replies:
            if self.state is _CLOSED:
                break
            if reply.code >= 400 or self._farewell is not None or not self._awaited:
                if not self._take(reply, arrived, quiet):
                    break
            else:
                # Nearly all of them: as `_assign`, without a call for each.
                handler, transaction, _, end = self._awaited[0]
                if end > arrived:
                    self._take_early(reply, handler, transaction, end)
                else:
                    self._awaited.popleft()
                    handler(reply, transaction)
                    if not self._awaited:
                        self._answered_all()
            quiet = 0.0
        if self._parser.too_long:
            self._cut(self._parser.error)
        elif self._parser.error is not None:
            if not self._awaited and quiet >= IDLE_SECONDS:
                self._anchor()
            self._break(self._parser.error)
        finished, self._finished = self._finished, []
        return finished

    def ask_for_the_end(self) -> bool:
        """The server has been silent for too long: send QUIT where its reply would show that others were lost (rule 5).

        Returns:
            False where nothing would be shown; True where the reply to QUIT is to be waited for.
        """
        if self.state is not _OPEN or self._held or self._handed != self._queued or not self._suspects:
            return False
        self._asked_for_the_end = True
        self._quit_wanted = True
        self.state = State.QUITTING
        self._send(commands.QUIT, self._on_quit, _NO_TRANSACTION, _MAIL)
        return True

    def ended_by_server(self, why: str, quiet: float) -> None:
        """The server ended the session without a word, or was silent for too long: why, and seconds since its last."""
        if self._farewell is not None:
            self.trouble = f"the server said {self._farewell}"
            self._leave_for_good()
        elif self.state is not _CLOSED:
            self._consider_loss(why, quiet)

    def abandon(self, *, unsent: int = 0) -> list[Transaction[Key]]:
        """The connection is gone, or to be closed: return what was begun and not handed back, in order.

        Each one's ``disposition`` says what is known of it.

        Args:
            unsent: Octets handed out that have not left, and never will: what ends among them is not committed.
        """
        self._uncommit(self._handed - unsent)
        self._end()
        self._held.clear()
        self._awaited.clear()
        self._set_aside.clear()
        self._opening = None
        unanswered, self._unanswered = list(self._unanswered), {}
        return unanswered

    # --- sending --------------------------------------------------------------------------------------------------

    def _send_group(self, transaction: Transaction[Key]) -> None:
        """MAIL, RCPT and DATA together: as `begin` does it by `_send`, at a third of the cost."""
        mail, rcpt = transaction.mail, transaction.rcpt
        self._out += (mail, rcpt, commands.DATA)
        after_mail = self._queued + len(mail)
        after_rcpt = after_mail + len(rcpt)
        self._queued = end = after_rcpt + len(commands.DATA)
        self._awaited += (
            (self._on_mail, transaction, _MAIL, after_mail),
            (self._on_rcpt, transaction, _RCPT, after_rcpt),
            (self._on_data, transaction, _DATA, end),
        )
        self._opening = transaction
        if self.begun >= self._max_messages:
            self.finish()

    def _quit_when_possible(self) -> None:
        # QUIT may follow content in one group (RFC 2920 §3.1), but not a DATA whose reply is still to come.
        if self._quit_wanted and self._opening is None and self.state is _OPEN:
            self._send(commands.QUIT, self._on_quit, _NO_TRANSACTION, _MAIL)
            self.state = State.QUITTING

    # --- receiving ------------------------------------------------------------------------------------------------

    def _take(self, reply: Reply, arrived: int, quiet: float) -> bool:
        """Take a reply that may be more than the answer to a command; whether the session lasts."""
        if self._farewell is not None and not self._goes_on(arrived):
            return False
        if reply.code == 421:
            self._close(reply, quiet)
            return True
        if not self._awaited:
            self._take_unasked(reply, quiet)
            return True
        if reply.code >= 400:
            handler = self._awaited[0][0]
            if handler in (self._on_mail, self._on_quit) and ABOUT_IDLENESS.search(reply.raw):
                self._close_idle(reply, quiet)  # it was said before the command had arrived
                return True
            if self._has_waited(reply, quiet):
                self._close(reply, quiet)
                return True
        self._assign(reply, arrived)
        return True

    def _goes_on(self, arrived: int) -> bool:
        """Take what seemed a farewell for the reply that it was; whether the session lasts, up to its QUIT."""
        self._assign(self._no_farewell(), arrived)
        self.finish()
        return self.state is not _CLOSED

    def _assign(self, reply: Reply, arrived: int) -> None:
        """Take a reply for the one to the command at the head."""
        handler, transaction, _, end = self._awaited[0]
        if end > arrived:
            self._take_early(reply, handler, transaction, end)
            return
        self._awaited.popleft()
        handler(reply, transaction)
        if not self._awaited:
            self._answered_all()

    def _answered_all(self) -> None:
        """Nothing is awaited any more: without PIPELINING, the next command is sent."""
        self._since_idle = 0
        if self._held and self.state is not _CLOSED:
            self._send(*self._held.popleft())

    def _take_unasked(self, reply: Reply, quiet: float) -> None:
        """Take a reply that nothing asked for: a closing reply, a surplus 2yz, or the end of all trust."""
        code = reply.code
        if quiet >= IDLE_SECONDS:
            self._anchor()
        if (code >= 400 or code == 221) and (quiet >= IDLE_SECONDS or ABOUT_IDLENESS.search(reply.raw)):
            self._close_idle(reply, quiet)
        elif self._is_surplus(code):
            add_text(self._finished, reply)
        else:
            self._lose_step(f"a reply to nothing: {reply}", reply)

    def _is_surplus(self, code: int) -> bool:
        """Whether a reply is one that may be passed over (rule 2 says why)."""
        if code not in _DONE:
            return False
        self.says_twice = True
        if self._refused_since or self._surplus >= _MOST_SURPLUS or self._bdat_refusal is not None:
            return False
        if self._chunked and self.begun > 1 and self.state is not State.QUITTING:
            return False
        self._surplus += 1
        if self._chunked:
            self.finish()
        return True

    def _tells_otherwise(self, reply: Reply, place: TellingPlace) -> bool:
        """Where no 354 comes, the text of a 2yz may prove that it is in its place, or that it is not (rule 5)."""
        if self._telling.proves(reply.raw, place):
            self._anchor()
        elif self._telling.contradicted:
            if self._telling.told:
                return True
            self.out_of_step = True
            self.finish()  # only the 221 will prove something
        return False

    def _take_early(self, reply: Reply, handler: Handler, transaction: Transaction[Any], end: int) -> None:
        """Take a reply to what has not left whole: a surplus 2yz (rule 3), or a refusal of content under way."""
        if handler != self._on_content and self._is_surplus(reply.code):
            add_text(self._finished, reply)
            return
        if self._bdat_refusal is not None and reply.code >= 400 and self._lines_refused > 0:
            self._lines_refused -= 1
            return
        if end > self._handed or reply.code < 400 or handler != self._on_content:
            self._break(f"a reply before its command: {reply}")
            return
        # The refusal counts: what was not sent cannot have been taken, and the 354 to DATA confirmed what came before.
        # But whether the server still reads the rest of the content, nobody knows.
        self._awaited.popleft()
        handler(reply, transaction)
        if not self._chunked:
            self.unconfirmed = 0
        self._break(f"content refused before it was sent: {reply}")

    def _on_mail(self, reply: Reply, transaction: Transaction[Key]) -> None:
        code = reply.code
        if self._bare is not None:
            self._bare.next = reply
        if code in _DONE:
            if self._chunked and self._tells_otherwise(reply, _ELSEWHERE):
                self._misplaced(reply, "MAIL", self._on_mail, transaction, _MAIL)
                return
            transaction.opened = True
            transaction.stage = _RCPT
            self._mail_said = reply
        elif code >= 400 and (code not in _OUT_OF_PLACE or not self.unconfirmed or reply.is_about_policy):
            self._refuse(transaction, _MAIL, reply)
        else:
            self._misplaced(reply, "MAIL", self._on_mail, transaction, _MAIL)

    def _on_rcpt(self, reply: Reply, transaction: Transaction[Key]) -> None:
        code = reply.code
        refused = transaction.reply is not None
        if code in _DONE and not refused:
            if self._chunked and self._tells_otherwise(reply, _TO_RCPT):
                self._misplaced(reply, "RCPT", self._on_rcpt, transaction, _RCPT)
                return
            self._rcpt_said = reply
            transaction.stage = _CONTENT if self._chunked else _DATA
        elif code >= 400:
            self._refuse(transaction, _RCPT, reply)
        else:
            self._misplaced(reply, "RCPT", self._on_rcpt, transaction, _RCPT)

    def _on_shared_rcpt(self, reply: Reply, transaction: SharedTransaction[Key]) -> None:
        """Take the reply to one of several RCPT. Who is refused is out; the last reply says whether anybody is left."""
        over = transaction.reply is not None  # MAIL was refused
        if reply.code >= 400:
            self._refused_since = True
        elif reply.code not in _DONE or over:
            self._misplaced(reply, "RCPT", self._on_shared_rcpt, transaction, _RCPT)
            return
        elif not self._chunked:
            self._rcpt_said = reply
        else:
            if self._tells_otherwise(reply, _TO_RCPT):
                self._misplaced(reply, "RCPT", self._on_shared_rcpt, transaction, _RCPT)
                return
            # It proves that this is a RCPT's reply, and not which one's.
            self._refused_since = self._refused_since or transaction.asked > transaction.taken
        if over or not transaction.answer(reply):
            return
        if transaction.taken:
            transaction.stage = _CONTENT if self._chunked else _DATA
        else:
            self._refuse(transaction, _RCPT, transaction.first_refusal)

    def _on_data(self, reply: Reply, transaction: Transaction[Key]) -> None:
        refused = transaction.reply is not None
        if self._bare is not None and reply.code not in _DONE:
            self._release_bare(shifted=self._surplus > 0)
        if reply.code == 354:
            if self._habits is None and not refused:
                self._learn_habits()
            # As `_anchor`, without a call for each message.
            self.unconfirmed = self._surplus = 0
            self._refused_since = refused
            self._opening = None
            if self._asked_for_the_end:
                # The server has been slow, and takes QUIT for the first line of the content: this message is not sent.
                self._cut("the server was silent for too long")
            elif refused:
                self._send(END_OF_DATA, self._on_lone_dot, _NO_TRANSACTION, _CONTENT)
                self._hand_back(transaction)
            else:
                transaction.stage = _CONTENT
                self._commit(transaction)
                self._send(dot_stuffed(transaction.content), self._on_content, transaction, _CONTENT)
        elif reply.code >= 400 and (refused or reply.code not in _OUT_OF_PLACE):
            self._refused_since = True
            transaction.refuse(_DATA, reply)
            self._end_opening(transaction)
        elif not refused and self._is_surplus(reply.code):
            # Of these commands the answers are still to come: the content's was there already.
            self._awaited.appendleft((self._on_data, transaction, _DATA, self._handed))
        else:
            self._misplaced(reply, "DATA", self._on_data, transaction, _DATA)
        self._quit_when_possible()

    def _learn_habits(self) -> None:
        """The 354 proves that MAIL, RCPT and the content before them were told what was said to them."""
        said = (self._mail_said, self._rcpt_said, self._content_said)
        if not self._surplus and said[0] is not None and said[1] is not None and said[2] is not None:
            self._habits = Habits(said[0], said[1], said[2])

    def _on_content(self, reply: Reply, transaction: Transaction[Key]) -> None:
        code = reply.code
        refused = transaction.reply is not None
        if code in _DONE and not refused:
            self.chunking_works = True
            if self._chunked and self._tells_otherwise(reply, _ELSEWHERE):
                self._misplaced(reply, "BDAT", self._on_content, transaction, _CONTENT)
                return
            transaction.reply = self._content_said = reply
            if not self._chunked and not reply.raw and self._awaited:
                self._bare = BareReply(transaction)
                return
        elif self._chunked and not self.chunking_works and code in _NOT_KNOWN and not refused:
            # The first BDAT went alone, so this is about it, unless the server says one thing too many: rule 8.
            self.chunking_refused = True
            self._bdat_refusal = reply
            self._lines_refused = transaction.content.count(b"\n") + _MOST_SURPLUS
            self.finish()
            return
        elif code >= 400 and (refused or not self._chunked or code not in _OUT_OF_PLACE):
            self._refused_since = True
            transaction.refuse(_CONTENT, reply)
        else:
            command = "BDAT" if self._chunked else "the content"
            self._misplaced(reply, command, self._on_content, transaction, _CONTENT)
            return
        self._hand_back(transaction)

    def _on_reset(self, reply: Reply, _: Transaction[Key]) -> None:
        if reply.code in _OUT_OF_PLACE:
            # The count is right, but the transaction may still be there: what follows goes to another session. If it
            # is another command's reply, the one to QUIT will not be in its place.
            self._refused_since = True
            self.finish()
        elif reply.code not in _DONE or (self._chunked and self._tells_otherwise(reply, _TO_RSET)):
            self._misplaced(reply, "RSET", self._on_reset, _NO_TRANSACTION, _MAIL)

    def _on_lone_dot(self, reply: Reply, _: Transaction[Key]) -> None:
        if reply.code < 400 and reply.code not in _DONE:
            self._misplaced(reply, "the lone dot", self._on_lone_dot, _NO_TRANSACTION, _CONTENT)

    def _on_quit(self, reply: Reply, _: Transaction[Key]) -> None:
        if self._bare is not None:
            self._bare.next = reply
            self._release_bare(shifted=True)
        twice = self.says_twice
        if reply.code == 221:
            # What came in its place before was one too many.
            self.says_twice = twice or self._surplus > 0
            self._anchor()
            if self._bdat_refusal is not None:
                self._close(self._bdat_refusal)
            self.state = _CLOSED
        elif self._bdat_refusal is not None and reply.code >= 400 and self._lines_refused > 0:
            self._lines_refused -= 1
            self._awaited.append((self._on_quit, _NO_TRANSACTION, _MAIL, self._handed))
        elif self._is_surplus(reply.code):
            # Either how this server says goodbye, or a reply too many: the end of the connection, or 221, will follow.
            # After BDAT it counts as one too many all the same, because nothing else would show it.
            self.says_twice = twice or self._chunked or self._surplus > 1
            self._awaited.append((self._on_quit, _NO_TRANSACTION, _MAIL, self._handed))
        else:
            self._misplaced(reply, "QUIT", self._on_quit, _NO_TRANSACTION, _MAIL)

    # --- transitions ----------------------------------------------------------------------------------------------

    def _refuse(self, transaction: Transaction[Key], stage: Stage, reply: Reply) -> None:
        self._refused_since = True
        transaction.refuse(stage, reply)
        if self._held:
            # Lockstep: RCPT and DATA of a refused transaction need not be sent at all.
            self._held.clear()
            self._end_opening(transaction)
            self._quit_when_possible()

    def _end_opening(self, transaction: Transaction[Key]) -> None:
        # A transaction that MAIL opened and that no content ended is still there; a second MAIL would be refused
        # (RFC 5321 §4.1.1.2), so RSET goes before it.
        self._opening = None
        self._reset_owed = transaction.opened
        self._hand_back(transaction)

    def _release_bare(self, *, shifted: bool) -> None:
        bare, self._bare = self._bare, None
        if bare is not None:
            self._hand_back(bare.completed(shifted=shifted))

    def _hand_back(self, transaction: Transaction[Key]) -> None:
        del self._unanswered[transaction]
        self._finished.append(transaction)
        self.unconfirmed += 1
        self._since_idle += 1
        if transaction.stage is _CONTENT:
            self._refusals = max(0, self._refusals - 1)
        elif transaction.opened:
            self._refusals += transaction.refused if isinstance(transaction, SharedTransaction) else 1
            if self._refusals >= _REFUSALS:
                self.finish()

    def _misplaced(
        self, reply: Reply, command: str, handler: Handler, transaction: Transaction[Any], stage: Stage
    ) -> None:
        """A reply cannot be that to the command at the head, which awaits its own still."""
        if reply.code == 354 and stage in (_MAIL, _RCPT) and self._is_told_apart:
            self.unconfirmed = 0  # a reply was lost, but not the content's
        self._awaited.appendleft((handler, transaction, stage, 0))
        self._lose_step(f"the reply to {command} was {reply}", reply)

    def _lose_step(self, error: str, reply: Reply | None = None) -> None:
        """From here on it is not known which reply is whose: read all of them, if that will show it (rule 9)."""
        if not self._telling.told:
            self._break(error)
            return
        self.error = error
        self.out_of_step = True
        self.finish()
        self._set_aside, self._awaited = self._awaited, deque()
        self._await_end(reply)

    def _await_end(self, reply: Reply | None) -> None:
        """Keep a reply of which it is not known whose it is, and wait for the next one, or for the end."""
        if reply is not None:
            self._kept.append(reply)
        self._awaited.append((self._on_unplaced, _NO_TRANSACTION, _CONTENT, 0))

    def _on_unplaced(self, reply: Reply, _: Transaction[Key]) -> None:
        if len(self._kept) > 2 * len(self._set_aside) + _MOST_SURPLUS:
            self._break(f"replies without end: {self.error}")
        else:
            self._await_end(reply)

    def _weigh(self) -> None:
        """The connection is closed: see what the replies that were kept prove (rule 9)."""
        places: dict[Any, Asked] = {
            self._on_reset: Asked.RESET,
            self._on_mail: Asked.MAIL,
            self._on_rcpt: Asked.RCPT,
            self._on_shared_rcpt: Asked.RCPT,
            self._on_content: Asked.CONTENT,
            self._on_quit: Asked.QUIT,
        }
        unanswered: list[Command] = [(places[handler], transaction) for handler, transaction, _, _ in self._set_aside]
        if not self.awaits_end or unanswered[-1][0] is not Asked.QUIT or self._handed != self._queued:
            self._break(self.error or "")
            return
        if settle_from_the_end(unanswered, self._kept, self._telling, refused_before=self._refused_since):
            self.error = None
            self.unconfirmed = 0

    def _consider_loss(self, why: str, quiet: float) -> None:
        """The server ended the session, perhaps after a silence in which it waited for us: replies may be lost."""
        if not self._awaited and quiet >= IDLE_SECONDS:
            self.was_idle = True
        if self._set_aside:
            self._weigh()
            return
        if quiet >= SILENCE_SECONDS and self._suspects:
            self.unconfirmed = self._suspects
            self._break(f"a reply may be lost: {why}")

    def _close_idle(self, closing_reply: Reply, quiet: float) -> None:
        self.was_idle = True
        self._close(closing_reply, quiet)

    def _close(self, closing_reply: Reply, quiet: float = 0.0) -> None:
        if self._set_aside:
            self._break(self.error or "")
            return
        self._consider_loss(f"the server said {closing_reply}", quiet)
        if self.state is _CLOSED:
            return
        self.closing_reply = closing_reply
        if self._has_waited(closing_reply, quiet):
            self._end()
        elif self._is_committed_behind:
            self._take_farewell(closing_reply)
        else:
            self._leave_for_good()

    def _has_waited(self, reply: Reply, quiet: float) -> bool:
        """Whether a refusal in the place of a content's reply comes from a server that has waited for us (rule 7)."""
        return bool(self._awaited) and self._awaited[0][0] == self._on_content and has_waited(reply, quiet)
