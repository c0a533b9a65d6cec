"""Keys, the version header, and the rate limit that all batch endpoints share."""

from __future__ import annotations

import math

from starlette.requests import Request

from airflow_provider_llmbatch.emulator.openai.guard import is_accepted
from airflow_provider_llmbatch.emulator.wire import AnthropicError
from airflow_provider_llmbatch.emulator.world import World

VERSIONS = ("2023-06-01", "2026-10-21")
"""API versions that are known (FACTS §2.1)."""


def admit(world: World, request: Request) -> None:
    """Refuse a call without a version or key, with a wrong one, and one too many."""
    key = _key(request)
    if not key:
        raise AnthropicError(401, "x-api-key header is required")
    if not is_accepted(key, world):
        raise AnthropicError(401, "invalid x-api-key")
    version = request.headers.get("anthropic-version")
    if version is None:
        raise AnthropicError(400, "anthropic-version: header is required")
    if version not in VERSIONS:
        raise AnthropicError(400, f'anthropic-version: "{version}" is not a valid version')
    if request.url.path.startswith("/v1/messages/batches"):
        _take(world)


def admit_admin(request: Request) -> None:
    """Refuse a key that is not an admin's.  The prefix is documented; the status is this emulator's assumption."""
    if not _key(request).startswith("sk-ant-admin"):
        raise AnthropicError(401, "This endpoint takes an Admin API key.")


def _key(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return request.headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")


def _take(world: World) -> None:
    """Count a call against the limit of the batch endpoints; polling counts too (FACTS §2.2)."""
    bucket = world.limits.bucket("anthropic/batches", world.options.batch_rpm)
    wait = bucket.wait(1)
    if wait > 0:
        text = f"This request would exceed your rate limit of {world.options.batch_rpm:,} requests per minute."
        raise AnthropicError(429, text, headers={"retry-after": str(math.ceil(wait))})
    bucket.left -= 1


def headers(request_id: str) -> dict[str, str]:
    """Return the headers of every answer."""
    return {"request-id": request_id, "anthropic-organization-id": "00000000-0000-4000-8000-000000000000"}
