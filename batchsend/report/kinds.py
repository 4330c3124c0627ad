"""Kinds of outcome: attempts with the same status, codes and wording are of one kind and are counted together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batchsend.display import one_line
from batchsend.outcome import Outcome
from batchsend.report.wording import reason_wording, wording

_Key = tuple[str | None, int | None, str | None, str | None, str]

if TYPE_CHECKING:
    from batchsend.outcome import DeliveryResult
    from batchsend.report.lines import Line

MOST: Final = 10_000
"""Kinds that are told apart; what comes later is put together by outcome and code."""

OTHER: Final = "other replies"
"""The text of a kind for all that came later."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of outcome. Outcomes with different codes are never of one kind.

    Attributes:
        outcome: What became of the record.
        code: The server's reply code, or None.
        enhanced: The enhanced status code, or None.
        reason: Our reason where the server replied; what it is without a reply is in ``text``.
        text: What was said, with ids and addresses cut out (see `wording`).
        example: The first that was said, as it was said.
        stage: Where in the dialogue that was, or None.
    """

    outcome: Outcome
    code: int | None
    enhanced: str | None
    reason: str | None
    text: str
    example: str = field(compare=False, default="")
    stage: str | None = field(compare=False, default=None)

    def said(self, *, times: int) -> str:
        """Codes and text on one line, safe to show; what was said once is shown as it was said."""
        text = self.example if times == 1 and self.example else self.text
        return one_line(" ".join(part for part in (str(self.code or ""), self.enhanced, text) if part))


def text_of(code: int | None, enhanced: str | None, reply: str | None, reason: str | None) -> str:
    """What was said: the reply without its enhanced codes (RFC 2034 §4 has one in each line), or else our reason."""
    if code is None:
        return reason or "no reason given"
    said = reply or ""
    if enhanced:
        said = said.removeprefix(enhanced).replace(f"\n{enhanced} ", "\n")
    return said.strip()


def kind_of(result: DeliveryResult) -> Kind:
    """The kind of an outcome."""
    code, enhanced, reason = result.code, result.enhanced, result.reason
    example = text_of(code, enhanced, result.reply, reason)
    reason = None if code is None else reason
    return Kind(result.status, code, enhanced, reason, _wording(code, example), example, result.stage)


class Kinds:
    """Numbers the kinds as they come: from 1, so that 0 can stand for none."""

    def __init__(self) -> None:
        self._kinds: list[Kind] = []
        self._numbers: dict[_Key, int] = {}

    def number(self, line: Line) -> int:
        """The number of the kind of an outcome line."""
        code, enhanced, reason = line.code, line.enhanced, line.reason
        example = text_of(code, enhanced, line.reply, reason)
        key = line.status, code, enhanced, reason if code else None, _wording(code, example)
        return self._numbers.get(key) or self._new(key, example, line.stage)

    def __getitem__(self, number: int) -> Kind:
        return self._kinds[number - 1]

    def __len__(self) -> int:
        return len(self._kinds)

    def _new(self, key: _Key, example: str, stage: str | None) -> int:
        if len(self._kinds) >= MOST:
            key, example, stage = (*key[:2], None, None, OTHER), "", None
        if key not in self._numbers:
            status, code, enhanced, reason, text = key
            self._kinds.append(Kind(Outcome(status or ""), code, enhanced, reason, text, example, stage))
            self._numbers[key] = len(self._kinds)
        return self._numbers[key]


def _wording(code: int | None, text: str) -> str:
    return reason_wording(text) if code is None else wording(text)
