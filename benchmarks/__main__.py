"""Runs the scenarios: ``python -m benchmarks``, from the checkout, as root, for the servers run in namespaces.

What `bash benchmarks/setup` installs takes part; the rest is named and left out. The figures go to ``results.json``
after each run, or with ``--loaded`` to ``loaded.json``; the picture and the documents' tables follow from them in the
end.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from batchsend.figures import duration
from benchmarks.calibration import calibrate, sample
from benchmarks.documents import LOADED, PERFORMANCE, README, RESULTS, fill
from benchmarks.figures import Figures, Outcome
from benchmarks.loading import one_core_loaded
from benchmarks.machine import machine, versions
from benchmarks.picture import draw
from benchmarks.race import Race
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.settings import UnavailableError
from benchmarks.table import outcome_lines, target_lines
from benchmarks.targets import account


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"this scenario alone: {', '.join(names)}"
    )
    parser.add_argument("--messages", type=int, metavar="N", help="of a run, for the fastest; slower ones get fewer")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each contestant runs (5, or as listed)")
    parser.add_argument(
        "--loaded", action="store_true", help="keep one core busy with something else meanwhile: the figures go apart"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help=f"where the figures go, with the picture beside it ({RESULTS.name})"
    )
    parser.add_argument(
        "--render", action="store_true", help="run nothing: picture and documents from the figures there"
    )
    options = parser.parse_args()
    options.output = options.output or (LOADED if options.loaded else RESULTS)
    return options


def _chosen(only: list[str] | None) -> list[Scenario]:
    return [scenario for scenario in SCENARIOS if only is None or scenario.name in only]


def _measure(figures: Figures, options: argparse.Namespace, folder: Path, busy: int | None) -> bool:
    """Run the scenarios; false where one could not be run to its end. A busy core is not looked at."""
    good = True
    cores = os.sched_getaffinity(0) - {busy}
    for scenario in _chosen(options.only):

        def keep(outcome: Outcome) -> None:
            figures.outcomes[outcome.name] = outcome
            figures.save(options.output, account(figures))

        race = Race(
            scenario,
            folder,
            messages=options.messages,
            rounds=options.rounds,
            notice=_say,
            keep=keep,
            calibrate=partial(calibrate, cores),
            sample=partial(sample, cores),
        )
        began = time.monotonic()
        try:
            race.run()
        except UnavailableError as missing:
            _say(f"{scenario.name} is left out: {missing}")
            continue
        except RuntimeError as error:
            _say(f"{scenario.name} was broken off: {error}")
            good = False
        took = f"  {duration(time.monotonic() - began)} for all of it"
        for line in ("", *outcome_lines(race.outcome), took, ""):
            _say(line)
    return good


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    """Run what was asked for; returns the exit code."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):  # the servers are to be ended whatever ends this
        signal.signal(number, signal.default_int_handler)
    figures = Figures.load(options.output)
    code = 0
    if not options.render:
        figures.measured = time.strftime("%Y-%m-%d", time.gmtime())
        figures.machine, figures.versions = machine(), versions()
        with tempfile.TemporaryDirectory(prefix="batchsend-bench-") as folder:
            try:
                with one_core_loaded() if options.loaded else nullcontext() as busy:
                    code = 0 if _measure(figures, options, Path(folder), busy) else 1
            except KeyboardInterrupt:
                _say("interrupted; what was measured is kept")
                code = 130
    if figures.outcomes:
        figures.save(options.output, account(figures))
        if options.output != LOADED:
            options.output.with_suffix(".svg").write_text(draw(figures))
        if options.output.resolve() in (RESULTS, LOADED):
            quiet, loaded = Figures.load(RESULTS), Figures.load(LOADED)
            for document in (README, PERFORMANCE):
                document.write_text(fill(document.read_text(), quiet, loaded))
        for line in target_lines(figures):
            _say(line)
    return code


if __name__ == "__main__":
    sys.exit(main())
