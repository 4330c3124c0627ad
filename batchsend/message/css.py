"""Style sheets as style attributes, which every mail reader heeds: once where the template allows it.

Nothing but style attributes is written, into the source as it is: doctype, comments, conditional comments and sheets
stay, as there are rules that only a sheet can have (``@media``, ``:hover``, those for one mail reader).
"""

from __future__ import annotations

import re
import secrets
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.errors import RecordError
from batchsend.message.css_cascade import Cascade, RankedRule
from batchsend.message.css_rules import in_small_letters, last_compound, rules
from batchsend.message.css_skeleton import DocumentSkeleton, SkeletonCache
from batchsend.message.html_tokens import Token, tokens
from batchsend.message.marks import COVER, covered, has_marks, marks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHOSEN_BY: Final = frozenset({"class", "id", "style"})
# Media that a sheet is for without any condition, as far as mail is read.
_ANY_MEDIA: Final = frozenset({"", "all", "screen"})
# <!--[if !mso]><!--> is a comment to browsers, and <![if !mso]> nothing at all: what follows is for them.
_REVEALED: Final = re.compile(r"<!(?:--)?\[if\b", re.IGNORECASE)
_REVEALED_END: Final = re.compile(r"<!(?:--<!)?\[endif\]", re.IGNORECASE)
_OUTPUT_TAG: Final = re.compile(r"<[^\s<>/!][^\s<>]*+((?: [^\s=\"<>]++=\"[^\"]*+\")++)>")
_NAMES: Final = re.compile(r"--([rw][0-9]+)")
# What mail readers put around a message, or what only they understand.
_OF_A_READER: Final = re.compile(
    r"\[(?:data-og|owa|office365|class~=[\"']?x_)|#(?:outlook|MessageViewBody|MessageWebViewDiv|MailContainer|msgBody)\b"
    r"|\.(?:ExternalClass|ReadMsgBody|yahoo|aolReplacedBody|moz-text|Singleton|gmail|ios)|\bu\s*\+",
    re.IGNORECASE,
)
_VOID: Final = frozenset(
    {*("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")}
)
_DEEPEST: Final = 2_000  # the library goes six times as deep on a stack of eight megabytes
# Tags of elements that may lie within each other without end: neither void ones, nor those that close each other.
_NESTED: Final = re.compile(
    r"<(?!/?(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr|p|li|dt|dd|tr|td|th|option)[\s/>])"
    r"(/?)(table|[a-z])",
    re.IGNORECASE,
)


KNOWN: Final = SkeletonCache()


def inlined(html: str) -> str:
    """A document with its ``<style>`` sheets in the style attributes of what they apply to, too.

    Rules that hold under conditions only stay in the sheets alone. Nothing is fetched or read from anywhere.

    Args:
        html: A rendered document or fragment.

    Raises:
        RecordError: It cannot be done.
    """
    skeleton = DocumentSkeleton.of(html)
    if skeleton is None:
        cascade = cascade_of(html, html)
        return html if cascade is None else cascade.written()
    changes = KNOWN.get(skeleton.key)
    if changes is None:
        cascade = cascade_of(html, html)
        if cascade is None:
            return html
        if not cascade.looks_at_values:
            KNOWN.put(skeleton, cascade)
        return cascade.written()
    return skeleton.with_changes(changes)


def inlined_source(source: str, is_plain: Callable[[str], bool]) -> str | None:
    """The source of a template with its style sheets inlined, for all records.

    A record changes which rules apply wherever it brings elements or what selectors look at. So this is for templates
    that fill in nothing but escaped values, in texts and in attributes that do not choose rules; and whose conditions
    and loops hold whole elements, while no rule counts these.

    Args:
        source: The HTML template.
        is_plain: Whether what the template fills in is escaped values and nothing else.

    Returns:
        The source, or None where each record has to be inlined by itself.

    Raises:
        RecordError: As `inlined`.
    """
    if not has_marks(source):
        return inlined(source)
    hidden = covered(source)
    if source.count(COVER) or not is_plain(source) or _decides(hidden) or not _is_balanced(source, hidden):
        return None
    cascade = cascade_of(source, hidden)
    if cascade is None:
        return source
    # Rules that look at values, and at neighbours where there are conditions or loops, are for each record.
    if cascade.looks_at_values or (_BLOCK.search(source) and cascade.is_structural):
        return None
    return cascade.written()


def _decides(hidden: str) -> bool:
    """Whether a mark stands where it could decide which rules apply, or what they say."""
    if f"<{COVER}" in hidden or f"</{COVER}" in hidden:
        return True
    for token in tokens(hidden):
        if token.kind == "start":
            if COVER in token.name:
                return True
            for attribute in token.attributes:
                if COVER in attribute.name or (attribute.name in _CHOSEN_BY and COVER in (attribute.value or "")):
                    return True
        elif token.kind == "text":
            if token.name in ("style", "script") and COVER in hidden[token.start : token.end]:
                return True
        elif COVER in hidden[token.start : token.end]:  # a conditional comment may hold whole elements
            return True
    return False


_BLOCK: Final = re.compile(r"\{%[-+]?\s*(\w+)")


def _is_balanced(source: str, hidden: str) -> bool:
    """Whether each branch of each condition and loop holds whole elements."""
    events: list[tuple[int, str, str]] = [
        (start, "block", found[1]) for start, _ in marks(source) if (found := _BLOCK.match(source, start))
    ]
    if not events:
        return True
    events += [
        (token.start, token.kind, token.name)
        for token in tokens(hidden)
        if token.kind in ("start", "end") and token.name not in _VOID
    ]
    open_elements: list[str] = []
    floors: list[int] = [0]
    for _, kind, name in sorted(events):
        if kind == "start":
            open_elements.append(name)
        elif kind == "end":
            if len(open_elements) <= floors[-1] or open_elements.pop() != name:
                return False
        elif name in ("if", "for"):
            floors.append(len(open_elements))
        elif name in ("elif", "else", "endif", "endfor"):
            if len(open_elements) != floors[-1]:
                return False
            if name.startswith("end"):
                floors.pop()
    return True


class _Sheet(NamedTuple):
    """A ``<style>`` element.

    Attributes:
        start: Where its text begins in the source.
        end: Where it ends.
        conditional: Whether it is for some screens or some mail readers only.
        applies: Whether browsers heed it: it is CSS, and of sheets with titles one of the first title (HTML §4.2.6).
    """

    start: int
    end: int
    conditional: bool
    applies: bool


def cascade_of(source: str, hidden: str) -> Cascade | None:
    """What decides about the style attributes; None where there is no style sheet."""
    found = list(tokens(hidden))
    sheets = list(_sheets(hidden, found))
    if not sheets:
        return None
    quirks = has_quirks(hidden, found)
    known: list[RankedRule] = []
    for sheet in sheets:
        if not sheet.applies:
            continue
        for rule in rules(hidden[sheet.start : sheet.end]):
            conditional = rule.conditional or sheet.conditional
            known.append(RankedRule(rule, (rule.specificity, len(known)), conditional, sheet.start))
    tags = [token for token in found if token.kind == "start"]
    return Cascade(source, known, tags, _matched(hidden, tags, sheets, known, quirks=quirks))


# Doctypes of which browsers take a document as one without any (HTML §13.2.6.4.1), as far as there are such mails.
_QUIRKY: Final = re.compile(
    r"<!doctype\s+(?!html\b)|<!doctype\s+html\s+(?:system\s+[\"']http://www\.ibm\.com"
    r"|public\s+[\"'](?:-//w3c//dtd html (?:3|4\.0 (?:frameset|transitional))|-//ietf//|html[\"'])"
    r"|public\s+[\"']-//w3c//dtd html 4\.01 (?:frameset|transitional)//[^\"']*[\"']\s*>)",
    re.IGNORECASE,
)


def has_quirks(hidden: str, found: list[Token]) -> bool:
    """Whether browsers show a document in quirks mode, in which classes and ids are compared without regard to case.

    Args:
        hidden: The document.
        found: Its tokens.
    """
    for token in found:
        if token.kind == "declaration" and hidden[token.start : token.end][:9].lower() == "<!doctype":
            return _QUIRKY.match(hidden, token.start) is not None
        if token.kind == "start" or (token.kind == "text" and hidden[token.start : token.end].strip()):
            return True
    return True


def _sheets(hidden: str, found: list[Token]) -> Iterator[_Sheet]:
    """The style sheets of a document, in order."""
    revealed = False
    media = ""
    preferred = title = ""
    is_css = True
    for token in found:
        if token.kind in ("comment", "declaration"):
            text = hidden[token.start : token.end]
            if _REVEALED_END.match(text):
                revealed = False
            elif _REVEALED.match(text):
                revealed = token.kind == "declaration" or text.endswith("<!-->")
        elif token.kind == "start" and token.name == "style":
            media = (token.value("media") or "").strip().lower()
            is_css = (token.value("type") or "text/css").lower() == "text/css"
            title = token.value("title") or ""
            preferred = preferred or title
        elif token.kind == "text" and token.name == "style":
            conditional = revealed or media not in _ANY_MEDIA
            yield _Sheet(token.start, token.end, conditional, is_css and title in ("", preferred))


def _matched(
    hidden: str, tags: list[Token], sheets: list[_Sheet], known: list[RankedRule], *, quirks: bool
) -> dict[int, list[int]]:
    """Which rules each tag matches, by the places of both: the library's answer to rules that say nothing else.

    A rule for one mail reader, which wraps the message in elements of its own, matches nothing now. It is taken to
    match by what it says of the element itself: its place is given as its complement.
    """
    selectors = {f"r{number}": one.rule.matching for number, one in enumerate(known)}
    selectors |= {
        f"w{number}": last_compound(one.rule.matching)
        for number, one in enumerate(known)
        if _OF_A_READER.search(one.rule.selector)
    }
    matched: dict[int, list[int]] = {}
    for place, names in _asked(hidden, tags, sheets, selectors, quirks=quirks):
        now = [int(name[1:]) for name in names if name[0] == "r"]
        matched[place] = now + [~int(name[1:]) for name in names if name[0] == "w" and int(name[1:]) not in now]
    return matched


def _asked(
    hidden: str, tags: list[Token], sheets: list[_Sheet], selectors: dict[str, str], *, quirks: bool
) -> Iterator[tuple[int, list[str]]]:
    """The names of the selectors that match each tag, by its place."""
    mark = f"data-{secrets.token_hex(6)}"
    if quirks:  # the library tells capitals apart in any document
        selectors = {name: in_small_letters(selector) for name, selector in selectors.items()}
    sheet = "".join([f"{one}{{--{name}:1}}\n" for name, one in selectors.items() if _is_harmless(one)])
    at = tags[0].start
    pieces = [hidden[:at], f"<style>{sheet}</style>"]  # behind the doctype, which decides how classes are compared
    cuts = [(one.start, one.end, "") for one in sheets]
    for number, tag in enumerate(tags):
        name_end = tag.start + 1 + len(tag.name)
        cuts.append((name_end, name_end, f' {mark}="{number}"'))
        cuts += [(one.start, one.end, "") for one in tag.attributes if one.name == "style"]
        if quirks:
            named = [(one.value_start, one.value_end) for one in tag.attributes if one.name in ("class", "id")]
            cuts += [(start, end, hidden[start:end].lower()) for start, end in named]
    for start, end, new in sorted(cuts):
        pieces += [hidden[at:start], new]
        at = end
    pieces.append(hidden[at:])
    document = "".join(pieces).replace(COVER, "x")
    require_shallow(document)
    try:
        answer = _inliner()(document)
    except Exception as error:  # the library is foreign code that reads whatever the record brought
        raise RecordError(f"inline_css: {type(error).__name__}: {str(error)[:200]!r}") from error
    number_of = re.compile(rf' {mark}="([0-9]+)"')
    for attributes in _OUTPUT_TAG.findall(answer):
        if " style=" in attributes and (place := number_of.search(attributes)):
            yield int(place[1]), _NAMES.findall(attributes.rpartition(" style=")[2])


def _is_harmless(selector: str) -> bool:
    """Whether a selector stays one where it stands in a sheet of our own; ``.button--green`` does, ``-->`` does not."""
    return not any(text in selector for text in ("{", "}", "<", "-->"))


def require_shallow(html: str) -> None:
    """Let HTML pass whose elements lie no deeper within each other than the library's recursion goes.

    It would end the process. A tag that closes nothing is not counted, and one that is never closed is.

    Raises:
        RecordError: They lie deeper.
    """
    # A table brings at least a body, a row and a cell with it.
    levels = [(-1 if closes else 1) * (4 if len(name) > 1 else 1) for closes, name in _NESTED.findall(html)]
    if max(accumulate(levels, lambda depth, level: max(depth + level, 0)), default=0) > _DEEPEST:
        raise RecordError(f"inline_css: the HTML has more than {_DEEPEST:,} elements within each other")


@cache
def _inliner() -> Callable[[str], str]:
    import css_inline  # noqa: PLC0415 - only for campaigns that ask for it

    return css_inline.CSSInliner(load_remote_stylesheets=False).inline
