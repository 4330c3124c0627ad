"""What a bench has found, written as a table of lines for people and as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from batchsend import figures
from batchsend.bench.load import LATENCIES
from batchsend.bench.measurement import PERCENTILES, Measurement
from batchsend.smtp.extensions import KEYWORDS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from batchsend.bench.advice import Advice
    from batchsend.bench.load import Load, Slice
    from batchsend.bench.probe import Probe
    from batchsend.bench.runner import Bench
    from batchsend.campaign import Server
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
    yield f"connections  depth  messages/s   sure{columns}  replies"


def row(measurement: Measurement) -> str:
    """A point's line of the table."""
    point = measurement.point
    latencies = "".join(f"{_milliseconds(measurement.percentile(percent)):>11}" for percent in PERCENTILES)
    told = _replies(measurement.replies)
    sure = measurement.interval
    within = f"±{sure.within:.0%}" if sure else "?"
    return (
        f"{point.connections:>11}  {point.depth:>5}  {per_second(measurement.rate):>10}  {within:>5}{latencies}  {told}"
    )


def per_second(rate: float) -> str:
    """Messages a second, to three digits where there are few of them."""
    return f"{rate:,.0f}" if rate >= 99.95 else f"{rate:.3g}"


def load_head(load: Load) -> Iterator[str]:
    """The head of the table of a bench that goes on for some time."""
    due = f"{per_second(load.rate)} messages due a second" if load.rate else "as fast as they are taken"
    yield f"{load.point}, {due}, for {figures.duration(load.seconds)}"
    yield ""
    columns = "".join(f"{f'p{percent:g}':>11}" for percent in LATENCIES)
    yield f"       from  messages/s{columns}      behind     memory"


def load_row(one: Slice) -> str:
    """A part of the time as a line of the table."""
    latencies = "".join(f"{_milliseconds(latency or None):>11}" for latency in one.percentiles.values())
    memory = f"{one.memory / 1_000_000:,.0f} MB" if one.memory else "-"
    start = figures.duration(one.start, whole=True)
    return f"{start:>11}  {per_second(one.rate):>10}{latencies}  {one.behind:>10,}  {memory:>9}"


def load_sentences(load: Load) -> Iterator[str]:
    """What a bench that went on for some time has found."""
    whole = ", ".join(f"p{percent:g} {_milliseconds(load.percentile(percent))}" for percent in LATENCIES)
    since = "since they were due" if load.rate else "since hand-over"
    total = load.outcomes.total()
    limits = [f"the server told of {limit}" for limit in load.limits.values()]
    if not total:
        yield from ("no message was answered", *limits)
        return
    yield f"all in all: {load.accepted:,} of {total:,} accepted; time to the reply, {since}: {whole}"
    if load.accepted < total:
        refused = f"; the first one that was not accepted: {load.refused}" if load.refused is not None else ""
        yield f"replies: {_replies(load.replies)}{refused}"
    if not load.kept_up:
        yield (
            f"{per_second(load.rate or 0.0)} messages a second were more than it took with {load.point}: "
            f"{load.waiting:,} of {load.due:,} were not sent, and count with the time that they had waited"
        )
    if load.silent_since is not None:
        yield f"nothing was accepted any more after {figures.duration(load.silent_since)}"
    yield from limits
    drift = load.drift()
    if drift is None:
        yield "it was too short to tell whether latency or memory drift"
        return
    changes = [f"{name} {_change(drift[key])}" for name, key in (("latency (median)", "latency"), ("rate", "rate"))]
    if drift["grown"] is not None and drift["seconds"] is not None:
        changes.append(f"memory {drift['grown'] / 1_000_000:+,.1f} MB in {figures.duration(drift['seconds'])}")
    yield f"from the first quarter to the last: {', '.join(changes)}"


def _change(ratio: float | None) -> str:
    return "not known" if ratio is None else f"{ratio - 1:+.0%}"


def to_json(bench: Bench, advice: Advice | None, octets: int) -> dict[str, Any]:
    """Everything as one JSON object; times in seconds."""
    probe = bench.probe
    return {
        "kind": "ladder",
        "server": probe.where if probe else None,
        "round_trip": probe.round_trip if probe else None,
        "opening": probe.opening if probe else None,
        "extensions": asdict(probe.extensions) if probe else None,
        "messages": sum(one.messages for one in bench.measurements),
        "octets": octets,
        "grid": [one.to_json() for one in bench.measurements],
        "stopped": bench.stopped,
        "limited": bench.limited,
        "advice": advice.to_json() if advice else None,
    }


def load_to_json(load: Load, server: Server, octets: int) -> dict[str, Any]:
    """Everything that a bench for some time has found, as one JSON object."""
    where = f"{server.host}:{server.port}"
    return {"kind": "load", "server": where, "octets": octets, **load.to_json(), "sentences": [*load_sentences(load)]}


def _replies(counted: Counter[str]) -> str:
    """What was said, and how often: the most frequent ones."""
    replies = [(said, count) for said, count in counted.most_common() if count > 0]
    told = ", ".join(f"{said[:_SAID_SHOWN]}: {count:,}" for said, count in replies[:_REPLIES_SHOWN])
    more = f", … {len(replies) - _REPLIES_SHOWN} other kinds" if len(replies) > _REPLIES_SHOWN else ""
    return f"{told}{more}"


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
