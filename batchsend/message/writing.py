"""Writes messages of the standard library out: octet for octet what its own generator writes, in a third of the time.

Most of that generator's time goes into folding headers that need no folding, by way of their parse trees, into parsing
headers anew to learn what kind a part is, and into writing bodies line by line. An ordinary message is one of the
standard library's own classes, of parts that are text or encoded already. It is written straight; where something is
not known for certain to come out the same, the standard library's generator writes the whole message.
"""

from __future__ import annotations

import copy
import random
import re
import sys
from email._header_value_parser import TokenList, ValueTerminal, WhiteSpaceTerminal
from email.errors import MessageError
from email.generator import BytesGenerator
from email.headerregistry import AddressHeader, BaseHeader
from email.message import EmailMessage, Message
from email.policy import Compat32, EmailPolicy
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from email.policy import Policy

Field = tuple[str, Any]
"""A header as a message stores it: its name, and its value, which is a text or a parsed header."""

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
# Where the standard library begins a new line (`str.splitlines`), unless it only folds; and halves of characters, but
# for those by which it keeps octets above 127.
_NOT_IN_A_LINE: Final = re.compile(
    r"(?P<half>[\ud800-\udc7f\udd00-\udfff])|(?:\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029])(?![ \t])"
)
_NAME: Final = re.compile(r"[!-9;-~]+")
_SHOWN: Final = 200
_BEGINS_A_LINE: Final = re.compile(rb"\r\n[^ \t]|\r[^ \n\t]|\n[^ \t]")
_MEDIA_TYPE: Final = re.compile(r"([a-z0-9]+)/([a-z0-9][a-z0-9.+-]*)")
# A line of 78 must hold a parameter's name, a section's number, "unknown-8bit" and four encoded octets (RFC 2231 §4).
_LONGEST_NAME: Final = 40
_WITH_PARAMETERS: Final = frozenset({"content-type", "content-disposition"})
_BOUNDARY_DIGITS: Final = len(repr(sys.maxsize - 1))
_USED_BY_THE_GENERATOR: Final = (
    *("__getitem__", "get", "get_all", "raw_items", "get_payload", "is_multipart", "get_content_type"),
    *("get_content_maintype", "get_content_subtype", "get_default_type", "get_boundary", "set_boundary"),
    *("get_param", "get_params", "replace_header"),
)


def written(message: Message[Any, Any], fields: Sequence[Field] | None = None, **policy: Any) -> bytes:
    """The message written out, each line ended by CRLF. It stays as it is, except where another class writes it.

    Args:
        message: The message. A boundary that it lacks is made up.
        fields: The headers that are written in place of its own; None for its own.
        policy: What to change of its policy.

    Raises:
        MessageError: A header holds a line end that would begin another header, or has a name that is none.
        Exception: As the standard library's generator.
    """
    return written_lines(message, fields, **policy)[0]


def written_lines(
    message: Message[Any, Any], fields: Sequence[Field] | None = None, **policy: Any
) -> tuple[bytes, bool]:
    """As `written`, and whether it is known to be whole lines: each ended by CRLF, with no other CR or LF in it.

    Raises:
        MessageError: As there.
        Exception: As there.
    """
    rules = rules_of(message.policy, tuple(policy.items()))
    if _is_known_policy(rules):
        octets = _entity(message, message.raw_items() if fields is None else fields, rules)
        if octets is not None:
            return octets, octets.endswith(b"\r\n")
    out = BytesIO()
    whole = message if fields is None else with_fields(message, fields)
    _Writer(out, mangle_from_=False, policy=rules).flatten(whole)
    return out.getvalue(), False


def with_fields(message: Message[Any, Any], fields: Sequence[Field]) -> Message[Any, Any]:
    """A copy of a message with other headers, which shares the bodies."""
    changed = copy.copy(message)
    for name in {name.lower() for name, _ in message.raw_items()}:
        del changed[name]  # the first deletion gives the copy a list of headers of its own
    if not len(changed):
        changed._headers = []  # type: ignore[attr-defined]  # nothing was deleted where there was nothing
    for name, value in fields:
        changed.set_raw(name, value)
    return changed


@lru_cache(maxsize=64)
def rules_of(policy: Policy[Any], changes: tuple[tuple[str, Any], ...] = ()) -> Policy[Any]:
    """A message's policy for what goes out by SMTP."""
    return policy.clone(linesep="\r\n", **dict(changes))


@lru_cache(maxsize=64)
def _is_known_policy(policy: Policy[Any]) -> bool:
    """Whether it is known what becomes of a header under this policy."""
    return type(policy) is Compat32 or (type(policy) is EmailPolicy and policy.refold_source != "all")


# --- an ordinary message ----------------------------------------------------------------------------------------------


def _entity(message: Message[Any, Any], fields: Iterable[Field], policy: Policy[Any]) -> bytes | None:
    """A message or a part written out; None where that is the generator's to do."""
    if not _is_ordinary(type(message)):  # type: ignore[arg-type]  # a class is hashable
        return None
    fields = list(fields)
    typed = [place for place, (name, _) in enumerate(fields) if lower_case(name) == "content-type"]
    kind = _media_type(str(fields[typed[0]][1]) if typed else message.get_default_type())
    if kind == _MULTIPART:
        return _multipart(message, fields, typed, policy) if len(typed) == 1 else None
    if kind != _ONE_PART:
        return None
    body = _text(message, policy)
    return None if body is None else headers(fields, policy) + body


def _multipart(message: Message[Any, Any], fields: list[Field], typed: list[int], policy: Policy[Any]) -> bytes | None:
    """A part with parts; ``typed`` says which header is its Content-Type."""
    said = str(fields[typed[0]][1])
    parts = _parts(message, policy)
    if parts is None:
        return None
    if ";" not in said:
        boundary = new_boundary(parts)
        top = _with_boundary(fields, typed[0], boundary, policy)
    else:
        boundary, top = message.get_boundary() or "", headers(fields, policy)
        if not boundary or not boundary.isascii() or not boundary.isprintable():
            return None
    return top + multipart_body(parts, boundary)


def multipart_body(parts: Sequence[bytes], boundary: str) -> bytes:
    """The parts of a multipart, each with its headers, and what stands between them (RFC 2046 §5.1.1)."""
    mark = b"--" + boundary.encode("ascii")
    return b"".join((mark, b"\r\n", (b"\r\n" + mark + b"\r\n").join(parts), b"\r\n", mark, b"--\r\n"))


_ONE_PART: Final = "one part"
_MULTIPART: Final = "multipart"


@lru_cache(maxsize=64)
def _media_type(said: str) -> str | None:
    """What a Content-Type makes of a part; None for those that are written by other rules, or are not understood."""
    kind = _MEDIA_TYPE.fullmatch(said.partition(";")[0].rstrip().lower())
    if kind is None or kind[1] == "message" or kind[0] == "multipart/signed":
        return None
    return _MULTIPART if kind[1] == "multipart" else _ONE_PART


@lru_cache(maxsize=64)
def _is_ordinary(kind: type) -> bool:
    """Whether objects of this class answer the generator as the standard library's own do."""
    same = all(getattr(kind, name) is getattr(Message, name) for name in _USED_BY_THE_GENERATOR)
    return same and not hasattr(kind, "_write_headers")


def _text(message: Message[Any, Any], policy: Policy[Any]) -> bytes | None:
    """The body of a part that has no parts; None where it would have to be encoded first."""
    payload = message._payload  # type: ignore[attr-defined]  # as it is: get_payload would decode octets above 127
    if payload is None:
        return b""
    if not isinstance(payload, str):
        return None
    lines = _LINE_END.sub("\r\n", payload) if "\r" in payload else payload.replace("\n", "\r\n")
    if lines.isascii():
        return lines.encode("ascii")
    if policy.cte_type == "7bit":
        return None
    try:
        return lines.encode("ascii", "surrogateescape")
    except UnicodeEncodeError:
        return None


def _parts(message: Message[Any, Any], policy: Policy[Any]) -> list[bytes] | None:
    parts = message._payload  # type: ignore[attr-defined]
    if not isinstance(parts, list) or message.preamble is not None or message.epilogue is not None:
        return None
    octets = [_entity(part, part.raw_items(), policy) for part in parts]
    found = [one for one in octets if one is not None]
    return found if len(found) == len(octets) else None


def new_boundary(parts: Sequence[bytes]) -> str:
    """As the generator makes one: it stands at the beginning of no line of the parts."""
    while True:
        boundary = f"{'=' * 15}{random.randrange(sys.maxsize):0{_BOUNDARY_DIGITS}d}=="  # noqa: S311 - no secret
        mark = b"--" + boundary.encode("ascii")
        if not any(mark in part for part in parts):
            return boundary


def _with_boundary(fields: list[Field], place: int, boundary: str, policy: Policy[Any]) -> bytes:
    """Headers, of which the one at a place gets the boundary that it lacks."""
    name, value = fields[place]
    line = boundary_line(getattr(value, "name", name), str(value), boundary, policy)
    return headers(fields[:place], policy)[:-2] + line + headers(fields[place + 1 :], policy)


def boundary_line(name: str, media_type: str, boundary: str, policy: Policy[Any]) -> bytes:
    """A Content-Type without parameters, as the standard library writes it once it has a boundary by `new_boundary`."""
    return _line_of_zeros(name, media_type, policy).replace(_ZEROS, boundary.encode("ascii"))


_ZEROS: Final = b"=" * 15 + b"0" * _BOUNDARY_DIGITS + b"=="


@lru_cache(maxsize=256)
def _line_of_zeros(name: str, media_type: str, policy: Policy[Any]) -> bytes:
    holder: Message[Any, Any] = Message(policy) if isinstance(policy, Compat32) else EmailMessage(policy)
    holder[name] = media_type
    holder.set_boundary(_ZEROS.decode("ascii"))
    ((name, value),) = holder.raw_items()
    return policy.fold_binary(name, value)


# --- headers ----------------------------------------------------------------------------------------------------------


def headers(fields: Sequence[Field], policy: Policy[Any]) -> bytes:
    """Headers written out, and the empty line after them.

    Raises:
        MessageError: One holds a line end that would begin another header, or has a name that is none.
    """
    # Nearly always each of them stands in one line as it is, which is seen of all lines at once.
    is_newer = isinstance(policy, EmailPolicy)
    room = (policy.max_line_length or 0) - 2
    lines: list[str] = []
    for name, value in fields:
        known, text = (name, value) if type(value) is str or not is_newer else _source(name, value)
        if known not in _NAMES:
            _require_name(known)
        if not isinstance(text, str) or len(name) + len(text) > room:
            return _folded_headers(fields, policy)
        lines += [known, ": ", text, "\r\n"]
    lines.append("\r\n")
    whole = "".join(lines)
    if not whole.isascii() or "=?" in whole or ":  " in whole or " \r" in whole:
        return _folded_headers(fields, policy)
    octets = whole.encode("ascii")
    # Two for each line, and two more: a control character in a value would be one too many.
    if len(octets.translate(None, _PRINTABLE)) != 2 * len(fields) + 2:
        return _folded_headers(fields, policy)
    return octets


_PRINTABLE: Final = bytes(range(0x20, 0x7F))


def _folded_headers(fields: Sequence[Field], policy: Policy[Any]) -> bytes:
    """As `headers`, each looked at by itself.

    Raises:
        MessageError: As there.
    """
    is_newer = isinstance(policy, EmailPolicy)
    room = (policy.max_line_length or 0) - 2
    lines: list[str] = []
    for name, value in fields:
        known, text = (name, value) if type(value) is str or not is_newer else _source(name, value)
        if known not in _NAMES:
            _require_name(known)
        if is_plain(text) and len(name) + len(text) <= room:
            lines += [known, ": ", text, "\r\n"]
            continue
        if is_newer and name.lower() in _WITH_PARAMETERS:
            _require_short_names(name, value, policy)
        try:
            folded = policy.fold_binary(name, value)
        except (MessageError, UnicodeError) as error:  # its words name neither header nor character
            raise MessageError(not_in_a_line(f"header {name}", value) or f"header {name}: {error}") from error
        if not folded.endswith(b"\r\n") or folded[:-2].endswith((b"\r", b"\n")) or _BEGINS_A_LINE.search(folded[:-2]):
            raise MessageError(not_in_a_line(f"header {name}", value) or f"header {name} holds a line end")
        lines.append(_LINE_END.sub("\r\n", folded.decode("ascii", "surrogateescape")))
    lines.append("\r\n")
    return "".join(lines).encode("ascii", "surrogateescape")


def not_in_a_line(where: str, value: object) -> str | None:
    """What is wrong with a header that has a character which no line of a header can hold; None where it has none.

    Args:
        where: What it is, as the error names it.
        value: Its value.
    """
    try:
        found = _NOT_IN_A_LINE.search(str(value))
    except UnicodeError:  # an older header, which decodes its words to say what they are
        return f"{where} contains half of a character"
    if found is None:
        return None
    kind = "half of a character" if found["half"] else "a line break"
    return f"{where} contains {kind}, U+{ord(found[0][0]):04X}"


_NAMES: Final[set[str]] = set()  # those that were looked into already: a program uses few


def _require_name(name: str) -> None:
    """Refuse a name by which a header would be another one, begin another one, or end the headers (RFC 5322 §2.2).

    Raises:
        MessageError: It is one.
    """
    if not _NAME.fullmatch(name):
        raise MessageError(f"{name[:_SHOWN]!r} is not a header name")
    if len(_NAMES) < _MOST_KINDS:
        _NAMES.add(name)


def _require_short_names(name: str, value: Any, policy: Policy[Any]) -> None:
    """Refuse parameters whose names leave no room for a value: the standard library would fold them for ever.

    Raises:
        MessageError: There is one.
    """
    if not any(len(piece.partition("=")[0]) > _LONGEST_NAME for piece in str(value).split(";")):
        return  # as nearly always: there is nothing to parse
    parsed: Any = policy.header_fetch_parse(name, value)
    if any(len(parameter) > _LONGEST_NAME for parameter in getattr(parsed, "params", ())):
        raise MessageError(f"header {name} has a parameter with a name of more than {_LONGEST_NAME} characters")


def _source(name: str, value: Any) -> tuple[str, str | None]:
    """A parsed header's own name, and what stands in its line where nothing is encoded or folded; None: not certain.

    Each parsed header has a class of its own, in which every look-up of an attribute is the first one, and slow: so its
    dict is taken straight.
    """
    bases: tuple[type, ...] = type(value).__bases__
    if bases in _HEADER_KINDS:
        kind = _HEADER_KINDS[bases]
    else:
        kind = _header_kind(bases)
        if len(_HEADER_KINDS) < _MOST_KINDS:
            _HEADER_KINDS[bases] = kind
    if kind is None:
        return name, None
    own: dict[str, Any] = _DICT_OF(value)
    if not kind:
        return own["_name"], value
    return own["_name"], _said(own["_parse_tree"])  # as it was written: the header's text leaves comments out


_DICT_OF: Final = BaseHeader.__dict__["__dict__"].__get__
_HEADER_KINDS: Final[dict[tuple[type, ...], bool | None]] = {}
_MOST_KINDS: Final = 256


def _header_kind(bases: tuple[type, ...]) -> bool | None:
    """Whether a header that is derived from these holds addresses; None where it is none of the standard library's."""
    if len(bases) != 2 or bases[1] is not BaseHeader or bases[0].__module__ != BaseHeader.__module__:
        return None
    return issubclass(bases[0], AddressHeader)


def defects_of(value: BaseHeader) -> list[Any]:
    """What parsing a header has found wrong, by the way of `_source`."""
    found: list[Any] = _DICT_OF(value).get("_defects", [])
    return found


def own_fields(message: Message[Any, Any]) -> list[Field]:
    """The headers of a message as it stores them."""
    if _is_ordinary(type(message)):  # type: ignore[arg-type]  # a class is hashable
        return list(message._headers)  # type: ignore[attr-defined]  # as raw_items says them, one by one
    return list(message.raw_items())


def lower_case(name: str) -> str:
    """A header's name in lower case, in which names are compared (RFC 5322 §1.2.2): looked up: there are few."""
    found = _LOWER_CASE.get(name)
    if found is None:
        found = name.lower()
        if len(_LOWER_CASE) < _MOST_KINDS and len(name) <= _LONGEST_NAME:
            _LOWER_CASE[name] = found
    return found


_LOWER_CASE: Final[dict[str, str]] = {}


def is_plain(text: Any) -> TypeGuard[str]:
    """Whether a short text stands in a header as it is, whichever the policy."""
    # By the methods of `str` itself, see `_source`.
    if not isinstance(text, str) or not text or not _IS_ASCII(text) or not _IS_PRINTABLE(text):
        return False
    return "=?" not in text and text[0] != " " and text[-1] != " "


_IS_ASCII: Final = str.isascii
_IS_PRINTABLE: Final = str.isprintable


def _said(tree: TokenList) -> str:
    """What ``str`` says of a parse tree; ``str`` itself takes more than twice as long."""
    words: list[str] = []
    _say([tree], words)
    return "".join(words)


def _say(nodes: list[Any], words: list[str]) -> None:
    for node in nodes:
        kind = type(node)
        if kind is _VALUE or kind is _BLANK:  # every other node is one of them: they are not looked up
            words.append(node)
            continue
        is_word = _IS_WORD.get(kind)
        if is_word is False:
            _say(node, words)
        elif is_word is True:
            words.append(node)
        else:
            words.append(str(node))
            _IS_WORD[kind] = _is_word(kind)


_VALUE: Final = ValueTerminal
_BLANK: Final = WhiteSpaceTerminal
_IS_WORD: Final[dict[type, bool | None]] = {}


def _is_word(kind: type) -> bool | None:
    """Whether a node of this class is a text that says itself, or says what its nodes say (False), or else (None)."""
    if issubclass(kind, str) and kind.__str__ is str.__str__:
        return True
    return False if issubclass(kind, TokenList) and kind.__str__ is TokenList.__str__ else None


class _Writer(BytesGenerator):
    """The standard library's generator, which lets no header begin another one, and writes a body at once."""

    def _write_headers(self, msg: Message[Any, Any]) -> None:
        policy: Any = self.policy
        if _is_known_policy(policy):
            self._fp.write(headers(list(msg.raw_items()), policy))  # type: ignore[attr-defined]
        else:
            for name, _ in msg.raw_items():
                _require_name(name)
            super()._write_headers(msg)  # type: ignore[misc]

    def _write_lines(self, lines: str) -> None:
        if lines:
            self.write(_LINE_END.sub("\r\n", lines))
