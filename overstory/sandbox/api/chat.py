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
from overstory.sandbox.faults import bound_fault, refusal_of
from overstory.sandbox.models import find_model
from overstory.sandbox.protocol.image_sources import Sources
from overstory.sandbox.protocol.prompt import budget, fingerprint, segments_of
from overstory.sandbox.protocol.reply import Reply, Spent, Usage, spend, spoiled
from overstory.sandbox.protocol.request import ChatRequest, model_name, read_request
from overstory.sandbox.state import Account
from overstory.sandbox.vision.decode import Picture

HOLD_SECONDS = 0.02
"""How often a held call checks whether it may go on."""


class Chat(Handler):
    """Reads, admits, generates, delivers; every call ends in the ledger."""

    async def post(self) -> None:
        """One chat call."""
        account = self.house.account(self.authorization)
        call = Call(self.trace, account.name)
        try:
            self.house.check_open(paid=True)
            self.house.check_calm()
            with self.house.place(account):
                await self._answer(account, call)
        except Refusal as refusal:
            call.status, call.kind = refusal.status, refusal.kind
            raise
        except ClientGone:
            call.status, call.kind = ABANDONED, "abandoned"
        finally:
            self.house.ledger.reply(call)

    async def _answer(self, account: Account, call: Call) -> None:
        body = await self.json_object()
        config = self.config
        model = find_model(model_name(body), config.unknown_model_status)
        ask = read_request(body, model, config)
        call.model = model.name
        pictures = await Sources(account.files, self.house.eyes, config).pictures(ask.images)
        self._admit(account, call, ask, body, pictures)
        fault = self._fault(ask, pictures)
        if await self._failed(fault, call):
            return
        reply = self._generate(account, call, ask, pictures, fault)
        try:
            await self._deliver(reply, ask.stream, fault, call)
        finally:
            self.house.settle(account, reply.usage.completion)

    def _admit(
        self,
        account: Account,
        call: Call,
        ask: ChatRequest,
        body: dict[str, Any],
        pictures: list[Picture],
    ) -> None:
        """Count the prompt and write the ledger's start line. Raises Refusal 400, 429."""
        segments = segments_of(ask, pictures)
        prompt_tokens = sum(segment.tokens for segment in segments)
        call.images = tuple(picture.sha for picture in pictures)
        call.request = fingerprint(body, pictures)
        call.usage = Usage(prompt_tokens, 0, 0)
        self._notice(ask, pictures)
        budget(ask, prompt_tokens)
        self.house.charge(account, prompt_tokens)
        cached = account.cache.read(ask.model.name, segments, self.config.cache_blocks)
        call.usage = Usage(prompt_tokens, cached, 0)
        self.house.ledger.start(call)

    def _notice(self, ask: ChatRequest, pictures: list[Picture]) -> None:
        """Count what is allowed but unwise."""
        notices = self.house.ledger.notices
        notices["detail_omitted"] += sum(not image.detail_given for image in ask.images)
        sides = (max(picture.look.width, picture.look.height) for picture in pictures)
        notices["over_4096_px"] += sum(side > 4096 for side in sides)

    def _fault(self, ask: ChatRequest, pictures: list[Picture]) -> FaultKind | None:
        config = self.config
        drawn = self.house.faults.draw(config) if "chat" in config.faults_on else None
        texts = [text for turn in ask.turns for text in turn.texts]
        return bound_fault(config.keyed, texts, pictures) or drawn

    async def _failed(self, fault: FaultKind | None, call: Call) -> bool:
        """Act out a fault that leaves no reply. True when the connection is gone."""
        refusal = refusal_of(fault, self.config)
        if refusal:
            raise refusal
        if fault is FaultKind.TIMEOUT:
            await self.pause(self.config.hang_seconds)
            raise server_fault(503)
        if fault is FaultKind.RESET:
            call.status, call.kind = 0, "reset"
            self.hang_up(reset=True)
        return fault is FaultKind.RESET

    def _generate(
        self,
        account: Account,
        call: Call,
        ask: ChatRequest,
        pictures: list[Picture],
        fault: FaultKind | None,
    ) -> Reply:
        spent = self._spend(ask, pictures, call.usage.prompt, fault)
        call.usage = Usage(call.usage.prompt, call.usage.cached, spent.tokens * ask.choices)
        return Reply(
            id=f"{self.trace}.{uuid4().hex}",
            model=ask.model.name,
            created=int(time.time()),
            content=spent.content,
            reasoning=spent.reasoning,
            finish=spent.finish,
            usage=call.usage,
            choices=ask.choices,
        )

    def _spend(
        self, ask: ChatRequest, pictures: list[Picture], prompt_tokens: int, fault: FaultKind | None
    ) -> Spent:
        room = budget(ask, prompt_tokens)
        thinking = self.config.reasoning_tokens if ask.model.reasons else 0
        text = compose(ask, pictures, max(0, room - thinking), self.config)
        return spoiled(spend(text, thinking, room, ask.stops), fault, room)

    async def _deliver(
        self, reply: Reply, stream: bool, fault: FaultKind | None, call: Call
    ) -> None:
        call.status = 200
        call.kind = str(fault or "")
        await self.pause(self.house.faults.latency(self.config))
        if stream:
            await self._stream(reply, fault)
        else:
            await self._whole(reply, fault)

    async def _held(self) -> None:
        """Wait until the configuration holds no replies any more."""
        while self.config.hold:
            await self.pause(HOLD_SECONDS)

    async def _whole(self, reply: Reply, fault: FaultKind | None) -> None:
        config = self.config
        each = config.latency_per_token_seconds * reply.usage.completion
        await self.pause(config.first_byte_seconds + each)
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
        await self._finish_whole(text[:-2] if fault is FaultKind.INVALID_JSON else text)
        return None

    async def _finish_whole(self, text: str) -> None:
        if self.request.connection is None or self._gone.is_set():
            raise ClientGone
        self.finish(text)

    async def _stream(self, reply: Reply, fault: FaultKind | None) -> None:
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
            await self.push(_event(_broken(chunk, fault)))
        if fault is FaultKind.CUT:
            return self.hang_up()
        await self.push("data: [DONE]\n\n")
        await self.finish()
        return None


def _event(data: str) -> str:
    return f"data: {data}\n\n"


def _broken(chunk: dict[str, Any], fault: FaultKind | None) -> str:
    if fault is FaultKind.NO_CHOICES:
        chunk = chunk | {"choices": []}
    text = json.dumps(chunk, ensure_ascii=False)
    return text[:-2] if fault is FaultKind.INVALID_JSON else text
