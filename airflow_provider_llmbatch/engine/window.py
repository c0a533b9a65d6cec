"""How much of a job may be at the vendor at once: the task's own bounds, and what the vendor's queue has taken.

No vendor tells ahead how full its queue is. OpenAI takes the batch and fails it minutes later, unbilled; Anthropic
answers 429 (FACTS §1.2, §2.2). A shard that met a full queue is put back until one of ours has ended, and the limit is
remembered: the one that the vendor names, else what of ours was in the queue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_llmbatch.core.limits import BYTES_PER_TOKEN, Limits
from airflow_provider_llmbatch.core.manifest import QUEUE_FULL, ShardState
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.exceptions import BusyError

BUSY_PAUSE = 60.0
"""Seconds to wait where nothing of ours is in the queue whose end could be waited for."""
_LIMIT = re.compile(r"\blimit(?: of|:)\s+(\d[\d,]*)", re.IGNORECASE)


def limits_of(job: Job) -> Limits:
    """Return what one batch of *job* may hold: no more than may be in the queue at once."""
    limits = job.hook.limits
    most = job.terms.max_enqueued_tokens
    if most is None:
        return limits
    return replace(limits, max_bytes=min(limits.max_bytes, most * BYTES_PER_TOKEN + limits.envelope_bytes))


def has_room(job: Job, shard: ShardState) -> bool:
    """Return whether *shard* may be sent beside what is at the vendor. Where nothing is, it may."""
    at_vendor = [other for other in job.manifest.shards if other.phase in ("submitted", "unknown")]
    if not at_vendor:
        return True
    terms = job.terms
    if terms.max_active_batches is not None and len(at_vendor) >= terms.max_active_batches:
        return False
    queued = _of_queue(job, shard, at_vendor)
    if terms.max_enqueued_tokens is not None and queued:
        tokens = sum(-(-other.shard.bytes // BYTES_PER_TOKEN) for other in (*queued, shard))
        if tokens > terms.max_enqueued_tokens:
            return False
    limit = _learned(job, shard)
    return limit is None or not queued or _load(job, (*queued, shard)) <= limit


def names_queue(busy: BusyError) -> bool:
    """Return whether a 429 is about the queue, and not about too many calls, which a pause mends."""
    return _LIMIT.search(str(busy)) is not None and "queue" in str(busy)


def put_back(job: Job, shard: ShardState, told: str, **facts: Any) -> None:
    """Make *shard* ready again: it only met a full queue. Nothing ran, nothing was billed.

    :param told: The vendor's words; they may name the limit.
    """
    at_vendor = [other for other in job.manifest.shards if other.phase in ("submitted", "unknown")]
    queued = [other for other in _of_queue(job, shard, at_vendor) if other.name != shard.name]
    stated = _LIMIT.search(told)
    limit = int(stated[1].replace(",", "")) if stated else _load(job, queued)
    until = None if queued else job.clock() + BUSY_PAUSE
    job.record("void", shard, reason=QUEUE_FULL, limit=limit or None, until=until, **facts)
    job.log.warning(
        "Shard %s met a full queue and waits its turn; it was not billed. The vendor says: %s", shard.name, told
    )


def _of_queue(job: Job, shard: ShardState, others: Sequence[ShardState]) -> list[ShardState]:
    queue = job.hook.queue_of(shard.shard)
    return [other for other in others if job.hook.queue_of(other.shard) == queue]


def _load(job: Job, shards: Sequence[ShardState]) -> int:
    return sum(job.hook.load_of(shard.shard) for shard in shards)


def _learned(job: Job, shard: ShardState) -> int | None:
    """Return what the queue of *shard* holds, as it was learned last."""
    met = [other.met_full_queue for other in _of_queue(job, shard, job.manifest.shards) if other.met_full_queue]
    return max(met, key=lambda event: event.at).limit if met else None
