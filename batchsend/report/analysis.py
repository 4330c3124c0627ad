"""Reads a results log once, from its beginning to its end, and makes a `CampaignReport` of it."""

from __future__ import annotations

from array import array
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Final

from batchsend.errors import UsageError
from batchsend.histogram import Histogram
from batchsend.outcome import Outcome
from batchsend.report.causes import Cause, cause_of, in_a_program
from batchsend.report.kinds import Kinds
from batchsend.report.lines import Line, LogLines
from batchsend.report.report import CampaignReport, Domain, Failure, KindCount, RunSpan, Sessions
from batchsend.report.returns import read_returns
from batchsend.report.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batchsend.report.returns import Returns
    from batchsend.results.format import RunLine

_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}

# A record's last outcome is a number of 32 bits: its domain, and its kind, which is never 0.
_KIND_BITS: Final = 16
_KIND_MASK: Final = (1 << _KIND_BITS) - 1
_MOST_DOMAINS: Final = (1 << 32 - _KIND_BITS) - 1
_MOST_ATTEMPTS: Final = 255

NO_DOMAIN: Final = "no domain"
"""What stands for the domain of a record whose address has none."""

OTHER_DOMAINS: Final = "other domains"
"""What stands for the domains after the first 65,534."""


def analyse(path: Path) -> CampaignReport:
    """Read a results log, in five octets a record and a bounded rest.

    Raises:
        UsageError: It cannot be opened, or is not the results log of a run.
        RunError: It cannot be read further.
    """
    lines = LogLines(path)
    analysis = _Analysis(path)
    for block in lines.read(Line):
        analysis.take(block)
    return analysis.report(torn=lines.torn, returns=read_returns(path, of_a_program=analysis.is_of_a_program))


class _Analysis:
    """Takes the lines of one log in their order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._clock = _Clock()
        self._runs: list[RunSpan] = []
        self._offset = 0.0
        self._pauses: list[float] = []
        self._timeline = Timeline()
        self._latency = Histogram()
        self._kinds = Kinds()
        self._heard: Counter[int] = Counter()
        self._domains: dict[str, int] = {NO_DOMAIN: 0}
        self._last = array("I")
        self._attempts = bytearray()
        self._offered = 0
        self._retries = 0
        self._in_session = array("I")
        self._sessions: Counter[int] = Counter()
        self._servers: dict[str, Counter[Outcome]] = {}

    def take(self, lines: Sequence[Line]) -> None:
        """Take the next lines.

        Raises:
            UsageError: One of them cannot be in the log of a run.
        """
        for line in lines:
            self._read += 1
            if line.run is not None:
                self._take_run(line.run)
            else:
                self._take_outcome(line)
        self._latency.update([line.elapsed for line in lines if line.elapsed is not None and line.code is not None])

    def report(self, *, torn: int, returns: Returns | None) -> CampaignReport:
        """What it comes to."""
        self._close_sessions()
        counts: Counter[Outcome] = Counter()
        needed: Counter[tuple[Outcome, int]] = Counter()
        records: Counter[int] = Counter()
        for (place, attempts), count in Counter(zip(self._last, self._attempts, strict=True)).items():
            if place:
                outcome = self._kinds[place & _KIND_MASK].outcome
                counts[outcome] += count
                records[place] += count
                if attempts:
                    needed[outcome, attempts] += count
        domains, failures = self._break_down(records)
        return CampaignReport(
            results=self._path,
            runs=self._runs,
            counts=counts,
            attempts=self._offered,
            retries=self._retries,
            needed=needed,
            replies=[
                KindCount(self._kinds[number], count)
                for number, count in self._heard.most_common()
                if self._kinds[number].code is not None
            ],
            failures=failures,
            domains=domains,
            sessions=Sessions(self._sessions),
            latency=self._latency,
            timeline=self._timeline,
            pauses=self._pauses,
            torn=torn,
            servers=self._servers,
            returns=returns,
            delivered=counts[Outcome.ACCEPTED]
            - sum(map(self._is_accepted, () if returns is None else returns.bounced)),
        )

    @property
    def is_of_a_program(self) -> bool:
        """Whether it is the log of a `Sender`, which no campaign file stands behind."""
        return bool(self._runs) and not self._runs[0].first.campaign

    def _is_accepted(self, record: int) -> bool:
        place = self._last[record] if record < len(self._last) else 0
        return bool(place) and self._kinds[place & _KIND_MASK].outcome is Outcome.ACCEPTED

    def _break_down(self, records: Counter[int]) -> tuple[list[Domain], list[Failure]]:
        """Records by domain, and those that were not accepted by cause."""
        names = list(self._domains)
        domains: dict[int, Domain] = {}
        failures: dict[Cause, Failure] = {}
        kinds: Counter[int] = Counter()
        causes = [cause_of(self._kinds[number]) for number in range(1, len(self._kinds) + 1)]
        if self.is_of_a_program:
            causes = [in_a_program(cause) for cause in causes]
        for place, count in records.items():
            number, kind = place & _KIND_MASK, self._kinds[place & _KIND_MASK]
            domain = domains.setdefault(place >> _KIND_BITS, Domain(names[place >> _KIND_BITS]))
            domain.counts[kind.outcome] += count
            if not kind.outcome.is_failure:
                continue
            cause = causes[number - 1]
            failure = failures.setdefault(cause, Failure(cause))
            kinds[number] += count
            domain.causes[cause] += count
            failure.counts[kind.outcome] += count
            failure.domains[domain.name] += count
        for number, count in kinds.most_common():
            failures[causes[number - 1]].kinds.append(KindCount(self._kinds[number], count))
        return (
            sorted(domains.values(), key=lambda domain: (-domain.failed, -domain.records, domain.name)),
            sorted(failures.values(), key=lambda failure: -failure.records),
        )

    def _take_run(self, run: RunLine) -> None:
        if run.changed is not None:
            return
        if run.ended is not None:
            if not self._runs or self._runs[-1].first.id != run.id:
                raise self._not_a_log()
            span = self._runs[-1]
            span.last = run
            span.ended = max(span.ended, self._time(run.ended))
            return
        if self._runs and self._runs[0].first.id != run.id:
            raise UsageError(
                f"{self._path} holds the accounts of two runs, {self._runs[0].first.id} and {run.id}",
                remedy="a record is known by its number within its run: keep them in a log each",
            )
        self._close_sessions()
        if self._runs:
            self._offset += self._runs[-1].elapsed
            self._pauses.append(self._offset)
        started = self._time(run.started)
        self._runs.append(RunSpan(run, started, started))

    def _take_outcome(self, line: Line) -> None:
        if not self._runs:
            raise self._not_a_log()
        run = self._runs[-1]
        time = self._time(line.time)
        # A clock that is put back does not turn the run round.
        run.ended = max(run.ended, time)
        outcome = _OUTCOMES[line.status or ""]
        kind = self._kinds.number(line)
        record, attempt = line.record, line.attempt
        if record >= len(self._last):
            self._grow(record)
        self._last[record] = self._domain(line.recipient) << _KIND_BITS | kind
        self._heard[kind] += 1
        if not attempt:
            return
        run.attempts += 1
        if line.server is not None:
            self._servers.setdefault(line.server, Counter())[outcome] += 1
        self._attempts[record] = min(attempt, _MOST_ATTEMPTS)
        self._offered += 1
        self._retries += attempt > 1
        self._timeline.add(self._offset + max(0.0, time - run.started), outcome)
        if line.session is not None:
            self._count_session(line.session)

    def _domain(self, recipient: str | None) -> int:
        """The number of a recipient's domain."""
        if not recipient or "@" not in recipient:
            return 0
        name = recipient[recipient.rindex("@") + 1 :]
        number = self._domains.get(name)
        if number is None:
            name = name.lower()
            if len(self._domains) >= _MOST_DOMAINS and name not in self._domains:
                name = OTHER_DOMAINS
            number = self._domains.setdefault(name, len(self._domains))
        return number

    def _count_session(self, number: int) -> None:
        sessions = self._in_session
        if number >= len(sessions):
            sessions.frombytes(bytes(sessions.itemsize * (number * 5 // 4 + 1024 - len(sessions))))
        sessions[number] += 1

    def _close_sessions(self) -> None:
        """The next run counts its sessions from 1 again."""
        self._sessions.update(self._in_session)
        del self._sessions[0]
        self._in_session = array("I")

    def _grow(self, record: int) -> None:
        more = record * 5 // 4 + 1024 - len(self._last)
        self._last.frombytes(bytes(self._last.itemsize * more))
        self._attempts.extend(bytes(more))

    def _time(self, text: str | None) -> float:
        try:
            return self._clock.read(text or "")
        except ValueError:
            raise self._not_a_log() from None

    def _not_a_log(self) -> UsageError:
        return UsageError(
            f"{self._path}:{self._read}: not a line of a results log",
            remedy="fix the line as it was, or take the log from a backup",
        )


class _Clock:
    """Reads the log's times; thousands of lines share a second."""

    def __init__(self) -> None:
        self._text = ""
        self._second = 0.0

    def read(self, text: str) -> float:
        """Seconds since the epoch.

        Raises:
            ValueError: It is no time as the log has them: RFC 3339 in UTC, to the millisecond.
        """
        second, rest = text[:19], text[19:]
        if second != self._text:
            self._second = datetime.fromisoformat(f"{second}+00:00").timestamp()
            self._text = second
        if len(rest) != 5 or rest[0] != "." or rest[4] != "Z":
            raise ValueError(text)
        return self._second + int(rest[1:4]) / 1000
