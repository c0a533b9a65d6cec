"""The routes under ``/v1/messages/batches`` (FACTS §2.1 to §2.3, §2.6, §2.7)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.responses import Response, StreamingResponse

from airflow_provider_llmbatch.emulator import work
from airflow_provider_llmbatch.emulator.anthropic import envelope
from airflow_provider_llmbatch.emulator.anthropic.pages import page
from airflow_provider_llmbatch.emulator.batch import Batch
from airflow_provider_llmbatch.emulator.lifecycle import Phase
from airflow_provider_llmbatch.emulator.wire import AnthropicError, Call, reply, rfc3339
from airflow_provider_llmbatch.emulator.work import OUTPUT
from airflow_provider_llmbatch.emulator.world import World

DAY = 86_400
RESULT_SECONDS = 29 * DAY
"""Life of the results (FACTS §2.3)."""
_PIECE = 1 << 18


async def create(world: World, call: Call) -> Response:
    """``POST /v1/messages/batches``: the envelope is checked at once, each request when its turn comes."""
    incoming = world.folder / "incoming" / call.request_id
    staging = incoming.with_suffix(".split")
    staging.mkdir()
    try:
        await envelope.receive(call.request, incoming, world.options.anthropic_max_bytes)
        found = await asyncio.to_thread(envelope.split, incoming, staging, world.options)
        _check_queue(world, found.total)
        headers = call.request.headers
        batch = world.new_batch(
            "anthropic",
            faults=call.faults,
            sha256=found.sha256,
            total=found.total,
            version=headers["anthropic-version"],
            betas=[beta.strip() for beta in headers.get("anthropic-beta", "").split(",") if beta.strip()],
        )
        for name in ("requests", "offsets"):
            (staging / name).rename(batch.folder / name)
    finally:
        incoming.unlink(missing_ok=True)
        shutil.rmtree(staging)
    world.accept(batch)
    return reply(render(world, batch, _base(call)))


def _check_queue(world: World, count: int) -> None:
    """Refuse what does not fit into the processing queue (FACTS §2.2)."""
    queued = sum(batch.total for batch in world.live("anthropic"))
    limit = world.options.queued_requests
    if queued + count > limit:
        text = (
            f"This batch would exceed your limit of {limit:,} batch requests in the processing queue ({queued:,} now)."
        )
        raise AnthropicError(429, text, headers={"retry-after": "60"})


async def retrieve(world: World, call: Call) -> Response:
    """``GET /v1/messages/batches/{batch_id}``"""
    return reply(render(world, _find(world, call), _base(call)))


async def list_batches(world: World, call: Call) -> Response:
    """``GET /v1/messages/batches``: newest first, no filters."""
    batches = list(world.visible("anthropic", lag="list_lag"))
    base = _base(call)
    return reply(page(batches, call.request.query_params, render=lambda batch: render(world, batch, base)))


async def cancel(world: World, call: Call) -> Response:
    """``POST /v1/messages/batches/{batch_id}/cancel``: asking twice is no mistake, asking too late is."""
    batch = _find(world, call)
    phase = batch.at(world.clock.now()).phase
    if phase.is_terminal:
        raise AnthropicError(409, f"Batch {batch.id} has already ended and cannot be canceled.")
    if phase != Phase.CANCELLING:
        world.cancel(batch)
        await world.settle()
    return reply(render(world, batch, _base(call)))


async def delete(world: World, call: Call) -> Response:
    """``DELETE /v1/messages/batches/{batch_id}``: only what has ended."""
    batch = _find(world, call)
    if not batch.ended:
        raise AnthropicError(409, f"Batch {batch.id} is still processing. Cancel it before you delete it.")
    batch.remember("deleted", document=True)
    work.remove(batch.folder)
    return reply({"id": batch.id, "type": "message_batch_deleted"})


async def results(world: World, call: Call) -> Response:
    """``GET /v1/messages/batches/{batch_id}/results``: a stream of lines, which cannot be resumed."""
    batch = _find(world, call)
    if not batch.ended:
        raise AnthropicError(404, f"Batch {batch.id} has no results yet: it is still processing.")
    if _is_archived(world, batch):
        raise AnthropicError(404, f"The results of batch {batch.id} are no longer available.")
    return StreamingResponse(_pieces(batch.folder / f"result.{OUTPUT}"), media_type="application/x-jsonl")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece


def _find(world: World, call: Call) -> Batch:
    batch_id = call.params["batch_id"]
    batch = world.find("anthropic", batch_id)
    if batch is None:
        raise AnthropicError(404, f"No message batch found with id {batch_id}")
    return batch


def _is_archived(world: World, batch: Batch) -> bool:
    return world.clock.now() >= batch.created.course.born + RESULT_SECONDS


def _base(call: Call) -> str:
    """Return where this API is, as the client sees it: ``results_url`` must lead there too."""
    url = call.request.url
    return f"{url.scheme}://{url.netloc}/v1/messages/batches"


def render(world: World, batch: Batch, base: str) -> dict[str, Any]:
    """Return the batch object (WIRE_EXAMPLES §2.2)."""
    clock, ended = world.clock, batch.ended
    archived = _is_archived(world, batch)
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": batch.status(clock.now()),
        "request_counts": _counts(batch),
        "created_at": rfc3339(batch.created.created_at),
        "expires_at": rfc3339(batch.created.created_at + DAY),
        "ended_at": rfc3339(clock.wall(ended.at)) if ended else None,
        "cancel_initiated_at": None if batch.cancelled is None else rfc3339(clock.wall(batch.cancelled)),
        "archived_at": rfc3339(batch.created.created_at + RESULT_SECONDS) if archived else None,
        "results_url": f"{base}/{batch.id}/results" if ended and not archived else None,
    }


def _counts(batch: Batch) -> dict[str, int]:
    """Return the counts: all but ``processing`` stay 0 until the whole batch has ended (FACTS §2.3)."""
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    ended = batch.ended
    if ended is None:
        counts["processing"] = batch.total
    elif batch.fault("lying_counts"):
        counts["succeeded"] = batch.total
    else:
        counts |= {"succeeded": ended.succeeded, "errored": ended.errored}
        if ended.never_ran:
            counts["expired" if ended.phase == Phase.EXPIRED else "canceled"] = ended.never_ran
    return counts
