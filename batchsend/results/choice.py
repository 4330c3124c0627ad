"""Which records of a results log are meant: by outcome, by reason, by reply code, by enhanced code."""

from __future__ import annotations

import re
from collections.abc import Iterable  # noqa: TC003 - public: its hints are resolved at run time
from typing import Final

from batchsend.errors import UsageError, require, require_many
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.patterns import late_pattern
from batchsend.results.format import OutcomeLine
from batchsend.verdict import Reason

_REASONS: Final = frozenset(Reason)
_CODE: Final = late_pattern(r"[45][0-9]{2}", re.ASCII)
_ENHANCED: Final = late_pattern(r"[45](?:\.[0-9]{1,3}){1,2}", re.ASCII)


class Choice:
    """Outcomes, reasons and codes.

    >>> sorted(Choice(["in_doubt", "5.7"]).statuses)
    [<Outcome.DEFERRED: 'deferred'>, <Outcome.IN_DOUBT: 'in_doubt'>]

    Args:
        wanted: Outcomes, reasons that a refusal was understood by (``sender``), reply codes (``550``), and enhanced
            codes whole (``5.7.1``) or by their beginning (``5.7``).
        option: What they were given by, for errors.
        always: Outcomes that are meant in any case.
        never: Outcomes that cannot be asked for.

    Attributes:
        statuses: The outcomes that are meant.

    Raises:
        UsageError: One of them is none of these.
        TypeError: An argument is of a wrong type.
    """

    def __init__(
        self,
        wanted: Iterable[str] = (),
        *,
        option: str = "wanted",
        always: Iterable[Outcome] = (Outcome.DEFERRED,),
        never: Iterable[Outcome] = (Outcome.ACCEPTED,),
    ) -> None:
        for name, given in (("wanted", wanted), ("always", always), ("never", never)):
            require_many(given, name)
        require(option, "option", str)
        wanted = [require(word, "a word in wanted", str) for word in wanted]
        statuses = {require(one, "an outcome in always", Outcome) for one in always}
        never = {require(one, "an outcome in never", Outcome) for one in never}
        allowed = [outcome.value for outcome in Outcome if outcome not in never]
        self._codes: set[int] = set()
        self._enhanced: list[str] = []
        self._reasons: set[str] = set()
        for word in wanted:
            if word in allowed:
                statuses.add(Outcome(word))
            elif _CODE.fullmatch(word):
                self._codes.add(int(word))
            elif _ENHANCED.fullmatch(word):
                self._enhanced.append(word)
            elif word in _REASONS:
                self._reasons.add(word)
            else:
                raise UsageError(
                    f"{option} {word}: there is no such outcome or code",
                    remedy=f"expected {', '.join(allowed)}, a reason such as sender, a reply code such as 550, or an "
                    "enhanced one such as 5.7",
                )
        self.statuses: frozenset[Outcome] = frozenset(statuses)

    @property
    def asks_for_codes(self) -> bool:
        """Whether the outcomes alone do not say which records are wanted."""
        return bool(self._codes or self._enhanced or self._reasons)

    def has_code(self, line: OutcomeLine | DeliveryResult) -> bool:
        """Whether a line's codes or its reason are among those that are wanted.

        Raises:
            TypeError: It is no outcome.
        """
        try:
            if line.code in self._codes or line.reason in self._reasons:
                return True
            enhanced = line.enhanced
        except AttributeError:  # looked into only then: this is asked of each line
            require(line, "line", OutcomeLine, DeliveryResult)
            raise
        return enhanced is not None and any(
            enhanced == wanted or enhanced.startswith(f"{wanted}.") for wanted in self._enhanced
        )

    def wants(self, line: OutcomeLine | DeliveryResult) -> bool:
        """Whether a line is meant, by its outcome or by its codes.

        Raises:
            TypeError: It is no outcome.
        """
        try:
            return line.status in self.statuses or self.has_code(line)
        except AttributeError:
            require(line, "line", OutcomeLine, DeliveryResult)
            raise
