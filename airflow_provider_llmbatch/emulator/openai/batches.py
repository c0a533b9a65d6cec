"""The routes under ``/v1/batches`` (FACTS §1.1 to §1.4, §1.7)."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from airflow_provider_llmbatch.emulator.batch import Batch
from airflow_provider_llmbatch.emulator.files import StoredFile
from airflow_provider_llmbatch.emulator.lifecycle import Phase
from airflow_provider_llmbatch.emulator.openai import params
from airflow_provider_llmbatch.emulator.openai.endpoints import BATCH_ENDPOINTS, ENDPOINTS
from airflow_provider_llmbatch.emulator.openai.files import check_lifetime
from airflow_provider_llmbatch.emulator.openai.pages import page
from airflow_provider_llmbatch.emulator.usage import Usage
from airflow_provider_llmbatch.emulator.wire import Call, OpenAIError, reply
from airflow_provider_llmbatch.emulator.work import ERROR, OUTPUT
from airflow_provider_llmbatch.emulator.world import World

KNOWN = ("input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after")
DAY = 86_400
_HOUR = 3_600


async def create(world: World, call: Call) -> Response:
    """``POST /v1/batches``: whatever is wrong with the file shows later, in the batch."""
    body = await call.json()
    params.check_known(body, KNOWN)
    file_id = params.need(body, "input_file_id", str)
    endpoint = params.one_of(params.need(body, "endpoint", str), "endpoint", BATCH_ENDPOINTS)
    params.one_of(params.need(body, "completion_window", str), "completion_window", ("24h",))
    params.check_metadata(body.get("metadata"))
    lives = check_lifetime(body.get("output_expires_after"), "output_expires_after")
    if endpoint not in ENDPOINTS:
        raise params.bad(
            f"The emulator cannot answer {endpoint}: it draws and films nothing.", "endpoint", "invalid_value"
        )
    file = _input(world, file_id)
    _check_hour(world)
    batch = world.new_batch(
        "openai",
        faults=call.faults,
        sha256=file.sha256,
        input_file_id=file_id,
        endpoint=endpoint,
        metadata=body.get("metadata"),
        output_lives=lives,
    )
    (batch.folder / "requests").hardlink_to(world.files.path(file.id))
    world.accept(batch)
    return reply(render(world, batch))


def _input(world: World, file_id: str) -> StoredFile:
    file = world.files.get(file_id)
    if file is None:
        text = f"Cannot find file {file_id}, or project proj_emulator does not have access to it."
        raise OpenAIError(400, text)
    if file.purpose != "batch":
        raise OpenAIError(400, f"Invalid file purpose: '{file.purpose}'. Expected 'batch'.", param="input_file_id")
    return file


def _check_hour(world: World) -> None:
    since = world.clock.watch() - _HOUR
    recent = [batch.created.watch for batch in world.batches.values() if batch.created.vendor == "openai"]
    recent = [watch for watch in recent if watch > since]
    if len(recent) >= world.options.batches_per_hour:
        wait = max(1, round(recent[0] - since))
        text = f"Rate limit reached: {world.options.batches_per_hour:,} batches per hour."
        raise OpenAIError(429, text, code="rate_limit_exceeded", headers={"retry-after": str(wait)})


async def retrieve(world: World, call: Call) -> Response:
    """``GET /v1/batches/{batch_id}``"""
    return reply(render(world, _find(world, call)))


async def list_batches(world: World, call: Call) -> Response:
    """``GET /v1/batches``: newest first, no filters."""
    batches = list(world.visible("openai", lag="list_lag"))
    return reply(
        page(batches, call.request.query_params, most=100, default=20, render=lambda batch: render(world, batch))
    )


async def cancel(world: World, call: Call) -> Response:
    """``POST /v1/batches/{batch_id}/cancel``: asking twice is no mistake, asking too late is."""
    batch = _find(world, call)
    phase = batch.at(world.clock.now()).phase
    if phase.is_terminal:
        raise OpenAIError(409, f"Cannot cancel a batch with status '{phase}'.")
    if phase != Phase.CANCELLING:
        world.cancel(batch)
        await world.settle()
    return reply(render(world, batch))


def _find(world: World, call: Call) -> Batch:
    batch_id = call.params["batch_id"]
    batch = world.find("openai", batch_id)
    if batch is None:
        raise OpenAIError(404, f"No batch found with id '{batch_id}'.")
    return batch


def render(world: World, batch: Batch) -> dict[str, Any]:
    """Return the batch object (WIRE_EXAMPLES §1.4)."""
    now = world.clock.now()
    details, checked, ended = batch.created.details, batch.checked, batch.ended
    phase = batch.at(now).phase
    seen = checked if phase != Phase.VALIDATING else None
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": details["endpoint"],
        "model": seen.model if seen else None,
        "errors": {"object": "list", "data": seen.errors} if seen and phase == Phase.FAILED else None,
        "input_file_id": details["input_file_id"],
        "completion_window": "24h",
        "status": batch.status(now),
        "output_file_id": ended.files.get(OUTPUT) if ended else None,
        "error_file_id": _error_file(world, batch),
        "created_at": int(batch.created.created_at),
        "expires_at": int(batch.created.created_at) + DAY,
        **_times(world, batch, now),
        "request_counts": _counts(batch, now),
        "usage": _usage(ended.usage if ended else Usage()),
        "metadata": details.get("metadata"),
    }


def _error_file(world: World, batch: Batch) -> str | None:
    file_id = batch.ended.files.get(ERROR) if batch.ended else None
    if file_id is None and batch.ended and (world.options.empty_error_file_id or batch.fault("empty_error_file_id")):
        return ""
    return file_id


def _times(world: World, batch: Batch, now: float) -> dict[str, int | None]:
    """Return when each phase was reached, as wall time."""
    course = batch.course
    phase, since, _ = batch.at(now)
    reached: dict[str, float | None] = dict.fromkeys(
        ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    )
    if (
        phase not in (Phase.VALIDATING, Phase.FAILED)
        and (now if course.cancelled is None else course.cancelled) >= course.started
    ):
        reached["in_progress"] = course.started
    if phase in (Phase.FINALIZING, Phase.COMPLETED):
        reached["finalizing"] = since if phase == Phase.FINALIZING else since - course.finalize
    if phase in (Phase.CANCELLING, Phase.CANCELLED):
        reached["cancelling"] = course.cancelled
    if phase.is_terminal:
        reached[phase.value] = since
    return {f"{name}_at": None if at is None else int(world.clock.wall(at)) for name, at in reached.items()}


def _counts(batch: Batch, now: float) -> dict[str, int]:
    """Return the counts: 0 while validating, then live (FACTS §1.3)."""
    moment = batch.at(now)
    if moment.phase in (Phase.VALIDATING, Phase.FAILED):
        return {"total": 0, "completed": 0, "failed": 0}
    succeeded, errored = batch.done(moment)
    if batch.fault("lying_counts"):
        return {"total": batch.total, "completed": batch.total, "failed": 0}
    return {"total": batch.total, "completed": succeeded, "failed": errored}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
