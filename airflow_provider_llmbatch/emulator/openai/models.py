"""The models that OpenAI offers, as far as its SDK names them (O-SDK 3.54.0, ``types/shared/chat_model.py``)."""

from __future__ import annotations

import re

from starlette.responses import Response

from airflow_provider_llmbatch.emulator.options import Options
from airflow_provider_llmbatch.emulator.wire import Call, OpenAIError, reply
from airflow_provider_llmbatch.emulator.world import World

SNAPSHOTS = {
    "gpt-6-astra": "2026-10-01",
    "gpt-6.2-astra": "2026-10-01",
    "gpt-6.1-sol": "2026-10-01",
    "gpt-6.2-sol": "2026-10-01",
    "gpt-6.1-terra": "2026-10-01",
    "gpt-6-sol": "2026-10-01",
    "gpt-6-luna": "2026-10-01",
    "gpt-5.6-sol": "",
    "gpt-5.6-terra": "",
    "gpt-5.6-luna": "",
    "gpt-5.5": "2026-04-23",
    "gpt-5.4": "",
    "gpt-5.4-mini": "2026-03-17",
    "gpt-5.4-nano": "2026-03-17",
    "gpt-5.2": "2025-12-11",
    "gpt-5.2-pro": "2025-12-11",
    "gpt-5.1": "2025-11-13",
    "gpt-5": "2025-08-07",
    "gpt-5-mini": "2025-08-07",
    "gpt-5-nano": "2025-08-07",
    "gpt-4.1": "2025-04-14",
    "gpt-4.1-mini": "2025-04-14",
    "gpt-4.1-nano": "2025-04-14",
    "o4-mini": "2025-04-16",
    "o3": "2025-04-16",
    "o3-mini": "2025-01-31",
    "gpt-4o": "2024-08-06",
    "gpt-4o-mini": "2024-07-18",
    "gpt-4-turbo": "2024-04-09",
    "gpt-3.5-turbo": "0125",
    "gpt-3.5-turbo-instruct": "",
    "text-embedding-3-small": "",
    "text-embedding-3-large": "",
    "text-embedding-ada-002": "",
    "omni-moderation-latest": "",
    "omni-moderation-2024-09-26": "",
}
"""Names, and the snapshot that answers to each ("": the name itself).  Those of gpt-6 are made up (WIRE_EXAMPLES)."""

_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})$")


def is_known(model: str, options: Options) -> bool:
    """Return whether *model* exists: by name, by dated snapshot, fine-tuned, or by option."""
    if model.startswith("ft:"):
        model = model.split(":")[1]
    return model in options.models or model in SNAPSHOTS or _DATED.sub("", model) in SNAPSHOTS


def snapshot(model: str) -> str:
    """Return the name under which *model* answers."""
    date = SNAPSHOTS.get(model)
    return f"{model}-{date}" if date else model


def reasons(model: str) -> bool:
    """Return whether *model* thinks before it answers, and so wants ``max_completion_tokens``."""
    return model.startswith(("o1", "o3", "o4", "gpt-5", "gpt-6"))


def writes_cache(model: str) -> bool:
    """Return whether writing to the prompt cache is reported and priced (gpt-5.6 and later, FACTS §1.9)."""
    return model.startswith(("gpt-5.6", "gpt-6"))


def unknown(model: str, status: int = 404) -> OpenAIError:
    """Make the error for a model that is not in the catalogue."""
    text = f"The model `{model}` does not exist or you do not have access to it."
    return OpenAIError(status, text, code="model_not_found", type="invalid_request_error", param="model")


async def list_models(world: World, call: Call) -> Response:
    """``GET /v1/models``"""
    names = [*SNAPSHOTS, *world.options.models]
    return reply({"object": "list", "data": [_describe(name) for name in names]})


async def get_model(world: World, call: Call) -> Response:
    """``GET /v1/models/{model}``"""
    model = call.params["model"]
    if not is_known(model, world.options):
        raise unknown(model)
    return reply(_describe(model))


def _describe(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1_790_000_000, "owned_by": "system"}
