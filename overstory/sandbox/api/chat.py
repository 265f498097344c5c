"""``POST /v1/chat/completions``."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

from overstory.sandbox.answers.compose import compose
from overstory.sandbox.api.handler import ClientGone, Handler
from overstory.sandbox.call_log import ABANDONED, Call
from overstory.sandbox.config import FaultKind
from overstory.sandbox.errors import Refusal, server_fault
from overstory.sandbox.faults import keyed_fault, refusal_of
from overstory.sandbox.models import find_model
from overstory.sandbox.protocol.image_sources import Sources
from overstory.sandbox.protocol.prompt import budget, fingerprint
from overstory.sandbox.protocol.reply import Reply, Usage, spend, spoiled
from overstory.sandbox.protocol.request import ChatRequest, model_name, read_request
from overstory.sandbox.protocol.sight import Sight, sight_of
from overstory.sandbox.vision.decode import Picture

HOLD_SECONDS = 0.02
"""How often a held call checks whether it may continue."""


class Chat(Handler):
    """Reads, admits, generates and delivers; every call is recorded in the ledger."""

    async def post(self) -> None:
        self._account = self.state.account(self.authorization)
        self._call = call = Call(self.trace, self._account.name)
        try:
            self.state.check_open(paid=True)
            self.state.check_always_429()
            with self.state.slot(self._account):
                await self._answer()
        except Refusal as refusal:
            call.status, call.kind = refusal.status, refusal.kind
            raise
        except ClientGone:
            call.status, call.kind = ABANDONED, "abandoned"
        finally:
            self.state.ledger.reply(call)

    async def _answer(self) -> None:
        body = await self.json_object()
        config = self.config
        model = find_model(model_name(body), config.unknown_model_status, config.also_serves)
        request = read_request(body, model, self.config)
        self._call.model = model.name
        sources = Sources(self._account.files, self.state.decoder, self.config)
        pictures = await sources.pictures(request.images)
        self._call.images = tuple(picture.sha for picture in pictures)
        self._call.request = fingerprint(body, pictures)
        sight = sight_of(request, pictures, self.config)
        self._call.seen = self._call.images[: sight.images]
        self._notice(request, pictures)
        self._admit(request, sight)
        if self._answered_raw(len(pictures)):
            return
        fault = self._fault(request, pictures)
        if await self._failed(fault):
            return
        reply = self._generate(request, pictures, sight, fault)
        self._call.usage = reply.usage
        try:
            await self._deliver(reply, request.stream, fault)
        finally:
            self.state.settle(self._account, reply.usage.completion)

    def _admit(self, request: ChatRequest, sight: Sight) -> None:
        """Count the prompt and write the ledger's start line. Raises Refusal 400, 429."""
        account, call = self._account, self._call
        call.usage = Usage(sight.prompt_tokens, 0, 0)
        self._room(request)
        self.state.charge(account, sight.prompt_tokens)
        cached = account.cache.read(request.model.name, sight.segments, self.config.cache_blocks)
        call.usage = Usage(sight.prompt_tokens, cached, 0)
        self.state.ledger.start(call)

    def _room(self, request: ChatRequest) -> int:
        """The maximum number of completion tokens. Raises Refusal 400."""
        cuts = self.config.keeps_tokens is not None
        return budget(request, self._call.usage.prompt, cuts)

    def _notice(self, request: ChatRequest, pictures: list[Picture]) -> None:
        """Count what is allowed but not recommended."""
        notices = self.state.ledger.notices
        notices["detail_omitted"] += sum(not image.detail_given for image in request.images)
        described = [picture.description for picture in pictures]
        notices["over_4096_px"] += sum(max(d.width, d.height) > 4096 for d in described)

    def _answered_raw(self, images: int) -> bool:
        """Answer as the config says, as another server or something in between would."""
        answer = self.config.answer
        if answer is None or images <= answer.images_free:
            return False
        self._call.status, self._call.kind = answer.status, "raw"
        self.set_status(answer.status)
        self.set_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.finish(answer.body)
        return True

    def _fault(self, request: ChatRequest, pictures: list[Picture]) -> FaultKind | None:
        config = self.config
        drawn = self.state.faults.draw(config) if "chat" in config.faults_on else None
        texts = [text for turn in request.turns for text in turn.texts]
        return keyed_fault(config.keyed, texts, pictures) or drawn

    async def _failed(self, fault: FaultKind | None) -> bool:
        """Carry out a fault that leaves no reply. True if the connection was closed."""
        refusal = refusal_of(fault, self.config)
        if refusal:
            raise refusal
        if fault is FaultKind.TIMEOUT:
            await self.pause(self.config.hang_seconds)
            raise server_fault(503)
        if fault is FaultKind.RESET:
            self._call.status, self._call.kind = 0, "reset"
            self.hang_up(reset=True)
        return fault is FaultKind.RESET

    def _generate(
        self,
        request: ChatRequest,
        pictures: list[Picture],
        sight: Sight,
        fault: FaultKind | None,
    ) -> Reply:
        usage = self._call.usage
        room = self._room(request)
        thinking = self.config.reasoning_tokens if request.model.reasons else 0
        text = compose(request, pictures, sight.images, max(0, room - thinking), self.config)
        spent = spoiled(spend(text, thinking, room, request.stops), fault, room)
        return Reply(
            id=f"{self.trace}.{uuid4().hex}",
            model=request.model.name,
            created=int(time.time()),
            content=self.config.content_form.replace("{content}", spent.content),
            reasoning=spent.reasoning,
            finish=spent.finish,
            usage=Usage(usage.prompt, usage.cached, spent.tokens * request.choices),
            choices=request.choices,
            reports_usage=self.config.usage == "reported",
        )

    async def _deliver(self, reply: Reply, stream: bool, fault: FaultKind | None) -> None:
        self._call.status, self._call.kind = 200, str(fault or "")
        async with self.state.line.turn():
            await self.pause(self.state.faults.latency(self.config))
            if stream:
                await self._send_stream(reply, fault)
            else:
                await self._send_at_once(reply, fault)

    async def _held(self) -> None:
        """Wait while the config holds replies."""
        while self.config.hold:
            await self.pause(HOLD_SECONDS)

    async def _send_at_once(self, reply: Reply, fault: FaultKind | None) -> None:
        config = self.config
        generating = config.latency_per_token_seconds * reply.usage.completion
        await self.pause(config.first_byte_seconds + generating)
        await self._held()
        value = reply.completion()
        if fault is FaultKind.NO_CHOICES:
            value["choices"] = []
        text = json.dumps(value, ensure_ascii=False)
        self.set_header("Content-Type", "application/json")
        if fault is FaultKind.CUT:
            self.set_header("Content-Length", str(len(text.encode())))
            await self.push(text[: len(text) // 2])
            return self.hang_up()
        if self.request.connection is None or self._gone.is_set():
            raise ClientGone
        self.finish(text[:-2] if fault is FaultKind.INVALID_JSON else text)
        return None

    async def _send_stream(self, reply: Reply, fault: FaultKind | None) -> None:
        config = self.config
        self.set_header("Content-Type", "text/event-stream")
        await self.push("")
        await self.pause(config.first_byte_seconds)
        await self._held()
        chunks = list(reply.chunks(config.stream_tokens_per_chunk, config.stream_dialect))
        if fault is FaultKind.CUT:
            chunks = chunks[: max(1, len(chunks) // 2)]
        for tokens, chunk in chunks:
            await self.pause(tokens * config.latency_per_token_seconds)
            await self.push(_event(_chunk_text(chunk, fault)))
        if fault is FaultKind.CUT:
            return self.hang_up()
        await self.push("data: [DONE]\n\n")
        await self.finish()
        return None


def _event(data: str) -> str:
    return f"data: {data}\n\n"


def _chunk_text(chunk: dict[str, Any], fault: FaultKind | None) -> str:
    if fault is FaultKind.NO_CHOICES:
        chunk = chunk | {"choices": []}
    text = json.dumps(chunk, ensure_ascii=False)
    return text[:-2] if fault is FaultKind.INVALID_JSON else text
