"""Django's e-mail over sessions that the process keeps: ``EMAIL_BACKEND = "batchsend.django.EmailBackend"``."""

from __future__ import annotations

import logging
import os
import smtplib
import ssl
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from email._header_value_parser import get_mailbox
from email.errors import HeaderParseError
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django import VERSION
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.functional import Promise

try:
    from django.core.mail.exceptions import InvalidMailer
except ImportError:  # before Django 6.1 there are no mailers, and nothing is to be said of them

    class InvalidMailer(ImproperlyConfigured):  # type: ignore[misc,no-redef]
        """An entry of ``MAILERS`` cannot be used."""

        def __init__(self, message: str, *, alias: str) -> None:
            super().__init__(f"MAILERS[{alias!r}]: {message}")


from batchsend.campaign import Delivery, Dkim, Dsn, Server, Timeouts, check_objects
from batchsend.django.composing import compose
from batchsend.errors import BatchsendError, RecordError, RunError, UsageError, require_path
from batchsend.message.dkim import Signer
from batchsend.message.outgoing import outgoing
from batchsend.message.submission import bundles
from batchsend.message.submitting import addresses, simple_address
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.patterns import late_pattern
from batchsend.sender.blocking import NumberedSyncSender, SyncSender
from batchsend.sender.unfinished import UnfinishedError

if TYPE_CHECKING:
    from batchsend.campaign.presets import Preset
    from batchsend.message.submission import Submission

_LOG: Final = logging.getLogger("batchsend.django")

_SERVER_KEYS: Final = frozenset({"ca_file", "token", "token_command", "ehlo_name"})
_DELIVERY_KEYS: Final = frozenset(
    {"max_connections", "max_messages", "rate", "depth", "give_up_after", "max_wait", "stop_after", "dsn"}
    | {"require_tls", "timeouts", "durability"}
)
_OTHERS: Final = frozenset({"preset", "dkim", "results"})
_OWN: Final = _SERVER_KEYS | _DELIVERY_KEYS | _OTHERS
_SETTINGS: Final = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
    "timeout": "EMAIL_TIMEOUT",
    "ssl_keyfile": "EMAIL_SSL_KEYFILE",
    "ssl_certfile": "EMAIL_SSL_CERTFILE",
}
_OF_PRESETS: Final = frozenset({"host", "port", "use_tls", "use_ssl"})
# What a sender's remedies call its arguments, and where Django has them.
_TERMS: Final = {
    'Server(tls="starttls")': "use_tls (EMAIL_USE_TLS)",
    'Server(tls="implicit")': "use_ssl (EMAIL_USE_SSL)",
    "Server(…)": "the settings",
    "Delivery(…)": "BATCHSEND",
    "Dkim(…)": 'BATCHSEND["dkim"]',
}
_OF_DELIVERY: Final = late_pattern(r'Delivery\((\w+)=("[^"]*"|\w+)\)')


class _Shared(NamedTuple):
    """What all backends of the same settings share."""

    sender: SyncSender
    signer: Signer | None


_MOST_SHARED: Final = 32
"""How many settings a process keeps a sender for, each of which has a thread, sessions and open files."""

SHARED: Final[OrderedDict[Any, _Shared]] = OrderedDict()
_lock = threading.RLock()  # a signal handler may send while the thread that it has interrupted has it


class EmailBackend(BaseEmailBackend):  # type: ignore[misc]  # Django says nothing of its types
    """Sends as Django's SMTP backend does, with its settings, over sessions that stay open between calls.

    All backends with the same settings share one `SyncSender` of the process. ``settings.BATCHSEND`` may hold what
    Django has no setting for, by the names of the campaign file: ``max_connections``, ``max_messages``, ``rate``,
    ``depth``, ``give_up_after``, ``max_wait``, ``stop_after``, ``dsn``, ``require_tls`` and ``timeouts`` of
    ``[delivery]``, ``preset``, ``ca_file``, ``token``, ``token_command`` and ``ehlo_name`` of ``[[server]]``, and
    ``dkim`` of ``[message]``, a dict or a list of them. A message is signed where one of these domains may speak for
    its From. ``preset`` stands for host, port, TLS, a username that is always the same, and the rate that the relay
    documents, where neither settings nor options say otherwise. ``results`` is the results log, in which each outcome
    is written down; each process has one of its own, the second one ``mail-2.jsonl`` beside ``mail.jsonl``::

        EMAIL_BACKEND = "batchsend.django.EmailBackend"
        EMAIL_HOST, EMAIL_PORT, EMAIL_USE_TLS = "smtp.example.com", 587, True
        BATCHSEND = {"max_connections": 10, "rate": "14/s"}

    Where Django has ``MAILERS`` (6.1 and later), they are ``OPTIONS`` of a mailer, beside those of Django's SMTP
    backend, and win over ``BATCHSEND``; the port is then 25, 587 with ``use_tls`` or 465 with ``use_ssl``::

        MAILERS = {
            "default": {
                "BACKEND": "batchsend.django.EmailBackend",
                "OPTIONS": {"host": "smtp.example.com", "use_tls": True, "max_connections": 10, "rate": "14/s"},
            }
        }

    Args:
        host: None for ``EMAIL_HOST``, as all that follows outside ``MAILERS``.
        port: None for ``EMAIL_PORT``.
        username: None for ``EMAIL_HOST_USER``.
        password: None for ``EMAIL_HOST_PASSWORD``.
        use_tls: STARTTLS; None for ``EMAIL_USE_TLS``.
        fail_silently: Whether what goes wrong on the way to the server, and what it refuses, raises nothing.
        use_ssl: TLS from the start; None for ``EMAIL_USE_SSL``.
        timeout: Seconds for each step except the reply to the content, for a message would be sent twice that was only
            answered late (RFC 1047); None for ``EMAIL_TIMEOUT``.
        ssl_keyfile: None for ``EMAIL_SSL_KEYFILE``.
        ssl_certfile: None for ``EMAIL_SSL_CERTFILE``.
        kwargs: What ``BATCHSEND`` may hold, for this backend alone; and what Django gives.

    Raises:
        ValueError: ``use_tls`` and ``use_ssl`` are both true.
        InvalidMailer: An entry of ``MAILERS`` cannot be used.
        ImproperlyConfigured: There is no such preset.
    """

    def __init__(  # noqa: PLR0917 - in the order that Django's own has them
        self,
        host: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        use_tls: bool | None = None,
        fail_silently: bool = False,
        use_ssl: bool | None = None,
        timeout: float | None = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._options = {name: kwargs.pop(name) for name in _OWN & kwargs.keys()}
        super().__init__(**kwargs)
        self.fail_silently = fail_silently
        self.alias = kwargs.get("alias")
        self.host = host
        self.port: Any = port
        self.username, self.password = username, password
        self.use_tls, self.use_ssl = use_tls, use_ssl
        self.timeout = timeout
        self.ssl_keyfile = ssl_keyfile
        self.ssl_certfile: Any = ssl_certfile
        self._rate: str | None = None  # that the relay documents
        options = self._known_options()
        self._preset = preset = _preset(options.get("preset"))
        if self.alias is None:
            self._take_settings(preset)
        if preset is not None:
            self._take_preset(preset, options)
        elif self.alias is not None and self.host is None:
            raise InvalidMailer("OPTIONS must define 'host'.", alias=self.alias)
        self.use_tls, self.use_ssl = self.use_tls or False, self.use_ssl or False
        if self.use_ssl and self.use_tls:
            if self.alias is not None:
                raise InvalidMailer(
                    "The 'use_ssl' and 'use_tls' OPTIONS are incompatible. Set at most one of them to True.",
                    alias=self.alias,
                )
            raise ValueError(
                "EMAIL_USE_TLS/EMAIL_USE_SSL are mutually exclusive, so only set one of those settings to True."
            )
        if self.port is None:
            self.port = 465 if self.use_ssl else 587 if self.use_tls else 25
        self.connection: SyncSender | None = None
        self._signer: Signer | None = None

    def _known_options(self) -> dict[str, Any]:
        """``BATCHSEND`` and, over it, what was given here; what is no dict is refused by `open`."""
        given = getattr(settings, "BATCHSEND", {})
        return {**(given if isinstance(given, Mapping) else {}), **self._options}

    def _take_settings(self, preset: Preset | None) -> None:
        """What was not given is what the settings say: it comes from none of the ``MAILERS``.

        Where Django's defaults say where the relay is, a preset says better.
        """
        for name, setting in _SETTINGS.items():
            given = getattr(self, name)
            if (not given if name in {"host", "port"} else given is None) and (
                preset is None or name not in _OF_PRESETS or settings.is_overridden(setting)
            ):
                setattr(self, name, getattr(settings, setting))

    def _take_preset(self, preset: Preset, options: Mapping[str, Any]) -> None:
        """What was neither given nor set is what the relay documents."""
        self._rate = None if self.host else preset.rate  # it is the limit of a relay that is used
        self.host = self.host or preset.host
        if self.use_tls is None and self.use_ssl is None:
            self.port = self.port or preset.port
            self.use_ssl = self.port == 465
            self.use_tls = not self.use_ssl
        given = {name: value for name in ("username", "password") if (value := getattr(self, name))}
        given |= {name: value for name in ("token", "token_command") if (value := options.get(name))}
        known = preset.complete(given)
        self.username, self.password = known.get("username", self.username), known.get("password", self.password)

    def open(self) -> bool | None:
        """Take the process's sender; nothing is connected before there is something to send.

        Returns:
            True if the backend was closed, False if it was open.

        Raises:
            ImproperlyConfigured: A setting cannot be used, or credentials would be sent in the clear.
        """
        if self.connection is not None:
            return False
        shared = self._shared()
        self._signer, self.connection = shared.signer, shared.sender  # a thread that sees the sender sees the signer
        return True

    def close(self) -> None:
        """Give the sender back. Its sessions stay open, for the next one who sends."""
        self.connection = None

    def send_messages(self, email_messages: Iterable[Any] | None) -> int:
        """Send, all at once over the sessions there are, and wait for what becomes of each.

        Unlike with Django's SMTP backend a message that is refused does not keep those after it from being sent.

        Args:
            email_messages: `django.core.mail.EmailMessage`. The recipients of each share a transaction.

        Returns:
            How many messages the server has taken for one recipient at least. Those that it refused are logged by
            ``batchsend.django``.

        Raises:
            ValueError: An address is none; nothing was sent, not even what stands before it.
            SMTPException: A message was refused for everybody (`smtplib.SMTPRecipientsRefused`, ``SMTPSenderRefused``
                or ``SMTPDataError``), or the connection was lost so that it may have been delivered or not
                (``SMTPServerDisconnected``). The first one, once all are sent. Not with ``fail_silently``.
            ConnectionError: The server cannot be reached, or refuses the sender; or the results log cannot be written.
                Not with ``fail_silently``.
            ImproperlyConfigured: The results log cannot be opened.
        """
        if not email_messages:
            return 0
        opened = self.open()
        if opened is None:
            return 0
        if (connection := self.connection) is None:
            # Another thread that uses this backend, too, has closed it since.
            connection = self._shared().sender
        try:
            return self._send(connection, list(email_messages))
        finally:
            if opened:
                self.close()

    def _send(self, connection: SyncSender, messages: list[Any]) -> int:
        submissions = [
            one for place, message in enumerate(messages, 1) for one in _submissions(message, place, self._signer)
        ]
        if not submissions:
            return 0
        results, unreached = _results(connection, submissions)
        by_message: dict[int, list[DeliveryResult]] = {}
        for result in results:
            by_message.setdefault(result.record, []).append(result)
        sent, failed = 0, []
        for told in by_message.values():
            refused = [result for result in told if result.status is not Outcome.ACCEPTED]
            for result in refused:
                _LOG.warning("%s to %s: %s", result.status.label, result.recipient, result.reply or result.reason)
            if len(refused) == len(told):
                failed.append(_exception(refused))
            else:
                sent += 1
        if not self.fail_silently:
            if failed:
                raise failed[0]
            if unreached is not None:
                raise ConnectionError(_in_settings(unreached)) from unreached
        return sent

    def _shared(self) -> _Shared:
        """The sender of the process for these settings, and what signs its messages."""
        given_options = getattr(settings, "BATCHSEND", {})
        if not isinstance(given_options, Mapping):
            raise ImproperlyConfigured(f"batchsend: settings.BATCHSEND is {given_options!r}\nexpected a dict")
        options = {**given_options, **self._options}
        given = (self.host, self.port, self.username, self.password, bool(self.use_tls), bool(self.use_ssl))
        key = _key([*given, self.timeout, self.ssl_keyfile, self.ssl_certfile, options])
        with _lock:
            if key not in SHARED:
                try:
                    made = self._made(options)
                except UsageError as error:
                    raise _improper(error) from error
                SHARED.setdefault(key, made)  # a signal handler may have come in between, and have made it
                _let_go()
            SHARED.move_to_end(key)
            return SHARED[key]

    def _made(self, options: Mapping[str, Any]) -> _Shared:
        if unknown := options.keys() - _OWN:
            raise UsageError(
                f"settings.BATCHSEND has {', '.join(sorted(map(repr, unknown)))}",
                remedy=f"It may have {', '.join(sorted(_OWN))}.",
            )
        of_server = {name: value for name, value in options.items() if name in _SERVER_KEYS}
        self._require_credentials(of_server)
        if self.username and (self.password or of_server):
            of_server["username"] = str(self.username)
            if self.password:
                of_server["password"] = str(self.password)
        if not isinstance(self.host, str | Promise):  # None, where an environment variable is not set
            raise UsageError(f"host (EMAIL_HOST) is {self.host!r}", remedy="expected a host name or an IP address")
        server = Server(
            host=str(self.host),
            port=self.port,
            tls="implicit" if self.use_ssl else "starttls" if self.use_tls else "none",
            **of_server,
        )
        of_delivery = {name: value for name, value in options.items() if name in _DELIVERY_KEYS}
        if self._rate is not None:
            of_delivery.setdefault("rate", self._rate)
        delivery = _delivery(of_delivery, self.timeout)
        check_objects(server, delivery)
        context = None
        if self.ssl_certfile or self.ssl_keyfile:
            try:
                context = ssl.create_default_context(cafile=server.ca_file)
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
            except (TypeError, OSError) as error:
                raise UsageError(
                    f"ssl_certfile {self.ssl_certfile!r} and ssl_keyfile {self.ssl_keyfile!r} cannot be used: {error}",
                    remedy="ssl_certfile is a file of certificates in PEM form, and has the key, or ssl_keyfile has it",
                ) from error
        signer = _signer(options["dkim"]) if "dkim" in options else None
        given: dict[str, Any] = {"delivery": delivery, "context": context, "notice": _LOG.warning}
        results = options.get("results")
        if results is None:
            return _Shared(SyncSender(server, **given), signer)
        if not isinstance(results, str | Path):
            raise UsageError(f"settings.BATCHSEND['results'] is {results!r}", remedy="It is the path of a results log.")
        path = require_path(results, "settings.BATCHSEND['results']")
        return _Shared(NumberedSyncSender(server, results=path, **given), signer)

    def _require_credentials(self, of_server: Mapping[str, Any]) -> None:
        """Refuse a preset that nobody may use without credentials, where there are none.

        Raises:
            UsageError: There are none.
        """
        preset = self._preset
        if preset is None or preset.anonymous or self.password or {"token", "token_command"} & of_server.keys():
            return
        raise UsageError("EMAIL_HOST_PASSWORD is missing", remedy=f"{preset.title}: {preset.credentials}")


def _let_go() -> None:
    """Let go of the senders that were not asked for lately; each ends once nobody sends by it any more.

    Those that keep a results log stay: the next sender of their settings might come before they have let go of it.
    """
    kept = [key for key, shared in tuple(SHARED.items()) if not isinstance(shared.sender, NumberedSyncSender)]
    for key in kept[:-_MOST_SHARED]:
        SHARED.pop(key, None)


def _key(value: Any) -> Any:
    """What is the same for the same settings only, and can be looked up, whatever somebody has put there."""
    if isinstance(value, Mapping):
        return tuple(sorted(((repr(name), _key(of)) for name, of in value.items()), key=itemgetter(0)))
    if isinstance(value, list | tuple):
        return tuple(map(_key, value))
    # The text of a secret, which does not show itself.
    return (type(value).__name__, str(value) if isinstance(value, str) else repr(value))


def _results(connection: SyncSender, submissions: list[Submission]) -> tuple[list[DeliveryResult], RunError | None]:
    """What became of the messages, and why others have no outcome.

    Raises:
        ImproperlyConfigured: The results log cannot be opened.
    """
    try:
        return connection.send_all(submissions), None
    except UnfinishedError as error:
        return error.results, error
    except RunError as error:
        return [], error
    except UsageError as error:
        raise _improper(error) from error


def _improper(error: UsageError) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"batchsend: {_in_settings(error)}")


def _in_settings(error: BatchsendError) -> str:
    """What an error of a sender says, to whoever has given it settings of Django's."""
    text = _OF_DELIVERY.sub(r'BATCHSEND = {"\1": \2}', str(error))
    for argument, setting in _TERMS.items():
        text = text.replace(argument, setting)
    return text


def _delivery(options: dict[str, Any], timeout: float | None) -> Delivery:
    steps = ("connect", "greeting", "ehlo", "mail", "rcpt", "data")
    timeouts: dict[str, Any] = {} if timeout is None else dict.fromkeys(steps, timeout)
    options["timeouts"] = _table(Timeouts, "timeouts", options.get("timeouts", {}), timeouts)
    if (dsn := options.get("dsn")) is not None:
        options["dsn"] = _table(Dsn, "dsn", dsn, {})
    return Delivery(**options)


def _table(kind: type[Timeouts | Dsn], name: str, given: Any, defaults: Mapping[str, Any]) -> Timeouts | Dsn:
    """What a table of `Delivery` is that is given as a dict.

    Raises:
        UsageError: It is none, or has something else in it.
    """
    if isinstance(given, kind):
        return given
    if not isinstance(given, Mapping) or not all(one in kind.__struct_fields__ for one in given):
        raise UsageError(
            f"settings.BATCHSEND[{name!r}] is {given!r}",
            remedy=f"It is a dict that may have {', '.join(kind.__struct_fields__)}.",
        )
    return kind(**{**defaults, **given})


def _preset(name: object) -> Preset | None:
    """The relay that ``BATCHSEND["preset"]`` names; None for None.

    Raises:
        ImproperlyConfigured: There is no such preset.
    """
    if name is None:
        return None
    from batchsend.campaign.presets import PRESETS, meant_by  # noqa: PLC0415 - a long table, which few projects need

    if not isinstance(name, str) or name not in PRESETS:
        remedy = meant_by(name) if isinstance(name, str) else "expected the name of a preset"
        raise _improper(UsageError(f"settings.BATCHSEND['preset'] is {name!r}", remedy=remedy))
    return PRESETS[name]


def _signer(dkim: Any) -> Signer:
    """What signs as ``BATCHSEND["dkim"]`` says.

    Raises:
        UsageError: That cannot be used, or a key cannot.
    """
    listed = [dkim] if isinstance(dkim, Mapping) else dkim
    try:
        identities = [Dkim(**{**one, "key_file": Path(one["key_file"])}) for one in listed]
    except (TypeError, KeyError) as error:
        raise UsageError(
            f"settings.BATCHSEND['dkim'] cannot be used: {error}",
            remedy='It is a dict, or a list of them: {"domain": …, "selector": …, "key_file": …}.',
        ) from error
    if not identities:
        raise UsageError("settings.BATCHSEND['dkim'] is empty", remedy="Leave it out, and nothing is signed.")
    check_objects(*identities)
    return Signer.from_campaign(identities)


def _submissions(message: Any, place: int, signer: Signer | None) -> list[Submission]:
    """The message for all its recipients, signed; nothing where there is none.

    Raises:
        ValueError: An address is none.
    """
    recipients = [_address(recipient) for recipient in message.recipients()]
    if not recipients:
        return []
    sender = _address(message.from_email)
    try:
        if signer is None and (composed := compose(message)) is not None:
            return bundles(composed.to(recipients, sender, place))
        return bundles(outgoing(message.message(), record=place, sender=sender, recipients=recipients, signer=signer))
    except RecordError as error:
        raise ValueError(f"Invalid address or message; {error.message}{_since(sender, *recipients)}") from error


def _since(*paths: str) -> str:
    """Which Django writes messages for addresses that are not ASCII before the @, where this one does not."""
    if VERSION >= (6,) or all(path.rpartition("@")[0].isascii() for path in paths):
        return ""
    return "; Django makes such messages from 6.0 on"


def _address(text: object) -> str:
    """The address in what a message says of a recipient or sender, which may have a name before it."""
    plain = str(text)
    if "\r" in plain or "\n" in plain:
        raise ValueError(f"Invalid address {plain!r}: it contains a line end")
    try:
        found = addresses(plain, "address")
    except RecordError as error:
        raise ValueError(f"Invalid address {plain!r}: {error.message}") from error
    if len(found) != 1:
        raise ValueError(f"Invalid address {plain!r}: it holds {len(found)} addresses")
    if simple_address(plain) is None and not _is_one(plain):
        raise ValueError(f"Invalid address {plain!r}: it is a list or a group")
    return found[0]


def _is_one(address: str) -> bool:
    """Whether it is an address alone: Django refuses a list or group (RFC 5322 §3.4) of one as it does one of two."""
    try:
        _, rest = get_mailbox(address)
    except HeaderParseError:
        return False
    return not rest


def _exception(refused: list[DeliveryResult]) -> OSError:
    """What `smtplib` would raise for a message that nobody got."""
    first = refused[0]
    text = first.reply or first.reason or first.status.label
    code = first.code
    if first.status is Outcome.IN_DOUBT:
        return smtplib.SMTPServerDisconnected(f"{first.recipient} may have been delivered or not: {text}")
    if code is None:
        return smtplib.SMTPException(f"{first.recipient}: {text}")
    if first.stage is Stage.MAIL:
        return smtplib.SMTPSenderRefused(code, text.encode(), "")
    if first.stage is Stage.RCPT:
        replies = {str(one.recipient): (one.code or code, (one.reply or one.reason or "").encode()) for one in refused}
        return smtplib.SMTPRecipientsRefused(replies)
    return smtplib.SMTPDataError(code, text.encode())


def _after_fork() -> None:
    """A child's lock is not held by a thread that it does not have."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
