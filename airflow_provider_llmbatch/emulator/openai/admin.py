"""What an admin may read of a project."""

from __future__ import annotations

from typing import NamedTuple

from starlette.responses import Response

from airflow_provider_llmbatch.emulator.openai.guard import admit_admin
from airflow_provider_llmbatch.emulator.openai.models import SNAPSHOTS
from airflow_provider_llmbatch.emulator.openai.pages import page
from airflow_provider_llmbatch.emulator.options import Options
from airflow_provider_llmbatch.emulator.wire import Call, reply
from airflow_provider_llmbatch.emulator.world import World


class _RateLimit(NamedTuple):
    """What a project may ask of one model."""

    model: str

    @property
    def id(self) -> str:
        """Under which lists know it."""
        return f"rl-{self.model}"


async def rate_limits(world: World, call: Call) -> Response:
    """``GET /v1/organization/projects/{project}/rate_limits``: per model (FACTS §1.2)."""
    admit_admin(call.request)
    limits = [_RateLimit(name) for name in (*SNAPSHOTS, *world.options.models)]
    query = call.request.query_params
    return reply(page(limits, query, most=100, default=100, render=lambda limit: _limit(limit, world.options)))


def _limit(limit: _RateLimit, options: Options) -> dict[str, object]:
    queue = options.queue_of(limit.model)
    found = {
        "id": limit.id,
        "object": "project.rate_limit",
        "model": limit.model,
        "max_requests_per_1_minute": options.rpm or 30_000,
        "max_tokens_per_1_minute": options.tpm or 150_000_000,
    }
    return found if queue is None else {**found, "batch_1_day_max_input_tokens": queue}
