"""The embedded sink as a process: ``python -m batchsend.bench.serve [none|starttls|implicit]``.

It says in a line of JSON where it listens, answers each line of standard input with its counts, and ends with standard
input, so that it never outlives the process that has started it.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, cast, get_args

import anyio
import anyio.to_thread

from batchsend.loop import run
from batchsend.sink import Sink, SinkOptions, Tls

if TYPE_CHECKING:
    from collections.abc import Mapping


async def _serve(tls: Tls) -> None:
    async with Sink(SinkOptions(tls=tls)) as sink:
        _say({"host": sink.hosts[0], "port": sink.port, "ca": sink.ca_pem.decode("ascii")})
        # Standard input is read on a thread, for reading it blocks and the loop has sessions to serve.
        while await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            _say(asdict(sink.counts))


def _say(told: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    kind = sys.argv[1] if len(sys.argv) > 1 else "none"
    if kind not in get_args(Tls):
        sys.exit(f"usage: python -m batchsend.bench.serve [{'|'.join(get_args(Tls))}]")
    tls = cast("Tls", kind)
    try:
        run(lambda: _serve(tls))
    except BrokenPipeError:
        os._exit(0)  # whoever measures has gone; closing what could not be written would complain


if __name__ == "__main__":
    main()
