"""Opening a session: TCP, greeting, EHLO, TLS, AUTH, EHLO again, in lockstep by aiosmtplib."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import ssl
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import anyio
import msgspec
from aiosmtplib import SMTP, SMTPException, SMTPHeloError

from batchsend.campaign import Duration, is_loopback
from batchsend.delivery.connect_failure import (
    ConnectFailure,
    closed,
    diagnose,
    no_require_tls,
    not_connected,
    not_loopback,
    unreachable,
    unresolved,
)
from batchsend.delivery.credentials import Credentials
from batchsend.delivery.login_client import LoginClient
from batchsend.errors import SessionError, UsageError
from batchsend.outcome import Stage
from batchsend.smtp.extensions import Extensions
from batchsend.trace import SessionTrace, smtp_log

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Sequence

    from batchsend.campaign import Server, Timeouts
    from batchsend.trace import Trace


# Shorter than the addresses of any relay are valid.
_ADDRESSES_SECONDS = 30.0

# How long an address that did not work is left alone while there are others.
_AVOIDED_SECONDS = 300.0

# RFC 8305 §5: the Connection Attempt Delay.
_NEXT_ADDRESS_SECONDS = 0.25

# Descriptors that connections leave to everything else: to modules that are loaded when they are first needed, and to
# files that are looked at in mid-run.
_LEFT_DESCRIPTORS = 3

# Turns of the loop in which a transport notices that its connection is shut down, with some to spare.
_TURNS_TO_CLOSE = 20

_Place = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
_Address = tuple[int, int, int, str, _Place]

_Result = TypeVar("_Result")


class ConnectError(SessionError):
    """A session could not be opened.

    Args:
        message: As for every `BatchsendError`.
        remedy: As for every `BatchsendError`.
        failure: How far it came, what happened, what to check, and whether trying again can help; None where the error
            is made of its arguments again, which say no more than message and remedy.

    Attributes:
        failure: As given.
        silent: Seconds of the attempt in which no session was there that the server could have answered in.
    """

    def __init__(self, message: str, remedy: str | None = None, *, failure: ConnectFailure | None = None) -> None:
        super().__init__(message, remedy)
        self.failure = ConnectFailure(Stage.CONNECT, message, remedy) if failure is None else failure
        self.silent = 0.0


class Opened(NamedTuple):
    """A session after its last EHLO, ready for MAIL.

    Attributes:
        where: Host and port of the server, for messages.
        transport: The open transport; its protocol is to be set.
        extensions: What the server offers in this session.
        trace: Where its dialogue is written, or None; the transport tells it of every octet.
        share: The part of ``max_messages`` that it is to have; less than all of them for measuring only.
    """

    where: str
    transport: asyncio.Transport
    extensions: Extensions
    trace: SessionTrace | None = None
    share: float = 1.0


class Connector:
    """Opens sessions to one server, at whichever of its addresses takes one.

    Args:
        server: Where to, how trusted, as whom.
        timeouts: How long each step may take.
        context: What to verify certificates with, instead of what the server's settings say.
        require_tls: Whether a session without REQUIRETLS (RFC 8689) is of no use.
        trace: Where each session's dialogue is written; None for nowhere. It is the caller's to close.

    Attributes:
        server: As given.
        where: Host and port, for messages.

    Raises:
        UsageError: ``ca_file`` holds no certificate; the context is a server's; or there are credentials without TLS
            and the host is not loopback.
    """

    opens_together = False
    """Whether several sessions are to be opened at once before the first one was: for measuring only."""

    def __init__(
        self,
        server: Server,
        timeouts: Timeouts,
        context: ssl.SSLContext | None = None,
        *,
        require_tls: bool = False,
        trace: Trace | None = None,
    ) -> None:
        self.server = server
        self.where = f"{server.host}:{server.port}"
        self._timeouts = timeouts
        self._context = context
        self._require_tls = require_tls
        self._trace = trace
        self._credentials = Credentials(server)
        self._known_addresses: Sequence[_Address] = ()
        self._known_until = 0.0
        self._opening_at: list[_Place] = []  # of sessions that are being opened
        self._avoided: dict[_Place, float] = {}  # addresses that did not work, and until when they are left alone
        if server.tls != "none" and context is None:
            self._context = _verifying_context(server)
        if context is not None and context.protocol is ssl.PROTOCOL_TLS_SERVER:
            raise UsageError(
                "context is one by which a server proves who it is, and verifies none",
                remedy="ssl.create_default_context() makes one that does",
            )
        if server.tls == "none" and server.username is not None and not is_loopback(server.host):
            raise UsageError(
                f"{self.where}: credentials are not sent without TLS", remedy='set tls = "starttls" or tls = "implicit"'
            )

    def be_patient_for(self, seconds: Duration) -> None:
        """Wait for no step of an opening longer than this: whoever opens a session gives the server up after it.

        A second is waited in any case, which a server far away needs for its greeting.
        """
        most, given = max(seconds, Duration(1)), self._timeouts
        self._timeouts = msgspec.structs.replace(
            given, connect=min(given.connect, most), greeting=min(given.greeting, most), ehlo=min(given.ehlo, most)
        )

    async def open(self) -> Opened:
        """Open one session.

        An address that cannot be connected to, or that turns the session away before its greeting is over, is left
        alone for some minutes, and the next one is tried. One that refuses a mechanism of AUTH and hangs up is
        connected to again, for the next mechanism.

        Raises:
            ConnectError: None of the addresses takes a session; it is about the last one tried. Nothing is left open.
        """
        now = asyncio.get_running_loop().time()
        addresses = await self.addresses()
        left = [address for address in addresses if self._avoided.get(address[4], 0.0) <= now] or list(addresses)
        while True:
            connection, place = await self._connect(left)
            try:
                return await self._open_on(connection, place)
            except ConnectError as error:
                if error.failure.again:
                    continue
                left = [address for address in left if address[4][:2] != place[:2]]
                if not left or error.failure.stage is not Stage.GREETING:
                    raise
                self._avoid(place)

    async def open_each(self) -> AsyncGenerator[tuple[str, Opened | ConnectError], None]:
        """Open one session after the other, to every address of the server.

        Yields:
            The address, or host and port where it has none; and the session, or why there is none.
        """
        try:
            addresses = await self.addresses()
        except ConnectError as error:
            yield self.where, error
            return
        for address in addresses:
            try:
                yield str(address[4][0]), await self._open_at(address)
            except ConnectError as error:
                yield str(address[4][0]), error

    async def _open_at(self, address: _Address) -> Opened:
        while True:
            try:
                return await self._open_on(*await self._connect([address]))
            except ConnectError as error:
                if not error.failure.again:
                    raise

    async def _open_on(self, connection: socket.socket, place: _Place) -> Opened:
        trace = None if self._trace is None else self._trace.next_session(self._with_whom(place))
        client = self._client(connection, trace)
        self._opening_at.append(place)
        try:
            opened = await self._introduce(client)
        except BaseException as error:
            client.close()
            await _hang_up(connection)
            self._tell(error.failure.what if isinstance(error, ConnectError) else "its opening was broken off", trace)
            raise
        finally:
            self._opening_at.remove(place)
        smtp_log.debug("%s: a session is open", self.where)
        return opened if trace is None else opened._replace(trace=trace)

    def _client(self, connection: socket.socket, trace: SessionTrace | None) -> LoginClient:
        """The client of aiosmtplib on a connection."""
        options: dict[str, Any] = {
            "hostname": self.server.host,
            "port": None,
            "use_tls": self.server.tls == "implicit",
            "start_tls": False,
            "tls_context": self._context,
            "sock": connection,
            "timeout": self._timeouts.ehlo,
        }
        if trace is None:
            return LoginClient(**options)
        from batchsend.delivery.traced import TracedClient  # noqa: PLC0415 - only where somebody has asked for it

        return TracedClient(trace, **options)

    def _with_whom(self, place: _Place) -> str:
        """Host and port, and the address where the host is a name."""
        return self.where if place[0] == self.server.host else f"{self.where} ({place[0]!s})"

    def _tell(self, why: str, trace: SessionTrace | None = None) -> None:
        """Say in log and trace why there is no session; where there was no connection, in a section of its own."""
        smtp_log.debug("%s: no session: %s", self.where, why)
        if trace is None and self._trace is not None:
            trace = self._trace.next_session(self.where)
        if trace is not None:
            trace.close(why)

    async def _connect(self, addresses: Sequence[_Address]) -> tuple[socket.socket, _Place]:
        """A TCP connection to the first of the addresses that answers, side by side after a moment (RFC 8305)."""
        try:
            async with asyncio.timeout(self._timeouts.connect):
                if len(addresses) == 1:
                    connection = await self._dial(addresses[0])
                else:
                    from aiohappyeyeballs import start_connection  # noqa: PLC0415 - for a host of several addresses

                    connection = await start_connection(
                        [(kind, type_, protocol, name, place) for kind, type_, protocol, name, place in addresses],
                        happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
                        interleave=1,
                    )
                    _leave_descriptors(connection)
        except TimeoutError:
            self._avoid(*(address[4] for address in addresses))
            raise self._no_connection(unreachable([f"no answer within {self._timeouts.connect}"])) from None
        except OSError as error:
            raise self._no_connection(not_connected(error)) from None
        try:
            place: _Place = connection.getpeername()
        except OSError:  # it was reset at once, which the socket says only when it is asked
            connection.close()
            raise self._no_connection(closed(Stage.GREETING)) from None
        if self._credentials and self.server.tls == "none" and not is_loopback(str(place[0])):
            # A name may say "localhost" and mean another machine.
            connection.close()
            raise self._no_connection(not_loopback())
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Those before it had a start of a moment at least, and have not answered: each session would wait for them.
        self._avoid(*(address[4] for address in takewhile(lambda one: one[4][:2] != place[:2], addresses)))
        return connection, place

    def avoid_awaited(self) -> None:
        """Leave the addresses alone that let a session wait now, where there are others: they have done so for long."""
        self._avoid(*self._opening_at)

    def _avoid(self, *places: _Place) -> None:
        until = asyncio.get_running_loop().time() + _AVOIDED_SECONDS
        for address in self._known_addresses:
            if any(address[4][:2] == place[:2] for place in places):
                self._avoided[address[4]] = until

    async def _dial(self, address: _Address) -> socket.socket:
        family, kind, protocol, _, place = address
        connection = socket.socket(family, kind, protocol)
        _leave_descriptors(connection)
        try:
            connection.setblocking(False)
            await _reach(connection, place)
        except BaseException:
            connection.close()
            raise
        return connection

    async def addresses(self) -> Sequence[_Address]:
        """The host's addresses; asked again after a while, because a session is opened every few seconds."""
        loop = asyncio.get_running_loop()
        if not self._known_addresses or loop.time() > self._known_until:
            try:
                self._known_addresses = await loop.getaddrinfo(
                    self.server.host, self.server.port, type=socket.SOCK_STREAM
                )
            except (OSError, UnicodeError) as error:
                raise self._no_connection(unresolved(error)) from None
            self._known_until = loop.time() + _ADDRESSES_SECONDS
        return self._known_addresses

    async def _introduce(self, client: SMTP) -> Opened:
        server = self.server
        stage = Stage.GREETING
        # Given here and not with the other options: aiosmtplib looks at each of its characters each time.
        name = server.ehlo_name or _own_name()
        try:
            if server.tls == "implicit":
                await _until_cancelled(client.connect(local_hostname=name, timeout=self._timeouts.greeting))
            else:
                async with asyncio.timeout(self._timeouts.greeting):
                    await client.connect(local_hostname=name, timeout=None)
            if server.tls == "starttls":
                stage = Stage.EHLO
                await client.ehlo()
                stage = Stage.STARTTLS
                await _until_cancelled(client.starttls())
            stage = Stage.EHLO
            extensions = await _ehlo(client)
            if not server.pipelining:
                extensions = replace(extensions, pipelining=False)
            if self._credentials:
                stage = Stage.AUTH
                await self._credentials.authenticate(client)
        except (SMTPException, OSError, ValueError) as error:
            raise self._failure(diagnose(stage, error, self.server.host, self._credentials.key)) from error
        transport = client.transport
        if transport is None or transport.is_closing():
            raise self._failure(closed(stage))
        if self._require_tls and (server.tls == "none" or not extensions.require_tls):
            raise self._failure(no_require_tls())
        # The client and its protocol hold each other: without this, both would stay in memory, and the socket with
        # them, until the garbage collector finds them.
        client.protocol = client.transport = None
        return Opened(self.where, cast("asyncio.Transport", transport), extensions)

    def _no_connection(self, failure: ConnectFailure) -> ConnectError:
        self._tell(failure.what)
        return self._failure(failure)

    def _failure(self, failure: ConnectFailure) -> ConnectError:
        return ConnectError(f"{self.where}: {failure.what}", failure.remedy, failure=failure)


def _leave_descriptors(connection: socket.socket) -> None:
    """Close a socket that takes one of the last descriptors of this process: the lowest that is free is taken first.

    Raises:
        OSError: It does; as the system says it where there is none left.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and connection.fileno() + _LEFT_DESCRIPTORS >= limit:
        connection.close()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def _reach(connection: socket.socket, place: _Place) -> None:
    """Connect a socket to an address that is resolved already.

    Not `loop.sock_connect`: that of uvloop asks a thread to resolve it once more, for each session.
    """
    code = connection.connect_ex(place)
    if code == errno.EINPROGRESS and not _has_peer(connection):
        loop = asyncio.get_running_loop()
        decided = loop.create_future()
        loop.add_writer(connection, _decide, decided)
        try:
            await decided
        finally:
            loop.remove_writer(connection)
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    elif code == errno.EINPROGRESS:
        code = 0
    if code:
        raise OSError(code, os.strerror(code))


def _has_peer(connection: socket.socket) -> bool:
    """Whether a connection is there already, as one on loopback is by the time that it is asked for."""
    try:
        connection.getpeername()
    except OSError:
        return False
    return True


def _decide(decided: asyncio.Future[None]) -> None:
    if not decided.done():
        decided.set_result(None)


def _verifying_context(server: Server) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
    except (ssl.SSLError, OSError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(
            f"{server.ca_file}: no certificates can be read from it ({reason})",
            remedy="ca_file in [server] names a file of certificates in PEM form",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _own_name() -> str:
    """What to say in EHLO: the host's name if it is a full one, otherwise an address literal (RFC 5321 §4.1.4).

    The DNS is not asked: where it does not answer, that would cost each session seconds.
    """
    name = socket.gethostname()
    return name if "." in name.strip(".") and name.isascii() else "[127.0.0.1]"


# A server says the same in each session.
_read_extensions = lru_cache(maxsize=4)(Extensions.parse)


async def _until_cancelled(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Await a TLS handshake of aiosmtplib, and see it ended by a cancellation at any moment.

    Its time-out has to be given to aiosmtplib, which then waits by `asyncio.wait_for`. That loses a cancellation in
    Python 3.11 where what it waits for comes in the same turn of the loop: the next step would wait for the server. So
    it is a task of its own, which is cancelled again and again until it has ended.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        while not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):  # this one is being cancelled already
                await asyncio.sleep(0)
        if not task.cancelled():
            task.exception()  # nobody is to hear of it any more, nor that nobody has
        raise
    return task.result()


async def _hang_up(connection: socket.socket) -> None:
    """See a connection closed whose transport aiosmtplib has closed, or lost sight of.

    A TLS transport takes leave of the server before it closes, and a loop must not end before that. To one that finds
    its connection shut down there is nothing left to say.
    """
    with suppress(OSError):  # it is closed already, or the server has reset it
        connection.shutdown(socket.SHUT_RDWR)
    with anyio.CancelScope(shield=True):
        for _ in range(_TURNS_TO_CLOSE):
            if connection.fileno() < 0:
                return
            await asyncio.sleep(0)
    connection.close()


async def _ehlo(client: SMTP) -> Extensions:
    """The extensions of the session as it is now: STARTTLS makes what was said before void (RFC 3207 §4.2)."""
    try:
        return _read_extensions((await client.ehlo()).message)
    except SMTPHeloError as error:
        if error.code < 500 or client.transport is None:
            raise
        try:
            await client.helo()  # RFC 5321 §3.2: a server that knows no EHLO
        except ConnectionError:  # it hung up: why, it said in its reply to EHLO
            raise error from None
        return Extensions()
