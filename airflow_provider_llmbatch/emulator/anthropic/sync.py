"""``/v1/messages`` and ``/v1/messages/count_tokens``, with their rate limits and headers."""

from __future__ import annotations

import math
import time
from typing import Any

from starlette.responses import Response

from airflow_provider_llmbatch.emulator import row_faults
from airflow_provider_llmbatch.emulator.anthropic import messages, models
from airflow_provider_llmbatch.emulator.anthropic.blocks import Question
from airflow_provider_llmbatch.emulator.anthropic.desk import row_error, rules
from airflow_provider_llmbatch.emulator.anthropic.params import Rules, Turn, bad, check_known, need
from airflow_provider_llmbatch.emulator.ids import digest
from airflow_provider_llmbatch.emulator.wire import AnthropicError, Call, reply, rfc3339, words
from airflow_provider_llmbatch.emulator.world import World

_COUNTED = words("cache_control messages model output_config system thinking tool_choice tools")


async def create(world: World, call: Call) -> Response:
    """``POST /v1/messages``"""
    body = await call.json()
    question = messages.read(body, _rules(world, call))
    if body.get("stream"):
        raise bad("stream: the emulator does not stream")
    headers = _take(world, question)
    fault = next((fault for fault in call.faults if fault.row), None)
    if fault and row_faults.is_error(fault.row):
        raise row_error(fault)
    twist = fault.row if fault and fault.row in row_faults.TWISTS else ""
    mark = digest(world.options.seed, "sync", call.request_id)
    turn = Turn(world.options, world.cache, mark, world.clock.now(), "standard", twist)
    message, usage = messages.write(question, turn)
    world.books.pay("anthropic", question.model, usage)
    return reply(message, headers=headers)


async def count_tokens(world: World, call: Call) -> Response:
    """``POST /v1/messages/count_tokens``: free, and exact here."""
    body = await call.json()
    check_known(body, _COUNTED)
    model = models.find(need(body, "model", str), world.options)
    return reply({"input_tokens": messages.read_prompt(body, _rules(world, call), model).tokens})


def _rules(world: World, call: Call) -> Rules:
    return rules(world, in_batch=False, version=call.request.headers["anthropic-version"], betas=())


def _take(world: World, question: Question) -> dict[str, str]:
    """Take the call from the minute's budget; return the headers that tell what is left."""
    options = world.options
    wanted: list[tuple[str, int | None, int]] = [
        ("requests", options.rpm, 1),
        ("input-tokens", options.tpm, question.tokens),
        ("output-tokens", options.tpm, question.limit or 0),
    ]
    buckets = [
        (name, world.limits.bucket(f"anthropic/{question.model}/{name}", limit), amount)
        for name, limit, amount in wanted
        if limit is not None
    ]
    wait = max((bucket.wait(amount) for _, bucket, amount in buckets), default=0.0)
    headers: dict[str, str] = {}
    for name, bucket, amount in buckets:
        bucket.left -= amount if wait == 0 else 0
        headers |= _headers(name, bucket.size, bucket.left, bucket.reset)
    if wait > 0:
        headers["retry-after"] = str(math.ceil(wait))
        raise AnthropicError(429, "This request would exceed your rate limit.", headers=headers)
    return headers


def _headers(name: str, size: float, left: float, reset: float) -> dict[str, Any]:
    return {
        f"anthropic-ratelimit-{name}-limit": f"{size:.0f}",
        f"anthropic-ratelimit-{name}-remaining": str(max(0, math.floor(left))),
        f"anthropic-ratelimit-{name}-reset": rfc3339(time.time() + reset),
    }
