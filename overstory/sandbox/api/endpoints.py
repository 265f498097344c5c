"""The small endpoints: models, token count, account, and the sandbox's own controls."""

from __future__ import annotations

from pydantic import ValidationError

from core.errors import WrongUsage
from overstory.sandbox.api.handler import Handler
from overstory.sandbox.errors import wrong_param
from overstory.sandbox.models import MODELS, find_model
from overstory.sandbox.protocol.image_sources import Sources
from overstory.sandbox.protocol.prompt import segments_of
from overstory.sandbox.protocol.request import model_name, read_messages


class Models(Handler):
    """``GET /v1/models``."""

    def get(self) -> None:
        self.account()
        cards = [model.card() for model in MODELS.values()]
        self.send({"object": "list", "data": cards})


class OneModel(Handler):
    """``GET /v1/models/{id}``; 404 for an unknown model."""

    def get(self, name: str) -> None:
        self.account()
        self.send(find_model(name, 404).card())


class TokenCount(Handler):
    """``POST /v1/token/count``: no limit is documented, so it counts toward none."""

    async def post(self) -> None:
        account, body = self.account(), await self.json_object()
        config = self.config
        model = find_model(model_name(body), config.unknown_model_status, config.also_serves)
        request = read_messages(body, model, self.config)
        pictures = await Sources(account.files, self.state.decoder, self.config).pictures(
            request.images
        )
        segments = segments_of(request, pictures, config.tokens_an_image)
        total = sum(segment.tokens for segment in segments)
        self.send({"data": {"total_tokens": total}})


class Balance(Handler):
    """``GET /v1/accounts``: a balance of 100, or 0 while ``no_balance`` is on."""

    def get(self) -> None:
        self.account()
        cash = 0.0 if self.config.no_balance else 100.0
        self.send(
            {
                "object": "account",
                "type": "prepaid",
                "balance": cash,
                "total_cash_balance": cash,
                "total_voucher_balance": 0.0,
            }
        )


class Stats(Handler):
    """``GET /_sandbox/stats``: the sandbox's counts, to check a client against."""

    def get(self) -> None:
        self.send(self.state.stats())


class Config(Handler):
    """``/_sandbox/config``: read it, or change a part of it at run time."""

    def get(self) -> None:
        self.send(self.config.model_dump(mode="json"))

    async def post(self) -> None:
        """A partial update. Raises Refusal 400, and then changes nothing."""
        changes = await self.json_object()
        try:
            self.state.configure(changes)
        except (ValidationError, WrongUsage) as error:
            raise wrong_param(str(error)) from error
        self.get()


class Reset(Handler):
    """``POST /_sandbox/reset``: clears counts, windows and prompt caches; files stay."""

    def post(self) -> None:
        self.state.reset()
        self.send(self.state.stats())
