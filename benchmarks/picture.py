"""The figures as a picture: bars, in SVG, light or dark as the reader's screen is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from benchmarks import scenarios as names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figures, Outcome

_WIDTH = 760
_LABELS = 270
_VALUES = 90
_BAR = 16
_ROW = 24
_HEADING = 56
_GAP = 12

_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.heading { font-size: 15px; font-weight: 600; }
.value { font-variant-numeric: tabular-nums; }
.note { fill: #59636e; }
.bar { fill: #8c959f; }
.ours { fill: #1a7f37; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  .bar { fill: #6e7681; }
  .ours { fill: #3fb950; }
}"""

# What each panel shows, by scenario: everything, or the contestants named.
_PANELS: dict[str, tuple[str, frozenset[str] | None]] = {
    "loopback": ("no distance", None),
    "distance-50": ("50 ms away", frozenset({names.JOB, names.DEEP, names.NODEMAILER})),
}


def draw(figures: Figures) -> str:
    """The picture of what was measured, as an SVG document; panels of what was not are left out."""
    parts: list[str] = []
    top = 0
    for scenario, (caption, shown) in _PANELS.items():
        outcome = figures.outcomes.get(scenario)
        if outcome is None:
            continue
        bars = sorted(_bars(outcome, shown), key=lambda bar: -bar[1])
        if bars:
            parts += _panel(f"Messages a second, {caption}", _note(outcome), bars, top)
            top += _HEADING + len(bars) * _ROW + _GAP
    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = "<title>Messages a second, by contestant</title>"
    return "\n".join([head, title, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


def _bars(outcome: Outcome, shown: frozenset[str] | None) -> Iterator[tuple[str, float]]:
    for timing in outcome.timings:
        if timing.taken and timing.messages and (shown is None or timing.name in shown):
            yield timing.name, timing.rate


def _note(outcome: Outcome) -> str:
    rounds = max((len(timing.taken) for timing in outcome.timings), default=0)
    return f"{outcome.title}; {names.plural(outcome.connections)}; medians of {rounds} rounds"


def _panel(heading: str, note: str, bars: list[tuple[str, float]], top: int) -> Iterator[str]:
    yield f'<text class="heading" x="0" y="{top + 16}">{escape(heading)}</text>'
    yield f'<text class="note" x="0" y="{top + 36}">{escape(note)}</text>'
    most = max(rate for _, rate in bars)
    for place, (name, rate) in enumerate(bars):
        y = top + _HEADING + place * _ROW
        length = max(1.0, rate / most * (_WIDTH - _LABELS - _VALUES))
        kind = "bar ours" if name.startswith(names.JOB) else "bar"
        yield f'<text x="{_LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect class="{kind}" x="{_LABELS}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
        yield f'<text class="value" x="{_LABELS + length + 6:.1f}" y="{y + 13}">{rate:,.0f}</text>'
