"""What replies mean: one table of wordings, rules for those that are not in it, and one function that judges.

`judge` gives the verdict on a reply, `judge_said` on one that is told of; `wait_named` and `period_named` read what it
says of time; `parse` makes a reply of text that was pasted from a log or a bounce.
"""

from __future__ import annotations

from batchsend.delivery.replies.judging import Judgement, judge, judge_by_rules, judge_said
from batchsend.delivery.replies.parsing import parse
from batchsend.delivery.replies.policy import POLICIES, Effects, advice, policy_of
from batchsend.delivery.replies.table import WordingEntry, entries, usual_stage
from batchsend.delivery.replies.waiting import Period, period_named, wait_named

__all__ = [
    "POLICIES",
    "Effects",
    "Judgement",
    "Period",
    "WordingEntry",
    "advice",
    "entries",
    "judge",
    "judge_by_rules",
    "judge_said",
    "parse",
    "period_named",
    "policy_of",
    "usual_stage",
    "wait_named",
]
