"""SPF (RFC 7208): whether the return path's domain says who may send for it, in a way that receivers can follow."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Final

from batchsend.check.authentication import Compliance
from batchsend.check.lookup import UnansweredError

if TYPE_CHECKING:
    from batchsend.check.finding import Section
    from batchsend.check.lookup import Lookup

_MOST_LOOKUPS: Final = 10  # RFC 7208 §4.6.4
_MOST_VOID: Final = 2
_ENOUGH: Final = 30  # what is far beyond the limit is not counted to its end
# Octets of a record: eight times as many as fit into an answer that goes everywhere (RFC 7208 §3.4).
_LONGEST: Final = 4096
_MOST_FAULTS: Final = 10
_MECHANISMS: Final = frozenset({"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"})
_ASKING: Final = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_NEED_VALUE: Final = frozenset({"include", "exists", "ip4", "ip6"})
_MODIFIER: Final = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9._-]*)=(?P<value>.*)")
_DIRECTIVE: Final = re.compile(r"(?P<qualifier>[-+~?])?(?P<name>[A-Za-z0-9]+)(?::(?P<value>.*)|(?P<length>/.*))?")
_REMEDY: Final = 'publish at {domain} one TXT record such as "v=spf1 include:THE-DOMAIN-YOUR-RELAY-NAMES ~all"'


@dataclass(slots=True)
class _Term:
    """A directive or modifier (RFC 7208 §4.6.1)."""

    text: str
    name: str
    value: str
    qualifier: str = "+"
    modifier: bool = False


@dataclass(slots=True)
class _Followed:
    """What following a record to all its ends came to.

    Attributes:
        lookups: Terms that make a receiver ask the DNS.
        void: The names in them that have no answer.
        ptr: The domains whose records use ptr.
        wrong: What is wrong on the way, each with the domain whose record it stands in.
        ending: The qualifier of ``all``, of the record itself or the one it redirects to; None where there is none.
        seen: The domains whose records were read.
    """

    lookups: int = 0
    void: list[str] = field(default_factory=list)
    ptr: list[str] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    ending: str | None = None
    seen: set[str] = field(default_factory=set)


async def check_spf(domain: str, lookup: Lookup, section: Section) -> Compliance:
    """Look at the SPF record of a domain, and at all that it includes.

    Args:
        domain: The domain of the return path, which is what receivers look up (RFC 7208 §2.4).
        lookup: Whom to ask.
        section: Where findings go.

    Returns:
        Whether receivers can make use of it.

    Raises:
        UnansweredError: The DNS did not say what its record is.
    """
    where, remedy = f"TXT {domain}", _REMEDY.format(domain=domain)
    records = _policies((await lookup.texts(domain)).records)
    if not records:
        what = "no SPF record: receivers cannot tell who may send with a return path at this domain"
        section.warning("spf-missing", what, where=where, remedy=remedy)
        return Compliance.UNMET
    if len(records) > 1:
        what = f"{len(records)} SPF records: receivers take that for an error (RFC 7208 §4.5)"
        section.warning("spf-several", what, where=where, remedy="merge them into one")
        return Compliance.UNMET
    if len(records[0]) > _LONGEST:
        what = f"the SPF record has {len(records[0]):,} octets, and receivers read no such record to its end"
        section.warning("spf-long", what, where=where, remedy="shorten it: 450 octets go everywhere (RFC 7208 §3.4)")
        return Compliance.UNMET
    followed = _Followed()
    known = True
    try:
        await _follow(domain, records[0], lookup, followed, outermost=True)
    except UnansweredError as error:
        what = f"not all that the SPF record includes could be looked up: {error}"
        section.note("spf-unanswered", what, where=where)
        known = False
    lookups = f"{followed.lookups} of {_MOST_LOOKUPS} look-ups"
    section.facts["SPF"] = f"{records[0]} ({lookups})"
    usable = _judge(domain, records[0], followed, section)
    if not usable:
        return Compliance.UNMET
    return Compliance.MET if known else Compliance.UNKNOWN


def _judge(domain: str, record: str, followed: _Followed, section: Section) -> bool:
    """Say what is wrong; returns whether receivers can make use of the record all the same."""
    where = f"TXT {domain}"
    for at, wrong in followed.wrong:
        section.warning("spf-syntax", wrong, where=f"TXT {at}", remedy="fix the term: receivers fail the whole record")
    if followed.lookups > _MOST_LOOKUPS:
        what = (
            f"following the SPF record takes {followed.lookups} look-ups, and receivers give up after {_MOST_LOOKUPS}"
        )
        remedy = "take out includes of services that no longer send for you"
        section.warning("spf-lookups", what, where=where, remedy=remedy)
    if len(followed.void) > _MOST_VOID:
        names = ", ".join(followed.void)
        what = f"the SPF record names what does not exist, and receivers forgive {_MOST_VOID} of these: {names}"
        section.warning("spf-void", what, where=where, remedy="take them out")
    for at in followed.ptr:
        what = "the SPF record has ptr, which is slow and not to be used (RFC 7208 §5.5)"
        section.warning("spf-ptr", what, where=f"TXT {at}", remedy="name the addresses by ip4 and ip6, or by include")
    sends_nothing = record.split()[1:] in (["-all"], ["~all"])
    if sends_nothing:
        what = "the SPF record says that nobody sends with a return path at this domain"
        section.warning("spf-nobody", what, where=where, remedy=_REMEDY.format(domain=domain))
    elif followed.ending == "+":
        what = "the SPF record ends in +all: everybody may send for this domain"
        section.warning("spf-open", what, where=where, remedy="end it in ~all or -all")
    elif followed.ending in (None, "?"):
        what = "the SPF record does not say what to do with mail from elsewhere"
        section.warning("spf-neutral", what, where=where, remedy="end it in ~all or -all")
    within = followed.lookups <= _MOST_LOOKUPS and len(followed.void) <= _MOST_VOID
    return within and not followed.wrong and not sends_nothing


async def _follow(domain: str, record: str, lookup: Lookup, followed: _Followed, *, outermost: bool) -> None:
    """Count what a receiver would look up at most, from one record to its ends."""
    followed.seen.add(domain)
    terms = [_read(text) for text in record.split()[1:]]
    # Beside all, a redirect is ignored (RFC 7208 §6.1).
    asking = _ASKING - {"redirect"} if any(term.name == "all" for term in terms) else _ASKING
    for term in terms:
        if wrong := _fault(term):
            if len(followed.wrong) < _MOST_FAULTS:
                followed.wrong.append((domain, f"the SPF record has the term {term.text[:80]!r}: {wrong}"))
        elif term.name == "all" and outermost:
            followed.ending = term.qualifier
        elif term.name in asking and followed.lookups < _ENOUGH:
            followed.lookups += 1
            await _follow_term(domain, term, lookup, followed, outermost=outermost)


async def _follow_term(domain: str, term: _Term, lookup: Lookup, followed: _Followed, *, outermost: bool) -> None:
    target = (term.value.partition("/")[0] or domain).lower().rstrip(".")
    if term.name == "ptr":
        followed.ptr.append(domain)
    elif "%" in target:  # a macro, which a receiver fills in for each message (RFC 7208 §7)
        return
    elif term.name in ("a", "exists"):
        if not await lookup.has_address(target):
            followed.void.append(target)
    elif term.name == "mx":
        if not await lookup.mail_exchangers(target):
            followed.void.append(target)
    elif target not in followed.seen:
        policies = _policies((await lookup.texts(target)).records)
        if len(policies) == 1 and len(policies[0]) > _LONGEST:
            followed.wrong.append((domain, f"the SPF record of {target} has {len(policies[0]):,} octets"))
        elif len(policies) == 1:
            inner = outermost and term.name == "redirect"
            await _follow(target, policies[0], lookup, followed, outermost=inner)
        else:
            found = "no SPF record" if not policies else f"{len(policies)} SPF records"
            followed.wrong.append((domain, f"the SPF record has {term.text[:80]!r}, and there is {found}"))


def _policies(texts: tuple[str, ...]) -> list[str]:
    return [text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]


def _read(text: str) -> _Term:
    if match := _MODIFIER.fullmatch(text):
        return _Term(text, match["name"].lower(), match["value"], modifier=True)
    match = _DIRECTIVE.fullmatch(text)
    if match is None:
        return _Term(text, "", "")
    return _Term(text, match["name"].lower(), match["value"] or "", match["qualifier"] or "+")


def _fault(term: _Term) -> str | None:
    """What is wrong with a term on its own, or None."""
    if term.modifier:
        return "it needs a domain" if term.name == "redirect" and not term.value else None
    if term.name not in _MECHANISMS:
        return "there is no such mechanism"
    if term.name in _NEED_VALUE and not term.value:
        return "it needs a value after a colon"
    try:
        if term.name == "ip4":
            IPv4Network(term.value, strict=False)
        elif term.name == "ip6":
            IPv6Network(term.value, strict=False)
    except ValueError:
        return "that is no network"
    return None
