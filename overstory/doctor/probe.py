"""``overstory doctor --probe``: a few paid calls that show what the model sees of a request.

Their pictures are ours, each with a word on it. What they find out about the endpoint is kept like
what a run finds out, so the next run plans with it: limits and forms in endpoint_limits, tokens on
the ledger (core/account/token_fit.py), the rest in endpoint_probes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from clients.images.pillow import word_picture
from core.catalog.models import Structured
from core.errors import (
    AccountPaused,
    FormRefused,
    KeyRefused,
    OverstoryError,
    ProviderDown,
    RequestForm,
    RequestPart,
    SlowDown,
    TooMuch,
)
from core.reply import Reply, Usage
from core.requests.forms import cure_of, formed
from core.requests.probe import Probe, ProbeKind, is_cut, probes
from core.requests.probe_findings import ProbeFindings
from core.requests.request import Inline
from models import endpoint_limits, endpoint_probes
from overstory.doctor.context import Context
from overstory.doctor.endpoint import TOP_UP
from overstory.doctor.finding import Finding, failed, ok, warning
from overstory.local.home import prepare_command
from overstory.local.probe_price import price_of_probe
from overstory.output.plural import pluralize
from overstory.output.terminal import safe_line
from tasks.calls.single import SingleCall, SingleReply, ask

TIMEOUT_SECONDS = 120.0
REPLY_SHOWN = 80
NOT_SEEN = "set OVERSTORY_MODEL to a model that takes images, and check that the server passes them"
FORGET = "'overstory doctor --forget' forgets it"
CONTEXT_SETTINGS = "Ollama: OLLAMA_CONTEXT_LENGTH, llama.cpp: -c, vLLM: --max-model-len"
BY_HAND = "set OVERSTORY_STRUCTURED to what the server supports: json_schema, json_object, text"
FOUND_JSON: dict[Structured, str] = {
    "json_schema": "the server enforces a schema, also against the text of the prompt",
    "json_object": "the server has a JSON mode, and enforces no schema",
    "text": "the server keeps to no response_format",
}
OFF = 0.25
"""By what share the measured tokens of an image may differ from those that estimates count."""
FATAL = (KeyRefused, AccountPaused, ProviderDown, SlowDown)
"""After these the other calls would fail too."""
Answer = SingleReply | OverstoryError


@dataclass(frozen=True, slots=True)
class Asked:
    """A probe that was sent, and what came of it."""

    probe: Probe
    answer: Answer

    @property
    def reply(self) -> Reply | None:
        return self.answer.reply if isinstance(self.answer, SingleReply) else None

    @property
    def read(self) -> tuple[bool, ...]:
        """Of each picture, whether its word was read; empty if there was no reply."""
        return self.probe.read(self.reply) if self.reply else ()

    @property
    def reported(self) -> int:
        """Prompt tokens that the server reported; 0 if none."""
        usage = self.reply.usage if self.reply else None
        return usage.prompt_tokens if usage and not usage.estimated else 0


def planned(context: Context) -> list[Probe]:
    """The calls to make, with words chosen anew."""
    prepare_command(context.reached)
    settings = context.reached
    with context.services.database.read() as connection:
        learned = endpoint_limits.learned(connection, settings.endpoint, settings.model)
    return probes(settings, learned, random.SystemRandom())


def announcement(context: Context, calls: Sequence[Probe]) -> str:
    """``4 calls to step-3.7-flash, about 24,000 tokens, 0.0052 USD``."""
    settings = context.reached
    sums = price_of_probe(settings, calls).sums
    return f"{pluralize(len(calls), 'call')} to {settings.model}, {sums}"


def findings(context: Context, calls: Sequence[Probe]) -> Iterator[tuple[str, Finding]]:
    """Ask each of ``calls``; what it shows, by its name."""
    before: dict[ProbeKind, Asked] = {}
    forms = calls[0].leaf.context.forms
    for call in calls:
        probe = call if forms == call.leaf.context.forms else _planned_anew(context, call)
        asked = _ask(context, probe)
        forms = asked.probe.leaf.context.forms
        yield _name(probe), _finding(context, asked, before)
        if isinstance(asked.answer, FATAL):
            break
        before[probe.kind] = asked
        if probe.kind is ProbeKind.ONE and not any(asked.read):
            break  # the others would show no more
    _keep(context, before)


def _name(probe: Probe) -> str:
    is_several = probe.kind is ProbeKind.SEVERAL
    return f"{len(probe.words)} images" if is_several else str(probe.kind)


def _ask(context: Context, probe: Probe) -> Asked:
    """Ask ``probe``, again in another form for each part of it that the endpoint refuses."""
    for _ in RequestForm:
        answer = _answer(context, probe)
        if not isinstance(answer, FormRefused) or not _learn_form(context, probe, answer):
            break
        probe = _planned_anew(context, probe)
    return Asked(probe, answer)


def _planned_anew(context: Context, probe: Probe) -> Probe:
    """The same call by what is known of the endpoint now."""
    return next(other for other in planned(context) if other.kind is probe.kind)


def _answer(context: Context, probe: Probe) -> Answer:
    pictures = [word_picture(word, *probe.size) for word in probe.words]
    inline = {
        name: Inline("image/png", len(data), partial(bytes, data))
        for name, data in zip(probe.names, pictures, strict=True)
    }
    shared, body = probe.leaf.context, probe.body
    call = SingleCall(
        formed(body, shared.forms, shared.reply_tokens),
        inline,
        probe.parts,
        probe.prompt_tokens_most,
        probe.completion_tokens,
        int(body["max_tokens"]),
    )
    is_limited = context.settings.broker_url is not None or context.stack is not None
    try:
        return ask(context.services, call, TIMEOUT_SECONDS, is_limited)
    except OverstoryError as error:
        return error


def _finding(context: Context, asked: Asked, before: Mapping[ProbeKind, Asked]) -> Finding:
    if isinstance(asked.answer, OverstoryError):
        return _refused(context, asked.probe, asked.answer)
    match asked.probe.kind:
        case ProbeKind.ONE:
            return _one(context, asked, asked.answer)
        case ProbeKind.SEVERAL:
            return _several(context, asked, before)
        case ProbeKind.LONG:
            return _long(context, asked, asked.answer.reply.usage)
        case ProbeKind.LARGE:
            return _large(context, asked, before)
        case ProbeKind.JSON:
            return _json(context, asked, asked.answer.reply)


def _refused(context: Context, probe: Probe, error: OverstoryError) -> Finding:
    if isinstance(error, TooMuch) and len(probe.words) > 1:
        sent = len(probe.words) if error.part is RequestPart.IMAGES else probe.prompt_tokens
        most = error.most if error.most and error.most < sent else sent // 2
        if error.part is not RequestPart.BYTES:
            _learn(context, error.part, most, error.message, named=most == error.most)
        return warning(str(error), f"runs keep to it from now on; {FORGET}")
    do = "the endpoint must take images as parts of a message"
    if isinstance(error, AccountPaused):
        do = TOP_UP
    elif isinstance(error, FATAL):
        do = "correct that, or try again in a minute"
    is_fatal = isinstance(error, FATAL) or probe.kind is ProbeKind.ONE
    return failed(str(error), do) if is_fatal else warning(str(error), do)


def _one(context: Context, asked: Asked, answer: SingleReply) -> Finding:
    reply = answer.reply
    if not all(asked.read):
        said = safe_line(reply.text.strip())[:REPLY_SHOWN] or "nothing"
        return failed(f"the model does not read the word on a picture; it says: {said}", NOT_SEEN)
    took = f"{answer.seconds:.1f} s"
    if not asked.probe.in_form(reply):
        return warning(
            f"the model reads the word on a picture ({took}), but does not reply in JSON as asked",
            BY_HAND,
        )
    if reply.usage.estimated:
        return warning(
            f"the model reads the word on a picture ({took}); the server reports no tokens",
            "estimates, budgets and limits count what our formula says",
        )
    tokens = f"{reply.usage.prompt_tokens:,} prompt tokens"
    return ok(f"the model reads the word on a picture ({tokens}, {took})")


def _several(context: Context, asked: Asked, before: Mapping[ProbeKind, Asked]) -> Finding:
    shown, read = len(asked.read), sum(asked.read)
    if is_cut(asked.read) or not read:
        most = max(read, 1)
        says = f"the server shows the model {read} of {shown} pictures"
        _learn(context, RequestPart.IMAGES, most, f"{says} (doctor --probe)")
        return warning(
            f"{says}: runs send at most {pluralize(most, 'image')} a request from now on",
            f"raise the server's limit (vLLM: --limit-mm-per-prompt) or its context; {FORGET}",
        )
    if read < shown:
        return warning(
            f"the model reads the words on {read} of {shown} pictures in one request",
            "answers are better with fewer: set OVERSTORY_IMAGES_PER_REQUEST",
        )
    if asked.reply is not None and not asked.probe.in_form(asked.reply):
        return warning(
            f"the model reads the words on all {shown} pictures, but mixes up their numbers",
            "answers are better with fewer images: set OVERSTORY_IMAGES_PER_REQUEST",
        )
    return _tokens(
        context,
        f"the model reads the words on all {shown} pictures of one request",
        asked.probe,
        _tokens_of_small(asked, before),
    )


def _long(context: Context, asked: Asked, usage: Usage) -> Finding:
    sent = asked.probe.prompt_tokens
    if all(asked.read):
        return ok(f"a prompt of about {sent:,} tokens arrives whole")
    is_counted = not usage.estimated and usage.prompt_tokens < sent * (1 - OFF)
    says = f"a prompt of about {sent:,} tokens does not arrive whole"
    if is_counted:
        says += f": the server counts {usage.prompt_tokens:,}"
        _learn(context, RequestPart.TOKENS, usage.prompt_tokens, f"{says} (doctor --probe)")
    return warning(says, f"raise the server's context ({CONTEXT_SETTINGS}); {FORGET}")


def _large(context: Context, asked: Asked, before: Mapping[ProbeKind, Asked]) -> Finding:
    width, height = asked.probe.size
    if not all(asked.read):
        return warning(
            f"the model does not read the word on a picture of {width:,} x {height:,} pixels",
            "ask with --detail low",
        )
    small, one = _tokens_of_small(before.get(ProbeKind.SEVERAL), before), before[ProbeKind.ONE]
    tokens = None
    if small is not None and asked.reported and one.reported:
        tokens = small + asked.reported - one.reported
    says = f"the model reads a picture of {width:,} x {height:,} pixels"
    return _tokens(context, says, asked.probe, tokens)


def _json(context: Context, asked: Asked, reply: Reply) -> Finding:
    probe = asked.probe
    mode = probe.json_mode(reply)
    if mode is None:
        return warning("the reply is cut short or empty: how JSON works here is not known", BY_HAND)
    if mode == probe.asked:
        return ok(FOUND_JSON[mode])
    form = cure_of(RequestForm.NO_JSON_SCHEMA, probe.body, probe.leaf.context.forms)
    if form is RequestForm.NO_JSON_SCHEMA:
        _learn(context, form, 0, "a reply did not keep to its schema (doctor --probe)")
    return ok(f"{FOUND_JSON[mode]}: the prompt has the schema from now on; {FORGET}")


def _keep(context: Context, asked: Mapping[ProbeKind, Asked]) -> None:
    """Keep what was found, unless no call was answered."""
    answered = [one for one in asked.values() if isinstance(one.answer, SingleReply)]
    if not answered:
        return
    replies = [one.reply for one in answered if one.reply]
    seconds = [one.answer.seconds for one in answered if isinstance(one.answer, SingleReply)]
    several, long = asked.get(ProbeKind.SEVERAL), asked.get(ProbeKind.LONG)
    json = asked.get(ProbeKind.JSON)
    found = ProbeFindings(
        images=max(sum(one.read) for one in (several, asked[ProbeKind.ONE]) if one),
        prompt_tokens=(long.reported or long.probe.prompt_tokens)
        if long and all(long.read)
        else None,
        json=json.probe.json_mode(json.reply) if json and json.reply else None,
        reports_usage=not any(reply.usage.estimated for reply in replies),
        seconds=(min(seconds), max(seconds)),
        headers=next((reply.limits for reply in reversed(replies) if reply.limits), ""),
    )
    settings = context.reached
    with context.services.database.write() as connection:
        endpoint_probes.keep(connection, settings.endpoint, settings.model, found)


def _tokens_of_small(several: Asked | None, before: Mapping[ProbeKind, Asked]) -> float | None:
    """Measured prompt tokens of one small picture; None where the server reports none, or where
    some were not seen."""
    one = before[ProbeKind.ONE]
    if several is None or not all(several.read) or not several.reported or not one.reported:
        return None
    text = several.probe.text_tokens - one.probe.text_tokens
    return (several.reported - one.reported - text) / (len(several.read) - len(one.read))


def _tokens(context: Context, says: str, probe: Probe, measured: float | None) -> Finding:
    """``says``, and what a picture takes beside what estimates count."""
    if measured is None:
        return ok(says)
    counted = probe.image_tokens // len(probe.words)
    tokens = f"{says}; one takes about {max(measured, 0):,.0f} tokens"
    if abs(measured - counted) <= OFF * counted:
        return ok(f"{tokens}, estimates count {counted:,}")
    if context.reached.facts_of(context.reached.model).entry is None:
        return ok(f"{tokens}, which estimates count from now on")
    return warning(
        f"{tokens}, but estimates count {counted:,}",
        "take estimates of tokens and cost with care; budgets and bills use what replies report",
    )


def _learn_form(context: Context, probe: Probe, error: FormRefused) -> bool:
    """Keep the form that avoids a refusal; False if none does."""
    form = cure_of(error.form, probe.body, probe.leaf.context.forms)
    if form is None or form in (RequestForm.INLINE, RequestForm.JPEG):  # as our pictures are sent
        return False
    _learn(context, form, error.most or 0, error.message, named=True)
    return True


def _learn(
    context: Context,
    part: RequestPart | RequestForm,
    most: int,
    message: str,
    named: bool = False,
) -> None:
    settings = context.reached
    with context.services.database.write() as connection:
        endpoint_limits.learn(
            connection,
            settings.endpoint,
            settings.model,
            part,
            most,
            named,
            message,
            measured=not named,
        )
