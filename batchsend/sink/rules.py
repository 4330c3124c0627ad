"""The sink's rules: which recipients it refuses, defers or delays, or drops the connection for."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from batchsend.errors import UsageError
from batchsend.figures import parse_duration


class Action(StrEnum):
    """What a rule does."""

    REJECT = "reject"
    """Answer 5yz."""

    DEFER = "defer"
    """Answer 4yz."""

    DROP = "drop"
    """Close the connection instead of answering."""

    DELAY = "delay"
    """Answer later; the session's later commands wait."""


class RuleStage(StrEnum):
    """When a rule is applied."""

    RCPT = "rcpt"
    """In answer to RCPT."""

    CONTENT = "content"
    """After the end of the content, in place of the reply to it; a dropped message is not kept."""


_REPLIES: Final = {
    (Action.REJECT, RuleStage.RCPT): "550 5.1.1 Unknown mailbox",
    (Action.REJECT, RuleStage.CONTENT): "554 5.7.1 Message refused",
    (Action.DEFER, RuleStage.RCPT): "450 4.2.1 Mailbox unavailable, try again later",
    (Action.DEFER, RuleStage.CONTENT): "451 4.3.0 Message deferred, try again later",
}
_CLASSES: Final = {Action.REJECT: "5", Action.DEFER: "4"}
_REPLY: Final = re.compile(r"[245][0-5][0-9](?: [\t -~]+)?")
_STAGE: Final = re.compile(r"(rcpt|content)(?: +|\Z)")
_FORMS: Final = {
    Action.REJECT: "PATTERN[=[content] 5yz TEXT], as in '*@full.example=552 5.2.2 Mailbox full'",
    Action.DEFER: "PATTERN[=[content] 4yz TEXT], as in '*@busy.example=450 4.2.1 Try later'",
    Action.DROP: "PATTERN[=content], as in '*@gone.example=content'",
    Action.DELAY: "PATTERN=[content] DURATION, as in '*@slow.example=2s'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to the recipients that match a pattern.

    Args:
        pattern: A shell pattern (``*``, ``?``, ``[…]``) for the whole forward-path without angle brackets; case
            does not count.
        action: What to do.
        stage: When to do it.
        reply: The reply of a rejection (5yz) or deferral (4yz): code, enhanced status code, text. None for a usual one.
            After 421 the connection is closed (RFC 5321 §3.8).
        delay: Seconds to hold the reply back; above 0 for a delay, 0 otherwise.

    Raises:
        UsageError: The parts do not go together.
    """

    pattern: str
    action: Action
    stage: RuleStage = RuleStage.RCPT
    reply: str | None = None
    delay: float = 0.0
    _matcher: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.pattern:
            raise self._error("has no pattern")
        wanted = _CLASSES.get(self.action)
        if self.reply is not None:
            if wanted is None:
                raise self._error("has a reply, which only reject and defer give")
            if not _REPLY.fullmatch(self.reply) or self.reply[0] != wanted:
                raise self._error(f"has the reply {self.reply!r}, which is not a {wanted}yz code and a text in ASCII")
        if (self.delay > 0) != (self.action is Action.DELAY):
            raise self._error("needs a delay above 0" if self.action is Action.DELAY else "cannot have a delay")
        object.__setattr__(self, "_matcher", re.compile(fnmatch.translate(self.pattern), re.IGNORECASE))

    def matches(self, forward_path: str) -> bool:
        """Tell whether the rule applies to a recipient.

        Args:
            forward_path: The mailbox of RCPT without angle brackets.
        """
        return self._matcher.match(forward_path) is not None

    @property
    def reply_line(self) -> bytes:
        """The reply of a rejection or deferral, without its CRLF."""
        return (self.reply or _REPLIES[self.action, self.stage]).encode("ascii")

    def _error(self, fault: str) -> UsageError:
        return UsageError(f"the rule to {self.action} {self.pattern!r} {fault}", remedy=f"write {_FORMS[self.action]}")


def parse_rule(action: Action | str, text: str) -> Rule:
    """Read a rule as it is written on the command line: ``PATTERN[=[rcpt|content] [REPLY|DURATION]]``.

    The sign that ends the pattern is the first ``=`` after the first ``@``, as a local part may hold one and a domain
    may not; in a pattern without ``@`` it is the first one.

    Args:
        action: The option that the text was given to: ``reject``, ``defer``, ``drop`` or ``delay``.
        text: For example ``*@bounce.example``, ``*@full.example=552 5.2.2 Mailbox full``, ``*@slow.example=2s`` or
            ``*@gone.example=content``. A duration is in ``ms``, ``s``, ``m`` or ``h``; without a unit in seconds.

    Returns:
        The rule.

    Raises:
        UsageError: The text is not of that form.
    """
    action = Action(action)
    separator = text.find("=", text.find("@") + 1)
    pattern, argument = (text, "") if separator < 0 else (text[:separator], text[separator + 1 :])
    stage = RuleStage.RCPT
    if named := _STAGE.match(argument):
        stage = RuleStage(named[1])
        argument = argument[named.end() :]
    delay = 0.0
    if action is Action.DELAY:
        try:
            delay = parse_duration(argument, default_unit="s")
        except ValueError:
            raise UsageError(f"the delay of {text!r} is {argument!r}", remedy=f"write {_FORMS[action]}") from None
        argument = ""
    elif separator >= 0 and not argument and named is None:
        raise UsageError(f"nothing follows the = of {text!r}", remedy=f"write {_FORMS[action]}")
    return Rule(pattern=pattern, action=action, stage=stage, reply=argument or None, delay=delay)
