"""Checks before a job is served: the broker, the endpoint, and the notice of the sandbox."""

from __future__ import annotations

import sys

import structlog
from rich.console import Console
from rich.panel import Panel

from clients.provider.reach import is_reached, takes_connections
from clients.proxies import proxy_for
from core.catalog.prices import is_stepfun
from core.errors import (
    KeyRefused,
    OverstoryError,
    ProviderDown,
    ServiceAway,
    ServiceRefuses,
    WrongUsage,
)
from core.settings import SANDBOX, Settings
from models import state
from models.state import Moved
from overstory.local.urls import masked
from overstory.output.terminal import print_plain, safe_line
from tasks.runtime.services import Services
from workers.broker_health import check as check_servers
from workers.broker_health import check_limiter
from workers.loading import loaded

log = structlog.get_logger()

START_IT = "start it, or unset the variable to run with an embedded one"
MODELS_SHOWN = 12
CHECK_SECONDS = 5.0
"""For the endpoint's answer to a check."""


def check_broker(settings: Settings, console: Console) -> None:
    """Raises WrongUsage for a missing key or a wrong broker URL, ServiceAway if broker or limiter
    do not answer, or refuse for good. What may end by itself is printed, and waited for."""
    if settings.broker_url is None and settings.limiter_url is None:
        return
    if settings.broker_url is not None and settings.uses_sandbox:
        raise WrongUsage(
            "OVERSTORY_BROKER_URL is set and no key: set OVERSTORY_API_KEY, or OVERSTORY_BASE_URL"
            " to an 'overstory sandbox' that your workers use too"
        )
    try:
        (check_servers if settings.broker_url is not None else check_limiter)(settings)
    except ServiceRefuses as error:
        if not error.passes:
            raise
        print_plain(console, f"waiting: {error}")
    except ServiceAway as error:
        raise ServiceAway(f"{error}: {START_IT}") from None


def check_sandbox_is_wanted(settings: Settings) -> None:
    """Raises WrongUsage if only the sandbox could answer, nobody asked for it, and there is no
    terminal on which a person would see that it answers."""
    if settings.uses_sandbox and not settings.sandbox and not sys.stderr.isatty():
        raise WrongUsage(
            "no API key is set: set OVERSTORY_API_KEY, or OVERSTORY_BASE_URL to an endpoint that"
            " needs none. To let the local stand-in answer, which sees only colours and sizes, give"
            " --sandbox or set OVERSTORY_SANDBOX=true"
        )


def warn_of_sandbox(console: Console, asked_for: bool = False) -> None:
    """Warn that no vision model is called."""
    why = "The sandbox was asked for" if asked_for else "No API key is set"
    notice = (
        f"{why}, so no vision model is called: a local stand-in answers from the pixels"
        " (sizes, colours, brightness). Set OVERSTORY_API_KEY for real answers. Nothing is charged;"
        " costs shown are what the model would have cost."
    )
    if console.is_terminal:
        console.print(Panel(notice, title="SANDBOX", border_style="yellow", width=90))
    else:
        console.print(f"SANDBOX: {notice}", soft_wrap=True, highlight=False)


def with_served_model(settings: Settings, console: Console) -> Settings:
    """The settings with the only model of an endpoint that serves one, if none is named: so a
    person's own server needs its URL alone.

    Asks no endpoint that a name or a default answers for. Raises WrongUsage if there are several
    models, none of which is the default.
    """
    named = "model" in settings.model_fields_set
    if named or settings.endpoint == SANDBOX or is_stepfun(settings.base_url):
        return settings
    provider = loaded("clients.provider.client").Provider(settings, max_connections=1)  # slow
    try:
        listed = provider.models(CHECK_SECONDS)
    except OverstoryError as error:  # the first call says so, and the job can go on later
        log.info("preflight", error=str(error))
        return settings
    finally:
        provider.close()
    if not listed or settings.model in listed:
        return settings
    url = masked(settings.base_url)
    if len(listed) == 1:
        print_plain(console, safe_line(f"model: {listed[0]}, the only one at {url}"))
        return settings.model_copy(update={"model": listed[0]})
    more = ", ..." if len(listed) > MODELS_SHOWN else ""
    some = ", ".join(sorted(listed)[:MODELS_SHOWN]) + more
    raise WrongUsage(
        f"which model? {url} serves {len(listed)}: {some}. Give --model, set OVERSTORY_MODEL, or"
        " write it down by 'overstory init'"
    )


def check_endpoint(services: Services, job_id: str) -> None:
    """Check the endpoint while the workers start. If it cannot be reached, ask it for its models.

    Raises ServiceAway if that request could not be sent, or if the proxy of the environment does
    not answer. A refused key ends the job. The first upload or call shows any other problem.
    """
    url = services.settings.base_url
    proxy = proxy_for(url)
    if proxy is None and is_reached(url):
        return
    if proxy is not None and not takes_connections(proxy.host, proxy.port):
        raise ServiceAway(
            f"the proxy {proxy.shown} in {proxy.variable} does not answer: start it, unset"
            f" {proxy.variable}, or name the host of OVERSTORY_BASE_URL in NO_PROXY; the same"
            " command continues the job"
        )
    try:
        services.provider.models(CHECK_SECONDS)
    except KeyRefused as error:
        with services.database.write() as connection:
            state.job_failed(connection, job_id, str(error), Moved())
    except ProviderDown as error:
        if not error.sent:
            raise ServiceAway(
                f"the endpoint {masked(url)} cannot be reached"
                f"{f' through {proxy.variable}' if proxy else ''} ({error}): check"
                f" OVERSTORY_BASE_URL, the network{f' and {proxy.variable}' if proxy else ''};"
                " the same command continues the job"
            ) from None
    except OverstoryError as error:
        log.info("preflight", error=str(error))
