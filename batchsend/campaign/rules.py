"""Checks of a campaign beyond the types of its values: names, files that must exist, keys that exclude each other."""

from __future__ import annotations

import codecs
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import structs

from batchsend.campaign.file import expected
from batchsend.campaign.header_names import refusal
from batchsend.campaign.model import Campaign, Dkim, Server, SuppressionList, feedback_path
from batchsend.campaign.named_files import exists, is_file, is_folder, is_same, no_file, resolved
from batchsend.campaign.objects import Objects
from batchsend.campaign.order import places
from batchsend.campaign.overrides import is_loopback
from batchsend.campaign.values import PROOFS
from batchsend.campaign.windows import Zone
from batchsend.errors import is_path
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from batchsend.campaign.document import Key
    from batchsend.campaign.model import Delivery, Message
    from batchsend.errors import UsageError

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = late_pattern(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_NAME: Final = 253  # octets of a domain name as it is written (RFC 1035 §2.3.4)
# Names that resolvers know may have an underscore; the domain of RFC 5321 §4.1.2 may not.
_HOST: Final = late_pattern(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
# RFC 8058 §3.1 wants HTTPS; a token is put behind the path.
_WAY_OUT: Final = late_pattern(r"https://[A-Za-z0-9.\[\]:-]+(?:/[!$%&'()*+,./0-9:;=@A-Z_a-z~-]*)?")
_CONTROL: Final = late_pattern(r"[\x00-\x1f\x7f]")
_DAY: Final = 86400.0
_TEMPLATE_MARK: Final = late_pattern(r"\{[{%#]")

_NEEDED: Final = frozenset({"from", "subject"})  # of a message that is not a whole one
_BODIES: Final = ("html", "html_file", "text", "text_file", "markdown", "markdown_file")
# What a whole message does not say itself.
_BESIDE_EML: Final = frozenset({"eml_file", "return_path", "encoding", "dkim", "unsubscribe"})


class Terms(Protocol):
    """How errors name what they are about: by file and key, or by class and attribute."""

    def wrong(self, key: Key, remedy: str) -> UsageError:
        """The error for an impossible value."""

    def missing(self, key: Key, remedy: str) -> UsageError:
        """The error for what has to be there and is not."""

    def about(self, key: Key, what: str, remedy: str) -> UsageError:
        """An error about a table or about several of its keys."""


def check_objects(*objects: Campaign | Server | Delivery | Dkim) -> None:
    """Check objects that were built in code by the rules that hold for files.

    Raises:
        UsageError: As `check`; the message names class and attribute.
    """
    for built in objects:
        terms = Objects(built)
        if isinstance(built, Campaign):
            check(built, terms)
        elif isinstance(built, Server):
            _check_server(built, terms, ())
        elif isinstance(built, Dkim):
            _check_signature(built, terms, ())
        else:
            _check_delivery(built, Objects(built, above=1))


def check_message(message: Message, directory: Path) -> None:
    """Check a message that was made in code and belongs to no campaign, by the rules that hold for files.

    Args:
        message: The message.
        directory: The folder that its files are in.

    Raises:
        UsageError: As `check`; the message names class and attribute.
    """
    _check_message(message, directory, Objects(message, above=1))


def check(campaign: Campaign, terms: Terms) -> None:
    """Check everything that types do not.

    Raises:
        UsageError: A value is impossible, or a file that it names is missing.
    """
    if not campaign.servers:
        raise terms.missing(("server",), "expected a server, or several in order of preference")
    for place, server in enumerate(campaign.servers):
        _check_server(server, terms, ("server", place))
    _check_names(campaign.servers, terms)
    _check_message(campaign.message, campaign.directory, terms)
    _check_delivery(campaign.delivery, terms, own=feedback_path(campaign.results))
    _check_results(campaign, terms)
    _check_encoding(campaign.encoding, terms, ("encoding",))


def _check_server(server: Server, terms: Terms, table: Key) -> None:
    if not _is_host(server.host):
        raise terms.wrong((*table, "host"), 'expected a host name (in its ASCII form, "xn--…") or an IP address')
    if server.ehlo_name is not None and not _is_ehlo_name(server.ehlo_name):
        raise terms.wrong(
            (*table, "ehlo_name"),
            'expected a domain such as "mail.example.com", or "[192.0.2.1]" or "[IPv6:2001:db8::1]"',
        )
    if server.ca_file is not None and not is_file(server.ca_file):
        raise terms.wrong((*table, "ca_file"), no_file("the path of a PEM file", server.ca_file))
    for name in ("username", "password", "token"):
        value: str | None = getattr(server, name)
        if value is not None and (not value or _CONTROL.search(value)):
            raise terms.wrong((*table, name), "expected a text without control characters, not empty")
    _check_credentials(server, terms, table)
    _check_warm_up(server, terms, table)
    if server.name is not None and _CONTROL.search(server.name):
        raise terms.wrong((*table, "name"), "expected a short name without control characters")
    if server.username is not None and server.tls == "none" and not is_loopback(server.host):
        raise terms.wrong(
            (*table, "tls"), "credentials are never sent in the clear, except to loopback: use starttls or implicit"
        )


def _check_names(servers: tuple[Server, ...], terms: Terms) -> None:
    """Each relay is known by its name: in the log, and to a run that goes on and counts what it has taken."""
    seen: dict[str, int] = {}
    for number, place in enumerate(places(servers)):
        if place.name in seen:
            other = f"is also what [[server]] number {seen[place.name] + 1} is called"
            key: Key = ("server", number) if servers[number].name is None else ("server", number, "name")
            raise terms.about(key, f"{place.name!r} {other}", "give each of them a name of its own")
        seen[place.name] = number


def _check_warm_up(server: Server, terms: Terms, table: Key) -> None:
    for number, quota in enumerate(server.warm_up):
        if quota.seconds != _DAY:
            remedy = 'expected quotas by the day, one for each of the first days: ["50/day", "100/day"]'
            raise terms.wrong((*table, "warm_up", number), remedy)


def _check_credentials(server: Server, terms: Terms, table: Key) -> None:
    proofs = [name for name in PROOFS if getattr(server, name) is not None]
    if len(proofs) > 1:
        raise terms.about((*table, proofs[1]), f"is there besides {proofs[0]}", "give one of them")
    if (server.username is None) != (not proofs):
        absent = "username" if server.username is None else "password"
        raise terms.missing((*table, absent), "username and password go together: give both or neither")


def _check_message(message: Message, directory: Path, terms: Terms) -> None:
    if message.eml_file is not None:
        _check_alone(message, terms)
        _check_inside(message.eml_file, directory, terms, ("message", "eml_file"), "the path of a message")
    else:
        for field in structs.fields(message):
            if field.encode_name in _NEEDED and getattr(message, field.name) is None:
                raise terms.missing(("message", field.encode_name), f"expected {expected(field)}")
        _check_bodies(message, directory, terms)
    _check_attachments(message, directory, terms)
    _check_headers(message, terms)
    if message.unsubscribe is not None and not _WAY_OUT.fullmatch(message.unsubscribe):
        raise terms.wrong(
            ("message", "unsubscribe"),
            'expected a URL such as "https://lists.example.com/u": with https:, without blanks, "?" and "#"',
        )
    _check_dkim(message.dkim, terms)


def _check_alone(message: Message, terms: Terms) -> None:
    """A whole message is there: nothing else says what is in it."""
    for field in structs.fields(message):
        name = field.encode_name
        if name not in _BESIDE_EML and getattr(message, field.name) not in (None, False, (), {}):
            raise terms.about(("message", name), "is there besides eml_file, a whole message", "give one of them")


def _check_bodies(message: Message, directory: Path, terms: Terms) -> None:
    for body in ("html", "text", "markdown"):
        if getattr(message, body) is not None and getattr(message, f"{body}_file") is not None:
            raise terms.about(("message",), f"has both {body} and {body}_file", "give one of them")
    given = [name for name in _BODIES if getattr(message, name) is not None]
    if not given:
        raise terms.about(("message",), "has no body", f"give {', '.join(_BODIES[:-1])} or {_BODIES[-1]}")
    from_markdown = [name for name in given if name.startswith("markdown")]
    if from_markdown and from_markdown != given:
        other = next(name for name in given if name not in from_markdown)
        what = f"is there besides {from_markdown[0]}, which HTML and text are made from"
        raise terms.about(("message", other), what, "give one of them")
    if message.style_file is not None and not from_markdown:
        raise terms.about(("message", "style_file"), "is for Markdown only", "put the sheet into the HTML")
    for name in ("html_file", "text_file", "markdown_file", "style_file"):
        path: Path | None = getattr(message, name)
        if path is not None:
            _check_inside(path, directory, terms, ("message", name), "the path of a template")


def _check_attachments(message: Message, directory: Path, terms: Terms) -> None:
    for place, attachment in enumerate(message.attachments):
        key: Key = ("message", "attachments", place)
        if isinstance(attachment, str):
            file = attachment
        else:
            file, key = attachment.file, (*key, "file")
        if not _TEMPLATE_MARK.search(file):
            if not is_path(file):
                raise terms.wrong(key, "expected the path of a file")
            _check_inside(directory / file, directory, terms, key, "the path of a file")


def _check_dkim(dkim: tuple[Dkim, ...], terms: Terms) -> None:
    seen: set[tuple[str, str]] = set()
    for place, signature in enumerate(dkim):
        table: Key = ("message", "dkim", place)
        _check_signature(signature, terms, table)
        known = (signature.selector.lower(), signature.domain.lower())
        if known in seen:
            raise terms.about(table, "has the domain and selector of another signature", "leave one of them out")
        seen.add(known)


def _check_signature(signature: Dkim, terms: Terms, table: Key) -> None:
    domain, selector = signature.domain, signature.selector
    if "." not in domain or not _DOMAIN.fullmatch(domain):
        raise terms.wrong(
            (*table, "domain"), 'expected a domain in its ASCII form ("xn--…"), such as "mail.example.com"'
        )
    if not _DOMAIN.fullmatch(selector) or len(f"{selector}._domainkey.{domain}") > _LONGEST_NAME:
        raise terms.wrong((*table, "selector"), 'expected a name such as "s2026": letters, digits and hyphens')
    if not is_file(signature.key_file):
        raise terms.wrong((*table, "key_file"), no_file("the path of a private key", signature.key_file))


def _check_headers(message: Message, terms: Terms) -> None:
    seen: dict[str, str] = {}
    for name in message.headers:
        if wrong := refusal(name, seen):
            raise terms.about(("message", "headers", name), *wrong)


def _check_inside(path: Path, directory: Path, terms: Terms, key: Key, expected: str) -> None:
    """Check that a path is a file in the campaign's folder, also when symbolic links are followed."""
    path = resolved(path)
    if not path.is_relative_to(directory):
        raise terms.wrong(key, f"expected {expected} inside the campaign's folder {directory}; this is {path}")
    if not is_file(path):
        raise terms.wrong(key, no_file(f"{expected} inside the campaign's folder", path))


def _check_delivery(delivery: Delivery, terms: Terms, *, own: Path | None = None) -> None:
    _check_times(delivery, terms)
    for place, listed in enumerate(delivery.suppress):
        path = listed.file if isinstance(listed, SuppressionList) else Path(listed)
        # Nothing has come back of a run that has not begun: its own feedback log is a list of nobody.
        if not is_file(path) and (path != own or exists(path)):
            raise terms.wrong(("delivery", "suppress", place), no_file("the path of a file of addresses", path))
        if isinstance(listed, SuppressionList):
            _check_encoding(listed.encoding, terms, ("delivery", "suppress", place, "encoding"))
    for place, path in enumerate(delivery.exclude):
        if not is_file(path):
            raise terms.wrong(("delivery", "exclude", place), no_file("the path of a results log", path))
    if delivery.dsn is not None and "never" in delivery.dsn.notify and len(delivery.dsn.notify) > 1:
        raise terms.about(("delivery", "dsn", "notify"), 'has "never" among others', 'leave "never" or the others')


def _check_times(delivery: Delivery, terms: Terms) -> None:
    if delivery.timezone is None:
        return
    try:
        Zone(delivery.timezone)
    except ValueError:
        raise terms.wrong(
            ("delivery", "timezone"),
            'expected a zone that this machine knows, by its IANA name: "Europe/Berlin"; pip install tzdata brings all '
            "of them where it knows none",
        ) from None
    if not delivery.window and delivery.start is None:
        raise terms.about(
            ("delivery", "timezone"), "is there without window or start", "it says whose time they are in"
        )


def _check_encoding(encoding: str | None, terms: Terms, key: Key) -> None:
    if encoding is None:
        return
    try:
        "a".encode(encoding)  # Unlike codecs.lookup, it refuses what encodes no text, such as "gzip" and "rot13".
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError):
        raise terms.wrong(
            key, 'expected an encoding such as "cp1252", "iso-8859-15", "utf-16-le" or "shift_jis"'
        ) from None


def _check_results(campaign: Campaign, terms: Terms) -> None:
    results = campaign.results
    if is_folder(results):
        raise terms.wrong(("results",), "expected the path of a file; this is a directory")
    if not is_folder(results.parent):
        raise terms.wrong(("results",), f"expected a path in a folder that exists; there is no {results.parent}")
    for what, path in (("the campaign file", campaign.path), ("the recipients file", campaign.recipients)):
        if path != "-" and is_same(results, path):
            raise terms.wrong(("results",), f"expected a file of its own; this is {what}")
    for place, path in enumerate(campaign.delivery.exclude):
        if is_same(results, path):
            raise terms.wrong(
                ("delivery", "exclude", place), "expected the log of another run; this is the results log of this one"
            )


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None and ".." not in text
    return True


def _is_ehlo_name(text: str) -> bool:
    """A domain or an address literal (RFC 5321 §4.1.1.1, §4.1.3)."""
    if text.startswith("[") and text.endswith("]"):
        literal = text[1:-1]
        is_v6 = literal.lower().startswith("ipv6:")
        try:
            address = ip_address(literal[5:] if is_v6 else literal)
        except ValueError:
            return False
        return isinstance(address, IPv6Address) == is_v6 and "%" not in literal
    return len(text) <= 255 and _DOMAIN.fullmatch(text) is not None
