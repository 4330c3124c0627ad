"""What a proof-reader would say of a message: names that are none, marks of other programs, links to nobody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from batchsend.message.proof import UNSUBSCRIBES, unsubscribing_links
from batchsend.recipients.columns import template_variables, variable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchsend.campaign import Campaign
    from batchsend.check.finding import Section
    from batchsend.check.gathering import Gathering
    from batchsend.check.html import Html
    from batchsend.message.parsed import ParsedMessage
    from batchsend.recipients import Record

# What databases, spreadsheets and programs write where there is nothing.
_NOTHING: Final = frozenset(
    {*("null", "none", "nil", "nan", "n/a", "#n/a", "#na", "undefined", "unknown", "(null)", "<null>", "\\n")}
    | {*("#name?", "#ref!", "#value!", "#null!", "#num!", "#div/0!")}
)
# The brackets in which other programs want the names of fields.
_BRACKETED: Final = re.compile(
    r"(?:\{{1,3}|\[{1,2}|\*\||%{1,2}|\$\{|<<|«)[ ]?([A-Za-z][\w .-]{0,39}?)[ ]?(?:\}{1,3}|\]{1,2}|\|\*|%{1,2}|>>|»)"
)
# Marks that are nothing else but those of another program: Mailchimp, Salesforce, Mailgun, Mailjet and others.
_FOREIGN: Final = re.compile(
    r"\*\|[A-Za-z][\w:.,-]{0,60}\|\*|(?<!\d)%%\[?=?[A-Za-z][\w .:=-]{0,60}(?<! )\]?%%"
    r"|\{![A-Za-z$][\w.$]{1,60}\}"
    r"|%recipient\.\w{1,60}%|\[\[(?:var|data):[^\[\]]{1,80}\]\]|\{\$[A-Za-z]\w{0,60}\}|<%=[^%<>]{1,80}%>"
    r"|%(?:FIRSTNAME|LASTNAME|FULLNAME|EMAIL|PHONE|UNSUBSCRIBELINK|WEBCOPY|SENDER-INFO(?:-SINGLELINE)?)%"
    r"|[\[\{<«]{1,2}(?:FNAME|LNAME|FIRST[ _-]?NAME|LAST[ _-]?NAME|FULL[ _-]?NAME|VORNAME|NACHNAME)[\]\}>»]{1,2}"
)
_LITERAL_REMEDY: Final = (
    "if it is to be filled in, write its braces in the template themselves: not as &#123; or another character "
    "reference, not within {% raw %}, and not in a record's value"
)
# What a text says where there would be a link, and what links are in it.
_CLICK: Final = re.compile(r"\b(?:click|here|link|klick|hier|cliqu|ici|clic|aqu[ií]|qui)", re.IGNORECASE)
_ANSWER: Final = re.compile(
    r"\b(?:repl(?:y|ies|ying)|answer|respond|antwort|répon|responde|respuesta|rispond|responda|beantwoord)",
    re.IGNORECASE,
)
"""Words that ask for an answer: it needs no link."""
_WRITTEN_OUT: Final = re.compile(r"https?://|www\.|mailto:|[^\s@]@[^\s@]+\.\w", re.IGNORECASE)
_IDENTIFIER: Final = re.compile(r"(?=[^\d]*\d)[\w.~%-]{6,}|[\w.~%-]{20,}")
_OF_IDENTIFIER: Final = re.compile(r"[?&](?:\w*(?:token|key|uuid|hash|secret|code|id)|[tkuc])=\Z", re.IGNORECASE)
_LARGE_IMAGE: Final = 1_000_000
"""Octets."""


class ProofReader:
    """Reads messages as their readers will.

    Args:
        campaign: What they are made from.
        gathering: Where findings about single records go.
        shown: The fields that templates show as they are.
    """

    def __init__(self, campaign: Campaign, gathering: Gathering, shown: Iterable[str]) -> None:
        self._gathering = gathering
        self._where = str(campaign.path)
        self._shown = sorted(shown)
        self._ways: list[tuple[int, int, str]] = []
        self._links: dict[tuple[int, str], dict[str, list[int]]] = {}  # by place and words: targets, and their lines

    def look_at_fields(self, row: Record) -> None:
        """Look at the values that a record's templates show."""
        variables = template_variables(row.fields)
        for name in self._shown:
            value = variables.get(name)
            if isinstance(value, bool):
                shown = variable(name, tuple(variables))
                self._gathering.warn(
                    "field-truth",
                    f"the field {name} is {str(value)!r}, and a template shows it so",
                    row,
                    f"let the template say what that means: {{{{ 'yes' if {shown} else 'no' }}}}",
                )
            elif isinstance(value, str | float) and _is_nothing(str(value).strip()):
                shown = variable(name, tuple(variables))
                self._gathering.warn(
                    "field-nothing",
                    f"the field {name} is {str(value)!r}, which a reader would read so",
                    row,
                    f"leave it empty, and let the template say what then: {{{{ {shown} | default('…', true) }}}}",
                )

    def look(self, message: ParsedMessage, html: Html | None, row: Record) -> None:
        """Look at one message.

        Args:
            message: The message, taken apart.
            html: What was found in its HTML, or None.
            row: The record that it is for.
        """
        self._look_at_to(message, row)
        readable = "".join(html.text) if html is not None else ""
        self._look_for_marks(f"{message.header('Subject') or ''}\n{message.text or ''}\n{readable}", row)
        for part in message.attachments:
            if part.content_type.startswith("image/") and len(part.content) > _LARGE_IMAGE:
                what = f"the image {part.name!r} has more than {_LARGE_IMAGE:,} octets"
                self._gathering.warn(
                    "image-large", what, row, "make it smaller: every recipient loads it, and the relay sends it"
                )
        if html is None:
            self._look_for_a_way_out_of_text(message.text or "", row)
        else:
            self._look_for_a_way_out(html, readable, row, message.html or "")
            for place, link in enumerate(html.links):
                if link.target.lower().startswith("http") and not UNSUBSCRIBES.search(f"{link.text} {link.target}"):
                    targets = self._links.setdefault((place, link.text.strip()[:80]), {})
                    targets.setdefault(link.target, []).append(row.line)
        for way in re.findall(r"<(https:[^<>]*)>", message.header("List-Unsubscribe") or "", re.IGNORECASE):
            self._ways.append((row.number, row.line, way))

    def _look_at_to(self, message: ParsedMessage, row: Record) -> None:
        to = message.header("To") or ""
        if message.envelope.forward_path.lower() not in to.lower():
            self._gathering.warn(
                "to-fixed",
                f"the To header says {to[:80]!r} and not the recipient, and every reader sees it",
                row,
                'leave to out, or write it with the record\'s address: "{{ name }} <{{ email }}>"',
            )

    def _look_for_marks(self, text: str, row: Record) -> None:
        names = {_squeezed(name) for name in row.fields}
        for found in _BRACKETED.finditer(text):
            if _squeezed(found[1]) in names:
                mark = found[0]
                if mark.startswith("{{") and mark.endswith("}}"):
                    what, remedy = f"a message says {mark!r}: it is shown as it stands", _LITERAL_REMEDY
                else:
                    what = f"a message says {mark!r}: nothing was filled in there"
                    remedy = "write {{ name }}, with two braces on either side"
                self._gathering.warn("mark-brackets", what, row, remedy)
                return
        if (foreign := _FOREIGN.search(text)) is not None:
            what = f"a message says {foreign[0]!r}: that is another program's mark, and nothing was filled in there"
            remedy = "write {{ name }}, with the name of a column, or take it out"
            self._gathering.warn("mark-brackets", what, row, remedy)

    def _look_for_a_way_out(self, html: Html, readable: str, row: Record, source: str) -> None:
        ways = [link for link in html.links if UNSUBSCRIBES.search(f"{link.text} {link.target}")]
        is_said = not ways and UNSUBSCRIBES.search(readable) and not _ANSWER.search(readable)
        if (is_said and next(unsubscribing_links(source), None) is None) or any(
            link.target in ("", "#") for link in ways
        ):
            self._gathering.warn(
                "unsubscribe-no-link",
                "a message says how to unsubscribe, and there is no link to it",
                row,
                "make it a link to a page that does it",
            )
        self._ways += [(row.number, row.line, link.target) for link in ways if link.target.lower().startswith("http")]

    def _look_for_a_way_out_of_text(self, text: str, row: Record) -> None:
        """A text has its links written out, or an address; or it asks for an answer."""
        if UNSUBSCRIBES.search(text) and _CLICK.search(text) and not _WRITTEN_OUT.search(text):
            self._gathering.warn(
                "unsubscribe-no-link",
                "a message says how to unsubscribe, and there is no link to it",
                row,
                "write the address of a page that does it: https://…",
            )

    def conclude(self, section: Section) -> None:
        """Say which records have one personal link between them."""
        self._conclude_ways(section)
        for targets in self._links.values():
            for target, lines in targets.items():
                if len(lines) > 1 and _is_personal(target, targets):
                    section.warning(
                        "link-shared",
                        f"several records have the same personal link, {target[:120]!r}: one would see another's page",
                        where=f"lines {', '.join(map(str, lines[:10]))} of the recipients",
                        remedy="give each record a link of its own",
                    )
                    return

    def _conclude_ways(self, section: Section) -> None:
        first: dict[str, tuple[int, int]] = {}
        shared: dict[str, list[int]] = {}
        for number, line, way in self._ways:
            if first.setdefault(way, (number, line))[0] != number:
                shared.setdefault(way, [first[way][1]]).append(line)
        # A page that is the same for everybody asks who it is; several links say so themselves.
        if shared and len({way for _, _, way in self._ways if "?" in way or way in shared}) > len(shared):
            way, lines = next(iter(shared.items()))
            section.warning(
                "unsubscribe-shared",
                f"several records unsubscribe by the same link, {way[:120]!r}: one would unsubscribe the others",
                where=f"lines {', '.join(map(str, lines[:10]))} of the recipients",
                remedy="give each record a link of its own",
            )


def _is_nothing(value: str) -> bool:
    """Whether a program has written that there is nothing; Nan is somebody's name."""
    return value.lower() in _NOTHING and value != "Nan"


def _is_personal(target: str, targets: Iterable[str]) -> bool:
    """Whether a link leads to what is one person's: in place of what it differs by from others stands an identifier.

    Args:
        target: Where it leads.
        targets: Where it leads for all records.
    """
    other = next((one for one in targets if one != target), None)
    if other is None:
        return False
    same = next((at for at, (one, two) in enumerate(zip(target, other, strict=False)) if one != two), len(other))
    start = max(target.rfind(sign, 0, same) for sign in "=/?&#") + 1
    differs = re.split("[&#/?]", target[start:], maxsplit=1)[0]
    return bool(_IDENTIFIER.fullmatch(differs) or _OF_IDENTIFIER.search(target[:start]))


def _squeezed(name: str) -> str:
    """A field's name as it is compared with what stands in brackets."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
