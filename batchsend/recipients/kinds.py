"""What a recipients file is by its content, where that is not what it should be: refused before anybody is sent to.

A file of another kind read row by row would have some rows that look right, and those people would be written to.
"""

from __future__ import annotations

import json
import re
from typing import Final

import orjson

from batchsend.errors import UsageError
from batchsend.patterns import late_pattern
from batchsend.recipients.encodings import guessed, iconv_name

_AS_CSV: Final = "save the sheet as CSV UTF-8 in the program that made it"
_UNPACK: Final = "unpack it, and name the file in it"
# Magic numbers of what people take for a list, or is named like one.
_BINARY: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a workbook (.xls) or another old Office file", _AS_CSV),
    (b"%PDF-", "is a PDF file", "bring the list as CSV UTF-8"),
    (b"{\\rtf", "is a Rich Text file", "save it as plain text in UTF-8"),
    (b"SQLite format 3\0", "is an SQLite database", "export its table as CSV: sqlite3 -header -csv FILE QUERY"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "is a RAR archive", _UNPACK),
    (b"BZh", "is compressed by bzip2", "decompress it: bunzip2 FILE"),
    (b"\xfd7zXZ\0", "is compressed by xz", "decompress it: unxz FILE"),
    (b"PAR1", "is a Parquet file", "export it as CSV or JSON Lines"),
    (b"\x1f\x8b", "is compressed twice", "decompress it once: gunzip FILE"),
    (b"\x28\xb5\x2f\xfd", "is compressed twice", "decompress it once: unzstd FILE"),
    (b"\x1f\x9d", "is compressed by compress", "decompress it: uncompress FILE"),
    (b"\x04\x22\x4d\x18", "is compressed by lz4", "decompress it: unlz4 FILE"),
    (b"LZIP", "is compressed by lzip", "decompress it: lzip -d FILE"),
    (b"PK\x05\x06", "is a zip file with nothing in it", "name the list"),
    (b"\x89PNG\r\n", "is a picture", "name the list"),
    (b"\xff\xd8\xff", "is a picture", "name the list"),
    (b"GIF8", "is a picture", "name the list"),
    (b"\x7fELF", "is a program", "name the list"),
)
_ZIP: Final = b"PK\x03\x04"
_JAPANESE_MAIL: Final = late_pattern(rb"\x1b\$[@B]")  # RFC 1468
_MARKUP: Final = late_pattern(rb"\s*+<(?:!doctype|html|head|body|table|\?xml|!--|meta|style)\b", re.IGNORECASE)
# Address books as programs for mail export them (RFC 6350, RFC 5545, RFC 2849).
_BOOKS: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = (
    (late_pattern(rb"\s*+BEGIN:VCARD\b", re.IGNORECASE), "holds vCards"),
    (late_pattern(rb"\s*+BEGIN:VCALENDAR\b", re.IGNORECASE), "is a calendar"),
    (late_pattern(rb"\s*+(?:version: ?1\s++)?+dn:(?:: ?\S| ?[a-z]++=)", re.IGNORECASE), "is an address book in LDIF"),
)
_JSON_ARRAY: Final = late_pattern(rb'\s*+\[\s*+[\[{"\]]')
_JSON_OBJECT: Final = late_pattern(rb'\s*+\{(?:\s*+"|\s*+\})')
_ARRAY: Final = "is a JSON array, not one JSON object a line"
_BRACKET_ALONE: Final = late_pattern(rb"^[ \t]*+(?:\[|\{|[\]}],?)[ \t\r]*+$", re.MULTILINE)
_COMPACT: Final = "make one line of each object: jq -c . FILE > NEW_FILE.jsonl"
_UNCOMMA: Final = "take the commas off the line ends: sed 's/,[[:space:]]*$//' FILE > NEW_FILE.jsonl"
_UNSEMICOLON: Final = "take the semicolons off the line ends: sed 's/;[[:space:]]*$//' FILE > NEW_FILE.jsonl"
_UNCOMMA_BEGIN: Final = "take the commas off the lines' beginnings: sed 's/^[[:space:]]*,//' FILE > NEW_FILE.jsonl"
_SEPARATOR: Final = b"\x1e"  # RFC 7464
_OBJECT_REACH: Final = 4096
_BAD_LINES: Final = 50
"""So many lines that are not JSON are looked at for what they are: a file that is of another kind shows it soon."""
_LINES_SHOWN: Final = 60
_ARRAY_REMEDY: Final = "make one line of each of its objects: jq -c '.[]' FILE > NEW_FILE.jsonl"
# The fields of the line by which a run begins: an object called "run" with an identity may be anybody's.
_RUN_LINE: Final = late_pattern(
    rb'\s*+\{\s*+"run"\s*+:\s*+\{\s*+"id"\s*+:\s*+"[^"\\]*+"\s*+,\s*+"(?:started|campaign)"\s*+:'
)
_MULTIBYTE: Final = late_pattern(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_CUT_SEQUENCE: Final = late_pattern(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]{0,1}|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
_WORD: Final = late_pattern(r"[^\W\d_]*[^\x00-\x7f][^\W\d_]*")
_LINE_END: Final = late_pattern(rb"\r\n?|\n")


def is_results_log(start: bytes) -> bool:
    """Whether a file begins with the line of a run, as a results log does; a column of that name is none.

    Args:
        start: Its first octets, without compression.
    """
    return _RUN_LINE.match(start) is not None


def refuse_other_kinds(name: str, start: bytes, kind: str) -> None:
    """Refuse what is neither a text nor records of the kind that is asked for.

    Args:
        name: What to call the file.
        start: Its first bytes, without a byte-order mark.
        kind: ``csv`` or ``jsonl``.

    Raises:
        UsageError: It is something else; the remedy is a command or a step that makes it what it should be.
    """
    if (binary := next((one for one in _BINARY if start.startswith(one[0])), None)) is not None:
        raise UsageError(f"{name} {binary[1]}", remedy=binary[2])
    if start.startswith(_ZIP):
        raise _zip(name, start)
    if _JAPANESE_MAIL.search(start):
        raise UsageError(f"{name} is in ISO-2022-JP (Japanese)", remedy=encoding_remedy("iso2022_jp"))
    if _MARKUP.match(start):
        raise UsageError(f"{name} is HTML or XML, not a list", remedy="export the list as CSV UTF-8; a page is none")
    if (book := next((what for beginning, what in _BOOKS if beginning.match(start)), None)) is not None:
        raise UsageError(f"{name} {book}, not a list", remedy="export the address book as CSV in the same program")
    if kind == "jsonl":
        _refuse_other_json(name, start)
    elif _JSON_ARRAY.match(start):
        raise UsageError(f"{name} is a JSON array, not CSV", remedy=_ARRAY_REMEDY)
    elif _JSON_OBJECT.match(start):
        _refuse_other_json(name, start)
        raise UsageError(f"{name} is JSON, not CSV", remedy="give it a name that ends in .jsonl")


def refuse_eight_bit(name: str, block: bytes, *, line: int, is_cut: bool) -> None:
    """Refuse a text that is in Windows-1252 or another encoding that is not UTF-8, and say in which one by its bytes.

    Lines that end in CR alone are those of the Macintosh, whose encoding was another one (Mac Roman). A file in which
    most other characters are valid UTF-8 is a file in UTF-8 with a bad row: that one costs its row only.

    Args:
        name: What to call the file.
        block: The first block in which there is a byte above 127.
        line: The number of the block's first line, from 1.
        is_cut: Whether more follows.

    Raises:
        UsageError: It is in such an encoding.
    """
    if is_cut:
        block = _CUT_SEQUENCE.sub(b"", block)
    try:
        block.decode()
    except UnicodeDecodeError as error:
        if len(_MULTIBYTE.findall(block)) >= block.decode(errors="replace").count("\ufffd"):
            return
        line += len(_LINE_END.findall(block[: error.start]))
        start = max(block.rfind(b"\n", 0, error.start), block.rfind(b"\r", 0, error.start)) + 1
        guess = guessed(block[start:], is_mac=b"\r" in block and b"\n" not in block)
        if guess is None:
            raise UsageError(
                f"{name} is not in UTF-8 (line {line}), and its bytes do not say in what it is",
                remedy='say it: encoding = "…", such as cp1252; or export the list as UTF-8',
            ) from None
        encoding, called = guess
        word = _WORD.search(block[max(start, error.start - 60) : error.start + 60].decode(encoding, errors="replace"))
        seen = f", such as in {word[0]!r} on line {line}" if word is not None else f" (line {line})"
        raise UsageError(
            f"{name} is not in UTF-8; by its bytes it is in {called}{seen}", remedy=encoding_remedy(encoding)
        ) from None


def encoding_remedy(encoding: str) -> str:
    """What to do about a text in another encoding than UTF-8."""
    known = iconv_name(encoding)
    return f'say so: encoding = "{encoding}"; or convert it: iconv -f {known} -t utf-8 FILE > NEW_FILE'


def _zip(name: str, start: bytes) -> UsageError:
    if b"opendocument.spreadsheet" in start:
        return UsageError(f"{name} is a workbook (.ods)", remedy=_workbook_remedy(".ods"))
    if b"Index/Document.iwa" in start or b".iwa" in start[:200]:
        return UsageError(f"{name} is a Numbers document", remedy=_AS_CSV)
    if b"xl/" in start or b"[Content_Types].xml" in start:
        return UsageError(f"{name} is a workbook (.xlsx)", remedy=_workbook_remedy(".xlsx"))
    return UsageError(f"{name} is a zip file", remedy="unpack it: unzip FILE, and name the list in it")


def _workbook_remedy(suffix: str) -> str:
    return f"let its name end in {suffix}; or {_AS_CSV}"


def _refuse_other_json(name: str, start: bytes) -> None:
    """Refuse JSON that is not one object a line, as far as the first block shows it."""
    if start.lstrip().startswith(b"["):
        raise UsageError(f"{name} {_ARRAY}", remedy=_ARRAY_REMEDY)
    if start.lstrip().startswith(_SEPARATOR):
        raise UsageError(
            f"{name} is a JSON text sequence, not JSON Lines", remedy="tr -d '\\036' < FILE > NEW_FILE.jsonl"
        )
    if (within := _list_within(start)) is not None:
        raise UsageError(
            f"{name} is one JSON object, with its records in {within!r}",
            remedy=f"make one line of each of them: jq -c '.{json.dumps(within)}[]' FILE > NEW_FILE.jsonl",
        )
    # Where the block ends is no line's end.
    if start.lstrip().startswith(b"{") and _BRACKET_ALONE.search(start[: start.rfind(b"\n") + 1] or start):
        raise UsageError(f"{name} is JSON with objects over several lines, not JSON Lines", remedy=_COMPACT)
    lines = start.split(b"\n")
    whole = lines if len(lines) == 1 else lines[:-1] + ([lines[-1]] if _is_json(lines[-1]) else [])
    place = bad = 0
    for number, line in enumerate(whole, 1):
        text = line.strip()
        if text and not _is_json(text):
            bad += 1
            if bad > _BAD_LINES:
                break
            _refuse_bad_line(f"{name}:{number}", text)
            if text.startswith(b"{") and _is_over_lines(start[place : place + _OBJECT_REACH]):
                raise UsageError(f"{name} is JSON with objects over several lines, not JSON Lines", remedy=_COMPACT)
        place += len(line) + 1
    if _is_utf8(start):
        _refuse_no_json(name, [text for line in whole if (text := line.strip())], bad)


def _refuse_no_json(name: str, texts: list[bytes], bad: int) -> None:
    """Refuse a text that has no JSON object on any line.

    Args:
        name: What to call it.
        texts: Its lines, as far as they were looked at.
        bad: How many of them are no JSON; those beyond `_BAD_LINES` were not looked at.
    """
    if len(texts) > 1 and not any(text.startswith(b"{") for text in texts):
        raise UsageError(
            f"{name} is not JSON Lines: it begins with {_shown(texts[0])}, where a JSON object belongs",
            remedy="one JSON object a line; CSV has a name that ends in .csv",
        )
    if bad > 1 and bad == min(len(texts), _BAD_LINES + 1):
        raise UsageError(
            f"{name} is not JSON Lines: none of its lines is JSON, and the first is {_shown(texts[0])}",
            remedy="one JSON object a line, with names and texts in double quotes and no comments",
        )


def _list_within(text: bytes) -> str | None:
    """The name under which an object has a list of objects, where it says nothing of anybody itself."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or any("@" in value for value in found.values() if isinstance(value, str)):
        return None
    return next((name for name, value in found.items() if _has_addresses(value)), None)


def _has_addresses(value: object) -> bool:
    """Whether something is a list of objects of which the first has an address."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return False
    return bool(value) and any("@" in one for one in value[0].values() if isinstance(one, str))


def _refuse_bad_line(place: str, text: bytes) -> None:
    """Refuse a file for a line as other ways to write many objects have them."""
    if text.endswith(b",") and _is_json(text[:-1]):
        raise UsageError(f"{place}: the line ends in a comma; this is not JSON Lines", remedy=_UNCOMMA)
    if text.endswith(b";") and _is_json(text[:-1]):
        raise UsageError(f"{place}: the line ends in a semicolon; this is not JSON Lines", remedy=_UNSEMICOLON)
    if text.startswith(b",") and _is_json(text[1:]):
        raise UsageError(f"{place}: the line begins with a comma; this is not JSON Lines", remedy=_UNCOMMA_BEGIN)
    if _behind_object(text).lstrip(" \t,;").startswith("{"):
        raise UsageError(f"{place}: more than one JSON object on a line", remedy=_COMPACT)


def _shown(text: bytes) -> str:
    return repr(text.decode(errors="replace")[:_LINES_SHOWN])


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _behind_object(text: bytes) -> str:
    """What follows the object that a text begins with; nothing if it begins with none."""
    decoded = text.decode(errors="replace")
    try:
        return decoded[json.JSONDecoder().raw_decode(decoded)[1] :]
    except (json.JSONDecodeError, RecursionError):
        return ""


def _is_over_lines(start: bytes) -> bool:
    """Whether the first object ends, and not on the line on which it begins."""
    text = start.decode(errors="replace").lstrip()
    try:
        end = json.JSONDecoder().raw_decode(text)[1]
    except (json.JSONDecodeError, RecursionError):
        return False
    return "\n" in text[:end]
