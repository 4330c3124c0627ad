"""``batchsend check``: what is wrong with a campaign, before anything of it is sent."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from batchsend.campaign import Campaign, Overrides, load
from batchsend.check import Inspection, Report
from batchsend.cli.campaigns import campaign_argument, recipients_option, tell_json, trace_option, tracing
from batchsend.cli.findings import Watch, print_report
from batchsend.errors import UsageError
from batchsend.loop import run

if TYPE_CHECKING:
    from pathlib import Path

_DNS_PORT = 53


@click.command()
@campaign_argument
@recipients_option
@click.option(
    "--server", metavar="URL", help="Check smtp://HOST:PORT or smtps://HOST:PORT instead of the campaign's server."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Check the first N records only.")
@click.option("--offline", is_flag=True, help="Ask neither the server nor the DNS.")
@click.option(
    "--dkim-selector", metavar="NAME", help="The DKIM selector that the relay signs with; its key is checked."
)
@click.option("--resolver", metavar="IP[:PORT]", help="Ask this resolver instead of the system's.")
@trace_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def check(
    campaign: Path,
    *,
    recipients: str | None,
    server: str | None,
    limit: int | None,
    offline: bool,
    dkim_selector: str | None,
    resolver: str | None,
    trace: Path | None,
    as_json: bool,
) -> int:
    """Check CAMPAIGN before it is sent: list, messages, server and DNS. Nothing is sent.

    Renders every record and looks at addresses and messages; opens a session to the server and looks at its certificate
    and whether it takes the credentials; and looks up SPF, DKIM, DMARC and MX of the sender. Exit code: 0 nothing is
    wrong, 1 there are warnings or bad records, 2 there are errors and the campaign cannot be sent as it is.
    """
    overrides = Overrides(recipients=recipients, server=server)

    def authenticated() -> Campaign:
        return load(campaign, overrides=overrides)

    with tracing(trace) as traced:
        with Watch() as watch:
            inspection = Inspection(
                campaign=load(campaign, overrides=overrides, resolve_credentials=False),
                authenticate=authenticated,
                limit=limit,
                offline=offline,
                selector=dkim_selector,
                resolver=None if resolver is None else _address(resolver),
                tick=watch.tick,
                trace=traced,
            )
            sections, seen, counted = inspection.look_at_records()
        report = Report(str(campaign), sections)
        report.sections += run(lambda: inspection.look_around(seen, counted))
    if as_json:
        tell_json(report.to_json())
    else:
        print_report(report)
    return report.exit_code


def _address(text: str) -> tuple[str, int]:
    """The address and port of a resolver.

    Raises:
        UsageError: It is none.
    """
    is_v6_alone = text.count(":") > 1 and "[" not in text
    try:
        parts = urlsplit(f"//[{text}]" if is_v6_alone else f"//{text}")
        address = str(ip_address(parts.hostname or ""))
        port = _DNS_PORT if parts.port is None else parts.port
        if port == 0 or "@" in text or "/" in text:
            raise ValueError(text)
    except ValueError:
        raise UsageError(
            f"--resolver {text!r}", remedy="expected an IP address, such as 192.0.2.53 or [2001:db8::53]:5353"
        ) from None
    return address, port
