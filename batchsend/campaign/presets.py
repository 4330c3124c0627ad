"""Well-known relays: where they are, how their key is used and what they document as their limits.

Every fact is from the relay's own documentation; what it does not say is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from batchsend.campaign.nearest import suggestion
from batchsend.campaign.values import PROOFS
from batchsend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.campaign.document import Document

_CREDENTIALS: Final = ("username", *PROOFS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What ``preset = "…"`` in ``[server]`` stands for; a key that stands in the campaign file wins over it.

    Attributes:
        title: The relay's own name.
        host: Its host name.
        port: The port it recommends: 587 is STARTTLS, 465 is TLS from the start.
        other_port: The other one of the two where it has it, or None.
        username: How the username is found: a fixed one, or None where the account has one of its own.
        same: Whether one key is both username and password.
        anonymous: Whether it may be used without credentials, by addresses that its administrator has allowed.
        credentials: What the username and the password are, in the relay's words.
        rate: The most messages in a time that it documents for every account, or None.
        note: Other limits that it documents, or ``""``.
    """

    title: str
    host: str
    port: Literal[587, 465] = 587
    other_port: Literal[587, 465] | None = 465
    username: str | None = None
    same: bool = False
    anonymous: bool = False
    credentials: str
    rate: str | None = None
    note: str = ""

    def complete(self, server: dict[str, Any]) -> dict[str, Any]:
        """The keys of a ``[server]`` table together with what the preset adds to them."""
        added: dict[str, Any] = {"host": self.host, "port": self.port}
        if self.username is not None and any(name in server for name in PROOFS):
            added["username"] = self.username
        if self.same:
            given = server.get("password", server.get("username"))
            if given is not None:
                added |= {"username": given, "password": given}
        return added | server


_SES: Final = "SMTP credentials made in the SES console; they are not an AWS access key"
_SES_REGIONS: Final = (
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
    *("ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1"),
    *("us-east-1", "us-east-2", "us-gov-east-1", "us-gov-west-1", "us-west-1", "us-west-2"),
)
_MAILGUN: Final = "an SMTP user of the sending domain, user@DOMAIN, and its password; not the API key"
_SPARKPOST: Final = 'the password is an API key that may "Send via SMTP"'
_SPARKPOST_NOTE: Final = "100 messages a session recommended"
_POSTMARK: Final = "the server API token is both"
_ZOHO: Final = "the full address, and an app password where two-factor authentication is on"
_GOOGLE: Final = "the full address and an app password; or a token instead of the password"

PRESETS: Final[dict[str, Preset]] = {
    # docs.aws.amazon.com/ses/latest/dg/smtp-connect.html; …/general/latest/gr/ses.html for the regions
    **{
        f"amazon-ses-{region}": Preset(
            title=f"Amazon SES, {region}", host=f"email-smtp.{region}.amazonaws.com", credentials=_SES
        )
        for region in _SES_REGIONS
    },
    # developers.brevo.com/docs/smtp-integration
    "brevo": Preset(
        title="Brevo", host="smtp-relay.brevo.com", credentials="the SMTP login and an SMTP key; not an API key"
    ),
    # help.elasticemail.com, article 4803409
    "elastic-email": Preset(
        title="Elastic Email",
        host="smtp.elasticemail.com",
        credentials="an SMTP credential: its address and its password",
    ),
    # www.fastmail.com/help/technical/servernamesandports.html
    "fastmail": Preset(
        title="Fastmail",
        host="smtp.fastmail.com",
        port=465,
        other_port=None,
        credentials="the full address and an app password",
    ),
    # support.google.com/a/answer/166852 and 176600
    "gmail": Preset(
        title="Gmail, and Google Workspace mailboxes",
        host="smtp.gmail.com",
        credentials=_GOOGLE,
        note="500 messages a day; 2,000 with Google Workspace",
    ),
    "google-workspace": Preset(
        title="Google Workspace SMTP relay",
        host="smtp-relay.gmail.com",
        anonymous=True,
        credentials=f"{_GOOGLE}; or none where the administrator has allowed this machine's address",
        note="10,000 recipients a day and user",
    ),
    # documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-smtp
    "mailgun": Preset(title="Mailgun, US", host="smtp.mailgun.org", credentials=_MAILGUN),
    "mailgun-eu": Preset(title="Mailgun, EU", host="smtp.eu.mailgun.org", credentials=_MAILGUN),
    # documentation.mailjet.com, What is an API key; cloud.google.com/compute/docs/tutorials/sending-mail/using-mailjet
    "mailjet": Preset(
        title="Mailjet",
        host="in-v3.mailjet.com",
        credentials="the API key is the username, the secret key the password",
    ),
    # nexuspromail.com/blog/smtp-configuration-guide
    "nexuspromail": Preset(
        title="NexusProMail", host="smtp.nexuspromail.com", same=True, credentials="the API key is both"
    ),
    # learn.microsoft.com/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits
    "office365": Preset(
        title="Microsoft 365 (Exchange Online)",
        host="smtp.office365.com",
        other_port=None,
        credentials="the mailbox's address and a token; or its password where SMTP AUTH still takes one",
        rate="30/min",
        note="10,000 recipients a day",
    ),
    # postmarkapp.com/support/article/811
    "postmark": Preset(
        title="Postmark, transactional",
        host="smtp.postmarkapp.com",
        other_port=None,
        same=True,
        credentials=_POSTMARK,
    ),
    "postmark-broadcasts": Preset(
        title="Postmark, broadcasts",
        host="smtp-broadcasts.postmarkapp.com",
        other_port=None,
        same=True,
        credentials=_POSTMARK,
    ),
    # resend.com/docs/send-with-smtp; resend.com/docs/api-reference/rate-limit
    "resend": Preset(
        title="Resend",
        host="smtp.resend.com",
        username="resend",
        credentials="the password is an API key",
        rate="5/s",
        note="the rate is a team's default, and can be raised",
    ),
    # www.twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api
    "sendgrid": Preset(
        title="SendGrid",
        host="smtp.sendgrid.net",
        username="apikey",
        credentials="the password is an API key",
        note="5,000 messages a session, 10,000 sessions at once",
    ),
    # developers.smtp2go.com/docs/smtp-relay
    "smtp2go": Preset(title="SMTP2GO", host="mail.smtp2go.com", credentials="an SMTP user's username and password"),
    # developers.sparkpost.com/api/smtp
    "sparkpost": Preset(
        title="SparkPost, US",
        host="smtp.sparkpostmail.com",
        other_port=None,
        username="SMTP_Injection",
        credentials=_SPARKPOST,
        note=_SPARKPOST_NOTE,
    ),
    "sparkpost-eu": Preset(
        title="SparkPost, EU",
        host="smtp.eu.sparkpostmail.com",
        other_port=None,
        username="SMTP_Injection",
        credentials=_SPARKPOST,
        note=_SPARKPOST_NOTE,
    ),
    # www.zoho.com/mail/help/zoho-smtp.html
    "zoho": Preset(title="Zoho Mail", host="smtp.zoho.com", port=465, other_port=587, credentials=_ZOHO),
    "zoho-business": Preset(
        title="Zoho Mail, paid organisations",
        host="smtppro.zoho.com",
        port=465,
        other_port=587,
        credentials=_ZOHO,
    ),
}


def apply(document: Document, *, is_used: bool) -> None:
    """Put what presets stand for in the places of a campaign file where it has no key of its own.

    Args:
        document: The campaign file.
        is_used: Whether anything is sent to the relay; otherwise its limits are nobody's.

    Raises:
        UsageError: There is no such preset; or it needs credentials and has none.
    """
    for place, server, preset in _with_preset(document):
        if not preset.anonymous and not any(name in server for name in _CREDENTIALS):
            key = ("server", place, "password")
            raise document.missing(key, f"{preset.title}: {preset.credentials}")
        document.tables["server"][place] = preset.complete(server)
        if not is_used or preset.rate is None or server.get("host") is not None:
            continue
        if len(document.tables["server"]) > 1:
            document.tables["server"][place].setdefault("rate", preset.rate)
        else:
            delivery = document.tables.setdefault("delivery", {})
            if isinstance(delivery, dict):
                delivery.setdefault("rate", preset.rate)


def filled(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a `Server` that is made in code, together with what their preset adds, as to a campaign file.

    Args:
        given: The arguments, with a preset among them; None for one is as good as its absence.

    Raises:
        UsageError: There is no such preset; or it needs credentials and has none.
    """
    name = given["preset"]
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        expected = "expected the name of a preset: batchsend presets lists them"
        remedy = meant_by(name) if isinstance(name, str) else expected
        raise UsageError(f"Server.preset is {name!r}", remedy=remedy)
    said = {key: value for key, value in given.items() if value is not None}
    if "host" not in said and not preset.anonymous and not any(key in said for key in _CREDENTIALS):
        raise UsageError("Server.password is missing", remedy=f"{preset.title}: {preset.credentials}")
    completed = {**given, **preset.complete(said)}
    if "host" not in said and preset.rate is not None:  # it is the limit of a relay that is used
        completed["rate"] = said.get("rate", preset.rate)
    return completed


def _with_preset(document: Document) -> Iterator[tuple[int, dict[str, Any], Preset]]:
    servers = document.tables.get("server")
    for place, server in enumerate(servers if isinstance(servers, list) else []):
        name = server.get("preset") if isinstance(server, dict) else None
        if not isinstance(name, str):
            continue  # What is not a text, the check of types refuses.
        preset = PRESETS.get(name)
        if preset is None:
            raise document.wrong(("server", place, "preset"), meant_by(name))
        yield place, server, preset


def meant_by(name: str) -> str:
    """What to do about a name that no preset has: the presets that begin like it, or the one that is most like it."""
    begin_so = [known for known in PRESETS if name and known.startswith(name.lower())]
    if 0 < len(begin_so) <= _FEW:
        return f"did you mean {' or '.join(begin_so)}?"
    if begin_so:
        return f"{len(begin_so)} presets begin so: batchsend presets {name.lower()} lists them"
    return suggestion(name, PRESETS, otherwise="batchsend presets lists them; or give host and port")


_FEW: Final = 3
"""Presets that are named where one of them was meant."""
