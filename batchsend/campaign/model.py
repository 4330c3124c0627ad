"""What a campaign file says, as values: each key's type, its default and, in ``description``, what it expects.

The descriptions are what an error tells the user; :func:`batchsend.campaign.load` is what checks a file against them.
Built in code, they are checked by the same types and ranges (`objects`).
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec resolves the annotations at run time
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, cast

from msgspec import Meta, Struct, StructMeta
from msgspec.structs import force_setattr

from batchsend.campaign.objects import PathOrInput, check_values
from batchsend.campaign.values import Duration, Quotas, Rate, Secret, Wait
from batchsend.campaign.windows import Schedule, Start, Window, Zone

Tls = Literal["starttls", "implicit", "none"]
Durability = Literal["process", "power"]
Encoding = Literal["auto", "7bit"]
Notify = Literal["success", "failure", "delay", "never"]
Return = Literal["full", "headers"]

_BY_PORT: Final = cast("Tls", "")
_DURATION_TEXT: Final = 'a duration such as "500ms", "30s", "5m" or "1h", at most a day'
_TEMPLATE_TEXT: Final = "a text, which may have template marks"

if TYPE_CHECKING:
    from collections.abc import Sequence

    # What an object takes where it is made in code: the values of a file as well as those of the types that it keeps.
    # For type checkers only; test_public_names.py holds these signatures against the attributes.
    _APath: TypeAlias = str | Path
    _ATime: TypeAlias = str | float
    _ARate: TypeAlias = str | Rate
    _SomeQuotas: TypeAlias = str | list[str] | tuple[str, ...] | Quotas

_RATE_TEXT: Final = 'a rate above 0 such as "100/s", "600/min" or "5000/h"'
_QUOTA_TEXT: Final = 'a quota such as "500/h" or "50000/day", or an array of such'

_CONNECTIONS_TEXT: Final = "a whole number from 1 to 1000"
_MESSAGES_TEXT: Final = "a whole number of at least 1"
_DEPTH_TEXT: Final = "a whole number from 1 to 1024"

_Connections = Annotated[int, Meta(ge=1, le=1000, description=_CONNECTIONS_TEXT)]
_Messages = Annotated[int, Meta(ge=1, description=_MESSAGES_TEXT)]
_Depth = Annotated[int, Meta(ge=1, le=1024, description=_DEPTH_TEXT)]
_Priority = Annotated[int, Meta(ge=0, le=65535)]
_Weight = Annotated[int, Meta(ge=1, le=65535)]
_Time = Annotated[Duration, Meta(description=_DURATION_TEXT)]
_Template = Annotated[str | None, Meta(description=_TEMPLATE_TEXT)]
_Command = Annotated[tuple[str, ...], Meta(min_length=1)]
_NotEmpty = Annotated[str, Meta(min_length=1)]
_Addresses = Annotated[_NotEmpty | None, Meta(description='a mailbox such as "{{ name }} <{{ email }}>"')]


class _Checked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What checks its own values when it is made."""

    def __post_init__(self) -> None:
        check_values(self)


class _Completed(StructMeta):
    """Makes a server in code of what its preset and a program say together; the loader does so with a campaign file."""

    if not TYPE_CHECKING:

        def __call__(self, *values: object, **given: object) -> object:
            if given.get("preset") is not None:
                from batchsend.campaign.presets import filled  # noqa: PLC0415 - a long table, which few need

                given = filled(given)
            return super().__call__(*values, **given)


class Server(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True, metaclass=_Completed):
    """One relay: where it is, how it is trusted and who we are to it.

    >>> Server(host="smtp.example.com", port=465, username="u", password="p").tls
    'implicit'
    >>> Server(preset="sendgrid", password="SG.key").host
    'smtp.sendgrid.net'

    Attributes:
        preset: The name of a well-known relay, or None. It stands for what is not given: host, port and TLS, a username
            that is the same for everybody, and the rate that the relay documents.
        host: A host name in its ASCII form, or an IP address.
        port: The TCP port.
        tls: ``starttls`` (RFC 3207) and ``implicit`` (RFC 8314 §3) both verify the certificate; ``none`` sends in the
            clear. By default ``implicit`` on port 465 and ``starttls`` on any other.
        ca_file: A PEM file of certificates to trust instead of the system's, or None.
        username: Who to authenticate as, or None for no authentication.
        password: What to authenticate with (RFC 4954), or None.
        password_file: Instead, the path of a file that holds the password, such as a secret of a container; it is read
            for each session.
        password_command: Instead, a program and its arguments that prints the password, or None.
        token: Instead of the password, an OAuth 2.0 access token (XOAUTH2), or None.
        token_command: Instead of the token, a program and its arguments that prints one, or None.
        ehlo_name: What to call ourselves in EHLO: a domain or an address literal (RFC 5321 §4.1.1.1); None for the
            host's own name.
        pipelining: Whether to use PIPELINING (RFC 2920) where the relay offers it; false for a relay, or a firewall
            before it, that loses commands sent in groups: each then waits for the reply to the one before.
        name: What the log, reports and messages call it, unique among the relays of a campaign; None for the host, or
            host and port where several have the host.
        priority: Of the relays that can send, those with the lowest share the work, the others wait. None for 1; where
            no relay has a priority or a weight, each is used while those before it in the file cannot send.
        weight: Its share of the work among those of the same priority that can send; None for 1.
        rate: The most messages in a time through this relay, all its sessions together; None for no limit but that of
            the whole campaign.
        quota: How many messages this relay is given in any minute, hour or day, whatever the run: what the results log
            says was accepted counts.
        warm_up: For a new account or address: how many messages it is given on the first day, the second …, counted
            from the first message; after the last of them only ``quota`` holds.
        max_connections: Sessions with this relay at once; None for what ``[delivery]`` says.
        max_messages: Transactions of one session with it; None for what ``[delivery]`` says.
        depth: Transactions of one session that may be unanswered at once; None for what ``[delivery]`` says.
    """

    preset: Annotated[str | None, Meta(description="the name of a preset: batchsend presets lists them")] = None
    host: Annotated[str, Meta(description="a host name or an IP address")]
    port: Annotated[int, Meta(ge=1, le=65535, description="a port number from 1 to 65535")] = 587
    tls: Annotated[Tls, Meta(description='"starttls", "implicit" or "none"')] = _BY_PORT
    ca_file: Annotated[Path | None, Meta(description="the path of a PEM file")] = None
    username: Annotated[Secret | None, Meta(description="a text without control characters")] = None
    password: Annotated[Secret | None, Meta(description="a text without control characters")] = None
    password_file: Annotated[Path | None, Meta(description="the path of a file that holds a password")] = None
    password_command: Annotated[_Command | None, Meta(description="an array of a program and its arguments")] = None
    token: Annotated[Secret | None, Meta(description="a text without control characters")] = None
    token_command: Annotated[_Command | None, Meta(description="an array of a program and its arguments")] = None
    ehlo_name: Annotated[str | None, Meta(description='a domain such as "mail.example.com", or "[192.0.2.1]"')] = None
    pipelining: Annotated[bool, Meta(description="true or false")] = True
    name: Annotated[_NotEmpty | None, Meta(description='a short name such as "ses"')] = None
    priority: Annotated[_Priority | None, Meta(description="a whole number from 0 to 65535")] = None
    weight: Annotated[_Weight | None, Meta(description="a whole number from 1 to 65535")] = None
    rate: Annotated[Rate | None, Meta(description=_RATE_TEXT)] = None
    quota: Annotated[Quotas, Meta(description=_QUOTA_TEXT)] = Quotas()
    warm_up: Annotated[Quotas, Meta(description='an array of quotas by the day such as ["50/day", "100/day"]')] = (
        Quotas()
    )
    max_connections: Annotated[_Connections | None, Meta(description=_CONNECTIONS_TEXT)] = None
    max_messages: Annotated[_Messages | None, Meta(description=_MESSAGES_TEXT)] = None
    depth: Annotated[_Depth | None, Meta(description=_DEPTH_TEXT)] = None

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            preset: str | None = None,
            host: str = ...,
            port: int = 587,
            tls: Tls = _BY_PORT,
            ca_file: _APath | None = None,
            username: str | None = None,
            password: str | None = None,
            password_file: _APath | None = None,
            password_command: list[str] | tuple[str, ...] | None = None,
            token: str | None = None,
            token_command: list[str] | tuple[str, ...] | None = None,
            ehlo_name: str | None = None,
            pipelining: bool = True,
            name: str | None = None,
            priority: int | None = None,
            weight: int | None = None,
            rate: _ARate | None = None,
            quota: _SomeQuotas = ...,
            warm_up: _SomeQuotas = ...,
            max_connections: int | None = None,
            max_messages: int | None = None,
            depth: int | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.tls == _BY_PORT:
            force_setattr(self, "tls", "implicit" if self.port == 465 else "starttls")
        super().__post_init__()
        for name in ("password_command", "token_command"):
            if (command := getattr(self, name)) is not None:  # a program's arguments may be secrets as well
                force_setattr(self, name, tuple(map(Secret, command)))


class Dkim(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One DKIM signature of every message (RFC 6376).

    Attributes:
        domain: Who signs, in its ASCII form; the domain of From, or one above or below it, so that DMARC passes.
        selector: Which key: its public half is published at ``SELECTOR._domainkey.DOMAIN``.
        key_file: The private key: RSA or Ed25519 as PEM, or Ed25519 in base64.
    """

    domain: Annotated[str, Meta(description='a domain in its ASCII form, such as "mail.example.com"')]
    selector: Annotated[str, Meta(description='a name such as "s2026"')]
    key_file: Annotated[Path, Meta(description="the path of a private key")]

    if TYPE_CHECKING:

        def __init__(self, *, domain: str, selector: str, key_file: _APath) -> None: ...


class Attachment(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attached file.

    Attributes:
        file: Its path relative to the campaign's folder; one with template marks is found for each record.
        name: What a mail reader calls it, which may have template marks; None for the file's own name.
        type: Its media type (RFC 2045 §5.1); None for what the name of the file says.
        inline: Whether the HTML shows it, as ``cid:`` and its name.
    """

    file: Annotated[str, Meta(min_length=1, description="the path of a file inside the campaign's folder")]
    name: Annotated[_NotEmpty | None, Meta(description="the name that the attachment is to have")] = None
    type: Annotated[_NotEmpty | None, Meta(description='a media type such as "text/csv; charset=utf-8"')] = None
    inline: Annotated[bool, Meta(description="true or false")] = False


class Message(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """The message as templates: what the composer compiles once and fills in for every record.

    >>> message = Message(from_="shop@example.com", subject="Hello, {{ name }}", text="Your order is on its way.")
    >>> Template(message).render({"email": "ada@example.com", "name": "Ada"}).envelope.forward_path
    'ada@example.com'

    Attributes:
        from_: The From header: one mailbox (RFC 5322 §3.4), with or without a display name. The key is ``from``. None
            only with ``eml_file``.
        to: The To header; None for the bare recipient.
        reply_to: The Reply-To header, or None.
        return_path: The envelope's reverse-path; None for the address in ``from_``.
        subject: The Subject header; None only with ``eml_file``.
        html: The HTML body; or ``html_file``, or neither.
        html_file: The file that holds it, inside the campaign's folder.
        text: The plain-text body; or ``text_file``; or neither, and it is derived from the HTML.
        text_file: The file that holds it, inside the campaign's folder.
        markdown: The body in Markdown instead, which HTML and text are made from; or ``markdown_file``.
        markdown_file: The file that holds it, inside the campaign's folder.
        style_file: A style sheet for that HTML, inside the campaign's folder; by default there is a plain one.
        inline_css: Whether style sheets in the HTML become style attributes, which all mail readers heed.
        attachments: Files, by their paths relative to the campaign's folder or with options; those with template marks
            in their paths are found for each record.
        eml_file: Instead of headers and bodies, a whole message (RFC 5322) with template marks in both.
        encoding: ``auto`` for octets above 127 where that is smallest and the server takes them (RFC 6152); ``7bit``
            for none in any case.
        headers: Further header fields by name (RFC 5322 §3.6.8); their values are templates.
        unsubscribe: Where unsubscribe links lead: ``batch.unsubscribe_url`` is this URL and a signed token behind it,
            and every message has List-Unsubscribe and List-Unsubscribe-Post (RFC 8058). None for none of that.
        dkim: The signatures of every message; none of them by default.
    """

    from_: Annotated[_NotEmpty | None, Meta(description='a mailbox such as "App <hello@mail.example.com>"')] = None
    to: _Addresses = None
    reply_to: _Addresses = None
    return_path: _Template = None
    subject: _Template = None
    html: _Template = None
    html_file: Annotated[Path | None, Meta(description="the path of a template inside the campaign's folder")] = None
    text: _Template = None
    text_file: Annotated[Path | None, Meta(description="the path of a template inside the campaign's folder")] = None
    markdown: _Template = None
    markdown_file: Annotated[Path | None, Meta(description="the path of a template inside the campaign's folder")] = (
        None
    )
    style_file: Annotated[Path | None, Meta(description="the path of a style sheet inside the campaign's folder")] = (
        None
    )
    inline_css: Annotated[bool, Meta(description="true or false")] = False
    attachments: Annotated[
        tuple[str | Attachment, ...],
        Meta(description="an array of paths inside the campaign's folder, or of tables of file, name, type and inline"),
    ] = ()
    eml_file: Annotated[Path | None, Meta(description="the path of a message inside the campaign's folder")] = None
    encoding: Annotated[Encoding, Meta(description='"auto" or "7bit"')] = "auto"
    headers: Annotated[dict[str, str], Meta(description="a table of header names and texts")] = {}
    unsubscribe: Annotated[_NotEmpty | None, Meta(description='a URL such as "https://lists.example.com/u"')] = None
    dkim: Annotated[tuple[Dkim, ...], Meta(description="a table [message.dkim], or several [[message.dkim]]")] = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            from_: str | None = None,
            to: str | None = None,
            reply_to: str | None = None,
            return_path: str | None = None,
            subject: str | None = None,
            html: str | None = None,
            html_file: _APath | None = None,
            text: str | None = None,
            text_file: _APath | None = None,
            markdown: str | None = None,
            markdown_file: _APath | None = None,
            style_file: _APath | None = None,
            inline_css: bool = False,
            attachments: Sequence[str | Attachment] = (),
            eml_file: _APath | None = None,
            encoding: Encoding = "auto",
            headers: dict[str, str] = ...,
            unsubscribe: str | None = None,
            dkim: Sequence[Dkim] = (),
        ) -> None: ...


class Timeouts(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait for each step of the dialogue, in seconds: by default as RFC 5321 §4.5.3.2 asks of a client.

    >>> float(Timeouts(connect="5s").connect)
    5.0

    Attributes:
        connect: For the TCP connection and, where it is implicit, TLS.
        greeting: For the 220 greeting (§4.5.3.2.1).
        ehlo: For the reply to EHLO, and to each of STARTTLS and AUTH.
        mail: For the reply to MAIL (§4.5.3.2.2).
        rcpt: For the reply to RCPT (§4.5.3.2.3).
        data: For the 354 reply to DATA (§4.5.3.2.4).
        content: For the reply to the end of the content (§4.5.3.2.6); a shorter one makes duplicates (RFC 1047).
        quit: For the reply to QUIT, which decides nothing.
    """

    connect: _Time = Duration(30)
    greeting: _Time = Duration(300)
    ehlo: _Time = Duration(300)
    mail: _Time = Duration(300)
    rcpt: _Time = Duration(300)
    data: _Time = Duration(120)
    content: _Time = Duration(600)
    quit: _Time = Duration(2)

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            connect: _ATime = 30,
            greeting: _ATime = 300,
            ehlo: _ATime = 300,
            mail: _ATime = 300,
            rcpt: _ATime = 300,
            data: _ATime = 120,
            content: _ATime = 600,
            quit: _ATime = 2,  # noqa: A002 - the command's name
        ) -> None: ...


class Dsn(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the relay is to tell the reverse-path about later (RFC 3461); only where it offers DSN.

    Attributes:
        notify: When: on ``success``, ``failure``, ``delay``, or ``never``.
        ret: How much of the message a failure returns: ``full`` or ``headers``; None for as the relay likes.
    """

    notify: Annotated[
        tuple[Notify, ...],
        Meta(min_length=1, description='an array of "success", "failure" and "delay", or of "never" alone'),
    ] = ("failure",)
    ret: Annotated[Return | None, Meta(description='"full" or "headers"')] = None


class SuppressionList(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of addresses not to write to.

    Attributes:
        file: A plain list, a table (CSV, JSON Lines, a workbook) or a results log, whose hard bounces count.
        field: The column of a table that holds the addresses; None for the one that is called so.
        encoding: Its encoding, such as ``cp1252``; None for UTF-8, or what its byte-order mark says.
        sheet: Of a workbook, the name of the sheet; None for the first.
    """

    file: Annotated[Path, Meta(description="the path of a file of addresses")]
    field: Annotated[_NotEmpty | None, Meta(description="the name of the column that holds the addresses")] = None
    encoding: Annotated[_NotEmpty | None, Meta(description='an encoding such as "cp1252" or "utf-16-le"')] = None
    sheet: Annotated[_NotEmpty | None, Meta(description="the name of a sheet")] = None

    if TYPE_CHECKING:

        def __init__(
            self, *, file: _APath, field: str | None = None, encoding: str | None = None, sheet: str | None = None
        ) -> None: ...


class Delivery(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast, how often and how safely. Values are written as in a campaign file, or have their own types.

    >>> Delivery(rate="5/s", retry_after="30s") == Delivery(rate=Rate(5, 1), retry_after=Duration(30))
    True

    Attributes:
        max_connections: Sessions open at once with each relay that says nothing else.
        max_messages: Transactions of one session, after which it is rotated.
        rate: The most messages in a time, all sessions and relays together; None for as fast as they are taken.
        quota: How many messages the whole campaign sends in any minute, hour or day: what the results log says was
            accepted counts, so that a run that is resumed does not forget.
        depth: Transactions of one session that may be unanswered at once; above 1 needs CHUNKING (RFC 3030).
        max_attempts: How often a record is offered within a run before it stays deferred.
        retry_after: Seconds until a deferred record is offered again, doubled each time.
        give_up_after: Seconds without a server that answers after which the run stops.
        max_wait: Seconds to wait for a relay's quota to be over, or for a window or the start; if it is longer the run
            ends; infinity for ever.
        window: When messages may be begun; at any time where there is none. What was begun is finished.
        timezone: The zone of window and start by its IANA name; None for the machine's.
        start: Nothing is begun before this local time; None for at once.
        stop_after: Records in a row, of three domains or more, that are refused alike, after which the run stops.
        durability: What the account survives: the end of the ``process``, or of the ``power``.
        processes: How many processes compose messages beside the one that sends; 1: that one does. ``auto``: one for
            each core, where a message takes long to compose.
        suppress: Files of addresses not to write to, by their paths or with the column that holds the addresses:
            ``{ file = "unsubscribed.csv", field = "Email Address" }``.
        exclude: Results logs: who was accepted or is in doubt there has had the message and does not get it again.
        duplicates: Whether an address that stands in the recipients file again is suppressed or sent to again.
        dsn: What to ask the relay to report by mail; None for nothing beyond what it does anyway.
        require_tls: Every relay on the way must use verified TLS (RFC 8689); without REQUIRETLS nothing is sent.
        timeouts: How long to wait for the server at each step.
    """

    max_connections: _Connections = 5
    max_messages: _Messages = 100
    rate: Annotated[Rate | None, Meta(description=_RATE_TEXT)] = None
    quota: Annotated[Quotas, Meta(description=_QUOTA_TEXT)] = Quotas()
    depth: _Depth = 1
    max_attempts: Annotated[int, Meta(ge=1, le=100, description="a whole number from 1 to 100")] = 3
    retry_after: _Time = Duration(30)
    give_up_after: _Time = Duration(300)
    max_wait: Annotated[Wait, Meta(description=f'{_DURATION_TEXT}, or "forever"')] = Wait(900)
    window: Annotated[
        tuple[Window, ...],
        Meta(description='an array of texts such as "Mon-Fri 08:00-18:00", "Sat,Sun 09:00-12:00", "22:00-02:00"'),
    ] = ()
    timezone: Annotated[_NotEmpty | None, Meta(description='the name of a zone such as "Europe/Berlin"')] = None
    start: Annotated[Start | None, Meta(description='a date and a time such as "2026-12-01 09:00"')] = None
    stop_after: Annotated[int, Meta(ge=1, description="a whole number of at least 1")] = 100
    durability: Annotated[Durability, Meta(description='"process" or "power"')] = "process"
    processes: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | Literal["auto"], Meta(description='a whole number from 1 to 64, or "auto"')
    ] = "auto"
    suppress: Annotated[
        tuple[_NotEmpty | SuppressionList, ...],
        Meta(description="an array of paths, or of tables of file, field, encoding and sheet"),
    ] = ()
    exclude: Annotated[tuple[Path, ...], Meta(description="an array of paths of results logs")] = ()
    duplicates: Annotated[Literal["suppress", "send"], Meta(description='"suppress" or "send"')] = "suppress"
    dsn: Annotated[Dsn | None, Meta(description="a table of notify and ret")] = None
    require_tls: Annotated[bool, Meta(description="true or false")] = False
    timeouts: Annotated[Timeouts, Meta(description="a table of durations")] = Timeouts()

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            max_connections: int = 5,
            max_messages: int = 100,
            rate: _ARate | None = None,
            quota: _SomeQuotas = ...,
            depth: int = 1,
            max_attempts: int = 3,
            retry_after: _ATime = 30,
            give_up_after: _ATime = 300,
            max_wait: _ATime = 900,
            window: list[str] | tuple[str | Window, ...] = (),
            timezone: str | None = None,
            start: str | Start | None = None,
            stop_after: int = 100,
            durability: Durability = "process",
            processes: int | Literal["auto"] = "auto",
            suppress: list[_APath | SuppressionList] | list[str] | tuple[_APath | SuppressionList, ...] = (),
            exclude: list[str] | list[Path] | tuple[_APath, ...] = (),
            duplicates: Literal["suppress", "send"] = "suppress",
            dsn: Dsn | None = None,
            require_tls: bool = False,
            timeouts: Timeouts = ...,
        ) -> None: ...

    @property
    def schedule(self) -> Schedule | None:
        """When messages may be begun; None for at any time.

        Raises:
            ValueError: There is no such time zone.
        """
        if not self.window and self.start is None:
            return None
        return Schedule(self.window, Zone(self.timezone), self.start)


class Events(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told what becomes of each message, while the campaign is sent: see ``batchsend events``.

    Attributes:
        url: Where signed webhooks are posted to.
        secret: What they are signed with, ``whsec_…`` (Standard Webhooks).
    """

    url: Annotated[str, Meta(min_length=1, description='a URL such as "https://app.example.com/hooks/mail"')]
    secret: Annotated[Secret, Meta(description='a secret, "${NAME}" for what an environment variable holds')]

    if TYPE_CHECKING:

        def __init__(self, *, url: str, secret: str) -> None: ...


FEEDBACK_SUFFIX: Final = ".feedback.jsonl"
"""What the name of a feedback log ends with."""


def feedback_path(results: Path) -> Path:
    """Where the feedback log of a results log stands: ``results.feedback.jsonl`` beside ``results.jsonl``."""
    return results.with_name(results.name.removesuffix(".jsonl") + FEEDBACK_SUFFIX)


class Campaign(_Checked, frozen=True, kw_only=True):
    """A campaign file, checked, with everything it names by an absolute path.

    >>> campaign = load("campaign.toml")
    >>> campaign.message.subject, campaign.delivery.max_connections
    ('Hello, {{ name }}', 5)

    Attributes:
        path: The campaign file, as it was given.
        directory: The folder it is in, to which every path in it is relative; symbolic links resolved.
        recipients: The recipients file, or ``"-"`` for standard input.
        results: The results log.
        recipient_field: The field that holds a record's address; None to find it by its name.
        encoding: The encoding of the recipients file; None for UTF-8, or what its byte-order mark says.
        sheet: Of a workbook, the name of the sheet; None for the first.
        where: A Jinja2 expression over a record's fields; the records that it does not hold for are passed over. None
            for all records.
        servers: The relays, in order of preference; at least one.
        message: What is sent.
        delivery: How it is sent.
        events: Who is told what becomes of each message; None for nobody.

    Raises:
        UsageError: A value is of a wrong type, also where one is replaced; the message names it.
    """

    path: Annotated[Path, Meta(description="the path of the campaign file")]
    directory: Annotated[Path, Meta(description="the path of the folder that it is in")]
    recipients: Annotated[PathOrInput, Meta(description='the path of the recipients file, or "-"')]
    results: Annotated[Path, Meta(description="the path of the results log")]
    recipient_field: Annotated[str | None, Meta(description="the name of a field")] = None
    encoding: Annotated[str | None, Meta(description='an encoding such as "cp1252" or "utf-16-le"')] = None
    sheet: Annotated[str | None, Meta(description="the name of a sheet")] = None
    where: Annotated[str | None, Meta(description="an expression over a record's fields")] = None
    servers: Annotated[tuple[Server, ...], Meta(min_length=1, description="a Server in a tuple, or several")]
    message: Annotated[Message, Meta(description="a Message")]
    delivery: Annotated[Delivery, Meta(description="a Delivery")] = Delivery()
    events: Annotated[Events | None, Meta(description="Events with their url and secret, or None")] = None
