"""Lays the live view out: a sample of a run as coloured lines for a terminal of a given size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from batchsend import figures
from batchsend.delivery.statistics import SessionState
from batchsend.display import OUTCOME_COLOURS
from batchsend.monitor import words
from batchsend.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batchsend.delivery.statistics import PoolStatistics, SessionStatistics
    from batchsend.monitor.pace import Speed
    from batchsend.monitor.sample import Sample

_STATE_COLOURS: Final = {
    SessionState.SENDING: "green",
    SessionState.OPEN: "cyan",
    SessionState.SPARE: "blue",
    SessionState.RETIRING: "yellow",
}
_FAINT: Final = "dim"

_KEYS: Final = {
    False: "p pause · + - faster, slower · q stop",
    True: "p to go on · + - faster, slower · q stop",
}
_COUNT_CELL: Final = 23
_SESSION_CELL: Final = 25
_SESSION_ROWS: Final = 4
_LONGEST_BAR: Final = 100


def view(sample: Sample, speed: Speed, *, width: int, height: int, has_keys: bool = False) -> list[Text]:
    """The lines of the view, each at most ``width`` columns wide and all together at most ``height`` rows high.

    Args:
        sample: Where the run stands.
        speed: How fast it goes.
        width: Columns that there are.
        height: Rows that there are; what matters least is left out first.
        has_keys: Keys change the run; which ones do is said.
    """
    lines = [_bar(sample, speed, width), _speed(sample, speed), *_counts(sample, width)]
    if sample.stopped is not None:
        lines.append(Text(f"{sample.stopped}: nothing new is sent, replies are awaited", style="bold yellow"))
    pool = sample.pool
    if (wait := words.waiting(sample)) is not None:
        lines.append(Text(wait, style="yellow"))
    elif pool is not None and (why := words.pressure(pool)) is not None:
        lines.append(Text(why, style="yellow" if pool.slowdown is not None else _FAINT))
    if (done := words.done(sample)) is not None:
        lines.append(Text(done))
    lines.append(Text(words.sessions(sample)))
    if has_keys and sample.stopped is None:
        lines.append(Text(_KEYS[sample.is_paused], style=_FAINT))
    if pool is not None:
        lines += [Text(said, style=_FAINT) for said in words.relays(pool)]
        rows = min(_SESSION_ROWS, height - len(lines))
        lines += _sessions(pool, max(1, width // _SESSION_CELL), rows)
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def _bar(sample: Sample, speed: Speed, width: int) -> Text:
    if sample.progress is None:
        return Text("it is not known how many records there are", style=_FAINT)
    left = words.time_left(speed) if sample.done is None else None
    said = f" {words.percentage(sample.progress):>5}{f' · {left}' if left else ''}"
    # What is said gets longer and shorter; the bar is not to move with it.
    room = min(_LONGEST_BAR, max(10, width - len(" 100 % · 59 min 59 s left")))
    done = int(room * sample.progress)
    return Text.assemble(("━" * done, "green"), ("━" * (room - done), "bright_black"), said)


def _speed(sample: Sample, speed: Speed) -> Text:
    return Text.assemble(
        (f"{sample.records:,}", "bold"),
        " records · ",
        (f"{speed.now:,.0f}/s", "bold"),
        f" now · {speed.overall:,.0f}/s overall · {figures.duration(speed.elapsed, whole=True)}",
    )


def _counts(sample: Sample, width: int) -> Iterator[Text]:
    cells = [_count(outcome.label, sample.counts[outcome], OUTCOME_COLOURS[outcome]) for outcome in Outcome]
    # Two rows of three rather than four and two.
    yield from _rows(cells, 6 if width >= 6 * _COUNT_CELL else max(1, min(3, width // _COUNT_CELL)))
    if sample.waiting:
        yield Text.assemble((f"{sample.waiting:,}", "yellow"), " deferred wait for another attempt")


def _count(name: str, count: int, colour: str) -> Text:
    cell = Text.assemble((f"{name:<10}", "" if count else _FAINT), (f"{count:>10,}", colour if count else _FAINT))
    cell.pad_right(_COUNT_CELL - cell.cell_len)
    return cell


def _sessions(pool: PoolStatistics, columns: int, rows: int) -> Iterator[Text]:
    if rows <= 0:
        return
    shown: Sequence[SessionStatistics] = pool.sessions
    room = rows * columns
    if len(shown) > room:
        shown = shown[: room - columns]  # the last row says how many there are beside
    yield from _rows([_session(session) for session in shown], columns)
    if len(shown) < len(pool.sessions):
        yield Text(f"  … and {len(pool.sessions) - len(shown):,} more", style=_FAINT)


def _session(session: SessionStatistics) -> Text:
    cell = Text.assemble(
        (f"  #{session.number:<4}", _FAINT),
        (f"{session.state.value:<9}", _STATE_COLOURS[session.state]),
        f"{session.messages}/{session.max_messages}",
    )
    cell.pad_right(max(1, _SESSION_CELL - cell.cell_len))
    return cell


def _rows(cells: Sequence[Text], columns: int) -> Iterator[Text]:
    for start in range(0, len(cells), columns):
        row = Text().join(cells[start : start + columns])
        row.rstrip()
        yield row
