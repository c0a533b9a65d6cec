"""The models that Anthropic offers, as far as its SDK names them (A-SDK 2.12.0, ``types/model.py``)."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.responses import Response

from airflow_provider_llmbatch.emulator.anthropic.guard import admit_admin
from airflow_provider_llmbatch.emulator.anthropic.pages import page
from airflow_provider_llmbatch.emulator.options import Options
from airflow_provider_llmbatch.emulator.wire import AnthropicError, Call, reply, rfc3339
from airflow_provider_llmbatch.emulator.world import World

LONG_OUTPUT_BETA = "output-300k-2026-03-24"
LONG_OUTPUT_TOKENS = 300_000


class Model(NamedTuple):
    """What is known about a model.

    ``max_tokens`` is this emulator's assumption where FACTS has no figure; ``cache_tokens``, the shortest prefix
    that is cached, is from FACTS §2.8, and 1,024 where that is silent.
    """

    name: str
    max_tokens: int = 128_000
    cache_tokens: int = 1_024
    long_output: bool = False
    """Whether the beta for 300,000 output tokens applies, in batches only (FACTS §2.9)."""

    @property
    def id(self) -> str:
        """The name, under which lists know it."""
        return self.name

    @property
    def line(self) -> str | None:
        """Opus, Sonnet or another line."""
        word = self.name.split("-")[1] if "-" in self.name else ""
        return word if word in ("haiku", "sonnet", "opus", "fable", "mythos") else None


_CATALOGUE = (
    Model("claude-fable-5-2"),
    Model("claude-mythos-5-2"),
    Model("claude-haiku-5-5"),
    Model("claude-sonnet-5-5", cache_tokens=512, long_output=True),
    Model("claude-fable-5-1", cache_tokens=512),
    Model("claude-opus-5-5", cache_tokens=512, long_output=True),
    Model("claude-mythos-5-1"),
    Model("claude-sonnet-5", long_output=True),
    Model("claude-fable-5", cache_tokens=512),
    Model("claude-mythos-5", cache_tokens=512),
    Model("claude-opus-5", cache_tokens=512, long_output=True),
    Model("claude-opus-4-8", long_output=True),
    Model("claude-opus-4-7", cache_tokens=2_048, long_output=True),
    Model("claude-mythos-preview"),
    Model("claude-opus-4-6", cache_tokens=4_096, long_output=True),
    Model("claude-sonnet-4-6", 64_000, long_output=True),
    Model("claude-haiku-4-5", 64_000, 4_096),
    Model("claude-haiku-4-5-20251001", 64_000, 4_096),
    Model("claude-opus-4-5", 64_000, 4_096),
    Model("claude-opus-4-5-20251101", 64_000, 4_096),
    Model("claude-sonnet-4-5", 64_000),
    Model("claude-sonnet-4-5-20250929", 64_000),
)
CATALOGUE = {model.name: model for model in _CATALOGUE}


def find(name: str, options: Options) -> Model:
    """Return a model, or refuse as for one that does not exist."""
    if name in options.models:
        return Model(name)
    if name not in CATALOGUE:
        raise AnthropicError(404, f"model: {name}")
    return CATALOGUE[name]


async def list_models(world: World, call: Call) -> Response:
    """``GET /v1/models``"""
    models = [*CATALOGUE.values(), *map(Model, world.options.models)]
    return reply(page(models, call.request.query_params, render=lambda model: _describe(model, world.options)))


async def get_model(world: World, call: Call) -> Response:
    """``GET /v1/models/{model}``: with ``capabilities.batch``, by which a client may check before it asks."""
    return reply(_describe(find(call.params["model"], world.options), world.options))


async def rate_limits(world: World, call: Call) -> Response:
    """``GET /v1/organizations/rate_limits``: what an admin may read (FACTS §2.2)."""
    admit_admin(call.request)
    options = world.options
    limits = [
        {"type": "requests_per_minute", "value": options.batch_rpm},
        {"type": "enqueued_batch_requests", "value": options.queued_requests},
    ]
    entry = {
        "id": "rl_01BatchEmulator",
        "type": "rate_limit",
        "group": {"id": "rlg_01BatchEmulator", "type": "batch"},
        "limits": limits,
        "models": None,
    }
    wanted = call.request.query_params.get("group_type", "batch")
    return reply({"data": [entry] if wanted == "batch" else [], "next_page": None})


def _describe(model: Model, options: Options) -> dict[str, Any]:
    return {
        "id": model.name,
        "type": "model",
        "display_name": model.name.replace("-", " ").title(),
        "created_at": rfc3339(1_790_000_000),
        "deprecated_at": None,
        "retires_at": None,
        "lifecycle": "active",
        "line": model.line,
        "max_input_tokens": options.context_tokens,
        "max_tokens": model.max_tokens,
        "capabilities": _CAPABILITIES,
    }


def _yes(*names: str) -> dict[str, Any]:
    return {"supported": True} | {name: {"supported": True} for name in names}


_CAPABILITIES = {
    **{name: {"supported": True} for name in ("batch", "citations", "image_input", "pdf_input", "structured_outputs")},
    "code_execution": {"supported": False},
    "context_management": {"supported": False},
    "effort": _yes("low", "medium", "high", "xhigh", "max"),
    "server_tools": {
        "supported": False,
        "code_execution": {"supported": False},
        "web_search": {"supported": False},
    },
    "thinking": {
        "supported": True,
        "types": {name: {"supported": True} for name in ("adaptive", "between_tools", "disabled", "enabled")},
    },
}
