"""``batchsend listen``: unsubscribes and relays' webhooks by HTTP, bounces by SMTP."""

from __future__ import annotations

import logging
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import click

from batchsend.campaign.model import feedback_path
from batchsend.cli.campaigns import say
from batchsend.cli.signals import receiving
from batchsend.errors import BatchsendError, UsageError
from batchsend.listen.bounces import bounce_host
from batchsend.listen.run import ListenedRun
from batchsend.listen.signatures import SECRETS, HookVerifier, configured
from batchsend.listen.web import MOST_CONNECTIONS, WITHIN, application, fetched
from batchsend.loop import run
from batchsend.web import serving

_LOOK_EVERY: Final = 10.0
_BACKLOG: Final = 512


class _Address(click.ParamType[tuple[str, int]]):
    """``HOST:PORT``; the host of an IPv6 address in brackets."""

    name = "addr:port"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > 65535:
            self.fail(f"{value!r} is not ADDR:PORT, such as 127.0.0.1:8025", param, ctx)
        return host.removeprefix("[").removesuffix("]"), int(port)


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS...")
@click.option(
    "--http",
    type=_Address(),
    metavar="ADDR:PORT",
    help="Take unsubscribes and relays' webhooks by HTTP here, behind a proxy that speaks TLS.",
)
@click.option(
    "--smtp",
    type=_Address(),
    metavar="ADDR:PORT",
    help="Take bounces by SMTP here: only mail to signed return paths of these runs.",
)
def listen(results: tuple[Path, ...], *, http: tuple[str, int] | None, smtp: tuple[str, int] | None) -> None:
    """Take one-click unsubscribes, relays' webhooks and bounces in, until interrupted.

    What comes in goes to the feedback log beside each of the results logs. The runs may be going on.

    A relay's webhooks are taken at /hooks/RELAY where its secret is in the environment: BATCHSEND_HOOK_SENDGRID,
    BATCHSEND_HOOK_SES and so on.
    """
    if http is None and smtp is None:
        raise UsageError("there is nothing to listen on", remedy="say --http ADDR:PORT or --smtp ADDR:PORT, or both")
    runs = [ListenedRun(path) for path in results]
    secrets = configured() if http is not None else {}
    if smtp is not None or not secrets:
        for one in runs:
            one.require_key()
    if secrets:
        for one in runs:
            one.take_reports([], "")  # the log is read before the first webhook comes, not while its relay waits
    run(lambda: _serve(runs, http, smtp, secrets))


async def _serve(
    runs: list[ListenedRun], http: tuple[str, int] | None, smtp: tuple[str, int] | None, secrets: dict[str, str]
) -> None:
    """Serve until a signal comes; one that comes before all is open is heeded, too."""
    with receiving() as signals:
        async with AsyncExitStack() as stack:
            if http is not None:
                app = application(runs, HookVerifier(secrets, fetched), notice=_say, visit=fetched)
                listener = _listening(*http)
                await stack.enter_async_context(serving(app, listener, most=MOST_CONNECTIONS, within=WITHIN))
                _say(f"HTTP: listening on {http[0]} port {listener.getsockname()[1]}; Ctrl-C ends it")
                for relay in secrets:
                    _say(f"webhooks of {relay}: /hooks/{relay}, known by {SECRETS[relay].what}")
            if smtp is not None:
                server = await stack.enter_async_context(bounce_host(runs, *smtp, notice=_say))
                _say(f"SMTP: listening on {', '.join(server.hosts)} port {server.port}; Ctrl-C ends it")
            for one in runs:
                _say(f"what comes in goes to {feedback_path(one.results)}")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_complete, runs)
                await signals.get()
                tasks.cancel_scope.cancel()


async def _complete(runs: list[ListenedRun]) -> None:
    """Look from time to time whose the unsubscribes are that came before the outcome of the message."""
    while True:
        await anyio.sleep(_LOOK_EVERY)
        for one in runs:
            try:
                await anyio.to_thread.run_sync(one.complete)
            except BatchsendError as error:
                _say(error.message)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            remedy="choose an address of this machine and a free port, or port 0 for any free one",
        ) from error


def _say(text: str) -> None:
    logging.getLogger("batchsend.listen").info("%s", text)
    say(text)
