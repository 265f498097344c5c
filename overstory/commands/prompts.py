"""``overstory prompts``: the texts a model is sent, to read or to edit."""

from __future__ import annotations

from pathlib import Path

import click

from core import prompts as texts
from core.errors import WrongUsage

prompts_option = click.option(
    "--prompts",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with texts to send in the place of ours ('overstory prompts' has them).",
)


@click.command()
@click.argument("name", required=False, type=click.Choice(texts.TEXTS))
@click.option("--out", type=click.Path(path_type=Path), help="Write them there, a file each.")
def prompts(name: str | None, out: Path | None) -> None:
    """Print the texts a model is sent, or write them to a folder for --prompts.

    A folder for --prompts may hold any of them; those it lacks stay as they are.
    """
    chosen = [name] if name else list(texts.TEXTS)
    if out is not None:
        _write(out, chosen)
        click.echo(f"wrote {len(chosen)} texts to {out}: edit them, then run with --prompts {out}")
    elif name:
        click.echo(texts.text(name))
    else:
        click.echo("\n\n".join(f"--- {each}.txt ---\n{texts.text(each)}" for each in chosen))


def _write(out: Path, names: list[str]) -> None:
    there = [f"{name}.txt" for name in names if (out / f"{name}.txt").exists()]
    if there:
        raise WrongUsage(f"{out} has {', '.join(there)} already: choose another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in names:
            (out / f"{name}.txt").write_text(texts.text(name) + "\n", "utf-8")
    except OSError as error:
        raise WrongUsage(f"{out} cannot be written: {error.strerror}") from None


def read_folder(folder: Path) -> dict[str, str]:
    """The texts in ``folder`` by their names. Raises WrongUsage when there are none, or one cannot
    be read; what is in them is checked with the job."""
    try:
        found = {file.stem: file.read_text("utf-8") for file in sorted(folder.glob("*.txt"))}
    except OSError as error:
        raise WrongUsage(f"--prompts: {error.filename}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise WrongUsage(f"--prompts: a file in {folder} is no UTF-8 text: {error}") from None
    if not found:
        raise WrongUsage(f"--prompts: no .txt file in {folder}; 'overstory prompts --out' writes")
    return found
