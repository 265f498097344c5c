"""``overstory init``: asks for provider, key and model, checks them, and writes them down."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches

import click
from rich.console import Console

from clients import private_files
from core.catalog.tiers import tier
from core.config_file import config_path
from core.errors import OverstoryError, WrongUsage
from core.settings import load, sources
from overstory.doctor import endpoint as checks
from overstory.doctor.command import show
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, Level
from overstory.output.terminal import print_plain, safe_line
from overstory.setup.config_text import changed
from overstory.setup.endpoints import ENDPOINTS, NAMES, KnownEndpoint, endpoint_at, endpoint_named

MODELS_SHOWN = 12
TRIES = 3
"""How often a refused key or an endpoint that does not answer is asked for again."""
NEXT = 'overstory run FOLDER --ask "What is in these photos?"'


@click.command()
@click.option("--provider", type=click.Choice(NAMES), help="Who answers.")
@click.option("--base-url", metavar="URL", help="Another OpenAI-compatible endpoint.")
@click.option("--model", help="The model to ask.")
@click.option("--tier", help="The tier of a StepFun account, as V0.")
@click.option("--key-stdin", is_flag=True, help="Read the key from stdin, and ask nothing.")
@click.option("--no-check", is_flag=True, help="Write the file without asking the endpoint.")
def init(
    provider: str | None,
    base_url: str | None,
    model: str | None,
    tier: str | None,
    key_stdin: bool,
    no_check: bool,
) -> None:
    """Choose provider, key and model, check them, and write them down.

    Asks on a terminal; a script gives --provider or --base-url, and --model. The checks cost
    nothing. The file is in the platform's folder for configurations, for its owner alone; other
    settings in it stay. The environment wins over it, and 'overstory doctor' shows where each value
    is from.
    """
    if provider and base_url:
        raise WrongUsage("--provider and --base-url both name the endpoint: give one")
    dialogue = Dialogue(Console(stderr=True), asks=sys.stdin.isatty() and not key_stdin)
    path = config_path()
    text = path.read_text("utf-8") if path.exists() else ""
    load()  # a wrong file is told before anything is asked
    chosen = dialogue.endpoint(provider, base_url)
    key = sys.stdin.readline().strip() if key_stdin else dialogue.key(chosen)
    if not no_check:
        chosen, key, listed = dialogue.checked(chosen, key)
        model = dialogue.model(model, listed)
    elif model is None:
        raise WrongUsage("--no-check needs --model: which model answers is not asked for")
    values = {
        "provider": chosen.provider,
        "base_url": chosen.base_url,
        "model": model,
        "tier": dialogue.tier(chosen, tier),
        "api_key": key,
    }
    new = changed(text, values, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    private_files.write(path, new)
    dialogue.say(f"written: {path}")
    dialogue.warn_of_environment(values)
    dialogue.say(f"next: {NEXT}")


class Dialogue:
    """What is asked and said. Off a terminal nothing is asked: what is missing is an error."""

    def __init__(self, console: Console, asks: bool) -> None:
        self.console = console
        self.asks = asks

    def say(self, text: str) -> None:
        print_plain(self.console, safe_line(text))

    def endpoint(self, provider: str | None, base_url: str | None) -> KnownEndpoint:
        if base_url:
            return endpoint_at(base_url)
        if provider:
            return endpoint_named(provider)
        if not self.asks:
            raise WrongUsage(
                "there is no terminal to ask on: give --provider or --base-url, --model, and the"
                " key by --key-stdin"
            )
        labels = [*(known.label for known in ENDPOINTS), "another OpenAI-compatible endpoint"]
        print_plain(self.console, "Who shall answer questions about your images?\n")
        for number, label in enumerate(labels, 1):
            print_plain(self.console, f"  {number:>2}  {label}")
        print_plain(self.console, "")
        number = click.prompt("Number", type=click.IntRange(1, len(labels)), err=True)
        if number <= len(ENDPOINTS) and ENDPOINTS[number - 1].keys:
            return ENDPOINTS[number - 1]
        usual = ENDPOINTS[number - 1].base_url if number <= len(ENDPOINTS) else None
        return endpoint_at(click.prompt("Base URL", default=usual, err=True))

    def key(self, endpoint: KnownEndpoint) -> str | None:
        """The key to write; None if there is none, or if the environment has it."""
        if os.environ.get("OVERSTORY_API_KEY"):
            self.say("The key is in OVERSTORY_API_KEY. It is not written down.")
            return None
        if not self.asks:
            return None
        where = f"from {endpoint.keys}" if endpoint.keys else "Enter if it needs none"
        shown = f"Key ({where}; it is not shown)"
        while True:
            key = click.prompt(shown, default="", show_default=False, hide_input=True, err=True)
            if (key := str(key).strip()) or not endpoint.keys:
                return key or None

    def checked(
        self, endpoint: KnownEndpoint, key: str | None
    ) -> tuple[KnownEndpoint, str | None, list[str]]:
        """Endpoint and key once they work, and the models that the endpoint lists. On a terminal,
        what does not work is asked for again. Raises WrongUsage if nothing works."""
        for tries_left in reversed(range(TRIES)):
            models, findings = _findings(endpoint, key)
            for name, finding in findings:
                show(self.console, name, finding)
            wrong = [name for name, finding in findings if finding.level == Level.FAILED]
            if not wrong:
                return endpoint, key, models
            if not self.asks or not tries_left:
                break
            if "endpoint" in wrong:
                url = click.prompt("Base URL", default=endpoint.base_url, err=True)
                endpoint = endpoint_at(url)
            else:
                key = self.key(endpoint)
        raise WrongUsage("nothing was written; --no-check writes without asking the endpoint")

    def model(self, model: str | None, listed: list[str]) -> str:
        """The model to ask: as given, the only one that there is, or as the person answers."""
        if model is None and len(listed) == 1:
            self.say(f"model: {listed[0]}, the only one")
            return listed[0]
        if model is None and not self.asks:
            raise WrongUsage(f"which model? Give --model: {_some(listed)}")
        while True:
            if model is None:
                self.say(f"Models: {_some(listed)}")
                model = str(click.prompt("Model that accepts images", err=True)).strip()
            if not listed or any(name in (model, f"models/{model}") for name in listed):
                return model
            near = get_close_matches(model, listed, MODELS_SHOWN, 0.4)
            wrong = f"{model} is not among the {len(listed)} models: {_some(near or listed)}"
            if not self.asks:
                raise WrongUsage(wrong)
            self.say(wrong)
            model = None

    def tier(self, endpoint: KnownEndpoint, name: str | None) -> str | None:
        """The tier of a StepFun account. Others have none."""
        if endpoint.provider != "stepfun":
            return None
        while True:
            if name is None and self.asks:
                name = str(click.prompt("Tier of the account", default="V0", err=True)).strip()
            try:
                tier(name or "V0")
            except WrongUsage as error:
                if not self.asks:
                    raise
                self.say(str(error))
                name = None
            else:
                return name

    def warn_of_environment(self, values: Mapping[str, str | None]) -> None:
        path, found = str(config_path()), sources()
        for name in values:
            if (source := found.get(name, path)) != path:
                self.say(f"{source} in the environment wins over the file")


def _findings(
    endpoint: KnownEndpoint, key: str | None
) -> tuple[list[str], list[tuple[str, Finding]]]:
    """The models of the endpoint, and what the doctor says of endpoint and key."""
    given = {"base_url": endpoint.base_url, "provider": endpoint.provider, "sandbox": False}
    context = Context(os.environ, {}, load(**given, **({"api_key": key} if key else {})))
    try:
        findings = {"endpoint": checks.endpoint(context), "key": checks.key(context)}
        models = context.models
    finally:
        context.close()
    found = [(name, finding) for name, finding in findings.items() if finding is not None]
    return ([] if isinstance(models, OverstoryError) else models), found


def _some(models: list[str]) -> str:
    shown = ", ".join(sorted(models)[:MODELS_SHOWN]) or "the endpoint lists none"
    return f"{shown}, …" if len(models) > MODELS_SHOWN else shown
