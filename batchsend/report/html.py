"""Writes a report as one HTML page that contains no script and needs no network."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup

from batchsend import figures
from batchsend.campaign.model import feedback_path
from batchsend.display import called, one_line
from batchsend.outcome import Outcome
from batchsend.report import charts
from batchsend.report.analysis import NO_DOMAIN
from batchsend.report.returns import said_of_share

if TYPE_CHECKING:
    from batchsend.report.report import CampaignReport

_MOST_DOMAINS: Final = 15
_MOST_REPLIES: Final = 25

# What a limit that the server has shown means, by the option that would set it.
_LIMITS: Final = {
    "max_messages": "it ends a session after {} messages",
    "max_connections": "it takes {} sessions at once",
    "rate": "it takes {} messages a second",
    "quota": "it speaks of its quota after {} messages",
}


def render(report: CampaignReport, *, version: str) -> str:
    """The page. All that comes from the log is text in it, whatever it looks like.

    Args:
        report: What a results log comes to.
        version: The version of batchsend, which the page names as its maker.
    """
    style = files("batchsend.report").joinpath("page", "page.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("batchsend.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    began, ended = figures.utc(report.runs[0].started), figures.utc(max(run.ended for run in report.runs))
    failed = [domain for domain in report.domains if domain.failed]
    complaints = [] if report.returns is None else report.returns.shares(report.accepted_by_domain)
    return environment.get_template("page.html").render(
        report=report,
        outcomes=[outcome for outcome in Outcome if report.counts[outcome] or outcome is Outcome.ACCEPTED],
        title=called(PurePath(report.runs[0].first.campaign or report.results)),
        began=began,
        ended=ended.removeprefix(began[:11]),
        throughput=_throughput(report) if report.attempts else None,
        latency=charts.latency(report.latency) if report.latency.count else None,
        attempts=charts.attempts(report),
        sessions=charts.sessions(report.sessions),
        domains=failed[:_MOST_DOMAINS],
        more_domains=len(failed[_MOST_DOMAINS:]),
        accepted=report.counts[Outcome.ACCEPTED],
        complaints=complaints[:_MOST_DOMAINS],
        more_complaints=len(complaints[_MOST_DOMAINS:]),
        said_of_share=said_of_share,
        feedback_log=feedback_path(report.results).name,
        replies=report.replies[:_MOST_REPLIES],
        more_replies=len(report.replies[_MOST_REPLIES:]),
        learned=_learned(report.learned),
        learned_keys=_learned_keys(report.learned),
        no_domain=NO_DOMAIN,
        figures=figures,
        utc=figures.utc,
        style=Markup(style),  # noqa: S704 - a file of this package
        # CSP Level 3 §2.3.1: of all styles, this one is allowed.
        style_hash=b64encode(sha256(style.encode()).digest()).decode("ascii"),
        version=version,
    )


def _throughput(report: CampaignReport) -> charts.Chart:
    return charts.throughput(report.timeline, attempts=report.attempts, elapsed=report.elapsed, pauses=report.pauses)


def _learned(learned: dict[str, float]) -> str:
    """What the server has shown, as one sentence without its full stop; empty where that is nothing."""
    parts = []
    for name, value in learned.items():
        relay, _, key = name.rpartition(".")
        said = _LIMITS.get(key, f"{key} = {{}}").replace("{}", f"{value:,g}")
        parts.append(f"{relay}: {said}" if relay else said)
    told = "; ".join(parts)
    return told[:1].upper() + told[1:]


def _learned_keys(learned: dict[str, float]) -> str:
    """The same as a campaign file has it; a quota is only mentioned, because it is not known how long it counts."""
    tables: dict[str, list[str]] = {}
    for name, value in learned.items():
        relay, _, key = name.rpartition(".")
        written = f'rate = "{value:g}/s"' if key == "rate" else f"{key} = {value:g}"
        tables.setdefault(relay, []).append(f"# quota: about {value:g} messages" if key == "quota" else written)
    return "\n\n".join(
        "\n".join([f'[[server]]\nname = "{one_line(relay)}"' if relay else "[delivery]", *keys])
        for relay, keys in tables.items()
    )


def _safe(value: Any) -> Any:
    return one_line(value) if type(value) is str else value
