"""What is wrong with the messages themselves: parts, headers, size, and what receivers of bulk mail expect of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from batchsend.check.domains import align, is_reserved
from batchsend.check.finding import Section, Severity
from batchsend.check.html import Html
from batchsend.check.markup import Markup
from batchsend.check.proof_reading import ProofReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchsend.campaign import Campaign
    from batchsend.check.gathering import Gathering
    from batchsend.message import Submission
    from batchsend.message.parsed import ParsedMessage
    from batchsend.recipients import Record

BULK: Final = 5000
"""Messages a day from which on Gmail, Yahoo and Outlook.com ask more of a sender."""

_MOST: Final = 100
"""Messages that are looked into: what the templates have in common shows in the first."""
_MOST_OCTETS: Final = 8_000_000
_LARGE: Final = 10_240_000
"""Postfix's message_size_limit, where nobody has changed it."""
_DOMAINS: Final = 3
_RECIPIENT_DOMAINS: Final = 10_000

# Gmail takes none of these, whatever they hold.
_REFUSED: Final = frozenset(
    {
        *(".ade", ".adp", ".apk", ".appx", ".bat", ".cab", ".chm", ".cmd", ".com", ".cpl", ".dll", ".dmg"),
        *(".exe", ".hta", ".img", ".ins", ".iso", ".isp", ".jar", ".js", ".jse", ".lib", ".lnk", ".mde"),
        *(".msc", ".msi", ".msp", ".mst", ".nsh", ".pif", ".ps1", ".scr", ".sct", ".shb", ".sys", ".vb"),
        *(".vbe", ".vbs", ".vhd", ".vxd", ".wsc", ".wsf", ".wsh", ".xll"),
    }
)
# Whose From only their own servers may send: they say so by DMARC, or refuse it themselves.
_MAILBOX_PROVIDERS: Final = frozenset(
    {
        *("gmail.com", "googlemail.com", "yahoo.com", "ymail.com", "aol.com", "outlook.com", "hotmail.com", "live.com"),
        *("icloud.com", "me.com", "gmx.de", "gmx.net", "web.de", "mail.ru", "protonmail.com", "proton.me", "zoho.com"),
    }
)


@dataclass(slots=True)
class Seen:
    """What the messages have said that the rest of the check asks about.

    Attributes:
        from_domains: The domains of From, those of the first few messages.
        return_domains: The domains of the reverse-paths likewise.
        one_click: Every message can be unsubscribed from with one click (RFC 8058).
        dkim_domains: The domains that sign.
        recipient_domains: The domains of the recipients, at most 10,000 of them.
    """

    from_domains: list[str] = field(default_factory=list)
    return_domains: list[str] = field(default_factory=list)
    one_click: bool = True
    dkim_domains: list[str] = field(default_factory=list)
    recipient_domains: Counter[str] = field(default_factory=Counter)


class MessageCheck:
    """Looks into the first messages, at most 100 of them, and at the size of all.

    Args:
        campaign: What they are made from.
        gathering: Where findings about single records go.
        shown: The fields that templates show as they are.
    """

    def __init__(self, campaign: Campaign, gathering: Gathering, shown: Iterable[str]) -> None:
        self.seen = Seen(dkim_domains=[dkim.domain for dkim in campaign.message.dkim])
        self._campaign = campaign
        self._gathering = gathering
        file = campaign.message.html_file
        self._markup = Markup(gathering, "html" if file is None else file.name)
        self._proof_reader = ProofReader(campaign, gathering, shown)
        self._looked_into = 0
        self._octets = 0
        self._parts = ""
        self._largest = 0
        self._largest_record = 0
        self._without_unsubscribe = 0
        self._without_one_click = 0

    def look(self, submission: Submission, row: Record) -> None:
        """Look at one message."""
        size = len(submission.content)
        domain = submission.envelope.forward_path.rpartition("@")[2].lower()
        if domain in self.seen.recipient_domains or len(self.seen.recipient_domains) < _RECIPIENT_DOMAINS:
            self.seen.recipient_domains[domain] += 1
        self._proof_reader.look_at_fields(row)
        if size > self._largest:
            self._largest, self._largest_record = size, row.number
        if size > _LARGE:
            self._gathering.warn(
                "message-large",
                f"a message has more than {_LARGE:,} octets, which is what many servers take at most",
                row,
                "link to what is large instead of attaching it",
            )
        if self._looked_into < _MOST and self._octets < _MOST_OCTETS:
            self._looked_into += 1
            self._octets += size
            self._look_into(submission, row)

    @property
    def largest(self) -> tuple[int, int]:
        """The octets of the largest message, and its record."""
        return self._largest, self._largest_record

    def _look_into(self, submission: Submission, row: Record) -> None:
        from batchsend.message.parsed import ParsedMessage  # noqa: PLC0415 - slow to import, and only needed here

        message = ParsedMessage.of(submission)
        # The composer writes one mailbox: an address, or a name and the address in angle brackets.
        author = (message.header("From") or "").rpartition("<")[2].removesuffix(">")
        _remember(self.seen.from_domains, author.rpartition("@")[2])
        _remember(self.seen.return_domains, submission.envelope.reverse_path.rpartition("@")[2])
        names = [part.name or part.content_type for part in message.attachments]
        html = message.html
        self._parts = self._parts or " · ".join(
            [*(["text"] if message.text is not None else []), *(["HTML"] if html is not None else []), *names]
        )
        if not (message.text or "").strip():
            self._gathering.warn(
                "text-missing",
                "there is no text part, or nothing in it, as in spam that has only images",
                row,
                "give text or text_file, or say something in the HTML that it can be made from",
            )
        found = None if html is None else Html.read(html)
        if found is not None:
            self._markup.look(found, len((html or "").encode(errors="replace")), row, message.inline)
        self._proof_reader.look(message, found, row)
        if not (message.header("Subject") or "").strip():
            self._gathering.warn("subject-empty", "the subject is empty", row, "see subject in [message]")
        for name in names:
            if PurePath(name).suffix.lower() in _REFUSED:
                what = f"Gmail refuses attachments like {name!r}"
                self._gathering.warn("attachment-refused", what, row, "link to it")
        self._look_for_unsubscribing(message)

    def _look_for_unsubscribing(self, message: ParsedMessage) -> None:
        ways = message.header("List-Unsubscribe") or ""
        post = (message.header("List-Unsubscribe-Post") or "").strip().lower()
        if not ways:
            self._without_unsubscribe += 1
        elif "<https:" not in ways.lower() or post != "list-unsubscribe=one-click":
            self._without_one_click += 1

    def conclude(self, section: Section, ready: int) -> None:
        """Say what was found in all of them together.

        Args:
            section: Where it goes.
            ready: How many messages there are to send.
        """
        if not self._looked_into:
            self.seen.one_click = False
            return
        self._state_facts(section, ready)
        key = f"{self._campaign.path}, [message] from"
        for domain in self.seen.from_domains:
            if domain.lower() in _MAILBOX_PROVIDERS:
                section.warning(
                    "from-provider",
                    f"From is at {domain}, whose mail is to come from its own servers only",
                    where=key,
                    remedy="send from a domain of your own",
                )
            if is_reserved(domain):
                section.note(
                    "from-reserved",
                    f"From is at {domain}, which is reserved for examples (RFC 2606)",
                    where=key,
                    remedy="send from a domain of your own",
                )
        self._proof_reader.conclude(section)
        self._conclude_alignment(section)
        self._conclude_unsubscribing(section, ready)

    def _state_facts(self, section: Section, ready: int) -> None:
        section.facts |= {
            "looked into": f"{'all' if self._looked_into == ready else 'the first'} {self._looked_into:,} messages",
            "parts": self._parts,
            "largest": f"{self._largest:,} octets (record {self._largest_record:,})",
            "from": ", ".join(self.seen.from_domains),
            "return path": ", ".join(self.seen.return_domains) or "none (the null reverse-path)",
        }

    def _conclude_alignment(self, section: Section) -> None:
        """Whether the domain that SPF is about can be the one that DMARC asks about (RFC 7489 §3.1.2)."""
        signed = any(align(one, other) for one in self.seen.dkim_domains for other in self.seen.from_domains)
        for domain in self.seen.return_domains:
            if any(align(domain, other) for other in self.seen.from_domains):
                continue
            section.add(
                "return-path-alignment",
                Severity.NOTE if signed else Severity.WARNING,
                f"the return path is at {domain}, which cannot align with From: DMARC rests on DKIM alone",
                where=f"{self._campaign.path}, [message] return_path",
                remedy=f"use a return path under {self.seen.from_domains[0]}, or sign for that domain",
            )

    def _conclude_unsubscribing(self, section: Section, ready: int) -> None:
        severity = Severity.WARNING if ready >= BULK else Severity.NOTE
        where = f"{self._campaign.path}, [message.headers]"
        pair = (
            'List-Unsubscribe = "<https://…>" and List-Unsubscribe-Post = "List-Unsubscribe=One-Click"; '
            "only mail that somebody waits for needs none"
        )
        if self._without_unsubscribe:
            what = "there is no List-Unsubscribe header, by which mail readers offer to unsubscribe"
            section.add("unsubscribe-missing", severity, what, where=where, remedy=f"set {pair}")
        if self._without_one_click:
            what = "nobody can unsubscribe with one click (RFC 8058): the https: URL or the Post header is missing"
            section.add("unsubscribe-one-click", severity, what, where=where, remedy=f"set both {pair}")
        self.seen.one_click = not self._without_unsubscribe and not self._without_one_click


def _remember(domains: list[str], domain: str) -> None:
    if domain and domain not in domains and len(domains) < _DOMAINS:
        domains.append(domain)
