"""A campaign before it is a folder: what its files will say."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batchsend.campaign import Message
from batchsend.message import Composer
from batchsend.scaffold.toml import TomlEntry as Entry
from batchsend.scaffold.toml import table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batchsend.scaffold.recipients import Recipients
    from batchsend.scaffold.relay import RelayAnswers

CAMPAIGN: Final = "campaign.toml"
_HEAD: Final = """\
# What is sent, to whom, through which relay. All keys there are: batchsend manual
#
#   batchsend preview campaign.toml             one message as it will look
#   batchsend check campaign.toml               records, server and DNS looked at, nothing sent
#   batchsend send campaign.toml --sandbox      everything real, nothing leaves this machine
"""
_IGNORED: Final = "# What batchsend writes, and what nobody else should read.\n.env\nresults*.jsonl*\nsandbox*.jsonl*\n"
_ENVIRONMENT: Final = """\
# The credentials that campaign.toml names. Copy this to .env, fill it in, and load it into a shell:
#
#   set -a; . ./.env; set +a
"""
_SHOWN_COLUMNS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftBody:
    """The message's texts, and the files that they go into.

    Attributes:
        text: The plain text, or None.
        html: The HTML, or None.
        markdown: What both are made from, instead of them, or None.
    """

    text: str | None
    html: str | None
    markdown: str | None = None

    @property
    def files(self) -> dict[str, str]:
        """The content of each file by its name."""
        named = {"message.html": self.html, "message.txt": self.text, "message.md": self.markdown}
        return {name: text for name, text in named.items() if text is not None}

    @property
    def entries(self) -> list[Entry]:
        """The keys of ``[message]`` that name the files."""
        entries = []
        if self.html is not None:
            entries.append(Entry("html_file", "message.html"))
        if self.text is not None:
            entries.append(Entry("text_file", "message.txt", "made from the HTML if absent" if self.html else ""))
        if self.markdown is not None:
            entries.append(Entry("markdown_file", "message.md", "HTML and text are made from it"))
        return entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A campaign folder to be.

    Attributes:
        relay: What stands in ``[server]``.
        recipients: Who it is for.
        sender: The From header.
        subject: The Subject header.
        body: The message's texts.
        to: The To header; None for the bare recipient.
        more: Further keys of ``[message]``.
        headers: Further header fields by name.
        delivery: The keys of ``[delivery]``.
    """

    relay: RelayAnswers
    recipients: Recipients
    sender: str
    subject: str
    body: DraftBody
    to: str | None = None
    more: Sequence[Entry] = ()
    headers: dict[str, str] = field(default_factory=dict)
    delivery: Sequence[Entry] = (
        Entry("rate", "100/s", "the most; otherwise as fast as the relay takes it", active=False),
        Entry("max_connections", 5, "sessions open at once", active=False),
        Entry("max_messages", 100, "messages of a session", active=False),
        Entry("suppress", ["unsubscribed.csv"], "who is not written to", active=False),
    )

    @classmethod
    def of_answers(cls, relay: RelayAnswers, sender: str, recipients: Recipients) -> Draft:
        """The draft of somebody who has a relay, a sender and recipients, and has written nothing yet."""
        name = recipients.name
        return cls(
            relay=relay,
            recipients=recipients,
            sender=sender,
            subject=f"Hello {_shown(recipients, name)}" if name else "Hello",
            to=f"{_shown(recipients, name)} <{_shown(recipients, recipients.address)}>" if name else None,
            body=_first_body(recipients),
        )

    def check(self, directory: Path) -> None:
        """Compile all templates and addresses.

        Raises:
            UsageError: One of them is wrong.
        """
        message = Message(
            from_=self.sender,
            to=self.to,
            subject=self.subject,
            html=self.body.html,
            text=self.body.text,
            markdown=self.body.markdown,
            headers=self.headers,
        )
        Composer(message, directory=directory, batch_id="init", recipient_field=self.recipients.address)

    def files(self) -> dict[str, str]:
        """The content of every file of the folder, by its name."""
        files = {CAMPAIGN: self._campaign(), **self.body.files}
        if self.recipients.sample is not None:
            files[self.recipients.path] = self.recipients.sample
        if self.relay.variables:
            files[".env.example"] = _ENVIRONMENT + "".join(
                f"\n# {what}\n{name}=\n" if what else f"{name}=\n" for name, what in self.relay.variables.items()
            )
        return files | {".gitignore": _IGNORED}

    def _campaign(self) -> str:
        top = [
            Entry("recipients", self.recipients.path, "CSV or JSON Lines, also as .gz or .zst"),
            Entry("results", "results.jsonl", "what became of each recipient"),
        ]
        if not self.recipients.is_found:
            top.append(Entry("recipient_field", self.recipients.address, "the column of addresses"))
        if self.recipients.encoding is not None:
            top.append(Entry("encoding", self.recipients.encoding, "of the recipients file"))
        if self.recipients.sheet is not None:
            top.append(Entry("sheet", self.recipients.sheet, "of the workbook"))
        message = [Entry("from", self.sender)]
        message += [Entry("to", self.to)] if self.to is not None else []
        message += [*self.more, Entry("subject", self.subject), *self.body.entries]
        headers = [Entry(name, value) for name, value in self.headers.items()] or _way_out(self.recipients)
        tables = {"": top, "server": self.relay.entries, "message": message, "message.headers": headers}
        return "\n".join(
            [_HEAD, *(table(name, keys) for name, keys in tables.items()), table("delivery", self.delivery)]
        )


def _way_out(recipients: Recipients) -> list[Entry]:
    who = f"{{{{ {recipients.variable(recipients.address)} | urlencode }}}}"
    url = f"<https://example.com/unsubscribe?who={who}>"
    return [
        Entry("List-Unsubscribe", url, active=False),
        Entry("List-Unsubscribe-Post", "List-Unsubscribe=One-Click", "bulk mail needs both (RFC 8058)", active=False),
    ]


def _shown(recipients: Recipients, column: str) -> str:
    """The template mark that shows a column."""
    return f"{{{{ {recipients.variable(column)} }}}}"


def _first_body(recipients: Recipients) -> DraftBody:
    """A greeting, and the recipient's columns as examples of what a template can say."""
    hello = f"Hello {_shown(recipients, recipients.name)}," if recipients.name else "Hello,"
    told = {recipients.name, recipients.address}
    shown = [name for name in recipients.filled if name not in told][:_SHOWN_COLUMNS]
    says = ["this is where your message goes."]
    text_items, html_items = "", ""
    if shown:
        says.append("What stands in the recipients file can be said in it:")
        text_items = "\n" + "".join(f"  {name}: {_shown(recipients, name)}\n" for name in shown)
        items = "".join(f"    <li>{html.escape(name)}: {_shown(recipients, name)}</li>\n" for name in shown)
        html_items = f"  <ul>\n{items}  </ul>\n"
    return DraftBody(
        text=f"{hello}\n\n" + "".join(f"{sentence}\n" for sentence in says) + text_items,
        html=(
            '<!doctype html>\n<html>\n<body style="font-family: sans-serif; max-width: 36em">\n'
            f"  <p>{hello}</p>\n  <p>{' '.join(says)}</p>\n{html_items}</body>\n</html>\n"
        ),
    )
