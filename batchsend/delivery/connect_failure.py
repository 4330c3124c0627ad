"""What goes wrong while a session is opened, in words that a user understands."""

from __future__ import annotations

import errno
import os
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

from aiosmtplib import SMTPAuthenticationError, SMTPResponseException, SMTPServerDisconnected, SMTPTimeoutError

from batchsend.delivery.credentials import MechanismRefusedError, NotOfferedError
from batchsend.delivery.judges import goes_on, judge
from batchsend.display import one_line
from batchsend.outcome import Stage
from batchsend.smtp.replies import Reply
from batchsend.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable


class ConnectFailure(NamedTuple):
    """Why a session could not be opened.

    Attributes:
        stage: How far it came.
        what: What happened; one line.
        remedy: What to check, or None.
        reply: What the server answered, or None.
        lasting: Trying again will not help: the certificate, the credentials or the set-up is wrong.
        local: This machine has not got so far as to ask the server, whose limits it says nothing of.
        again: A new connection is worth while at once: there is another mechanism to authenticate by.
    """

    stage: Stage
    what: str
    remedy: str | None = None
    reply: Reply | None = None
    lasting: bool = False
    local: bool = False
    again: bool = False

    @property
    def is_final(self) -> bool:
        """Whether a relay that has never let us in says that it will not: nothing listens there, or it says 5yz."""
        if self.reply is None:
            return self.stage is Stage.CONNECT
        return 500 <= self.reply.code < 600 and not goes_on(judge(self.stage, self.reply).verdict)


def unresolved(error: Exception) -> ConnectFailure:
    """The host has no address."""
    reason = error.strerror if isinstance(error, OSError) else error
    return ConnectFailure(
        Stage.CONNECT, f"the host name cannot be resolved: {reason}", "check host in [server], and the DNS", local=True
    )


# How aiosmtplib begins to tell of what is no reply, before it says all of it.
_MALFORMED: Final = "Malformed SMTP response line: "
_SHOWN: Final = 100  # characters of it
_NO_CODE: Final = -1

# What the system says where this machine has no more descriptors, memory or ports for another connection.
_OWN_LIMITS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


def not_connected(error: OSError) -> ConnectFailure:
    """The system has made no connection."""
    what = os.strerror(error.errno) if error.errno else str(error)
    if error.errno not in _OWN_LIMITS:
        return unreachable([what])
    remedy = "allow this machine more open files (ulimit -n), or set max_connections lower"
    return ConnectFailure(Stage.CONNECT, f"this machine opens no more connections: {what}", remedy, local=True)


def unreachable(failures: Iterable[str]) -> ConnectFailure:
    """None of the host's addresses takes a connection; ``failures`` says why, one each."""
    what = f"cannot connect: {'; '.join(dict.fromkeys(failures))}"
    return ConnectFailure(Stage.CONNECT, what, "check host and port in [server], and that a server runs there")


def closed(stage: Stage) -> ConnectFailure:
    """The server hung up without a reply."""
    return ConnectFailure(
        stage, f"the server closed the connection at {stage}", "see the server's log, or try again later"
    )


def not_loopback() -> ConnectFailure:
    """The host's name says loopback, its address does not, and there are credentials and no TLS."""
    what = "credentials are not sent without TLS, and this is not loopback"
    return ConnectFailure(Stage.CONNECT, what, 'set tls = "starttls" or tls = "implicit"', lasting=True)


def no_require_tls() -> ConnectFailure:
    """The campaign asks for verified TLS all the way, and the server cannot promise it."""
    what = "the server does not offer REQUIRETLS, and without it nothing is sent"
    return ConnectFailure(
        Stage.EHLO, what, "take require_tls out of [delivery] if TLS to this server is enough", lasting=True
    )


def diagnose(stage: Stage, error: Exception, host: str, key: str = "password") -> ConnectFailure:
    """What aiosmtplib or the TLS library raised at this stage.

    Args:
        stage: The step that was under way.
        error: What was raised.
        host: The server's name, as the certificate should have it.
        key: The key in [server] that gives the password or token.
    """
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    if isinstance(cause, ssl.SSLError):
        return _tls(stage, cause, host)
    if isinstance(error, SMTPResponseException):
        return _refused(stage, error, key)
    if isinstance(error, SMTPTimeoutError | TimeoutError):
        return ConnectFailure(
            stage, f"no answer at {stage} in time", "check that this port speaks SMTP, or try again later"
        )
    if isinstance(error, SMTPServerDisconnected | ConnectionError):
        return closed(stage)
    if isinstance(error, NotOfferedError):
        return _no_mechanism(error, key)
    return _not_offered(stage, error)


def _tls(stage: Stage, error: ssl.SSLError, host: str) -> ConnectFailure:
    if isinstance(error, ssl.SSLCertVerificationError):
        what = f"the certificate is not trusted: {error.verify_message}"
        remedy = f"check that {host} is the server's name; to trust a private CA, set ca_file in [server]"
    else:
        what = f"TLS failed: {error.reason or error}"
        remedy = 'check port and tls in [server]: 587 speaks "starttls", 465 "implicit"'
    return ConnectFailure(stage, what, remedy, lasting=True)


def _refused(stage: Stage, error: SMTPResponseException, key: str) -> ConnectFailure:
    if not 200 <= error.code < 600:
        return _no_reply(stage, error.message)
    reply = Reply(error.code, error.message.encode("utf-8", "surrogateescape"))
    if isinstance(error, SMTPAuthenticationError):
        lasting = reply.code >= 500
        remedy = f"check username and {key} in [server]" if lasting else "try again later"
        again = isinstance(error, MechanismRefusedError)
        return ConnectFailure(stage, f"the credentials were refused: {reply}", remedy, reply, lasting, again=again)
    lasting = stage is Stage.STARTTLS and reply.code >= 500
    remedy = "see what the server says, or try again later"
    if stage is Stage.EHLO and reply.code >= 500 and judge(stage, reply).reason is Reason.HELLO:
        remedy = "set ehlo_name in [server] to a host name that exists in the DNS"
    return ConnectFailure(stage, f"refused at {stage}: {reply}", remedy, reply, lasting)


def _no_reply(stage: Stage, message: str) -> ConnectFailure:
    """The server says what is no reply: aiosmtplib has -1 for its code, or what else it takes for a number.

    To a login it is an answer all the same: whatever it means, that is not tried again at once.
    """
    said = one_line(message.removeprefix(_MALFORMED).strip())
    what = f"what the server says at {stage} is no reply of SMTP: {said[:_SHOWN]}"
    reply = Reply(_NO_CODE, said[:_SHOWN].encode("utf-8", "surrogateescape")) if stage is Stage.AUTH else None
    return ConnectFailure(stage, what, "check host and port in [server]: another service may be there", reply)


def _not_offered(stage: Stage, error: Exception) -> ConnectFailure:
    if stage is Stage.STARTTLS:
        what = "the server does not offer STARTTLS, and without it nothing is sent"
        return ConnectFailure(
            stage, what, 'if this port speaks TLS from the start (465), set tls = "implicit"', lasting=True
        )
    return ConnectFailure(stage, f"failed at {stage}: {error}")


def _no_mechanism(error: NotOfferedError, key: str) -> ConnectFailure:
    """The server knows no way to take the credentials."""
    if not error.offered:
        what = "the server offers no AUTH"
        remedy = f"take username and {key} out of [server] if it wants none; otherwise check port and tls"
    else:
        what = f"{key} needs AUTH {' or '.join(error.needed)}, and the server offers {', '.join(error.offered)}"
        other = "a password" if key.startswith("token") else "token or token_command"
        remedy = f"give {other} in [server] instead of {key} if it takes that; otherwise check host, port and tls"
    return ConnectFailure(Stage.AUTH, what, remedy, lasting=True)
