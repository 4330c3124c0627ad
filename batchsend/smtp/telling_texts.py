"""Texts of 2yz replies that tell which command they answer."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

from batchsend.smtp.replies import Reply

_ENHANCED: Final = re.compile(rb"2\.\d+\.\d+")
_CHANGING: Final = re.compile(rb"[0-9@<>]|.{20}")
"""Marks of a word that differs from message to message: an address, a queue's name for it, a size."""
_FIRST_WORDS: Final = 3


class TellingPlace(Enum):
    """Whose reply is in hand, as far as that matters here."""

    RCPT = "RCPT"
    RSET = "RSET"
    NONE = "another command"


class Habits(NamedTuple):
    """What a server says to three commands, where a 354 has proved that these replies are theirs.

    Attributes:
        mail: To MAIL.
        rcpt: To RCPT.
        content: To a content that it takes.
    """

    mail: Reply
    rcpt: Reply
    content: Reply

    def tell_apart(self, said: Reply) -> bool:
        """Whether what a content was told is what this server says to contents, and to neither MAIL nor RCPT."""
        shape = _shape(said.raw)
        return (
            bool(shape)
            and shape == _shape(self.content.raw)
            and shape
            not in (
                _shape(self.mail.raw),
                _shape(self.rcpt.raw),
            )
        )


def _shape(raw: bytes) -> tuple[bytes, ...]:
    """The first words of a text, without what differs from message to message."""
    words = raw.lower().split()[:_FIRST_WORDS]
    return tuple(b"*" if _CHANGING.search(word) and not _ENHANCED.fullmatch(word) else word for word in words)


class TellingTexts:
    """For sessions in which no 354 comes (RFC 3030).

    x.1.5 to RCPT (RFC 3463 §3.2) and the word "reset" to RSET prove that replies are in their places, as long as this
    server says them each time and nowhere else. Once one was missing or out of place they prove nothing any more in
    this session: replies that are four places late would be in place again.

    Attributes:
        told: The places whose texts have proved something. It is kept when they do not any more.
        contradicted: One came elsewhere, or was missing where one had proved something before: the replies are not in
            their places any more, or this server says them as it likes.
    """

    def __init__(self) -> None:
        # For each of the two whether the server says it; None before the first reply that could.
        self._says: dict[TellingPlace, bool | None] = {TellingPlace.RCPT: None, TellingPlace.RSET: None}
        self.told: frozenset[TellingPlace] = frozenset()
        self.contradicted = False

    def proves(self, raw: bytes, place: TellingPlace) -> bool:
        """Take the text of a 2yz reply; say whether it proves that it is in its place.

        Args:
            raw: The text, without codes.
            place: Which command's reply it is, by counting.
        """
        says = self._says
        if place is TellingPlace.NONE:
            if raw.startswith(b"2.1.5") or b"reset" in raw.lower():
                self._distrust()
            return False
        found = raw.startswith(b"2.1.5") if place is TellingPlace.RCPT else b"reset" in raw.lower()
        if says[place] is None:
            says[place] = found
            if found:
                self.told |= {place}
        if not found and says[place]:
            self._distrust()
        return found and bool(says[place])

    def fits(self, raw: bytes, place: TellingPlace) -> bool:
        """Whether the text of a 2yz reply is what is to be expected in a place, after what was told before.

        Args:
            raw: The text, without codes.
            place: The place.
        """
        about_recipient = TellingPlace.RCPT in self.told and raw.startswith(b"2.1.5")
        about_reset = TellingPlace.RSET in self.told and b"reset" in raw.lower()
        if place in self.told:
            return about_recipient if place is TellingPlace.RCPT else about_reset
        return not (about_recipient or about_reset)

    def _distrust(self) -> None:
        self.contradicted = True
        self._says = dict.fromkeys(self._says, False)
