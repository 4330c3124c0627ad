"""Octets changed at random: bits, pieces left out, doubled, swapped, and what is known to be awkward put in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

_AWKWARD: Final = (
    *(
        b"\0",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n.\r\n",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xe2\x80\xae",
        b"\x1b[2J",
    ),
    *(b'"', b"'", b"\\", b",", b";", b"<", b">", b"@", b"..", b"{{", b"}}", b"{%", b"%}", b"[", b"]", b"{", b"}", b"="),
    *(b"-1", b"0", b"1e999", b"99999999999999999999", b"NaN", b"null", b"true", b"2147483648", b"\xd9\xa3"),
    *(b"=?utf-8?b?////?=", b"--b1", b"Content-Type: multipart/mixed; boundary=b\n\n", b"250-x\r\n", b"999 x\r\n"),
    *(b" " * 100, b"a" * 1000, b"[" * 200, b"\t" * 50, b"250 " * 20),
)


def mutated(examples: Sequence[bytes], random: Random, most: int) -> bytes:
    """One of some examples, changed a few times.

    Args:
        examples: What is changed.
        random: What decides.
        most: Octets that the result may have.
    """
    octets = random.choice(examples)
    for _ in range(random.choice((0, 1, 1, 2, 3, 8))):
        octets = _change(octets, examples, random)[:most]
    return octets


def _change(octets: bytes, examples: Sequence[bytes], random: Random) -> bytes:
    begin = random.randint(0, len(octets))
    end = min(len(octets), begin + random.choice((1, 1, 2, 4, 16, 100)))
    kind = random.randrange(8)
    if kind == 0 and octets:
        place = random.randrange(len(octets))
        return octets[:place] + bytes([octets[place] ^ 1 << random.randrange(8)]) + octets[place + 1 :]
    if kind == 1:
        return octets[:begin] + octets[end:]
    if kind == 2:
        return octets[:end] + octets[begin:end] * random.choice((1, 2, 50)) + octets[end:]
    if kind == 3:
        return octets[:begin] + random.randbytes(random.choice((1, 1, 4, 30))) + octets[begin:]
    if kind == 4:
        return octets[:begin]
    if kind == 5:
        other = random.choice(examples)
        return octets[:begin] + other[random.randint(0, len(other)) :]
    if kind == 6:
        return octets[:begin] + random.choice(_AWKWARD) + octets[end:]
    return octets[:begin] + random.choice(_AWKWARD) + octets[begin:]
