"""The reference of all settings: one frozen object, built once from the environment and the
configuration file.

Each field is read from ``OVERSTORY_<NAME>``, else from the file (core/config_file.py). Seconds,
bytes and KiB are in the names. The names in the README's table are a contract.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import AliasChoices, Field, InstanceOf, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from core.catalog.facts import Entry, ModelFacts, OwnModels, facts_of
from core.catalog.models import PROVIDERS, KnownPrice, Price, ProviderName, Structured
from core.catalog.prices import PriceList, find_price, is_stepfun, parse_prices, price_of
from core.catalog.tiers import AUTO, AUTO_MOST, AUTO_START, AccountLimits, limits_of, tier
from core.catalog.tokens import JobDetail
from core.config_file import ConfigFile, config_path, read_config, variables_of
from core.errors import WrongUsage
from core.images.inputs import SKIP_FOLDERS, InputRules
from core.images.objects import is_object
from core.images.sizing import Accelerator, DecoderLimits, ImageLimits
from core.redis_address import has_cut_password, parse

DEFAULT_BASE_URL = "https://api.stepfun.ai/v1"
DEFAULT_MODEL = "step-3.7-flash"
SANDBOX_MODELS = "sandbox-"
"""Names of models that the sandbox alone serves begin so."""
SANDBOX = "sandbox"
"""Name of the sandbox where endpoints are named."""
EXAMPLE_PASSWORD = re.compile(r":change-me(?:-(valkey|postgres|flower))?(?=[@,]|$)")
"""``:password@`` as .env.example of version 0.2.0 had it."""


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("overstory", appauthor=False))


_PATHSEP = re.compile(r"(?<!s3)(?<!gs)(?<!az):|:(?!//)")
"""What separates folders, of which ``s3://bucket`` is one."""


def _root(folder: str) -> str:
    if is_object(folder):
        return folder.strip().rstrip("/")
    return os.path.abspath(Path(folder).expanduser())  # noqa: PTH100 - links stay


class Settings(BaseSettings):
    """The settings of one process. ``load`` builds them and reports wrong values."""

    model_config = SettingsConfigDict(
        env_prefix="OVERSTORY_",
        env_ignore_empty=True,  # NAME= in an .env file means not set
        frozen=True,
        extra="ignore",
        populate_by_name=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """An argument wins. The file leaves out what our variables set, and wins over others."""
        return init_settings, ConfigFile(settings_cls), env_settings

    # The provider
    # The provider's key. Without one and with the default base URL, the sandbox answers.
    api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("OVERSTORY_API_KEY", "STEPFUN_API_KEY")
    )
    base_url: str = DEFAULT_BASE_URL  # the provider's endpoint
    sandbox: bool = False  # the local stand-in answers, even if a key is set
    model: str = DEFAULT_MODEL  # name of the model, as the provider spells it
    provider: ProviderName = "stepfun"  # openai: images inline, no file store
    endpoint_name: str | None = None  # name of the endpoint in request keys; None: its base URL
    connect_timeout_seconds: float = 10.0  # to open a connection to the provider
    read_timeout_seconds: float = 620.0  # for a reply; the provider gives up at 600 s with a 503
    reasoning_effort: Literal["low", "medium", "high"] | None = None  # None: not sent
    # room for reasoning in each reply, beside what the answer needs; None: 8,192 tokens
    reasoning_tokens: int | None = Field(None, ge=0)
    images_per_request: int | None = Field(None, ge=1)  # at most; None: from the model's profile
    context_tokens: int | None = Field(None, ge=4096)  # context size; None: from the profile
    # A file of models that come before the built-in ones (docs/models.md). None: those alone.
    models: Annotated[InstanceOf[OwnModels] | None, NoDecode] = None
    detail: JobDetail = "low"  # resolution of sent images; auto: high at a second look
    # Price list as JSON, or the path of a JSON file (docs/money.md). None: the known prices.
    prices: Annotated[PriceList | None, NoDecode] = None
    prices_days: int = Field(180, ge=1)  # estimate and doctor name prices that are older
    structured: Structured | None = None  # how to request JSON; None: the best the model supports

    # The account
    # Account limits as published (core/catalog/tiers.py), or auto: the calls in flight find
    # themselves (docs/limits.md). None: V0 at StepFun; elsewhere auto, unless concurrency is set.
    tier: str | None = None
    concurrency: int | None = Field(None, ge=1)  # calls in flight, with auto at most; None: by tier
    rpm: int | None = Field(None, ge=1)  # requests per minute; None: from the tier
    tpm: int | None = Field(None, ge=1)  # tokens per minute; None: from the tier
    files_max: int = Field(1000, ge=1)  # files that the account may keep in the provider's store
    # How images reach the model: auto, inside their request, and by the provider's file store where
    # that pays (docs/limits.md); always or never by the store
    store: Literal["auto", "always", "never"] = "auto"
    inline_when_full: bool = False  # with always: when the store is full, send images inside
    limit_window_seconds: float = Field(
        60.0, gt=0
    )  # of rpm and tpm; less only in scaled benchmarks

    # Money, in the currency of the prices (docs/money.md)
    budget: float | None = Field(None, gt=0)  # of a job that names none
    budget_day: float | None = Field(None, gt=0)  # of all calls that the account sends in a day
    budget_month: float | None = Field(None, gt=0)  # and in a month, both in UTC
    confirm_above: float = Field(5.0, ge=0)  # a command asks before a dearer job without a budget

    # The services
    broker_url: str | None = None  # redis://...; None: an embedded Valkey
    limiter_url: str | None = None  # Redis of the limiter; None: the broker's server, database 1
    database_url: str | None = None  # SQLAlchemy URL; None: a SQLite file in home
    blob_url: str | None = None  # prepared images, uploads: file:///... or s3://...; None: in home
    home: Path = Field(default_factory=_default_home)  # state folder
    # Names under which Flower answers without a password, beside localhost: dash.internal
    flower_hosts: Annotated[tuple[str, ...], NoDecode] = ()

    # Images
    # Folders whose files submissions by message may name, separated like PATH, also in buckets:
    # s3://bucket/prefix. Empty: none, only URLs. A person's own commands read whatever that person
    # can read.
    input_roots: Annotated[tuple[str, ...], NoDecode] = ()
    # Names of folders to pass over in folders and patterns, separated by commas; NAME, or +NAME to
    # add to the built-in list (docs/images.md); none: nothing is passed over.
    skip_folders: Annotated[tuple[str, ...], NoDecode] = SKIP_FOLDERS
    max_image_pixels: int = Field(300_000_000, ge=1)  # width x height, as the file declares them
    max_file_bytes: int = Field(512_000_000, ge=1)  # of a file or a download
    max_aspect_ratio: float = Field(100.0, ge=1)  # longer side by shorter side
    max_pages: int = Field(2_000, ge=1)  # pages of one document
    decode_seconds: float = Field(60.0, gt=0)  # wall clock and CPU time for one image
    decode_memory_bytes: int = Field(4_000_000_000, ge=500_000_000)  # of a decoding process
    accelerator: Accelerator = "none"  # vips: decode plain pictures with libvips (docs/images.md)
    # Fetch only from these hosts and their subdomains: example.com,example.org. Empty: any public.
    fetch_allow_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    fetch_timeout_seconds: float = 60.0  # per download, redirects included
    fetch_max_redirects: int = 5  # per download

    # The HTTP API
    # Names under which it answers, beside localhost and IP addresses: vision.internal. With one of
    # them every request needs a token.
    api_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    api_needs_token: bool = False  # also of programs and browsers on this machine
    api_rpm: int = Field(3_000, ge=1)  # requests a minute of one token
    api_body_bytes: int = Field(20_000_000, ge=10_000)  # of the body of one request
    # The same where images are in it: an upload, a form with files, a chat completion
    api_upload_bytes: int = Field(20_000_000_000, ge=10_000)

    # Submissions by message
    max_message_bytes: int = Field(32_000_000, ge=10_000)  # of one message
    max_inputs: int = Field(100_000, ge=1)  # files, folders, globs and URLs that one may name
    submit_seconds: float = Field(60.0, gt=0)  # for the inputs of one

    # Webhooks
    webhook_secret: SecretStr | None = None  # whsec_...; two, separated by a space, during rotation
    # Receivers allowed inside the network: web,erp.internal
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    webhook_attempts_max: int = Field(12, ge=1)  # per delivery; some hours with the backoff

    # The workers
    lease_seconds: float = Field(30.0, gt=0)  # lease of a row; renewed while the work runs
    # How long an account slot outlives a dead worker, until durations of calls are known.
    slot_seconds: float = Field(60.0, gt=0)
    attempts_max: int = Field(5, ge=1)  # per image, and per node whose workers die
    call_attempts_max: int = Field(12, ge=1)  # per node, for calls that fail in transit
    outage_max_seconds: float = Field(21_600.0, gt=0)  # then a job gives up on a silent provider
    slice_images: int = Field(32, ge=1)  # images that one preprocess or upload message may claim
    infer_processes: int | None = Field(None, ge=1)  # of the embedded stack; None: by concurrency
    upload_threads: int = Field(16, ge=1)  # threads of the upload worker
    soft_shutdown_seconds: float = Field(30.0, ge=0)  # time for open calls when a worker stops
    child_memory_kib: int = Field(1_500_000, ge=100_000)  # replace a preprocess child above this
    cpu_workers: int | None = Field(None, ge=1)  # preprocess processes; None: one per core
    gate_wait_seconds: float = Field(60.0, gt=0)  # a message waits so long for the account's limits
    task_events: bool | None = None  # Celery events for Flower; None: not for the workers of a run
    metrics_port: int | None = Field(None, ge=0, le=65535)  # of the reconciler; None: no metrics
    metrics_host: str = "127.0.0.1"  # address on which the metrics port listens
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"  # lowest level to log
    log_format: Literal["text", "json"] = "text"  # one line per event
    traces: bool | None = None  # OpenTelemetry; None: if OTEL_EXPORTER_OTLP_ENDPOINT is set

    @field_validator(
        "api_hosts", "fetch_allow_hosts", "flower_hosts", "webhook_hosts", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(host for host in re.split(r"[\s,]+", value) if host)
        return value

    @field_validator("input_roots", mode="before")
    @classmethod
    def _split_folders(cls, value: object) -> object:
        if isinstance(value, str):
            folders = [folder for folder in _PATHSEP.split(value) if folder.strip()]
            return tuple(_root(folder) for folder in folders)
        return value

    @field_validator("skip_folders", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        """Names may have spaces."""
        if not isinstance(value, str):
            return value
        names = [name.strip().strip("/") for name in value.split(",") if name.strip(" /")]
        if names == ["none"]:
            return ()
        added = [name.removeprefix("+") for name in names if name.startswith("+")]
        given = [name for name in names if not name.startswith("+")]
        return (*(given or SKIP_FOLDERS), *added)

    @field_validator("broker_url", "limiter_url", "database_url")
    @classmethod
    def _has_its_own_password(cls, url: str | None) -> str | None:
        if url is not None and (example := EXAMPLE_PASSWORD.search(url)):
            variable = f"{example[1].upper()}_PASSWORD in .env" if example[1] else "another"
            raise ValueError(f"its password is the one of the example: set {variable}")
        return url

    @field_validator("broker_url", "limiter_url")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        if url is not None and not has_cut_password(url):  # that is reported where it is used
            parse(url)
        return url

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        """Servers start in other folders, where a relative path would mean another folder."""
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

    @field_validator("models", mode="before")
    @classmethod
    def _read_models(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        from core.catalog.own_facts import read_models

        try:
            return read_models(Path(value).expanduser())
        except OSError as error:
            raise ValueError(f"{value} cannot be read: {error.strerror}") from None
        except WrongUsage as error:
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
    def _tier_exists(cls, name: str | None) -> str | None:
        if name is None or name.lower() == AUTO:
            return name and AUTO
        try:
            tier(name)
        except WrongUsage as error:
            raise ValueError(str(error)) from None
        return name

    @property
    def uses_file_store(self) -> bool:
        """Whether images may go to the provider's file store."""
        return PROVIDERS[self.provider].file_store and self.store != "never"

    @property
    def waits_for_room(self) -> bool:
        """Whether images wait for a full file store; if not, they go inside their requests."""
        return self.store == "always" and not self.inline_when_full

    @property
    def limits(self) -> AccountLimits:
        """Account limits: those of the tier, each overridden by its own setting."""
        return limits_of(self.tier_name, self.concurrency, self.rpm, self.tpm)

    @property
    def tier_name(self) -> str:
        """The tier that applies. The sandbox stands for StepFun."""
        if self.tier is not None:
            return self.tier
        return "V0" if self.endpoint == SANDBOX or is_stepfun(self.base_url) else AUTO

    @property
    def finds_concurrency(self) -> bool:
        """Whether the limit of calls in flight finds itself. Elsewhere than at StepFun a number is
        taken as it is, unless the tier is auto by name."""
        return self.tier == AUTO or (self.tier_name == AUTO and self.concurrency is None)

    @property
    def sure_limits(self) -> AccountLimits:
        """Limits that a forecast may count on."""
        limits = self.limits
        most = AUTO_START if self.finds_concurrency else limits.concurrency
        return replace(limits, concurrency=min(limits.concurrency, most))

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(
            max_pixels=self.max_image_pixels,
            max_file_bytes=self.max_file_bytes,
            max_aspect_ratio=self.max_aspect_ratio,
            max_pages=self.max_pages,
        )

    @property
    def decoder_limits(self) -> DecoderLimits:
        return DecoderLimits(self.decode_seconds, self.decode_memory_bytes)

    @property
    def own_inputs(self) -> InputRules:
        """What a person's own command may read: everything but our own folders."""
        return InputRules(None, self.private_folders, self.skip_folders)

    @property
    def submitted_inputs(self) -> InputRules:
        """What a submission by message may name."""
        return InputRules(self.input_roots, self.private_folders, self.skip_folders)

    @property
    def private_folders(self) -> tuple[str, ...]:
        """The state folder and the folder or bucket of prepared images: everybody's pictures, the
        database and the spool are there, so no file of theirs is ever an input."""
        parts = urllib.parse.urlsplit(self.blob_url or "")
        blobs = (urllib.parse.unquote(parts.path),) if parts.scheme == "file" else ()
        if parts.scheme == "s3":
            blobs = (f"s3://{parts.netloc}{urllib.parse.unquote(parts.path)}",)
        return (str(self.home), *blobs)

    def facts_of(self, model: str) -> ModelFacts:
        """What is known of ``model`` at this endpoint."""
        return facts_of(model, self.base_url, self.own_models)

    @property
    def own_models(self) -> tuple[Entry, ...]:
        """The entries of the person's own file."""
        return self.models.entries if self.models else ()

    def find_price(self, model: str) -> KnownPrice | None:
        """The price of ``model`` at this endpoint today, and where it is from; None if unknown.
        A model of the sandbox alone has the price of the default model, which nobody pays."""
        prompt_tokens = self.context_tokens or self.facts_of(model).context_tokens
        now = datetime.now(UTC)  # some prices begin or end on a day
        known = find_price(model, self.base_url, self.prices, prompt_tokens, now)
        if known is None and self.endpoint == SANDBOX and model.startswith(SANDBOX_MODELS):
            return self.find_price(DEFAULT_MODEL)
        return known

    def price_is_old(self, known: KnownPrice) -> bool:
        """Whether nobody has looked at a price for ``prices_days``."""
        return (datetime.now(UTC).date() - known.as_of).days > self.prices_days

    def price_of(self, model: str) -> Price:
        """The price of ``model`` at this endpoint; zeros if unknown."""
        known = self.find_price(model)
        return known.price if known else price_of(model, self.base_url)

    @property
    def endpoint(self) -> str:
        """Name of the endpoint in request keys: the same for every start of the sandbox, and for
        each version of an API that is named in the query of its URL."""
        if self.endpoint_name:
            return self.endpoint_name
        return SANDBOX if self.uses_sandbox else self.base_url.partition("?")[0].rstrip("/")

    @property
    def infer_threads(self) -> int:
        """Threads of one infer process: one per call in flight, at most 200 (measured: up to there
        a process does not get slower), and with auto one for each stage that waits for the account:
        they are started when they are needed."""
        return min(self.limits.concurrency + 2, AUTO_MOST + 2 if self.finds_concurrency else 200)

    @property
    def uses_sandbox(self) -> bool:
        """True without a key and with the default endpoint: the local sandbox answers."""
        return self.api_key is None and self.base_url == DEFAULT_BASE_URL


def load(**overrides: object) -> Settings:
    """Settings from the environment and the configuration file; ``overrides`` (by field name) take
    precedence.

    Raises WrongUsage, which names each wrong variable, or name in the file.
    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except SettingsError as error:
        raise WrongUsage(f"wrong setting: {error}") from None
    except ValidationError as error:
        lines = [
            f"{_named(e['loc'], overrides)}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise WrongUsage("wrong setting: " + "; ".join(lines)) from None
    return _without_key(settings) if settings.sandbox else settings


def _without_key(settings: Settings) -> Settings:
    """The settings of a person who wants the sandbox. A worker has the sandbox's own URL."""
    known = settings.base_url if settings.endpoint_name == SANDBOX else DEFAULT_BASE_URL
    return settings.model_copy(update={"api_key": None, "base_url": known})


def _named(location: tuple[int | str, ...], overrides: Collection[str]) -> str:
    """Where a wrong value is: its variable, or its name in the configuration file."""
    name = str(location[0]) if location else "settings"
    if name.startswith(("OVERSTORY_", "STEPFUN_")):
        return name
    if name not in overrides and sources().get(name) == str(config_path()):
        return f"{name} in {config_path()}"
    return f"OVERSTORY_{name.upper()}"


def sources() -> dict[str, str]:
    """Where the value of each setting is from: its variable, or the configuration file. A default
    has none. An option of the command may replace a value."""
    present = {variable.upper(): variable for variable, value in os.environ.items() if value}
    path, written = str(config_path()), read_config(Settings)
    found = {}
    for name in Settings.model_fields:
        variable, *others = variables_of(Settings, name)
        if variable not in present and name in written:
            found[name] = path
        elif given := next((present[v] for v in (variable, *others) if v in present), None):
            found[name] = given
    return found
