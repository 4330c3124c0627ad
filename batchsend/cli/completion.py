"""``batchsend completion``: prints the script that makes bash, zsh or fish complete commands, options and files."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

_PROGRAM = "batchsend"
_SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


_HELP = """Print the completion script for SHELL.

\b
bash:  batchsend completion bash > ~/.local/share/bash-completion/completions/batchsend
zsh:   batchsend completion zsh > DIRECTORY/_batchsend    (a DIRECTORY of $fpath)
fish:  batchsend completion fish > ~/.config/fish/completions/batchsend.fish
"""


@click.command(help=_HELP)
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a completion script, made by click."""
    script = _SHELLS[shell](context.find_root().command, {}, _PROGRAM, f"_{_PROGRAM.upper()}_COMPLETE")
    # Not source(), which runs the shell to see how old it is.
    click.echo(script.source_template % script.source_vars(), nl=False)
