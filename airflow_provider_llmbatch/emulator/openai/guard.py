"""Keys, and the headers that every answer carries."""

from __future__ import annotations

from starlette.requests import Request

from airflow_provider_llmbatch.emulator.wire import OpenAIError
from airflow_provider_llmbatch.emulator.world import World


def admit(world: World, request: Request) -> None:
    """Refuse a call without a key, or with a wrong one."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise OpenAIError(401, "You didn't provide an API key. Send it as 'Authorization: Bearer YOUR_KEY'.")
    if not is_accepted(key.strip(), world):
        raise OpenAIError(401, f"Incorrect API key provided: {key[:3]}***.", code="invalid_api_key")


def is_accepted(key: str, world: World) -> bool:
    """Return whether *key* opens the door, by the rule that both vendors share."""
    return key in world.options.keys if world.options.keys else not key.startswith("wrong")


def admit_admin(request: Request) -> None:
    """Refuse a key that is not an admin's.  The prefix is OpenAI's; the status is this emulator's assumption."""
    if not request.headers["authorization"].partition(" ")[2].strip().startswith("sk-admin-"):
        raise OpenAIError(403, "You have insufficient permissions for this operation: it takes an admin key.")


def headers(request_id: str) -> dict[str, str]:
    """Return the headers of every answer."""
    return {
        "x-request-id": request_id,
        "openai-version": "2020-10-01",
        "openai-organization": "org-emulator",
        "openai-processing-ms": "1",
    }
