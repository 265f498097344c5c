"""``overstory completion SHELL``: a shell script that completes commands, options and job ids."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = {
    "bash": 'bash, in ~/.bashrc:               eval "$(overstory completion bash)"',
    "zsh": 'zsh, in ~/.zshrc after compinit:  eval "$(overstory completion zsh)"',
    "fish": "fish, once:  overstory completion fish > ~/.config/fish/completions/overstory.fish",
}
PROGRAM = "overstory"


@click.command(epilog="\n".join(["\b", *SHELLS.values()]))
@click.argument("shell", type=click.Choice([*SHELLS]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three shells"
    command = context.find_root().command
    click.echo(kind(command, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())
