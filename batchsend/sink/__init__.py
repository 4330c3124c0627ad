"""The embedded SMTP server: takes messages as a relay would, delivers them nowhere, and says what it received."""

from __future__ import annotations

from batchsend.sink.options import SinkOptions, Tls
from batchsend.sink.received import Counts, Received
from batchsend.sink.rules import Action, Rule, RuleStage, parse_rule
from batchsend.sink.server import Sink

__all__ = ["Action", "Counts", "Received", "Rule", "RuleStage", "Sink", "SinkOptions", "Tls", "parse_rule"]
