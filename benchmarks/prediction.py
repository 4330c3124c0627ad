"""Holds what ``batchsend bench`` predicts and advises against campaigns: ``python -m benchmarks.prediction``, as root.

From the checkout. The server is a real Postfix, which queues for real and throws away:

near
    on this machine;
far
    20 ms away, by way of the proxy;
limited
    on this machine, with 200 messages a second and 5 sessions allowed to a client, by Postfix's own limits.

In each round ``batchsend bench`` measures the server with the campaign's own messages, each setting for half as long as
it does by itself: what holds for that holds for the longer one. Then ``batchsend send`` sends a campaign with the
advised settings, and a shorter one with each other setting of the grid; one that was far from the fastest in an earlier
round is not sent with again. The server's own log is the account of
what it received. The prediction is right if the campaign was as fast as predicted, 10 % more or less, by what `send`
itself says it took. The advice is right if no other setting was surely faster: by more than the 5 % that the advice
spends on asking less of the server and, where several rounds were run, by the intervals of all their campaigns.

A campaign is only as fast as predicted on a machine that is as fast as it was when the bench ran. How fast each core is
is looked at during both, by a short loop: where a core was more than 10 % faster or slower in the campaign, the
campaign is sent again, a few times at most, and the one whose machine was most like the bench's counts; where that is
none of them, the round is repeated. What was left of the difference is said with each round.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from batchsend.bench.grid import GridPoint, all_points
from batchsend.bench.interval import interval_of
from batchsend.figures import duration
from benchmarks.calibration import TOLERANCE_DURING, sample
from benchmarks.distance import far_away
from benchmarks.job import Job, Place
from benchmarks.process import execute
from benchmarks.settings import LogCounter, UnavailableError, or_unavailable
from benchmarks.work import NOTICE
from tests.servers.postfix import Postfix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from benchmarks.calibration import Calibration

WITHIN: Final = 0.1
"""How far a campaign may be from the prediction, as a part of that."""

GOOD_ENOUGH: Final = 0.95
"""What the advised setting must reach of the fastest one's rate: advice spends so much on asking less of the server."""

GRID: Final = tuple(all_points((1, 5, 20), (1, 16)))
"""What a bench tries that is not told anything else."""

_ROUND_TRIP: Final = 0.02
# Postfix's anvil begins a new count when more than the unit of time is over, in whole seconds: after two seconds here.
_LIMITED: Final = {
    "smtpd_client_event_limit_exceptions": "",
    "smtpd_client_message_rate_limit": "400",
    "smtpd_client_connection_count_limit": "5",
    "anvil_rate_time_unit": "1s",
}
FAR_BEHIND: Final = 0.8
"""With what reached no more than this of a round's fastest setting, no later round sends: that is not by chance."""

_PART: Final = 0.5
"""How long the campaigns of the other settings are, as a part of that of the advised one."""

_MANY: Final = 1_000_000
"""More test messages than a bench has time for."""

_CAMPAIGNS: Final = 4
_BENCHES: Final = 3
"""How often at most a round sends the advised campaign, and begins, in search of a machine that is equally fast."""

_FEWEST: Final = 100
_COUNTED_WITHIN: Final = 10.0
_POLL: Final = 0.05


@dataclass(frozen=True, slots=True)
class Trial:
    """A round at one server.

    Attributes:
        server: Which one.
        advised: The advised number of connections, and the depth.
        rate: The advised rate, or None.
        predicted: Messages a second.
        within: How sure that was said to be, as a part of it; None where the bench did not say.
        bench_seconds: How long the bench took.
        campaigns: Messages a second of the campaign with each setting, by its words.
        differs: How differently fast the machine was in the bench and in the advised campaign, at the core where it
            was most: 0.1 is a tenth.
    """

    server: str
    advised: tuple[int, int]
    rate: float | None
    predicted: float
    within: float | None
    bench_seconds: float
    campaigns: dict[str, float]
    differs: float

    @property
    def as_advised(self) -> float:
        """Messages a second of the campaign with the advised settings."""
        return self.campaigns[str(GridPoint(*self.advised))]

    @property
    def ratio(self) -> float:
        """The campaign's rate by the prediction."""
        return self.as_advised / self.predicted

    @property
    def is_right(self) -> bool:
        """Whether the prediction was."""
        return abs(self.as_advised - self.predicted) <= WITHIN * self.predicted

    @property
    def of_the_fastest(self) -> float:
        """The advised setting's rate by that of this round's fastest."""
        return self.as_advised / max(self.campaigns.values())


@contextmanager
def _server(round_trip: float = 0.0, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Place]:
    with ExitStack() as stack:
        with or_unavailable():
            postfix = stack.enter_context(Postfix(discard=True, settings=settings))
        counter = LogCounter(postfix)
        port = postfix.plain_port
        if round_trip:
            port = stack.enter_context(far_away(postfix.host, port, round_trip))
        yield Place(postfix.host, port, counter.received, counter.settle)


SERVERS: Final[dict[str, Callable[[], AbstractContextManager[Place]]]] = {
    "near": _server,
    "far": lambda: _server(_ROUND_TRIP),
    "limited": lambda: _server(settings=_LIMITED),
}


class Trials:
    """Rounds at one server.

    Args:
        server: Its name.
        place: Where it is.
        folder: Where campaigns are written.
        seconds: How long a campaign is to take, by what the bench has measured.
        grid: The settings that are tried.
        options: Further options of the bench.
        earlier: The rounds that there were at this server: what was far behind in one of them is left out.
        notice: Called with what was found, a line at a time.
        sample: Looks at each core while its context lasts, and then says how long a piece of work took on average.
    """

    def __init__(
        self,
        server: str,
        place: Place,
        folder: Path,
        *,
        seconds: float,
        grid: Sequence[GridPoint] = GRID,
        options: Sequence[str] = (),
        earlier: Iterable[Trial] = (),
        notice: Callable[[str], None] = print,
        sample: Callable[[], AbstractContextManager[Callable[[], Calibration]]] = sample,
    ) -> None:
        self._server = server
        self._place = place
        self._folder = folder
        self._seconds = seconds
        self._grid = grid
        self._options = options
        self._hopeless = {name for trial in earlier for name in far_behind(trial)}
        self._notice = notice
        self._sample = sample

    def round(self) -> Trial:
        """Bench the server, then send with each setting; again where the machine was not equally fast in both.

        Raises:
            RuntimeError: A program failed, or the server has not received exactly what was sent.
        """
        trial = self._attempt()
        for _ in range(_BENCHES - 1):
            if trial.differs <= TOLERANCE_DURING:
                break
            self._notice(
                f"{self._server}: the machine was {trial.differs:.0%} faster or slower, so the round begins again"
            )
            trial = min(trial, self._attempt(), key=lambda one: one.differs)
        return trial

    def _attempt(self) -> Trial:
        began = time.monotonic()
        with self._sample() as means:
            found = self._bench()
        machine = means()
        took = time.monotonic() - began
        advice = found["advice"]
        advised = GridPoint(advice["max_connections"], advice["depth"])
        measured = {GridPoint(one["connections"], one["depth"]): one for one in found["grid"]}
        bounded = "" if advice["rate"] is None else f', rate = "{advice["rate"]:g}/s"'
        self._notice(f"{self._server}: {advised}{bounded}: {advice['expected']:,.0f}/s predicted in {took:.0f} s")
        sent, differs = self._send_as_advised(advised, advice["rate"], measured[advised]["rate"], machine)
        campaigns = {str(advised): sent}
        for point in self._grid:
            if point != advised and str(point) not in self._hopeless:
                expected = measured[point]["rate"] if point in measured else advice["expected"]
                campaigns[str(point)] = self._send(point, None, expected, self._seconds * _PART)
        low, high = measured[advised]["low"], measured[advised]["high"]
        trial = Trial(
            server=self._server,
            advised=(advised.connections, advised.depth),
            rate=advice["rate"],
            predicted=advice["expected"],
            within=None if low is None else (high - low) / (high + low),
            bench_seconds=round(took, 1),
            campaigns=campaigns,
            differs=round(differs, 3),
        )
        self._hopeless |= far_behind(trial)
        return trial

    def _send_as_advised(
        self, point: GridPoint, rate: float | None, expected: float, machine: Calibration
    ) -> tuple[float, float]:
        """Send the advised campaign; its messages a second, and how differently fast the machine was in the bench."""
        found: list[tuple[float, float]] = []
        while len(found) < _CAMPAIGNS and (not found or found[-1][1] > TOLERANCE_DURING):
            with self._sample() as means:
                sent = self._send(point, rate, expected, self._seconds)
            found.append((sent, difference(machine, means())))
            self._notice(f"         the machine was {found[-1][1]:.0%} faster or slower than in the bench")
        return min(found, key=lambda one: one[1])

    def _bench(self) -> dict[str, Any]:
        job = self._job(_FEWEST)
        before = self._place.received()
        command = [
            *(sys.executable, "-m", "batchsend", "bench", "--campaign", str(job.write_campaign())),
            *("--to", "tester+*@example.com", "--json", "--messages", str(_MANY)),
            *("--max-connections", _listed(point.connections for point in self._grid)),
            *("--depth", _listed(point.depth for point in self._grid)),
        ]
        found: dict[str, Any] = json.loads(execute([*command, *self._options]).output)
        self._require_received(found["messages"], before, "bench")
        for one in found["grid"]:
            sure = "" if one["low"] is None else f" ({one['low']:,.0f} to {one['high']:,.0f})"
            point = GridPoint(one["connections"], one["depth"])
            self._notice(f"  bench: {point!s:<30} {one['rate']:>8,.0f}/s{sure}")
        return found

    def _send(self, point: GridPoint, rate: float | None, expected: float, seconds: float) -> float:
        """Send a campaign; its messages a second."""
        messages = max(_FEWEST, round(expected * seconds, -2))
        job = replace(self._job(int(messages)), connections=point.connections, depth=point.depth, rate=rate)
        before = self._place.received()
        with tempfile.TemporaryDirectory(dir=job.home) as folder:
            words = ["send", str(job.write_campaign()), "--no-progress", "--json", "--results", f"{folder}/log.jsonl"]
            ran = execute([sys.executable, "-m", "batchsend", *words])
        job.recipients.unlink()
        summary = json.loads(ran.output)
        if summary["accepted"] != job.messages:
            raise RuntimeError(f"{point}: {summary['accepted']:,} of {job.messages:,} messages were accepted")
        ended = time.monotonic()
        self._require_received(job.messages, before, str(point))
        found: float = job.messages / summary["elapsed"]
        bounded = "" if rate is None else f" at most {rate:g}/s"
        whole = (
            f"{job.messages:,} in {summary['elapsed']:.1f} s, the command {ran.seconds:.1f} s, "
            f"the server's queue {time.monotonic() - ended:.1f} s more"
        )
        self._notice(f"  send:  {point!s:<30} {found:>8,.0f}/s ({whole}){bounded}")
        return round(found, 1)

    def _job(self, messages: int) -> Job:
        return Job(NOTICE, self._place, NOTICE.write(self._folder, messages), messages, connections=5)

    def _require_received(self, messages: int, before: int, who: str) -> None:
        """Wait until the server has counted what was sent, and has nothing more to do with it."""
        deadline = time.monotonic() + _COUNTED_WITHIN
        while (counted := self._place.received() - before) < messages and time.monotonic() < deadline:
            time.sleep(_POLL)
        if counted != messages:
            raise RuntimeError(f"{who}: the server received {counted:,} messages of {messages:,}")
        self._place.settle()


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(str(number) for number in sorted(set(numbers)))


def difference(one: Calibration, other: Calibration) -> float:
    """How much faster or slower the machine was at one time than at another, at the core where it was most.

    Args:
        one: Of each core, how long a piece of work took at the first time; empty where that is not known.
        other: At the second time.
    """
    return (
        max((max(first / second, second / first) for first, second in zip(one, other, strict=False)), default=1.0) - 1
    )


def verdicts(trials: Sequence[Trial]) -> Iterator[str]:
    """What some rounds at one server have shown, a line for each and one for all.

    Args:
        trials: The rounds, one at least.
    """
    best = 0
    for number, trial in enumerate(trials, 1):
        faster = surely_faster(trial, trials)
        best += not faster
        sure = "" if trial.within is None else f" ±{trial.within:.0%}"
        yield (
            f"{trial.server} {number}: predicted {trial.predicted:,.0f}/s{sure}, sent {trial.as_advised:,.0f}/s, "
            f"{trial.ratio - 1:+.1%} {'right' if trial.is_right else 'WRONG'}; advised {GridPoint(*trial.advised)}, "
            f"{trial.of_the_fastest:.0%} of the fastest, {f'WRONG: {faster}' if faster else 'the best'}; "
            f"the machine {trial.differs:.0%} faster or slower"
        )
    right = sum(trial.is_right for trial in trials)
    yield (
        f"{trials[0].server}: prediction within {WITHIN:.0%} {right} times of {len(trials)}, "
        f"advice the best {best} times of {len(trials)}"
    )


def far_behind(trial: Trial) -> set[str]:
    """The settings of a round that were so much slower than its fastest that chance does not explain it."""
    fastest = max(trial.campaigns.values())
    return {name for name, rate in trial.campaigns.items() if rate <= FAR_BEHIND * fastest}


def surely_faster(trial: Trial, trials: Sequence[Trial]) -> str:
    """The setting that was surely faster than the one advised, in words; empty where there is none.

    Args:
        trial: Whose advice is looked at.
        trials: The rounds at this server.
    """

    def rates(name: str) -> list[float]:
        return [one.campaigns[name] for one in trials if name in one.campaigns]

    advised = str(GridPoint(*trial.advised))
    ours = rates(advised)
    for name in trial.campaigns:
        theirs = rates(name)
        if sum(ours) / len(ours) >= GOOD_ENOUGH * sum(theirs) / len(theirs):
            continue
        first, second = interval_of(ours), interval_of(theirs)
        if first is None or second is None or first.high < second.low:
            return f"{name} was faster"
    return ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prediction", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--server", action="append", choices=SERVERS, help="this one alone; may be given several times")
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="how often each server is tried, with those in --keep (5)"
    )
    parser.add_argument(
        "--seconds", type=float, default=15.0, metavar="S", help="how long the advised campaign is to take, about (15)"
    )
    parser.add_argument("--connections", type=_numbers, default=(1, 5, 20), metavar="N,…", help="as of bench (1,5,20)")
    parser.add_argument("--depths", type=_numbers, default=(1, 16), metavar="N,…", help="as of bench (1,16)")
    parser.add_argument(
        "--time", default="5s", metavar="TIME", help="given to the bench: how long it measures each setting (5s)"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="add each round to FILE as it ends, and go on after those in it"
    )
    return parser.parse_args()


def _kept(file: Path | None) -> Iterable[Trial]:
    if file is not None and file.exists():
        for line in file.read_text().splitlines():
            told = json.loads(line)
            yield Trial(**{"differs": 0.0, **told, "advised": tuple(told["advised"])})


def main() -> int:
    """Run what was asked for; 1 where a prediction or a piece of advice was wrong, or a round was broken off."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):  # the servers are to be ended whatever ends this
        signal.signal(number, signal.default_int_handler)
    trials = list(_kept(options.keep))
    code = 0
    with tempfile.TemporaryDirectory(prefix="batchsend-prediction-") as folder:
        try:
            for server in options.server or SERVERS:
                _try(server, options, Path(folder), trials)
        except (RuntimeError, UnavailableError) as error:
            _say(f"broken off: {error}")
            code = 1
        except KeyboardInterrupt:
            _say("interrupted; the rounds that were over are judged")
            code = 130
    for server in SERVERS:
        if own := [trial for trial in trials if trial.server == server]:
            for line in verdicts(own):
                _say(line)
            if not all(trial.is_right and not surely_faster(trial, own) for trial in own):
                code = code or 1
    return code


def _try(server: str, options: argparse.Namespace, folder: Path, trials: list[Trial]) -> None:
    """Add the rounds that are lacking at a server.

    Raises:
        RuntimeError: One was broken off.
        UnavailableError: The machine has no Postfix, or no namespaces to run it in.
    """
    earlier = [trial for trial in trials if trial.server == server]
    if len(earlier) >= options.rounds:
        return
    began = time.monotonic()
    with SERVERS[server]() as place:
        rounds = Trials(
            server,
            place,
            folder,
            seconds=options.seconds,
            grid=all_points(options.connections, options.depths),
            options=("--time", options.time),
            earlier=earlier,
            notice=_say,
        )
        for _ in range(options.rounds - len(earlier)):
            trials.append(rounds.round())
            if options.keep is not None:
                with options.keep.open("a") as file:
                    file.write(json.dumps(asdict(trials[-1])) + "\n")
    _say(f"{server}: {duration(time.monotonic() - began)}")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
