"""``batchsend presets``: the relays that a campaign can name instead of host and port."""

from __future__ import annotations

import click

from batchsend.campaign.presets import PRESETS, Preset
from batchsend.cli.campaigns import tell_json


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the presets as one JSON object.")
def presets(name: str | None, *, as_json: bool) -> None:
    """List the relays that a campaign can use by name: [server] preset = "NAME".

    With a NAME, or the beginning of one, only those.
    """
    chosen = {known: preset for known, preset in PRESETS.items() if name is None or known.startswith(name.lower())}
    if as_json:
        tell_json(chosen)
        return
    if not chosen:
        from batchsend.campaign.nearest import suggestion  # noqa: PLC0415 - only for a name there is not

        hint = suggestion(name or "", PRESETS, otherwise="batchsend presets lists them all")
        raise click.UsageError(f"no such preset: {name}; {hint}", click.get_current_context())
    for known, preset in chosen.items():
        click.echo(f"{known:<26}{preset.host}")
        click.echo(f"{'':<26}{'; '.join(_facts(preset))}")


def _facts(preset: Preset) -> list[str]:
    ports = [str(preset.port), *([str(preset.other_port)] if preset.other_port is not None else [])]
    facts = [f"port {' or '.join(ports)}", preset.credentials]
    if preset.username is not None:
        facts.append(f"the username is {preset.username}")
    if preset.rate is not None:
        facts.append(f"at most {preset.rate}")
    if preset.note:
        facts.append(preset.note)
    return facts
