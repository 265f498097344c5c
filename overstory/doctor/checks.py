"""The table of checks, in the order in which one stands on another, and how one is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from core.errors import OverstoryError
from overstory.doctor import configuration, endpoint, machine, parts
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, failed
from overstory.doctor.secrets import scrubbed


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``look`` finds something, or None where there is nothing to look at."""

    name: str
    look: Callable[[Context], Finding | None]
    needs_settings: bool = True


CHECKS = (
    Check("settings", configuration.check, needs_settings=False),
    Check("python", machine.python, needs_settings=False),
    Check("machine", machine.resources),
    Check("home", machine.home),
    Check("sqlite", machine.sqlite),
    Check("database", parts.database),
    Check("blobs", machine.blobs),
    Check("broker", parts.broker),
    Check("limits", parts.limiter),
    Check("workers", parts.workers),
    Check("webhooks", configuration.webhooks),
    Check("endpoint", endpoint.endpoint),
    Check("key", endpoint.key),
    Check("model", endpoint.model),
    Check("files", endpoint.files),
    Check("balance", endpoint.balance),
)


def applicable(context: Context) -> list[Check]:
    """The checks that can be made: without settings few can."""
    return [check for check in CHECKS if context.wrong is None or not check.needs_settings]


def made(check: Check, context: Context) -> Finding | None:
    """What ``check`` finds, whatever it raises, without any secret."""
    try:
        finding = check.look(context)
    except OverstoryError as error:
        finding = failed(str(error), "correct the setting it names, or start the service")
    except Exception as error:  # a doctor that falls over helps nobody
        finding = failed(f"{type(error).__name__}: {error}", "please report this as a bug")
    return None if finding is None else _clean(finding, context.secrets)


def _clean(finding: Finding, secrets: tuple[str, ...]) -> Finding:
    return replace(
        finding,
        says=scrubbed(" ".join(finding.says.split()), secrets),
        do=None if finding.do is None else scrubbed(finding.do, secrets),
        details=tuple(scrubbed(line, secrets) for line in finding.details),
    )
