"""What the documents of two records have in common: where only texts and addresses differ, the styles are the same."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.message.css_cascade import changed, edited
from batchsend.message.html_tokens import plain_pieces, tokens

if TYPE_CHECKING:
    from batchsend.message.css_cascade import Cascade

_MOST: Final = 64
_LONGEST: Final = 200_000
"""Characters of a document's tags; what is longer is not kept."""

# What differs from record to record, and decides about no rule that does not look at values.
_VARIES: Final = re.compile(r"\s(?:href|src|alt|title)=(?:\"[^\"]*+\"|'[^']*+')", re.IGNORECASE)


class DocumentSkeleton:
    """A document in texts and tags by turns.

    Args:
        pieces: The texts and tags.

    Attributes:
        key: What decides about styles.
    """

    def __init__(self, pieces: list[str]) -> None:
        self._pieces = pieces
        self.key = _VARIES.sub(" \1", "\0".join(pieces[1::2]))

    @classmethod
    def of(cls, html: str) -> DocumentSkeleton | None:
        """The skeleton of a document; None where it is not as plain as that."""
        pieces = plain_pieces(html)
        return None if pieces is None else cls(pieces)

    def changes(self, cascade: Cascade) -> Changes | None:
        """What becomes of which pieces; None where these are not cut where tags begin."""
        starts: dict[int, int] = {}
        at = 0
        for place, piece in enumerate(self._pieces):
            if place % 2:
                starts[at] = place
            at += len(piece)
        whole: dict[int, str] = {}
        styles: dict[int, str] = {}
        for tag, style in cascade.styles():
            place = starts.get(tag.start, -1)
            if place < 0 or len(self._pieces[place]) != tag.end - tag.start:
                return None
            if _VARIES.search(self._pieces[place]):
                styles[place] = style
            else:
                whole[place] = _styled(self._pieces[place], style)
        sheets: dict[int, list[tuple[int, int, str]]] = {}
        for start, end, new in cascade.important():
            begins = max(one for one in starts if one <= start)
            sheets.setdefault(starts[begins], []).append((start - begins, end - begins, new))
        whole |= {place: changed(self._pieces[place], edits) for place, edits in sheets.items()}
        return Changes(whole, styles)

    def with_changes(self, changes: Changes) -> str:
        """The document with what was found for another one of the same skeleton."""
        pieces = self._pieces
        for place, new in changes.whole.items():
            pieces[place] = new
        for place, style in changes.styles.items():
            pieces[place] = _styled(pieces[place], style)
        return "".join(pieces)


class Changes(NamedTuple):
    """What becomes of the pieces of a skeleton, by their places.

    Attributes:
        whole: The new piece, where it is the same for all documents.
        styles: What is written into the tag, where that is not.
    """

    whole: dict[int, str]
    styles: dict[int, str]


def _styled(piece: str, style: str) -> str:
    edit = edited(piece, next(tokens(piece)), style)
    return piece if edit is None else changed(piece, [edit])


class SkeletonCache:
    """What is known of the skeletons that came last."""

    def __init__(self) -> None:
        self._changes: OrderedDict[str, Changes] = OrderedDict()

    def get(self, key: str) -> Changes | None:
        """What becomes of the tags of a skeleton, or None."""
        found = self._changes.get(key)
        if found is not None:
            self._changes.move_to_end(key)
        return found

    def put(self, skeleton: DocumentSkeleton, cascade: Cascade) -> None:
        """Remember a skeleton."""
        if len(skeleton.key) > _LONGEST:
            return
        changes = skeleton.changes(cascade)
        if changes is not None:
            self._changes[skeleton.key] = changes
            if len(self._changes) > _MOST:
                self._changes.popitem(last=False)
