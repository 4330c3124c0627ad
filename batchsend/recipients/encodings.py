"""Which encoding a text that is not in UTF-8 may be in: the one in which its words read like words."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import Final

from batchsend.patterns import late_pattern

# In the order of preference among those in which it reads equally well, with what people call them.
_ENCODINGS: Final = {
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250 (Central European)",
    "cp1254": "Windows-1254 (Turkish)",
    "cp1257": "Windows-1257 (Baltic)",
    "cp1255": "Windows-1255 (Hebrew)",  # its words are Cyrillic ones in small letters, too; those are seldom Hebrew
    "cp1251": "Windows-1251 (Cyrillic)",
    "koi8_r": "KOI8-R (Cyrillic)",
    "cp1253": "Windows-1253 (Greek)",
    "cp1256": "Windows-1256 (Arabic)",
    "cp874": "Windows-874 (Thai)",
    "cp932": "Shift JIS (Japanese)",
    "cp949": "EUC-KR (Korean)",
    "gb18030": "GB 18030 (Chinese)",
    "big5": "Big5 (Chinese)",
    "euc_jp": "EUC-JP (Japanese)",
}
_MAC: Final = {"mac_roman": "Mac Roman"}
_CUT: Final = frozenset({"cp932", "gb18030", "big5", "cp949", "euc_jp"})
"""Those in which a character may be cut at the end of a block."""
_ICONV: Final = {"mac_roman": "macintosh", "koi8_r": "koi8-r", "euc_jp": "euc-jp", "iso2022_jp": "iso-2022-jp"}
_LACKS_VOWELS: Final = 0.2
_SAMPLE: Final = 20_000
"""Octets that are looked at."""

# Signs of Western and of East Asian texts: spaces, dashes, quotation marks and the like.
_PUNCTUATION: Final = frozenset(
    "\xa0\u2013\u2014\u2018\u2019\u201a\u201c\u201d\u201e\u2020\u2021\u2022\u2026\u2030\u2039\u203a"
    "\u20ac\u2122\xa9\xae\xab\xbb\xa7\xb0\xb7\xb4\xa8\xbf\xa1\xa3\xa5\xbd\xbc\xbe\xb2\xb3\u2116\u3001\u3002\u30fb\u300c\u300d\uff08\uff09\uff01\uff1f\uff1a\uff1b\uff0c"
)
# The letters beside a to z that languages are written with: what tells encodings of Latin letters apart.
_ALPHABETS: Final[dict[str, tuple[str, ...]]] = {
    "cp1252": (
        *("àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü", "àáâãçéêíóôõúü", "àèéìíîòóùú", "áéëïóöü", "åäöæøéü", "àçèéíïòóúü"),
        "áéíóúýðþæö",
    ),
    "cp1250": ("áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "ąćęłńóśźż", "áéíóöőúüű", "čćđšž", "ăâîşţ", "äöüß"),
    "cp1254": ("çğıöşüâîûİ",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž"),
}
_OF_FEW: Final = "ðþ"
"""Letters of a language that is written by fewer people than others whose letters have the same octets."""
# Of what scripts that share octets are read in each other's place, words have hardly a vowel.
_VOWELS: Final = {"CYRILLIC": frozenset("аеёиоуыэюяіїєъ"), "GREEK": frozenset("αεηιουωάέήίόύώϊϋΐΰ")}
_ENDING_ONLY: Final = frozenset("ךםןףץ")
"""The Hebrew letters that stand at the end of a word and nowhere else."""
_WITHIN_WORDS: Final = frozenset("\u2019\u2018\xb4\xb7")  # apostrophes, and the dot between two words
_CURRENCY: Final = frozenset("\xa2\xa3\xa5")
_JAPANESE: Final = frozenset({"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "FULLWIDTH", "IDEOGRAPHIC"})
_IN_ADDRESSES: Final = frozenset({"Nd", "Cf"})  # digits, and what joins letters or parts them
_MARKED_IN_A_ROW: Final = 4  # as in "żółć"
_NOT_ASCII: Final = late_pattern(r"[^\x00-\x7f]")


def guessed(block: bytes, *, is_mac: bool) -> tuple[str, str] | None:
    """The encoding in which a text reads like one, and what it is called; None where it does in none.

    Args:
        block: Octets of the text, some of them above 127.
        is_mac: Whether its lines end as those of the old Macintosh did.
    """
    texts = {one: text for one in (_MAC if is_mac else _ENCODINGS) if (text := _decoded(block, one)) is not None}
    wrong = {one: _implausible(text, is_korean=one == "cp949") for one, text in texts.items()}
    best = min(wrong, key=wrong.__getitem__, default=None)
    if best is None or wrong[best] > 0.25:
        return None
    if best in _ALPHABETS:
        alike = [one for one in _ALPHABETS if wrong.get(one, 1.0) <= wrong[best] + 0.05]
        best = max(alike, key=lambda one: _like_a_language(texts[one], _ALPHABETS[one]))
    return best, (_MAC | _ENCODINGS)[best]


def misread(address: str) -> str | None:
    """What in an address tells that its octets are of another encoding; None if nothing does.

    Of addresses there are no signs but those of ASCII, no words of two scripts, no capital behind a small letter where
    it has a mark, and no five Latin letters with marks in a row. Encodings of the same script are often not told apart.

    Args:
        address: An address, as it is in the encoding that it is said to be in, of one octet a character.
    """
    marked = 0
    before, script_before = "", ""
    for character in address:
        if (script := _script(character)) == "COMBINING":
            continue
        marked = marked + 1 if script == "LATIN" and not character.isascii() else 0
        if not script:
            is_told = not character.isascii() and unicodedata.category(character) not in _IN_ADDRESSES
        else:
            is_other = script_before not in ("", script)
            is_told = is_other or (before.islower() and character.isupper() and not character.isascii())
        if is_told or marked > _MARKED_IN_A_ROW:
            return character
        before, script_before = character, script
    return None


def iconv_name(encoding: str) -> str:
    """What the program ``iconv`` calls an encoding."""
    return _ICONV.get(encoding, encoding)


def _decoded(block: bytes, encoding: str) -> str | None:
    # From a line's beginning to a line's end, so that no character is cut.
    sample = block[:_SAMPLE]
    if encoding in _CUT and len(sample) < len(block):
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    try:
        return sample.decode(encoding)
    except UnicodeDecodeError:
        return None


def _implausible(text: str, *, is_korean: bool) -> float:
    """Of the characters that are not ASCII, the part that does not stand where it does in a word of any language."""
    wrong = count = 0
    for found in _NOT_ASCII.finditer(text):
        count += 1
        place = found.start()
        character = text[place]
        wrong += (is_korean and _script(character) == "CJK") or _is_out_of_place(
            text[place - 1] if place else " ", character, text[place + 1 : place + 2] or " "
        )
    return wrong / count + _LACKS_VOWELS * _lacks_vowels(text) if count else 1.0


def _lacks_vowels(text: str) -> bool:
    """Whether a text in Cyrillic or Greek letters has too few vowels for any language."""
    for script, vowels in _VOWELS.items():
        letters = [one for one in text.lower() if one > "\x7f" and _script(one) == script]
        if len(letters) > 3 and sum(one in vowels for one in letters) < len(letters) / 4:
            return True
    return False


def _like_a_language(text: str, alphabets: tuple[str, ...]) -> float:
    """Of the letters that are not ASCII, the part that one language has: that of these which has the most of them."""
    letters = Counter(one for found in _NOT_ASCII.findall(text) if (one := found.lower()).isalpha())
    if not letters:
        return 0.0
    most = max(
        sum(count for letter, count in letters.items() if letter in alphabet) * (0.99 if _OF_FEW in alphabet else 1.0)
        for alphabet in alphabets
    )
    return most / letters.total()


def _is_out_of_place(before: str, character: str, after: str) -> bool:
    if character in _CURRENCY:
        return before.isalpha() or after.isalpha()
    if character in _PUNCTUATION:
        return before.isalpha() and after.isalpha() and character not in _WITHIN_WORDS
    script = _script(character)
    if not script:
        return True
    if script == "HEBREW" and _is_out_of_place_in_hebrew(before, character, after):
        return True
    beside = [one for one in (before, after) if one.isalpha()]
    if any(_script(one) != script for one in beside) or (before.islower() and character.isupper()):
        return True
    # Two letters with marks meet in Latin words; between two others there is hardly ever a third.
    return script == "LATIN" and len(beside) == 2 and all(one > "\x7f" for one in beside)


def _is_out_of_place_in_hebrew(before: str, character: str, after: str) -> bool:
    """Whether a point stands below no letter, or a letter that ends words within one."""
    return not before.isalpha() if not character.isalpha() else character in _ENDING_ONLY and _script(after) == "HEBREW"


def _script(character: str) -> str:
    """The script of a letter, or a mark of one; nothing of any other character."""
    if unicodedata.category(character)[0] not in "LM":
        return ""
    first = unicodedata.name(character, "").partition(" ")[0]
    return "CJK" if first in _JAPANESE else "" if first == "HALFWIDTH" else first
