"""One frozen settings object, built once from the environment and passed in.

Every field is read from ``OVERSTORY_<NAME>``. Units are in the names. The names in the README's
table are a contract; the rest may grow.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from core.catalog.models import Price, Structured, price_of
from core.catalog.prices import PriceList, find_price, parse_prices
from core.catalog.tiers import AccountLimits, tier
from core.catalog.tokens import Detail
from core.errors import WrongUsage
from core.images.sizing import Accelerator

DEFAULT_BASE_URL = "https://api.stepfun.ai/v1"
SANDBOX = "sandbox"
"""What the local stand-in is called where endpoints are named."""


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("overstory", appauthor=False))


class Settings(BaseSettings):
    """The settings of one process. Raises WrongUsage through ``load`` when a value is wrong."""

    model_config = SettingsConfigDict(
        env_prefix="OVERSTORY_",
        env_ignore_empty=True,  # NAME= in an .env file means: not set
        frozen=True,
        extra="ignore",
        populate_by_name=True,
    )

    # the provider
    api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("OVERSTORY_API_KEY", "STEPFUN_API_KEY")
    )
    base_url: str = DEFAULT_BASE_URL
    model: str = "step-3.7-flash"
    provider: Literal["stepfun", "openai"] = "stepfun"
    endpoint_name: str | None = None  # what keys call the endpoint; None: its base URL
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 620.0  # the provider gives up at 600 s and says 503
    reasoning_effort: Literal["low", "medium", "high"] | None = None
    images_per_request: int | None = Field(None, ge=1)  # None: what the model's profile says
    context_tokens: int | None = Field(None, ge=4096)
    detail: Detail = "low"
    prices: Annotated[PriceList | None, NoDecode] = (
        None  # a JSON file or JSON: core/catalog/prices.py
    )
    structured: Structured | None = None  # how JSON is asked for; None: as the model can

    # the account
    tier: str = "V0"
    concurrency: int | None = Field(None, ge=1)
    rpm: int | None = Field(None, ge=1)
    tpm: int | None = Field(None, ge=1)
    files_max: int = Field(1000, ge=1)
    inline_when_full: bool = False  # what finds no place among them goes inside its request
    limit_window_seconds: float = Field(60.0, gt=0)  # shorter only in time-scaled benchmarks

    # the services
    broker_url: str | None = None
    limiter_url: str | None = None  # None: the broker's server, database 1
    database_url: str | None = None
    blob_url: str | None = None
    home: Path = Field(default_factory=_default_home)

    # images
    max_image_pixels: int = Field(300_000_000, ge=1)
    max_file_bytes: int = Field(512_000_000, ge=1)
    max_aspect_ratio: float = Field(100.0, ge=1)
    max_pages: int = Field(2_000, ge=1)  # of one document
    # when set, only these hosts are fetched: example.com,images.example.org
    accelerator: Accelerator = "none"  # vips: decode plain pictures with libvips (docs/images.md)
    fetch_allow_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    fetch_timeout_seconds: float = 60.0
    fetch_max_redirects: int = 5

    # webhooks
    webhook_secret: SecretStr | None = None  # whsec_...; two, by a space, while one is replaced
    # hosts inside the network that may be told: web,erp.internal
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    webhook_attempts_max: int = Field(12, ge=1)  # with backoff: over some hours

    # the workers
    lease_seconds: float = Field(30.0, gt=0)  # renewed while the work runs
    slot_seconds: float = Field(60.0, gt=0)  # an account slot outlives its worker by this at first
    attempts_max: int = Field(5, ge=1)  # of one image, or of a node whose workers die
    outage_max_seconds: float = Field(21_600.0, gt=0)  # a job gives up on a silent provider
    call_attempts_max: int = Field(12, ge=1)  # of one call that fails on the way
    slice_images: int = Field(32, ge=1)  # a preprocess or upload message may claim, at most
    infer_processes: int | None = Field(None, ge=1)  # embedded; None: as the concurrency needs
    upload_threads: int = Field(16, ge=1)
    soft_shutdown_seconds: float = Field(30.0, ge=0)  # a stopping worker's time for its calls
    child_memory_kib: int = Field(1_500_000, ge=100_000)  # a preprocess child is renewed above it
    cpu_workers: int | None = Field(None, ge=1)  # None: one a core
    gate_wait_seconds: float = Field(60.0, gt=0)  # for the account, before a message is let go
    task_events: bool | None = None  # Celery's, for Flower; None: of a service's workers
    metrics_port: int | None = Field(None, ge=0, le=65535)  # of the reconciler; None: no metrics
    metrics_host: str = "127.0.0.1"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    traces: bool | None = None  # OpenTelemetry; None: where OTEL_EXPORTER_OTLP_ENDPOINT is set

    @field_validator("fetch_allow_hosts", "webhook_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(host for host in re.split(r"[\s,]+", value) if host)
        return value

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        """Servers are started in folders of their own, where a relative path is another one."""
        return home.expanduser().absolute()

    @field_validator("prices", mode="before")
    @classmethod
    def _read_prices(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            inline = value.lstrip().startswith("{")
            return parse_prices(value if inline else Path(value).expanduser().read_text("utf-8"))
        except OSError as error:
            raise ValueError(f"{value} cannot be read: {error.strerror}") from None
        except (WrongUsage, UnicodeDecodeError) as error:
            raise ValueError(str(error)) from None

    @field_validator("accelerator")
    @classmethod
    def _accelerator_is_installed(cls, accelerator: Accelerator) -> Accelerator:
        if accelerator == "vips" and find_spec("pyvips") is None:
            raise ValueError("vips needs two packages: pip install pyvips pyvips-binary")
        return accelerator

    @field_validator("traces")
    @classmethod
    def _traces_are_installed(cls, traces: bool | None) -> bool | None:
        if traces and not (find_spec("opentelemetry") and find_spec("opentelemetry.exporter")):
            raise ValueError("traces need an extra: pip install 'overstory[traces]'")
        return traces

    @field_validator("tier")
    @classmethod
    def _tier_exists(cls, name: str) -> str:
        try:
            tier(name)
        except WrongUsage as error:
            raise ValueError(str(error)) from None
        return name

    @property
    def limits(self) -> AccountLimits:
        """The account's limits: the tier's, each overridden by its own setting."""
        base = tier(self.tier)
        return AccountLimits(
            self.concurrency or base.concurrency, self.rpm or base.rpm, self.tpm or base.tpm
        )

    def find_price(self, model: str) -> tuple[Price, str] | None:
        """What ``model`` costs here and the date of that; None where nobody has said."""
        return find_price(model, self.base_url, self.prices)

    def price_of(self, model: str) -> Price:
        """What ``model`` costs here; zeros where nobody has said."""
        found = self.find_price(model)
        return found[0] if found else price_of(model, self.base_url)

    @property
    def endpoint(self) -> str:
        """What keys call the endpoint: the same for every start of the sandbox."""
        if self.endpoint_name:
            return self.endpoint_name
        return SANDBOX if self.uses_sandbox else self.base_url.rstrip("/")

    @property
    def infer_threads(self) -> int:
        """Threads of one infer process: the account's concurrency, up to what one process holds
        without growing slower (measured: a thread a call is fine to 200)."""
        return min(self.limits.concurrency + 2, 200)

    @property
    def uses_sandbox(self) -> bool:
        """True when there is no key and no other endpoint: the local stand-in answers."""
        return self.api_key is None and self.base_url == DEFAULT_BASE_URL


def load(**overrides: object) -> Settings:
    """Settings from the environment, with overrides (field names) on top.

    Raises WrongUsage naming each wrong variable.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except SettingsError as error:
        raise WrongUsage(f"wrong setting: {error}") from None
    except ValidationError as error:
        lines = [f"{_variable(e['loc'])}: {e['msg']}" for e in error.errors()]
        raise WrongUsage("wrong setting: " + "; ".join(lines)) from None


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    return name if name.startswith(("OVERSTORY_", "STEPFUN_")) else f"OVERSTORY_{name.upper()}"
