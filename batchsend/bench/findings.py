"""What a bench has found, written as a table of lines for people and as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from batchsend import figures
from batchsend.bench.measurement import PERCENTILES, Measurement
from batchsend.smtp.extensions import KEYWORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.bench.advice import Advice
    from batchsend.bench.probe import Probe
    from batchsend.bench.runner import Bench
    from batchsend.smtp.extensions import Extensions

_REPLIES_SHOWN = 3
_SAID_SHOWN = 60


def beginning(probe: Probe, octets: int) -> Iterator[str]:
    """What is known before the first point, and the head of the table."""
    yield (
        f"{probe.where}: a round trip of {_milliseconds(probe.round_trip)}; "
        f"opening a session, which is what a rotation costs, takes {_milliseconds(probe.opening)}"
    )
    yield f"it offers {' '.join(_offered(probe.extensions)) or 'no extension that matters here'}"
    yield f"messages of {octets:,} octets"
    yield ""
    columns = "".join(f"{f'p{percent}':>11}" for percent in PERCENTILES)
    yield f"connections  depth  messages/s{columns}  replies"


def row(measurement: Measurement) -> str:
    """A point's line of the table."""
    point = measurement.point
    latencies = "".join(f"{_milliseconds(measurement.percentile(percent)):>11}" for percent in PERCENTILES)
    replies = [(said, count) for said, count in measurement.replies.most_common() if count > 0]
    told = ", ".join(f"{said[:_SAID_SHOWN]}: {count:,}" for said, count in replies[:_REPLIES_SHOWN])
    more = f", … {len(replies) - _REPLIES_SHOWN} other kinds" if len(replies) > _REPLIES_SHOWN else ""
    cut = f" ({measurement.cut_short})" if measurement.cut_short else ""
    return f"{point.connections:>11}  {point.depth:>5}  {measurement.rate:>10,.0f}{latencies}  {told}{more}{cut}"


def to_json(bench: Bench, advice: Advice | None, octets: int) -> dict[str, Any]:
    """Everything as one JSON object; times in seconds."""
    probe = bench.probe
    return {
        "server": probe.where if probe else None,
        "round_trip": probe.round_trip if probe else None,
        "opening": probe.opening if probe else None,
        "extensions": asdict(probe.extensions) if probe else None,
        "messages": sum(one.messages for one in bench.measurements),
        "octets": octets,
        "grid": [one.to_json() for one in bench.measurements],
        "stopped": bench.stopped,
        "advice": advice.to_json() if advice else None,
    }


def _offered(extensions: Extensions) -> Iterator[str]:
    for name, keyword in KEYWORDS.items():
        if getattr(extensions, name):
            yield keyword
    if extensions.size is not None:
        yield f"SIZE {extensions.size}" if extensions.size else "SIZE"
    if extensions.auth:
        # The server's own words, and from a reply that is not checked further: only what can be printed is.
        yield "AUTH " + " ".join(word for word in extensions.auth if word.isprintable())
    if extensions.mail_max is not None:
        yield f"LIMITS MAILMAX={extensions.mail_max}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else figures.milliseconds(seconds)
