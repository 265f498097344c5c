"""All settings of a sandbox; they can be changed while it runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.catalog.tiers import AccountLimits, tier
from core.catalog.tokens import Detail

Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


RefusedPart = Literal[
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "reasoning_effort",
    "system",
    "json_schema",
    "response_format",
    "url",
    "webp",
    "detail",
]
"""Parts of a request that some servers do not take."""


class FaultKind(StrEnum):
    """A fault of one call."""

    MODERATED = "451"
    CONTENT_FILTER = "content_filter"  # a 200 whose finish_reason says so
    LENGTH = "length"  # a 200 whose max_tokens were all spent on reasoning
    EMPTY = "empty"  # a 200 with finish_reason stop and neither content nor reasoning
    REASONED = "reasoned"  # a 200 whose answer is in the field of the reasoning, without content
    TOOL_CALL = "tool_call"  # a 200 with a call of a tool and no content
    CHOICE_ERROR = "choice_error"  # a 200 whose choice has an error and no content
    INVALID_JSON = "invalid_json"  # a 200 whose body ends early
    NO_CHOICES = "no_choices"
    SERVER_ERROR = "500"
    OVERLOADED = "503"
    GATEWAY = "504"
    RESET = "reset"  # RST before any header
    CUT = "cut"  # closed after the headers, in the middle of the body or stream
    TIMEOUT = "timeout"  # hangs ``hang_seconds``, then 503
    LIMITED = "429"


class KeyedFault(BaseModel):
    """A fault that always happens to the same content.

    ``match`` is the sha256 (hex) of an image's bytes as received, ``colour:NAME`` for an image that
    is mostly NAME, or any other text for a substring of the request's text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    match: str = Field(min_length=1)
    kind: FaultKind = FaultKind.MODERATED


class RawAnswer(BaseModel):
    """What stands for the reply to a chat call: a status, a body and headers as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    status: int = Field(200, ge=200, le=599)
    body: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    images_free: int = Field(-1, ge=-1)  # requests with so many images get a usual reply


class SandboxConfig(BaseModel):
    """The sandbox's settings. Names carry the units; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # the account (fact sheet 5)
    tier: str = "V0"
    concurrency: int | None = Field(None, ge=1)
    rpm: int | None = Field(None, ge=1)
    tpm: int | None = Field(None, ge=1)
    window_seconds: float = Field(60.0, gt=0)
    enforce_limits: bool = True  # false: count, but admit everything
    rejected_count_toward_rpm: bool = True
    good_keys: tuple[str, ...] = ()  # empty: every key that is not bad
    bad_keys: tuple[str, ...] = ("bad",)

    # the rules (fact sheet 2, 3)
    max_images: int = Field(60, ge=0)
    max_image_bytes: int = Field(20_000_000, ge=1)
    too_many_images_type: Literal["images_too_many", "images_too_may"] = "images_too_many"
    # the refusal's text; {most} becomes max_images. Other servers name the number
    too_many_images_message: str = (
        "The amount of images you provided exceeds the model's limitation"
    )
    refuses: frozenset[RefusedPart] = frozenset()  # with the words of servers that do so
    default_detail: Detail = "high"
    strict_mime: bool = False  # the media type of a data URL must match its bytes
    strict_fields: bool = False  # fields the docs do not list are refused
    lenient_reasoning_effort: bool = False  # unknown efforts answer 200, as seen live
    allow_loopback_urls: bool = False
    unknown_model_status: Literal[400, 404] = 400
    unknown_file_status: Literal[400, 404] = 400

    # files (fact sheet 4)
    max_files: int = Field(1000, ge=0)
    max_file_bytes: int = Field(128_000_000, ge=1)
    file_status: Literal["processed", "success"] | None = "processed"  # None: omitted

    # the reply (fact sheet 2.2, 8)
    reasoning_tokens: int = Field(32, ge=0)
    # a dim or dark image with no side above this cannot be told, if a request asks to mark such;
    # models in sharp_models can tell all
    unsure_below_px: int = Field(729, ge=0)
    sharp_models: frozenset[str] = frozenset({"step-5-preview"})
    # what stands around the content, which goes to the place of {content}: a server that leaves the
    # reasoning in the text sends "<think>So it is [7].</think>{content}"
    content_form: str = "{content}"
    cache_blocks: int = Field(65_536, ge=0)  # of 256 tokens, per account; 0: no prompt cache
    stream_dialect: Literal["a", "b"] = "b"
    stream_tokens_per_chunk: int = Field(32, ge=1)
    summary_cites: Literal["fit", "all"] = (
        "fit"  # all: cite everything; max_tokens then cuts the text
    )
    false_citations: bool = False
    wrong_schema: bool = False
    missing_keys: int = Field(
        0, ge=0
    )  # this many last images have no key in a JSON reply with more
    missing_colour: str | None = None  # images mainly of this colour never have a key
    false_totals: bool = False  # unrequested keys, numbers and totals in JSON
    code_fences: bool = False  # JSON comes in a Markdown fence, with text around it
    also_serves: str | None = None  # a model that is in no list, such as a person's own
    tokens_an_image: int | None = Field(None, ge=0)  # instead of the formula (fact sheet 3.4)
    usage: Literal["reported", "absent"] = "reported"  # absent: replies and streams have none

    # what the model sees of a request. Images that it does not see have no line and no key, and
    # change no count
    blind: bool = False  # no image: a text-only model behind a vision API
    sees_first: int | None = Field(None, ge=0)  # only so many; usage counts no other image
    # the prompt is cut at so many tokens without an error: the texts stay, and so do the first
    # images that fit as a whole. usage.prompt_tokens is never more
    keeps_tokens: int | None = Field(None, ge=0)
    invents: bool = False  # unseen images get an invented line or value, canaries a wrong word

    # the chance that the last of 60 labelled images is taken for another one of its request. It is
    # less for fewer images, and 0 for one that is alone (answers/tired.py)
    tires: Share = 0.0

    # how it describes images one by one: in lines, and under the keys of a JSON reply. Every n-th
    # image of a request (n, 2n, ...); 0: none. If several apply, the first of these is done
    skips_every: int = Field(0, ge=0)  # no line and no key
    says_nothing_every: int = Field(0, ge=0)  # "no comment"
    copies_every: int = Field(0, ge=0)  # the line of the image before it
    # a request with more images gets one sentence about all of them, in JSON {"answer": sentence}
    no_lines_above: int | None = Field(None, ge=0)

    # time
    latency_seconds: Seconds = 0.0
    latency_per_token_seconds: Seconds = 0.0
    latency_jitter_seconds: Seconds = 0.0
    first_byte_seconds: Seconds = 0.0
    upload_latency_seconds: Seconds = 0.0
    hang_seconds: Seconds = 600.0
    # so many calls are answered at once, the others wait in a line; no limit refuses any then
    knee: int | None = Field(None, ge=1)
    hold: bool = False  # admitted calls wait for their reply while this is on

    # faults
    seed: int = 0
    rates: dict[FaultKind, Share] = Field(default_factory=dict)
    keyed: tuple[KeyedFault, ...] = ()
    script: tuple[FaultKind | Literal["ok"], ...] = ()  # the faults of the next calls, in order
    faults_on: frozenset[Literal["chat", "files"]] = frozenset({"chat"})
    answer: RawAnswer | None = None  # to each chat call, instead of a reply
    outage: bool = False
    always_429: bool = False
    no_balance: bool = False
    refuse_keys: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        tier(self.tier)
        if sum(self.rates.values()) > 1:
            raise ValueError("the rates add up to more than 1")
        return self

    @property
    def limits(self) -> AccountLimits:
        """The account's limits: those of the tier, unless a setting overrides one."""
        base = tier(self.tier)
        return AccountLimits(
            self.concurrency or base.concurrency, self.rpm or base.rpm, self.tpm or base.tpm
        )

    def changed(self, changes: dict[str, object]) -> SandboxConfig:
        """This config with ``changes``, validated.

        Raises pydantic's ValidationError or core's WrongUsage.
        """
        return SandboxConfig.model_validate(self.model_dump() | changes)
