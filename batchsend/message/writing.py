"""Writes messages of the standard library out: octet for octet what its own generator writes, in a third of the time.

Most of that generator's time goes into folding headers that need no folding, by way of their parse trees, and into
writing bodies line by line. Where a header is short and plain, what folding makes of it is known beforehand; whatever
else there is goes the standard library's own way.
"""

from __future__ import annotations

import re
from email.errors import MessageError
from email.generator import BytesGenerator
from email.policy import Compat32, EmailPolicy
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from email.message import Message
    from email.policy import Policy

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_BEGINS_A_LINE: Final = re.compile(rb"\r\n[^ \t]|\r[^ \n\t]|\n[^ \t]")


def written(message: Message[Any, Any], **policy: Any) -> bytes:
    """The message written out, each line ended by CRLF.

    Args:
        message: The message; it may get a boundary that it lacks, as from the standard library's generator.
        policy: What to change of its policy.

    Raises:
        MessageError: A header holds a line end that would begin another header.
        Exception: As the standard library's generator.
    """
    out = BytesIO()
    _Writer(out, mangle_from_=False, policy=_rules(message.policy, tuple(policy.items()))).flatten(message)
    return out.getvalue()


@lru_cache(maxsize=64)
def _rules(policy: Policy[Any], changes: tuple[tuple[str, Any], ...]) -> Policy[Any]:
    return policy.clone(linesep="\r\n", **dict(changes))


class _Writer(BytesGenerator):
    """The generator that knows what becomes of a plain header, and writes a body at once."""

    def _write_headers(self, msg: Message[Any, Any]) -> None:
        policy: Any = self.policy
        is_newer = isinstance(policy, EmailPolicy)
        if not (is_newer and policy.refold_source != "all") and type(policy) is not Compat32:
            super()._write_headers(msg)  # type: ignore[misc]
            return
        room = policy.max_line_length or 0
        lines = []
        for name, value in msg.raw_items():
            text = _plain(value) if is_newer else _plain_word(value)
            if text is None or len(name) + 2 + len(text) > room:
                folded = policy.fold_binary(name, value)
                if not folded.endswith(b"\r\n") or _BEGINS_A_LINE.search(folded[:-2]):
                    raise MessageError(f"header {name} holds a line end")
                lines.append(folded)
            else:
                lines.append(f"{getattr(value, 'name', name)}: {text}\r\n".encode("ascii"))
        self._fp.write(b"".join(lines) + b"\r\n")  # type: ignore[attr-defined]

    def _write_lines(self, lines: str) -> None:
        if lines:
            self.write(_LINE_END.sub("\r\n", lines))


def _plain(value: Any) -> str | None:
    """What stands in a header's line, where nothing of it is encoded or folded; None where that is not certain."""
    if hasattr(value, "addresses"):
        tree = getattr(value, "_parse_tree", None)  # as it was written: the text of the header leaves comments out
        text = None if tree is None else str(tree)
    else:
        text = value if isinstance(value, str) else None
    return _plain_word(text)


def _plain_word(text: Any) -> str | None:
    if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable() or "=?" in text:
        return None
    return None if text[0] == " " or text[-1] == " " else text
