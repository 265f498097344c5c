"""``overstory prompts``: print the prompt texts, or write them to files for editing."""

from __future__ import annotations

from pathlib import Path

import click

from clients.private_files import for_the_person, persons_rights
from core import prompts as texts
from core.errors import WrongUsage
from overstory.output.plural import pluralize


@click.command()
@click.argument("name", required=False, type=click.Choice(texts.TEXTS), metavar="[NAME]")
@click.option("--out", type=click.Path(path_type=Path), help="Write one file each to this folder.")
def prompts(name: str | None, out: Path | None) -> None:
    """Print the prompt texts, or write them to files for editing.

    Without NAME, all texts. A folder for 'overstory run --prompts' may hold some of the texts; the
    others are used unchanged.
    """
    chosen = [name] if name else list(texts.TEXTS)
    if out is not None:
        _write(out, chosen)
        count = pluralize(len(chosen), "text")
        click.echo(f"wrote {count} to {out}: edit, then run with --prompts {out}")
    elif name:
        click.echo(texts.text(name))
    else:
        click.echo("\n\n".join(f"--- {name}.txt ---\n{texts.text(name)}" for name in chosen))


def _write(out: Path, names: list[str]) -> None:
    existing = [f"{name}.txt" for name in names if (out / f"{name}.txt").exists()]
    if existing:
        raise WrongUsage(f"{out} already has {', '.join(existing)}: choose another folder")
    try:
        with persons_rights():
            out.mkdir(parents=True, exist_ok=True)
        for name in names:
            with for_the_person(out / f"{name}.txt") as file:
                file.write(f"{texts.text(name)}\n".encode())
    except OSError as error:
        raise WrongUsage(f"{out} cannot be written: {error.strerror}") from None


def read_folder(folder: Path) -> dict[str, str]:
    """The texts in ``folder`` by name, not checked. Raises WrongUsage if there is no text or one
    cannot be read."""
    try:
        own = {file.stem: file.read_text("utf-8") for file in sorted(folder.glob("*.txt"))}
    except OSError as error:
        raise WrongUsage(f"--prompts: {error.filename}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise WrongUsage(f"--prompts: a file in {folder} is not UTF-8 text: {error}") from None
    if not own:
        raise WrongUsage(f"--prompts: no .txt file in {folder}: see 'overstory prompts --out'")
    return own
