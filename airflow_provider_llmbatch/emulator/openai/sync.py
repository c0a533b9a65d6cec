"""The synchronous endpoints, with their rate limits and headers."""

from __future__ import annotations

import math
import time
from typing import Any

from starlette.responses import Response

from airflow_provider_llmbatch.emulator import row_faults
from airflow_provider_llmbatch.emulator.ids import digest
from airflow_provider_llmbatch.emulator.limits import Bucket
from airflow_provider_llmbatch.emulator.openai.desk import row_error, rules
from airflow_provider_llmbatch.emulator.openai.endpoints import ENDPOINTS
from airflow_provider_llmbatch.emulator.openai.params import Turn, bad
from airflow_provider_llmbatch.emulator.wire import Call, OpenAIError, reply
from airflow_provider_llmbatch.emulator.world import World


async def answer(world: World, call: Call) -> Response:
    """Answer one body of any endpoint."""
    body = await call.json()
    endpoint = ENDPOINTS[call.request.url.path.rstrip("/")]
    ask = endpoint.read(body, rules(world, in_batch=False))
    if body.get("stream"):
        raise bad("The emulator does not stream.", "stream", "unsupported_value")
    headers = _take(world, ask)
    fault = next((fault for fault in call.faults if fault.row), None)
    if fault and row_faults.is_error(fault.row):
        raise row_error(fault)
    twist = fault.row if fault and fault.row in row_faults.TWISTS else ""
    now = world.clock.now()
    mark = digest(world.options.seed, "sync", call.request_id)
    turn = Turn(world.options, world.cache, mark, now, int(time.time()), twist)
    document, usage = endpoint.write(ask, turn)
    world.books.pay("openai", ask.model, usage)
    return reply(document, headers=headers)


def _take(world: World, ask: Any) -> dict[str, str]:
    """Take the call from the minute's budget; return the headers that tell what is left."""
    headers: dict[str, str] = {}
    tokens = ask.tokens + (getattr(ask, "limit", None) or 0)
    wanted = (("requests", world.options.rpm, 1), ("tokens", world.options.tpm, tokens))
    buckets = [
        (name, world.limits.bucket(f"openai/{ask.model}/{name}", limit), amount)
        for name, limit, amount in wanted
        if limit is not None
    ]
    waits = [(bucket.wait(amount), name) for name, bucket, amount in buckets]
    wait, name = max(waits, default=(0.0, ""))
    for _, bucket, amount in buckets if wait == 0 else ():
        bucket.left -= amount
    for kind, bucket, _ in buckets:
        headers |= _headers(kind, bucket)
    if wait > 0:
        headers |= {"retry-after": str(math.ceil(wait)), "retry-after-ms": str(math.ceil(wait * 1000))}
        text = f"Rate limit reached for {ask.model} on {name} per min. Please try again in {wait:.3f}s."
        raise OpenAIError(429, text, code="rate_limit_exceeded", type=name, headers=headers)
    return headers


def _headers(kind: str, bucket: Bucket) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{kind}": f"{bucket.size:.0f}",
        f"x-ratelimit-remaining-{kind}": f"{max(0, math.floor(bucket.left))}",
        f"x-ratelimit-reset-{kind}": f"{bucket.reset:.3f}s",
    }
