"""A job as it is requested: by the command, by a message of another app, by a client."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from core.answers.json_schema import check
from core.answers.spec import check_parts
from core.catalog.tokens import JobDetail
from core.errors import WrongUsage
from core.images.inputs import LOCATION_BYTES_MAX
from core.job_options import JobOptions
from core.prompts.own import check_own
from core.text.printable import one_line
from core.text.sanitize import UNSTORABLE, all_storable

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100_000)]
Column = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Hook = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2_000)]
INPUT_CHARACTERS_MAX = LOCATION_BYTES_MAX
"""Of one path or URL; its bytes are counted when it is expanded."""
ERRORS_SHOWN = 5
ERROR_CHARACTERS = 400
NOTHING_ASKED = "ask: nothing is asked: give ask (of the set), each (of every image), or both"
PACK_WITHOUT_PLACE = "pack: a canary takes a place of each request: give 2 or more, or no canary"
SECOND_LOOK = 0.2
"""The share of a job's images that is looked at twice at most, where none is given."""
SECOND_LOOK_ALONE = (
    "second_look: nothing would be looked at twice: give detail auto or second_model, or leave it"
    " out"
)
BARE_ONCE = (
    "bare: it takes a plain answer as it is, so no image can be marked as unclear: leave out"
    " detail auto and second_model, or bare"
)
BY_ONCE = "by: a unit is not looked at twice: leave out detail auto and second_model, or by"
BARE_WITH = "bare: it takes a plain answer as it is: leave out each, schema, by and canary, or bare"


class JobSpec(BaseModel):
    """What ``overstory.submit`` takes. Unknown names are refused, so a typing error shows."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True
    )

    images: Annotated[list[str], Field(min_length=1, description="files, folders, globs, URLs")]
    ask: Annotated[Words | None, Field(description="of the set; optional if each is given")] = None
    each: Annotated[Words | None, Field(description="asked about every image")] = None
    schema_: dict[str, Any] | None = Field(
        None, alias="schema", description="JSON Schema of the answers"
    )
    by: Column | None = Field(
        None, description="one answer a unit: folder, document, date, or a column of a table"
    )
    image_column: Column | None = Field(
        None, description="of a table among images: the column with the paths or URLs"
    )
    with_: list[Column] | None = Field(
        None, alias="with", description="facts shown beside an image: name, taken, gps, columns"
    )
    similar: bool = Field(
        False, description="ask about the best image of a burst alone; the others are left out"
    )
    key: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = Field(
        None, description="the same key is the same job"
    )
    label: Annotated[str, StringConstraints(max_length=255)] | None = Field(
        None, description="a word of yours to find the job by"
    )
    detail: JobDetail | None = Field(
        None, description="resolution; auto: high at a second look at unclear images"
    )
    model: Annotated[str, StringConstraints(max_length=255)] | None = Field(
        None, description="default: the service's"
    )
    second_model: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = Field(
        None, description="asked again about unclear images"
    )
    second_look: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description=f"share of the images looked at twice, at most; default {SECOND_LOOK}"
    )
    fetch: bool = Field(False, description="download URLs here, not at the provider")
    fresh: bool = Field(False, description="take no paid replies of other jobs")
    keep_files: bool = Field(False, description="leave the files at the provider after the job")
    fail_fast: bool = Field(False, description="end when the first image fails")
    min_coverage: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="end once this share of the images cannot be reached"
    )
    budget: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None, description="the most the job may cost, in the currency of the prices"
    )
    prompts: dict[str, str] | None = Field(None, description="own prompt texts, by name")
    bare: bool = Field(False, description="take replies as they are; coverage counts what was sent")
    canary: bool = Field(
        False, description="add pictures of our own that prove that the model sees"
    )
    pack: Annotated[int, Field(ge=1)] | None = Field(None, description="images a request at most")
    webhook: Hook | None = Field(None, description="gets a signed POST when the job ends")
    weight: Annotated[float, Field(gt=0, le=1000)] = Field(
        1.0, description="share of the account against other jobs"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _check_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Images are checked when they are expanded: a path may have bytes that are not UTF-8."""
        if info.field_name != "images" and not all_storable(value):
            raise ValueError(UNSTORABLE)
        return value

    @field_validator("images")
    @classmethod
    def _check_lengths(cls, images: list[str]) -> list[str]:
        for number, text in enumerate(images, 1):
            if len(text) > INPUT_CHARACTERS_MAX:
                raise WrongUsage(
                    f"images: input {number:,} has {len(text):,} characters, and"
                    f" {INPUT_CHARACTERS_MAX:,} is the most: give a shorter path or URL"
                )
        return images

    @field_validator("prompts")
    @classmethod
    def _check_prompts(cls, own: dict[str, str] | None) -> dict[str, str] | None:
        try:
            return (check_own(own) or None) if own else None
        except WrongUsage as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.ask is None and self.each is None:
            raise WrongUsage(NOTHING_ASKED)
        if self.bare and (self.each is not None or self.schema_ is not None or self.canary):
            raise WrongUsage(BARE_WITH)
        if self.bare and self.by is not None:
            raise WrongUsage(BARE_WITH)
        if self.pack == 1 and self.canary:
            raise WrongUsage(PACK_WITHOUT_PLACE)
        if self.schema_ is not None:
            check(self.schema_)
            # a unit that is divided is merged from records
            check_parts(self.schema_text, folds=self.each is None or self.by is not None)
        return self

    def looking_twice(self, detail: JobDetail) -> JobOptions:
        """The options of a job that is asked at ``detail``, with the share that may be looked at
        twice. Raises WrongUsage if the job cannot look twice as it is asked to."""
        if detail != "auto" and self.second_model is None:
            if self.second_look is not None:
                raise WrongUsage(SECOND_LOOK_ALONE)
            return self.options
        if self.bare:
            raise WrongUsage(BARE_ONCE)
        if self.by is not None:
            raise WrongUsage(BY_ONCE)
        return replace(self.options, second_look=self.second_look or SECOND_LOOK)

    @property
    def question(self) -> str:
        """What the job is called by: its question about the set, else the one about each image."""
        return self.ask or self.each or ""

    @property
    def schema_text(self) -> str | None:
        """The schema with its properties in their order, which JSON columns do not keep."""
        return None if self.schema_ is None else json.dumps(self.schema_, ensure_ascii=False)

    @property
    def options(self) -> JobOptions:
        """The options that the job's row keeps."""
        return JobOptions(
            fetch=self.fetch,
            fresh=self.fresh,
            keep_files=self.keep_files,
            fail_fast=self.fail_fast,
            min_coverage=self.min_coverage,
            budget=self.budget,
            prompts=self.prompts or {},
            each=self.each if self.by is None else self.each or self.ask,
            schema=self.schema_text,
            each_only=self.ask is None,
            bare=self.bare,
            canary=self.canary,
            pack=self.pack,
            second_model=self.second_model,
            by=self.by,
            facts=tuple(dict.fromkeys(self.with_ or ())),
            similar=self.similar,
        )


def parse_spec(values: dict[str, Any]) -> JobSpec:
    """A JobSpec from a message's arguments. Raises WrongUsage naming each wrong field."""
    try:
        return JobSpec(**values)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        lines = [_line(e["loc"], e["msg"]) for e in errors[:ERRORS_SHOWN]]
        if len(errors) > ERRORS_SHOWN:
            lines.append(f"and {len(errors) - ERRORS_SHOWN:,} more")
        if values.get("ask") is None and values.get("each") is None:
            lines.append(NOTHING_ASKED)
        raise WrongUsage("overstory.submit refused its arguments: " + "; ".join(lines)) from None


def _line(place: tuple[int | str, ...], message: str) -> str:
    return one_line(f"{'.'.join(map(str, place))}: {message}", ERROR_CHARACTERS)
