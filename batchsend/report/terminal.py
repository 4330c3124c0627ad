"""Prints a report on the terminal: as wide as that is, in colours where it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from batchsend import figures
from batchsend.display import OUTCOME_COLOURS, one_line
from batchsend.outcome import Outcome
from batchsend.report.report import QUANTILES
from batchsend.report.returns import said_of_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from batchsend.report.report import CampaignReport, Failure, KindCount

_MOST_DOMAINS: Final = 10
_MOST_REPLIES: Final = 8
_REPLIES_OF_A_CAUSE: Final = 3
_WIDEST_BAR: Final = 60


def show(report: CampaignReport, console: Console) -> None:
    """Print a report.

    Args:
        report: What a results log comes to.
        console: Where to; its width is the report's.
    """
    _head(report, console)
    _outcomes(report, console)
    _facts(report, console)
    _returns(report, console)
    _failures(report.failures, console)
    _domains(report, console)
    _replies(report.replies, console)


def _head(report: CampaignReport, console: Console) -> None:
    first, last = report.runs[0], report.runs[-1]
    server = f" → {first.first.server}" if first.first.server else ""
    console.print(Text(one_line(f"{first.first.campaign or report.results}{server}"), style="bold"))
    runs = "" if len(report.runs) == 1 else f" in {len(report.runs):,} runs"
    console.print(Text(f"began {figures.utc(first.started)} UTC{runs} · {last.ending}"))
    console.print()
    sessions = f" over {figures.count(report.sessions.count, 'session')}" if report.sessions.count else ""
    took = f"{figures.count(report.records, 'record')} in {figures.duration(report.elapsed)}"
    peak = f", at most {figures.rate(report.timeline.fastest())}" if report.elapsed >= 1 else ""
    console.print(Text(f"{took} ({figures.rate(report.rate)}{peak}){sessions}"))


def _outcomes(report: CampaignReport, console: Console) -> None:
    table = _table("left", "right", "right", "left")
    widest = min(_WIDEST_BAR, max(10, console.width - 40))
    for outcome in Outcome:
        count = report.counts[outcome]
        if not count and outcome is not Outcome.ACCEPTED:
            continue
        style = OUTCOME_COLOURS[outcome]
        table.add_row(
            Text(outcome.label, style=style),
            f"{count:,}",
            figures.share(count, report.records),
            Text(_bar(count, report.records, widest), style=style, no_wrap=True),
        )
    console.print(Padding(table, (0, 0, 1, 2)))


def _returns(report: CampaignReport, console: Console) -> None:
    """What came back after messages were accepted."""
    returns = report.returns
    if returns is None:
        return
    accepted = report.counts[Outcome.ACCEPTED]
    console.print(Text("What came back", style="bold"))
    table = _table("left", "right", "right")
    table.add_row("delivered", f"{report.delivered:,}", figures.share(report.delivered, accepted))
    table.add_row("bounced", f"{len(returns.bounced):,}", f"{returns.hard:,} for good")
    table.add_row("complained", f"{returns.complaints:,}", figures.share(returns.complaints, accepted))
    table.add_row("unsubscribed", f"{len(returns.unsubscribed):,}", figures.share(len(returns.unsubscribed), accepted))
    console.print(Padding(table, (0, 0, 1, 2)))
    for cause, count in returns.causes.most_common():
        console.print(Text(f"  {figures.count(count, 'bounce')}: {cause.name}"))
        console.print(Padding(Text(cause.advice), (0, 0, 0, 4)))
    for domain, count, of in returns.shares(report.accepted_by_domain)[:_MOST_DOMAINS]:
        share = count / max(of, 1)
        said = said_of_share(share)
        complaints = figures.count(count, "complaint")
        console.print(Text(one_line(f"  {domain}: {complaints} of {of:,} accepted ({share:.2%}), {said}")))
    console.print()


def _facts(report: CampaignReport, console: Console) -> None:
    table = _table("left", "left")
    for name, fact in facts(report):
        table.add_row(Text(name, style="bold", no_wrap=True), Text(fact))
    if table.row_count:
        console.print(table)


def facts(report: CampaignReport) -> Iterator[tuple[str, str]]:
    """What else there is to tell of the runs, by name."""
    if report.latency.count:
        parts = [f"{name} {figures.latency(report.latency.quantile(part))}" for name, part in QUANTILES.items()]
        yield "reply time", f"{' · '.join(parts)} · longest {figures.latency(report.latency.longest)}"
    if report.retries:
        needed = " · ".join(
            f"{figures.count(attempts, 'attempt')} {report.needed[outcome, attempts]:,}"
            for outcome, attempts in sorted(report.needed, key=lambda key: key[1])
            if outcome is Outcome.ACCEPTED
        )
        yield (
            "attempts",
            f"{report.attempts:,}, {figures.count(report.retries, 'retry', 'retries')}; accepted after {needed}",
        )
    if report.sessions.count:
        sessions = report.sessions
        least = "" if sessions.least == sessions.most else f"{sessions.least:,} to "
        span = f"{least}{figures.count(sessions.most, 'message')}"
        yield "sessions", f"{sessions.count:,}, {span} each, the median {sessions.median:,}"
    for name, counts in sorted(report.servers.items()):
        told = " · ".join(f"{outcome.label} {counts[outcome]:,}" for outcome in Outcome if counts[outcome])
        yield f"through {one_line(name)}", told
    if report.learned:
        yield (
            "learned",
            ", ".join(f"{one_line(name)} = {value}" for name, value in figures.learned(report.learned).items()),
        )
    if report.torn:
        yield (
            "torn line",
            f"the last {figures.count(report.torn, 'octet')} of the log are no whole line and do not count",
        )


def _failures(failures: Iterable[Failure], console: Console) -> None:
    for place, failure in enumerate(failures):
        if not place:
            _title("What went wrong, and what to do", console)
        outcomes = ", ".join(outcome.label for outcome in Outcome if failure.counts[outcome])
        style = OUTCOME_COLOURS[failure.counts.most_common(1)[0][0]]
        console.print(Text.assemble((f"{failure.records:>9,}  {failure.cause.name}", f"bold {style}"), f"  {outcomes}"))
        console.print(Padding(Text(failure.cause.advice), (0, 0, 0, 11)))
        table = _table("right", "left")
        _add_kinds(table, failure.kinds[:_REPLIES_OF_A_CAUSE])
        left = len(failure.kinds) - _REPLIES_OF_A_CAUSE
        if left > 0:
            table.add_row("", f"… and {figures.count(left, 'other kind')}")
        console.print(Padding(table, (0, 0, 0, 11)), style="dim")


def _domains(report: CampaignReport, console: Console) -> None:
    failed = [domain for domain in report.domains if domain.failed]
    if not failed:
        return
    _title("Domains with failures", console)
    table = _table(
        "left", "right", "right", "right", "left", header=("domain", "records", "accepted", "failed", "mostly")
    )
    for domain in failed[:_MOST_DOMAINS]:
        table.add_row(
            Text(one_line(domain.name), overflow="fold"),
            f"{domain.records:,}",
            figures.share(domain.counts[Outcome.ACCEPTED], domain.records),
            f"{domain.failed:,}",
            domain.causes.most_common(1)[0][0].name,
        )
    console.print(Padding(table, (0, 0, 0, 2)))
    if len(failed) > _MOST_DOMAINS:
        console.print(f"  … and {figures.count(len(failed) - _MOST_DOMAINS, 'other domain')}")


def _replies(replies: list[KindCount], console: Console) -> None:
    if not replies:
        return
    _title("What the server said", console)
    table = _table("right", "left")
    _add_kinds(table, replies[:_MOST_REPLIES])
    if len(replies) > _MOST_REPLIES:
        table.add_row("", f"… and {figures.count(len(replies) - _MOST_REPLIES, 'other kind')}")
    console.print(Padding(table, (0, 0, 0, 2)))


def _add_kinds(table: Table, kinds: Iterable[KindCount]) -> None:
    for found in kinds:
        table.add_row(f"{found.count:,}", Text(found.said, style=OUTCOME_COLOURS[found.kind.outcome], overflow="fold"))


def _title(text: str, console: Console) -> None:
    console.print()
    console.print(Text(text, style="bold underline"))


def _table(*justified: str, header: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(header), header_style="dim")
    for place, justify in enumerate(justified):
        table.add_column(
            header[place] if header else "",
            justify="right" if justify == "right" else "left",
            no_wrap=justify == "right",
        )
    return table


def _bar(part: int, whole: int, widest: int) -> str:
    """A bar in eighths of a character; what is there at all shows."""
    eighths = max(round(8 * widest * part / whole), 1 if part else 0) if whole else 0
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
