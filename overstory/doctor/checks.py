"""The list of checks, each after those it depends on, and how a check is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from core.errors import OverstoryError
from overstory.doctor import configuration, endpoint, machine, measured, parts, queues
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, failed
from overstory.doctor.secrets import scrubbed


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``run`` returns None when it does not apply."""

    name: str
    run: Callable[[Context], Finding | None]
    needs_settings: bool = True


CHECKS = (
    Check("settings", configuration.check, needs_settings=False),
    Check("python", machine.python, needs_settings=False),
    Check("machine", machine.resources),
    Check("home", machine.home),
    Check("decoder", machine.decoder),
    Check("sqlite", machine.sqlite),
    Check("database", parts.database),
    Check("blobs", machine.blobs),
    Check("uploads", machine.uploads),
    Check("broker", parts.broker),
    Check("limits", parts.limiter),
    Check("workers", parts.workers),
    Check("neighbours", queues.neighbours),
    Check("letters", queues.letters),
    Check("webhooks", configuration.webhooks),
    Check("endpoint", endpoint.endpoint),
    Check("key", endpoint.key),
    Check("model", endpoint.model),
    Check("prices", endpoint.prices),
    Check("learned", endpoint.learned_limits),
    Check("usage", endpoint.usage),
    Check("tokens", measured.tokens),
    Check("probe", measured.probed),
    Check("files", endpoint.files),
    Check("balance", endpoint.balance),
)


def applicable(context: Context) -> list[Check]:
    """The checks that can run; without valid settings these are few."""
    return [check for check in CHECKS if context.wrong is None or not check.needs_settings]


def run_check(check: Check, context: Context) -> Finding | None:
    """The finding of ``check``, without secrets. An exception becomes a failed finding."""
    try:
        finding = check.run(context)
    except OverstoryError as error:
        finding = failed(str(error), "correct the setting that is named, or start the service")
    except Exception as error:  # the other checks must still run
        finding = failed(f"{type(error).__name__}: {error}", "please report this as a bug")
    return None if finding is None else clean(finding, context.secrets)


def clean(finding: Finding, secrets: tuple[str, ...]) -> Finding:
    """``finding`` without secrets and line breaks."""
    return replace(
        finding,
        says=scrubbed(" ".join(finding.says.split()), secrets),
        do=None if finding.do is None else scrubbed(finding.do, secrets),
        details=tuple(scrubbed(line, secrets) for line in finding.details),
    )
