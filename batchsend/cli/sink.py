"""The command ``batchsend sink``: an SMTP server that takes everything and delivers nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchsend import figures
from batchsend.cli.campaigns import say, tell_json, trace_option, tracing
from batchsend.cli.signals import receiving
from batchsend.errors import not_writable
from batchsend.loop import run
from batchsend.sink import Counts, Rule, Sink, SinkOptions, parse_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.sink.options import Tls
    from batchsend.trace import Trace


_DEFAULTS = SinkOptions()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen on this address.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=2525,
    show_default=True,
    help="Listen on this port; 0 for any free one.",
)
@click.option(
    "--tls",
    type=click.Choice(["none", "starttls", "implicit"]),
    default="none",
    show_default=True,
    help="Offer TLS, with a certificate made at start.",
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the certificate that clients must trust to FILE.",
)
@click.option("--require-auth", is_flag=True, help="Refuse MAIL before AUTH; any credentials are accepted.")
@click.option("--reject", multiple=True, metavar="PATTERN", help="Refuse these recipients for good: *@bounce.example.")
@click.option("--defer", multiple=True, metavar="PATTERN", help="Refuse these recipients for now.")
@click.option("--drop", multiple=True, metavar="PATTERN", help="Drop the connection at these recipients.")
@click.option("--delay", multiple=True, metavar="PATTERN=TIME", help="Answer late: *@slow.example=2s.")
@click.option(
    "--max-messages", type=click.IntRange(min=1), metavar="N", help="Take N messages in one session, then answer 421."
)
@click.option(
    "--max-size",
    type=click.IntRange(min=0),
    default=_DEFAULTS.max_size,
    metavar="OCTETS",
    help="Refuse larger messages; 0 for no limit.",
)
@click.option("--pipelining/--no-pipelining", default=True, help="Offer PIPELINING.")
@click.option("--chunking/--no-chunking", default=True, help="Offer CHUNKING.")
@click.option("--maildir", type=click.Path(path_type=Path), metavar="DIR", help="Store the messages in DIR.")
@trace_option
@click.option("--json", "as_json", is_flag=True, help="Print the counts at the end as one JSON object.")
def sink(
    *,
    host: str,
    port: int,
    tls: Tls,
    ca_file: Path | None,
    require_auth: bool,
    reject: tuple[str, ...],
    defer: tuple[str, ...],
    drop: tuple[str, ...],
    delay: tuple[str, ...],
    max_messages: int | None,
    max_size: int,
    pipelining: bool,
    chunking: bool,
    maildir: Path | None,
    trace: Path | None,
    as_json: bool,
) -> None:
    """Run a test SMTP server that takes messages and delivers none, until interrupted.

    What was received is counted and printed at the end. A pattern can have a reply of its own:
    --reject '*@full.example=552 5.2.2 Mailbox full'.
    """
    patterns = {"reject": reject, "defer": defer, "drop": drop, "delay": delay}
    options = SinkOptions(
        host=host,
        port=port,
        tls=tls,
        require_auth=require_auth,
        rules=tuple(_rules(patterns)),
        max_messages=max_messages,
        pipelining=pipelining,
        chunking=chunking,
        maildir=maildir,
        max_size=max_size,
    )
    with tracing(trace, side="server") as traced:
        counts = asdict(run(lambda: _serve(options, ca_file, traced)))
    if as_json:
        tell_json(counts)
    else:
        say(", ".join(_said(name, count) for name, count in counts.items() if count or name == "messages"))


def _said(name: str, count: int) -> str:
    """A count with its name, which is that of things (messages) or says what became of them (rejected)."""
    return figures.count(count, name.removesuffix("s"), name)


def _rules(patterns: dict[str, tuple[str, ...]]) -> Iterator[Rule]:
    for action, texts in patterns.items():
        for text in texts:
            yield parse_rule(action, text)


async def _serve(options: SinkOptions, ca_file: Path | None, trace: Trace | None) -> Counts:
    """Serve until a signal comes; return what was received."""
    async with Sink(options, trace=trace) as server:
        if ca_file is not None:
            try:
                server.write_ca(ca_file)
            except OSError as error:
                raise not_writable(ca_file, error) from None
        with receiving() as signals:
            say(f"listening on {', '.join(server.hosts)} port {server.port}; Ctrl-C ends it")
            await signals.get()
    return server.counts
