"""The models the sandbox serves, and their abilities (fact sheet 2.1, 3.1 and 7)."""

from __future__ import annotations

from dataclasses import dataclass

from overstory.sandbox.errors import Refusal, not_found, wrong_param

CREATED = 1_748_476_800  # 2025-05-29 for every model: the real values are not documented


@dataclass(frozen=True, slots=True)
class Model:
    """One model: context in tokens, vision, reasoning, and its reasoning efforts."""

    name: str
    context_tokens: int
    vision: bool
    reasons: bool
    efforts: tuple[str, ...] = ()
    json_schema: bool = False  # takes a response_format json_schema (list on the JSON page)
    tires: float = 0.0  # as ``SandboxConfig.tires``

    def card(self) -> dict[str, object]:
        """The object of ``GET /v1/models``: the documented fields and those seen live."""
        return {
            "id": self.name,
            "object": "model",
            "created": CREATED,
            "owned_by": "stepai",
            "model_type": "大语言模型",
            "max_input_tokens": self.context_tokens,
            "enable_vision_input": self.vision,
            "enable_reason": self.reasons,
            "reasoning_effort_support_list": list(self.efforts),
            "supported_protocols": ["chat"],
        }


ALL_EFFORTS = ("low", "medium", "high")
MODELS = {
    model.name: model
    for model in (
        Model("step-5-preview", 1_024_000, True, True, ALL_EFFORTS, True),
        Model("step-3.7-flash", 256_000, True, True, ALL_EFFORTS, True),
        Model("step-1o-turbo-vision", 32_000, True, False),
        Model("step-3.5-flash", 256_000, False, True, ALL_EFFORTS, True),
        Model("step-3.5-flash-2603", 256_000, False, True, ("low", "high"), True),
    )
}
TIRED = Model("sandbox-tires", 256_000, vision=True, reasons=False, tires=0.5)
"""A model of no provider: it gets worse with company. It is served, but in no list of models."""
RETIRED = frozenset({"step-1v-8k", "step-1v-32k", "step-1o-vision-32k", "step-3"})
RETIRED_PREFIXES = ("step-1-", "step-2-")
RETIRED_ON = "2026-07-08"


def find_model(name: str, unknown_status: int, also: str | None = None) -> Model:
    """The model called ``name``; ``also``: the name of one more, which takes images.

    Raises Refusal if it is unknown or retired, with ``unknown_status`` (400 by the docs, 404 was
    seen live).
    """
    if name in MODELS:
        return MODELS[name]
    if name == TIRED.name:
        return TIRED
    if name == also:
        return Model(name, 256_000, vision=True, reasons=False)
    raise _unknown(name, unknown_status)


def _unknown(name: str, status: int) -> Refusal:
    if status == 404:
        return not_found(f"model {name}")
    if name in RETIRED or name.startswith(RETIRED_PREFIXES):
        return wrong_param(f"model {name} not supported: retired on {RETIRED_ON}")
    return wrong_param(f"model {name} not supported")
