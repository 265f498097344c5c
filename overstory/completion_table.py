"""The options of every command as data, so that a press of the Tab key imports no command.

``make settings`` writes overstory/completion.json; a test holds it equal to the commands.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import click

from overstory.job_names import job_argument

FILE = "completion.json"


def table(commands: click.Group) -> dict[str, list[dict[str, Any]]]:
    """Command -> its parameters, as ``stand_in`` needs them."""
    context = click.Context(commands)
    found = {}
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        found[name] = [_entry(parameter) for parameter in command.params]
    return found


def _entry(parameter: click.Parameter) -> dict[str, Any]:
    entry: dict[str, Any] = {"names": [*parameter.opts, *parameter.secondary_opts]}
    if isinstance(parameter, click.Option):
        entry |= {"help": parameter.help, "flag": parameter.is_flag, "many": parameter.multiple}
    else:
        entry |= {"argument": parameter.nargs}
    if isinstance(parameter.type, click.Choice):
        entry["choices"] = [str(choice) for choice in parameter.type.choices]
    elif isinstance(parameter.type, click.Path):
        entry["path"] = "file" if parameter.type.file_okay else "dir"
    return {key: value for key, value in entry.items() if value not in (None, False)}


def as_text(found: dict[str, list[dict[str, Any]]]) -> str:
    """``found`` as JSON with a line for each parameter, so that a difference shows which."""
    commands = []
    for name, entries in found.items():
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        commands.append(f"{json.dumps(name)}: [\n{lines}\n]")
    return "{\n" + ",\n".join(commands) + "\n}\n"


def stand_in(name: str, takes_job: bool) -> click.Command:
    """A command that the shell's completion sees in place of ``name``: the same parameters, and
    nothing to run."""
    entries = json.loads((resources.files(__package__) / FILE).read_text("utf-8"))[name]
    command = click.Command(name, params=[_parameter(entry) for entry in entries])
    if takes_job:
        rest = [one for one in command.params if one.name != "job"]
        command.params = []
        job_argument(command)  # the first argument, which completes ids
        command.params += rest
    return command


def _parameter(entry: dict[str, Any]) -> click.Parameter:
    kind: click.ParamType[Any] = click.STRING
    if "choices" in entry:
        kind = click.Choice(entry["choices"])
    elif "path" in entry:
        kind = click.Path(file_okay=entry["path"] == "file")
    if "argument" in entry:
        return click.Argument(entry["names"], nargs=entry["argument"], type=kind)
    names, flag = entry["names"], entry.get("flag", False)
    if flag:
        return click.Option(names, is_flag=True, help=entry.get("help"))
    return click.Option(names, type=kind, multiple=entry.get("many", False), help=entry.get("help"))


if __name__ == "__main__":
    from overstory.cli import cli

    (Path(__file__).parent / FILE).write_text(as_text(table(cli)), "utf-8")
