"""Makes a campaign from the three files of the program mailmerge: template, database, server configuration."""

from __future__ import annotations

import configparser
import re
from dataclasses import replace
from email import message_from_string
from email.utils import parseaddr
from typing import TYPE_CHECKING, Final

from batchsend.campaign import is_loopback
from batchsend.errors import UsageError
from batchsend.scaffold.draft import Draft, DraftBody
from batchsend.scaffold.recipients import Recipients
from batchsend.scaffold.relay import RelayAnswers
from batchsend.scaffold.toml import TomlEntry

if TYPE_CHECKING:
    from email.message import Message
    from pathlib import Path

TEMPLATE: Final = "mailmerge_template.txt"
DATABASE: Final = "mailmerge_database.csv"
SERVER: Final = "mailmerge_server.conf"

_VARIABLE: Final = re.compile(r"\{\{\s*(?P<name>\w+)\s*\}\}")
_TAKEN: Final = frozenset(
    {"to", "from", "subject", "reply-to", "cc", "bcc", "attachment", "content-type", "mime-version"}
)
_LARGEST: Final = 10 * 1024 * 1024


def draft_of(directory: Path) -> tuple[Draft, list[str]]:
    """The campaign that does what ``mailmerge`` does in a directory, and what it does differently, one line each.

    Raises:
        UsageError: A file is missing or cannot be understood, or the template needs what batchsend does not do.
    """
    source = _read(directory / TEMPLATE)
    if "{%" in source.partition("\n\n")[0]:
        raise UsageError(
            f"{directory / TEMPLATE} has a {{% … %}} among its headers",
            remedy="write the headers without; conditions may stand inside their values in campaign.toml",
        )
    template = message_from_string(source)
    relay, delivery, notes = _server(directory)
    for name in ("Cc", "Bcc"):
        if template[name] is not None:
            notes.append(f"{name} is left out: a message goes to its record's recipient alone")
    recipients = _recipients(directory, _header(directory, template, "To"))
    body = _body(directory, template)
    if body.html is not None:
        notes.append("in HTML, what stands in the database is escaped: a < there stays a <")
    to = _header(directory, template, "To")
    more = [TomlEntry("reply_to", str(template["Reply-To"]))] if template["Reply-To"] is not None else []
    if attachments := [str(path).strip() for path in template.get_all("Attachment", [])]:
        more.append(TomlEntry("attachments", attachments))
    draft = Draft(
        relay=relay,
        recipients=recipients,
        sender=_header(directory, template, "From"),
        to=None if _VARIABLE.fullmatch(to) else to,
        subject=_header(directory, template, "Subject"),
        body=body,
        more=more,
        headers={name: value for name, value in template.items() if name.lower() not in _TAKEN},
        delivery=delivery,
    )
    return draft, notes


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(_LARGEST)
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8", remedy="save it as UTF-8") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", remedy=f"name the folder of {TEMPLATE}, {DATABASE} and {SERVER}"
        ) from None


def _header(directory: Path, template: Message, name: str) -> str:
    value = template[name]
    if value is None:
        raise UsageError(f"{directory / TEMPLATE} has no {name.upper()}", remedy="mailmerge needs TO, FROM and SUBJECT")
    return " ".join(str(value).split())


def _recipients(directory: Path, to: str) -> Recipients:
    """Who the template is sent to: the column that stands as the address of TO."""
    address = _VARIABLE.fullmatch(parseaddr(to)[1] or to) or _VARIABLE.fullmatch(to.rpartition("<")[2].rstrip("> "))
    if address is None:
        raise UsageError(
            f"{directory / TEMPLATE}: TO is {to}", remedy="expected one column as the address, such as {{email}}"
        )
    recipients = Recipients.read(directory / DATABASE, directory, address=address["name"])
    if address["name"] not in recipients.columns:
        raise UsageError(
            f"{directory / DATABASE} has no column {address['name']}, which TO asks for",
            remedy=f"its columns are {', '.join(recipients.columns)}",
        )
    return replace(recipients, path=DATABASE)


def _body(directory: Path, template: Message) -> DraftBody:
    kinds = {"text/plain": "text", "text/html": "html", "text/markdown": "markdown"}
    found: dict[str, str] = {}
    for part in template.walk():
        if part.is_multipart():
            continue
        kind = kinds.get(part.get_content_type())
        if kind is None or kind in found:
            raise UsageError(
                f"{directory / TEMPLATE} has a part of {part.get_content_type()}",
                remedy="batchsend takes one text and one HTML body, or one in Markdown",
            )
        found[kind] = str(part.get_payload()).strip("\n") + "\n"
    if "markdown" in found and len(found) > 1:
        raise UsageError(
            f"{directory / TEMPLATE} has a part in Markdown besides others",
            remedy="leave the others out: HTML and text are made from it",
        )
    return DraftBody(text=found.get("text"), html=found.get("html"), markdown=found.get("markdown"))


def _server(directory: Path) -> tuple[RelayAnswers, list[TomlEntry], list[str]]:
    path = directory / SERVER
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(_read(path))
        host, port = parser.get("smtp_server", "host"), parser.getint("smtp_server", "port")
        limit = parser.getint("smtp_server", "ratelimit", fallback=0)
    except (configparser.Error, ValueError) as error:
        what = " ".join(str(error).split())
        raise UsageError(f"{path}: {what}", remedy="expected mailmerge's [smtp_server] with host and port") from None
    security = parser.get("smtp_server", "security", fallback="Never")
    username = parser.get("smtp_server", "username", fallback="")
    delivery = [TomlEntry("rate", f"{limit}/min")] if limit > 0 else []
    if security in ("", "Never"):
        return RelayAnswers.at(host, port, tls="none", authenticated=False), delivery, []
    if security not in ("SSL/TLS", "STARTTLS", "PLAIN", "XOAUTH"):
        raise UsageError(
            f"{path}: security = {security}", remedy="mailmerge knows SSL/TLS, STARTTLS, PLAIN, XOAUTH and Never"
        )
    notes = []
    tls = "implicit" if security == "SSL/TLS" else "starttls"
    if security == "PLAIN":
        if is_loopback(host):
            tls = "none"
        else:
            notes.append("security is STARTTLS instead of PLAIN: credentials are never sent in the clear")
    proof, variable = ("token", "SMTP_TOKEN") if security == "XOAUTH" else ("password", "SMTP_PASSWORD")
    relay = RelayAnswers.at(host, port, tls=tls, authenticated=False)
    entries = [
        *relay.entries,
        TomlEntry("username", username),
        TomlEntry(proof, f"${{{variable}}}", "see .env.example"),
    ]
    return (
        RelayAnswers(entries, {variable: f"what mailmerge asks for as the password of {username} on {host}"}),
        delivery,
        notes,
    )
