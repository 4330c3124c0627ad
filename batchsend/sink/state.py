"""Everything that one session of the embedded server knows, and what it asks of the owner of its connection.

`batchsend.sink.commands` changes a `ServerState`, command by command; `batchsend.sink.session` reads octets and decides
which of its functions is called. Nothing in these three modules does input or output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from batchsend.sink.grammar import NO_PARAMETERS, ServerParameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.room import Room
    from batchsend.sink.authentication import ServerExchange
    from batchsend.sink.options import SinkOptions
    from batchsend.sink.received import Counts, Received
    from batchsend.sink.rules import Rule

_OF_A_PIECE: Final = 64
"""Octets that it takes to keep a piece of a content, beside its own: a client may send one octet at a time."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, then call the session's ``resume``.

    Attributes:
        seconds: How long.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class StartTls:
    """Negotiate TLS as the server, then call the session's ``tls_started``."""


@dataclass(frozen=True, slots=True)
class Close:
    """Send what was written before, then close the connection."""


ServerStep = bytes | Pause | StartTls | Close
"""What the owner of the connection has to do next: write octets, or one of the others."""


class Expected(Enum):
    """What the next octets from the client are."""

    COMMAND = auto()
    """A command line."""

    RESPONSE = auto()
    """The answer to an AUTH challenge."""

    DATA = auto()
    """The content after DATA."""

    CHUNK = auto()
    """The content after BDAT."""

    PAUSED = auto()
    """Anything, to be read after a pause."""

    TLS = auto()
    """Nothing until TLS is negotiated."""

    CLOSED = auto()
    """Nothing any more."""


class ServerContent:
    """The content of one message as it arrives in chunks (RFC 3030); kept only if it is wanted and there is room.

    Args:
        wanted: Whether to keep it.
        limit: The largest message in octets; 0 for no limit.
        room: What all messages have together that are kept; None for no limit.

    Attributes:
        octets: How many came.
        crowded_out: There was no room for all of it.
    """

    __slots__ = ("_kept", "_limit", "_parts", "_room", "_wanted", "crowded_out", "octets")

    def __init__(self, *, wanted: bool, limit: int, room: Room | None = None) -> None:
        self._wanted = wanted
        self._limit = limit
        self._room = room
        self._parts: list[bytes] = []
        self._kept = 0  # octets of the room
        self.crowded_out = False
        self.octets = 0

    @property
    def too_large(self) -> bool:
        """Whether it exceeds the limit (RFC 1870 §3)."""
        return 0 < self._limit < self.octets

    def add(self, buffer: bytes, start: int, stop: int, *, last: bool) -> None:  # noqa: ARG002 - for dots only
        """Take what stands between two places of a buffer.

        Args:
            buffer: Where it is.
            start: Where it begins.
            stop: Where it ends.
            last: Whether it completes the content.
        """
        self.octets += stop - start
        if self._wanted:
            if self._room is not None and not self._has_room(self._room, stop - start):
                self.crowded_out = True
                self.drop()
                return
            self._parts.append(buffer[start:stop])
            if self.too_large:
                self.drop()

    def drop(self) -> None:
        """Keep nothing of it any more."""
        self._wanted = False
        self._parts.clear()
        if self._room is not None:
            self._room.give_back(self._kept)
            self._kept = 0

    def _has_room(self, room: Room, octets: int) -> bool:
        """Take room for a piece, and for what keeping a piece takes, however small it is."""
        if not room.take(octets + _OF_A_PIECE):
            return False
        self._kept += octets + _OF_A_PIECE
        return True

    def value(self) -> bytes:
        """The message; empty if it was not wanted."""
        return b"".join(self._parts)


class ServerDotStuffedContent(ServerContent):
    """The content of one message as it arrives after DATA: with stuffed dots (RFC 5321 §4.5.2).

    What is added starts with the CRLF that ended the DATA command, so that every line, the first one too, is known by
    the CRLF before it.
    """

    __slots__ = ("_dots",)

    def __init__(self, *, wanted: bool, limit: int, room: Room | None = None) -> None:
        super().__init__(wanted=wanted, limit=limit, room=room)
        self._dots = 0
        self.octets = -len(b"\r\n")

    @property
    def too_large(self) -> bool:
        """Whether it exceeds the limit, for which stuffed dots do not count (RFC 1870 §3)."""
        return 0 < self._limit < self.octets - self._dots

    def add(self, buffer: bytes, start: int, stop: int, *, last: bool) -> None:
        """Take what stands between two places of a buffer; see :meth:`ServerContent.add`."""
        # Content that comes in one piece and fits with its stuffed dots fits without them: most is not looked through.
        if self._limit and (not last or self.octets > 0 or stop - start > self._limit):
            # A dot belongs to the piece that its CRLF begins in; the one after the last piece is the end of the data.
            self._dots += buffer.count(b"\r\n.", start, stop if last else stop + 2)
        super().add(buffer, start, stop, last=last)

    def value(self) -> bytes:
        """The message, dots unstuffed; empty if it was not wanted."""
        return b"".join(self._parts).replace(b"\r\n.", b"\r\n")[2:]


@dataclass(slots=True)
class ServerTransaction:
    """What MAIL and RCPT have said so far (RFC 5321 §3.3).

    Attributes:
        reverse_path: The sender's mailbox, in UTF-8; empty for the null reverse-path.
        parameters: The parameters of MAIL.
        recipients: The mailboxes of the accepted RCPT commands, in UTF-8.
        refused: Whether a RCPT was refused.
        rule: The first of the recipients' rules that is to be applied to the content.
        chunked: Whether BDAT has begun to bring the content.
        failed: Whether a chunk was refused, so that the transaction can only end (RFC 3030 §2).
    """

    reverse_path: bytes = b""
    parameters: ServerParameters = NO_PARAMETERS
    recipients: list[bytes] = field(default_factory=list)
    refused: bool = False
    rule: Rule | None = None
    chunked: bool = False
    failed: bool = False


NO_TRANSACTION: Final = ServerTransaction()
"""Stands for no transaction: there has been no MAIL."""


class ServerState:
    """One session's state, and the few things that every command does to it: reply, refuse, pause, close.

    It is made by a `ServerSession`, of the same arguments.

    Attributes:
        user: Who has authenticated, or None.
        expected: What the next octets from the client are.
        extended: Whether the client introduced itself with EHLO, and so may use extensions.
        introduced: Whether it introduced itself at all.
        exchange: The authentication under way, or None.
        transaction: The mail transaction under way, or `NO_TRANSACTION`.
        content: The content that is being received.
        chunk_left: Octets of the chunk that are still to come.
        chunk_last: Whether it is the last chunk of its message.
        chunk_error: The refusal that the chunk gets when it has come whole, or None.
        accepted: Messages accepted in this session.
        takes_groups: Whether MAIL with SIZE and BODY would be accepted: what the shortcut for whole groups relies on.
        replies: Those that the owner of the connection has not been given yet.
    """

    __slots__ = (
        *("options", "counts", "deliver", "room", "number", "encrypted", "user", "expected", "extended", "introduced"),
        *("exchange", "transaction", "content", "chunk_left", "chunk_last", "chunk_error", "accepted"),
        *("takes_groups", "replies", "_after_pause", "_counted", "_steps"),
    )

    def __init__(
        self,
        options: SinkOptions,
        counts: Counts,
        deliver: Callable[[Received], None] | None,
        *,
        number: int,
        encrypted: bool,
        room: Room | None = None,
    ) -> None:
        self.options = options
        self.counts = counts
        self.deliver = deliver
        self.room = room
        self.number = number
        self.encrypted = encrypted
        self.user: str | None = None
        self.expected = Expected.COMMAND
        self.extended = False
        self.introduced = False
        self.exchange: ServerExchange | None = None
        self.transaction = NO_TRANSACTION
        self.content = ServerContent(wanted=False, limit=0)
        self.chunk_left = 0
        self.chunk_last = False
        self.chunk_error: bytes | None = None
        self.accepted = 0
        self.takes_groups = False
        self._after_pause = Expected.COMMAND
        self._counted = False
        self.replies: list[bytes] = []
        self._steps: list[ServerStep] = []

    def reply(self, line: bytes) -> None:
        """Answer.

        Args:
            line: The reply without the CRLF that ends it.
        """
        self.replies.append(line + b"\r\n")

    def refuse(self, line: bytes) -> None:
        """Answer with a refusal that no rule asked for, which is counted as an error."""
        self.counts.errors += 1
        self.reply(line)

    def pause(self, seconds: float) -> None:
        """Hold back every further reply for a while."""
        self._flush()
        self._steps.append(Pause(seconds))
        self._after_pause, self.expected = self.expected, Expected.PAUSED

    def end_pause(self) -> None:
        """Go on where the pause began; without a pause nothing happens."""
        if self.expected is Expected.PAUSED:
            self.expected = self._after_pause

    def start_tls(self) -> None:
        """Have the owner negotiate TLS once what was answered is sent."""
        self._flush()
        self._steps.append(StartTls())
        self.expected = Expected.TLS

    def abandon_tls(self) -> None:
        """Take back the wish for TLS, and close."""
        self._steps = [step for step in self._steps if isinstance(step, bytes)]
        self.close()

    def close(self) -> None:
        """Close the connection once what was answered is sent."""
        self._flush()
        self._steps.append(Close())
        self.expected = Expected.CLOSED

    def forget_transaction(self) -> None:
        """There is no transaction any more, and nothing is kept of the content that has come of it."""
        self.transaction = NO_TRANSACTION
        self.content.drop()

    def forget_client(self) -> None:
        """Forget all that the client has said, as the beginning of TLS demands (RFC 3207 §4.2)."""
        self.user = None
        self.introduced = self.extended = False
        self.forget_transaction()
        self.expected = Expected.COMMAND
        self.update_takes_groups()

    def introduce(self, *, extended: bool) -> None:
        """The client has said who it is, by EHLO or HELO, which ends a transaction under way (RFC 5321 §4.1.4)."""
        if not self._counted:
            # Once, though a client introduces itself again after STARTTLS.
            self._counted = True
            self.counts.sessions += 1
        self.introduced = True
        self.extended = extended
        self.forget_transaction()
        self.update_takes_groups()

    def update_takes_groups(self) -> None:
        """Work out ``takes_groups`` again, after a change of what it depends on."""
        options = self.options
        self.takes_groups = (
            self.extended
            and options.eight_bit_mime
            and options.recipients is None
            and (self.encrypted or not options.require_tls)
            and (self.user is not None or not options.require_auth)
            and (options.max_messages is None or self.accepted < options.max_messages)
        )

    def rule_for(self, forward_path: bytes) -> Rule | None:
        """The first rule that applies to a recipient, or None."""
        mailbox = forward_path.decode()
        return next((rule for rule in self.options.rules if rule.matches(mailbox)), None)

    def expect_data(self) -> None:
        """The content comes after DATA, up to the lone dot."""
        self.content = ServerDotStuffedContent(
            wanted=self.deliver is not None, limit=self.options.max_size, room=self.room
        )
        self.expected = Expected.DATA

    def take_steps(self) -> list[ServerStep]:
        """Hand over what is to be done next; replies that were given during a pause are held back with it."""
        if self.expected is not Expected.PAUSED:
            self._flush()
        steps, self._steps = self._steps, []
        return steps

    def _flush(self) -> None:
        if self.replies:
            self._steps.append(b"".join(self.replies))
            self.replies.clear()
